"""What a stage can be set to, and the checks of a command before anything runs."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sacred.utils import (
    ConfigAddedError,
    NamedConfigNotFoundError,
    convert_to_nested_dict,
    iterate_flattened,
)

from nn_clustering.tracking.errors import InvalidInputError
from nn_clustering.tracking.stages.configs import (
    DEFAULT,
    ConfigFile,
    StageConfigs,
    read_given_file,
    read_stage_configs,
    seen_from_here,
)
from nn_clustering.tracking.stages.repeats import check_repeats
from nn_clustering.tracking.stages.threads import check_threads
from nn_clustering.tracking.stages.validation import (
    check_exclusive,
    check_names,
    check_types,
    check_updates,
    checked_tags,
    keys_of,
    unknown_named_config,
    with_whole_keys,
    with_yaml_words,
)

if TYPE_CHECKING:
    from sacred.run import Run as SacredRun


# Options by which Sacred stores a run in other places besides.
_OBSERVERS = ("--s3", "--sql", "--tiny_db", "--file_storage")


@dataclass(frozen=True)
class StageSettings:
    """The configs of a stage, and how a command may choose among them.

    Attributes:
        stage: Name of the stage.
        configs: Its configs; none where the experiment sets its config in Sacred's own ways, which
            then alone tell what may be set.
        exclusive_keys: Dotted keys that only one of a command's named configs may set.
        mistake: Why the configs cannot be read, if they cannot.
    """

    stage: str = ""
    configs: StageConfigs = field(default_factory=StageConfigs)
    exclusive_keys: tuple[str, ...] = ()
    mistake: InvalidInputError | None = None

    @classmethod
    def read(
        cls,
        stage: str,
        folders: Sequence[Path],
        parts: Mapping[str, Sequence[str]],
        exclusive_keys: Sequence[str],
        keys_of: str | None = None,
    ) -> StageSettings:
        """Read the files; for the arguments see `read_stage_configs`."""
        try:
            configs = read_stage_configs(folders, stage, parts, keys_of)
        except InvalidInputError as mistake:
            # A file that somebody edits just now: told when the experiment runs, in one line.
            return cls(stage, mistake=mistake)
        return cls(stage, configs, tuple(exclusive_keys))

    @property
    def defaults(self) -> Mapping[str, Any]:
        """Every config key with its default, nested."""
        return self.configs.defaults

    def full_config(
        self, named: Sequence[str], updates: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """Return the config, nested, of a run with these named configs, and keys on top of them.

        Raises:
            InvalidInputError: If there is no such named config, two of them undo each other, or a
                key cannot be set to that.
        """
        config = dict(iterate_flattened(self.configs.defaults))
        for name in named:
            if name not in self.configs.named:
                raise InvalidInputError(self._unknown(name, self.configs.named))
            config.update(iterate_flattened(self.configs.named[name]))
        check_exclusive({name: self._set_by(name) for name in named}, self.exclusive_keys)
        if updates:
            config.update(iterate_flattened(self.checked_updates(updates, named)))
        found: dict[str, Any] = convert_to_nested_dict(config)
        if updates:
            self.check_config(found)
        return found

    def checked_updates(
        self, updates: Mapping[str, Any], named_configs: Sequence[str]
    ) -> dict[str, Any]:
        """Return the keys that a command sets one by one: tags as a list, null as None.

        Raises:
            InvalidInputError: If one cannot be set to that, or the named configs undo each other.
        """
        if self.mistake is not None:
            raise self.mistake
        checked = dict(updates)
        check_names(checked)
        if not self.defaults:
            for name in named_configs:
                self._set_by(name)
            return checked
        checked = with_yaml_words(checked, self.defaults)
        if "tags" in checked and "tags" in self.defaults:
            checked["tags"] = checked_tags(checked["tags"])
        check_updates(checked, self.defaults, self.stage, self.configs.documentation)
        self._check_keys_of(named_configs)
        given = {name: self._set_by(name) for name in named_configs}
        check_exclusive(given, self.exclusive_keys)
        return checked

    def check_config(self, config: dict[str, Any]) -> None:
        """Check a run's whole config, whose tags become a list.

        Raises:
            InvalidInputError: If a value cannot be.
        """
        if not self.defaults:
            return
        if "tags" in self.defaults:
            config["tags"] = checked_tags(config["tags"])
        check_types(config, self.defaults, self.configs.documentation)
        check_repeats(config)
        check_threads(config)

    @contextmanager
    def mistakes_told(self, known: Collection[str], options: Mapping[str, Any]) -> Iterator[None]:
        """Within the block, where Sacred makes a run, its errors become messages in one line.

        Args:
            known: The named configs that there are.
            options: Sacred's command line options.
        """
        try:
            yield
        except ConfigAddedError as error:  # an unknown key in a named config
            raise InvalidInputError(str(error)) from None
        except NamedConfigNotFoundError as error:
            # Sacred's exception names the config in its text only.
            raise InvalidInputError(self._unknown(str(error).split('"')[1], known)) from None
        except KeyError as error:
            if "for named config" not in str(error):
                raise
            raise InvalidInputError(self._unknown(str(error).split('"')[-2], known)) from None
        except (ImportError, ValueError) as error:
            asked = next((option for option in _OBSERVERS if options.get(option)), None)
            if asked is None or isinstance(error, InvalidInputError):
                raise
            raise InvalidInputError(
                f"{asked}={options[asked]}: Sacred cannot store a run there ({error}); leave it "
                "out, runs are stored in MongoDB anyway"
            ) from error
        except RuntimeError as error:
            if not options.get("--enforce_clean"):
                raise
            raise InvalidInputError(
                "-e: the project is no git checkout, or has uncommitted changes (git status "
                "shows them); commit them, or leave out -e"
            ) from error

    def told(self, mistake: str, updates: Mapping[str, Any], named_configs: Sequence[str]) -> str:
        """A message with the keys as the command line sets them, and the file that set the first.

        The file is named where it is the user's own, in which the mistake is then to be mended.

        Args:
            mistake: What is wrong.
            updates: The keys that the command sets one by one.
            named_configs: Its named configs, and paths of config files.
        """
        typed = dict(iterate_flattened(dict(updates)))
        message = with_whole_keys(mistake, self.defaults, typed)
        key = next(iter(keys_of(message)), None)
        try:
            setters = [name for name in named_configs if key in self._set_by(name)]
        except InvalidInputError:  # a file that cannot be read, which is the mistake
            return message
        if key is None or key in typed or not setters:
            return message
        own = [file for file in self._files_behind(setters[-1]) if not self._is_the_stages(file)]
        places = [seen_from_here(file.path) for file in own]
        return message if not places or places[0] in message else f"{places[0]}: {message}"

    def _is_the_stages(self, file: ConfigFile) -> bool:
        """Whether a file came with the stage, in the first folder of configs."""
        first = self.configs.files[DEFAULT][0].path.parent.parent if self.configs.files else None
        return first is not None and file.path.is_relative_to(first)

    def given_keys(self, run: SacredRun) -> dict[str, str]:
        """What was typed to set config keys of a run, by dotted key."""
        meta_info = run.meta_info
        given = {key: name for name in meta_info["named_configs"] for key in self._set_by(name)}
        updates = iterate_flattened(meta_info.get("config_updates") or {})
        return {**given, **{key: f"{key}={value}" for key, value in updates}}

    def files_of(self, named_configs: Sequence[str]) -> tuple[ConfigFile, ...]:
        """The files that set the config of a run with these named configs; each once."""
        files = list(self.configs.files.get(DEFAULT, ()))
        for name in named_configs:
            files += self._files_behind(name)
        return tuple({file.artifact: file for file in files}.values())

    def _check_keys_of(self, named_configs: Sequence[str]) -> None:
        """Check what named configs, or config files, set."""
        for name in named_configs:
            config = self._set_by(name)
            places = ", ".join(seen_from_here(file.path) for file in self._files_behind(name))
            if places and not config:
                raise InvalidInputError(
                    f"{name} sets nothing: {places} is empty; expected config keys, KEY: VALUE"
                )
            try:
                if "tags" in config and "tags" in self.defaults:
                    config["tags"] = checked_tags(config["tags"])
                check_updates(config, self.defaults, self.stage, self.configs.documentation)
            except InvalidInputError as mistake:
                raise InvalidInputError(f"{places}: {mistake}") from None

    def _files_behind(self, name: str) -> tuple[ConfigFile, ...]:
        """The file that the command line names, or those of a named config."""
        if Path(name).is_file():  # Sacred prefers it to a named config
            return (read_given_file(Path(name)),)
        return self.configs.files.get(name, ())

    def _set_by(self, name: str) -> dict[str, Any]:
        """What a named config, or a config file, sets, by dotted key."""
        if Path(name).is_file():
            return dict(iterate_flattened(read_given_file(Path(name)).config))
        return dict(iterate_flattened(self.configs.named.get(name, {})))

    def _unknown(self, name: str, known: Collection[str]) -> str:
        return unknown_named_config(name, self.stage, known)

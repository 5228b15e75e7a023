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
from nn_clustering.tracking.stages.validation import (
    check_exclusive,
    check_known_keys,
    check_types,
    check_updates,
    checked_tags,
    unknown_named_config,
)

if TYPE_CHECKING:
    from sacred.run import Run as SacredRun


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
    ) -> StageSettings:
        """Read the files; for the arguments see `read_stage_configs`."""
        try:
            configs = read_stage_configs(folders, stage, parts)
        except InvalidInputError as mistake:
            # A file that somebody edits just now: told when the experiment runs, in one line.
            return cls(stage, mistake=mistake)
        return cls(stage, configs, tuple(exclusive_keys))

    @property
    def defaults(self) -> Mapping[str, Any]:
        """Every config key with its default, nested."""
        return self.configs.defaults

    def full_config(self, named: Sequence[str]) -> dict[str, Any]:
        """Return the config, nested, of a run with these named configs.

        Raises:
            InvalidInputError: If there is no such named config, or two of them undo each other.
        """
        config = dict(iterate_flattened(self.configs.defaults))
        for name in named:
            if name not in self.configs.named:
                raise InvalidInputError(self._unknown(name, self.configs.named))
            config.update(iterate_flattened(self.configs.named[name]))
        check_exclusive({name: self._set_by(name) for name in named}, self.exclusive_keys)
        found: dict[str, Any] = convert_to_nested_dict(config)
        return found

    def checked_updates(
        self, updates: Mapping[str, Any], named_configs: Sequence[str]
    ) -> dict[str, Any]:
        """Return the keys that a command sets one by one, tags as a list.

        Raises:
            InvalidInputError: If one cannot be set to that, or the named configs undo each other.
        """
        if self.mistake is not None:
            raise self.mistake
        checked = dict(updates)
        if not self.defaults:
            return checked
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

    @contextmanager
    def mistakes_told(self, known: Collection[str], enforce_clean: bool) -> Iterator[None]:
        """Within the block, where Sacred makes a run, its errors become messages in one line.

        Args:
            known: The named configs that there are.
            enforce_clean: Whether the command asks for a checkout without changes.
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
        except RuntimeError as error:
            if not enforce_clean:
                raise
            raise InvalidInputError(
                "-e: the project is no git checkout, or has uncommitted changes (git status "
                "shows them); commit them, or leave out -e"
            ) from error

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
            if Path(name).is_file():  # Sacred prefers it to a named config
                files.append(read_given_file(Path(name)))
            else:
                files += self.configs.files.get(name, ())
        return tuple({file.artifact: file for file in files}.values())

    def _check_keys_of(self, named_configs: Sequence[str]) -> None:
        """Check that there are all keys that named configs, or config files, set."""
        for name in named_configs:
            files = self.files_of([name])[len(self.configs.files.get(DEFAULT, ())) :]
            try:
                check_known_keys(
                    self._set_by(name), self.defaults, self.stage, self.configs.documentation
                )
            except InvalidInputError as mistake:
                places = ", ".join(seen_from_here(file.path) for file in files)
                raise InvalidInputError(f"{places}: {mistake}") from None

    def _set_by(self, name: str) -> dict[str, Any]:
        """What a named config, or a config file, sets, by dotted key."""
        if Path(name).is_file():
            return dict(iterate_flattened(read_given_file(Path(name)).config))
        return dict(iterate_flattened(self.configs.named.get(name, {})))

    def _unknown(self, name: str, known: Collection[str]) -> str:
        return unknown_named_config(name, self.stage, known)

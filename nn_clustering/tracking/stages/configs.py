"""The YAML files of a project's stages: what they set, and their content to keep with a run."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from pathlib import Path
from typing import Any

import yaml
from sacred.utils import convert_to_nested_dict, iterate_flattened

from nn_clustering.tracking.errors import InvalidInputError
from nn_clustering.tracking.execution_keys import N_THREADS, own_keys
from nn_clustering.tracking.stages.validation import CONFIG_SUFFIXES, check_updates

DEFAULT = "default"
_EXPECTED = "expected config keys, KEY: VALUE"


# The parser in C, where PyYAML has it, is ten times as fast.
class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """Reads YAML, and refuses a key that stands twice in one place, of which the first is lost."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in seen:
                    raise yaml.MarkedYAMLError(
                        problem=f"the key {key.value} is there twice", problem_mark=key.start_mark
                    )
                seen.add(key.value)
        found: dict[Any, Any] = super().construct_mapping(node, deep)
        return found


@dataclass(frozen=True)
class ConfigFile:
    """A file that sets config keys.

    Attributes:
        artifact: Name under which runs store it.
        content: The file as it was read.
        config: What it sets, nested.
        path: Where it is.
    """

    artifact: str
    content: bytes = field(repr=False)
    config: dict[str, Any]
    path: Path

    @property
    def comment(self) -> str:
        """The comment that the file begins with, in one line; "" where there is none."""
        lines = self.content.decode(errors="replace").splitlines()
        comment = takewhile(lambda line: line.startswith("#"), lines)
        return " ".join(line.lstrip("#").strip() for line in comment).strip()


@dataclass(frozen=True)
class StageConfigs:
    """All configs of a stage.

    Attributes:
        defaults: Every key with its default, nested.
        named: What each named config sets.
        files: The files behind each of them, those of ``defaults`` under the name ``default``.
    """

    defaults: dict[str, Any] = field(default_factory=dict)
    named: dict[str, dict[str, Any]] = field(default_factory=dict)
    files: dict[str, tuple[ConfigFile, ...]] = field(default_factory=dict)

    @property
    def documentation(self) -> str:
        """The file in which a reader finds every key, as seen from the current folder."""
        return seen_from_here(self.files[DEFAULT][0].path) if DEFAULT in self.files else ""

    def comment(self, name: str) -> str:
        """What the files of a named config say of it: the first that says something."""
        return next((file.comment for file in self.files[name] if file.comment), "")


def read_stage_configs(
    folders: Sequence[Path],
    stage: str,
    parts: Mapping[str, Sequence[str]],
    keys_of: str | None = None,
) -> StageConfigs:
    """Read the configs of a stage and of the stages that are parts of it.

    Args:
        folders: Each holds a folder of YAML files for each stage, at any depth. Those of later
            ones come on top of the first's: a named config replaces the one of its name, and
            their ``default.yaml``, if there is one, changes defaults of the first's. Later folders
            need not exist.
        stage: Name of the stage.
        parts: The parts' names, each with the keys that the stage sets by itself; all other keys
            of the part are keys of the stage under the part's name.
        keys_of: Name of another stage whose keys and named configs the stage has too, as its own.

    Raises:
        InvalidInputError: If a file cannot be read as a config, there is no ``default.yaml`` in
            the first folder, or one in a later folder sets a key that this lacks.
    """
    own = _read_layers(folders, stage)
    other = StageConfigs() if keys_of is None else _read_layers(folders, keys_of)
    defaults = {**other.defaults, **own.defaults}
    named = {**other.named, **own.named}
    used = {name: list(files) for name, files in own.files.items()}
    for name, files in other.files.items():
        used.setdefault(name, []).extend(files)
    for part, set_by_stage in parts.items():
        of_part = _read_layers(folders, part)
        left_out = (*set_by_stage, *own_keys(of_part.defaults), N_THREADS)
        defaults[part] = {
            key: value for key, value in of_part.defaults.items() if key not in left_out
        }
        for name, config in of_part.named.items():
            named[name] = {**named.get(name, {}), part: config}
        for name, files in of_part.files.items():
            used.setdefault(name, []).extend(files)
    return StageConfigs(defaults, named, {name: tuple(of_name) for name, of_name in used.items()})


def read_given_file(path: Path) -> ConfigFile:
    """Read a config file that the command line names.

    Raises:
        InvalidInputError: If it is no YAML or JSON file of config keys.
    """
    if path.suffix not in CONFIG_SUFFIXES:
        raise InvalidInputError(
            f"{path} is a file, and a config file is YAML or JSON; expected the name of a .yaml, "
            ".yml or .json file, or a named config whose name no file here has"
        )
    file = _read(path, f"config.{path.name}")
    if not file.config:
        raise InvalidInputError(f"{path} sets no config key; {_EXPECTED}")
    return file


def seen_from_here(path: Path) -> str:
    """A path as a user would type it: relative, where it lies in the current folder."""
    try:
        return str(Path(path).resolve().relative_to(Path.cwd().resolve()))
    except (ValueError, OSError):
        return os.fspath(path)


def _read_layers(folders: Sequence[Path], stage: str) -> StageConfigs:
    first, *later = folders
    files = _read_folder(first / stage, stage)
    if DEFAULT not in files:
        raise InvalidInputError(
            f"{first / stage}/default.yaml is not there; expected a file with every key of {stage}"
        )
    defaults = [files.pop(DEFAULT)]
    for number, folder in enumerate(later, start=1):
        on_top = _read_folder(folder / stage, stage, number)
        if DEFAULT in on_top:
            defaults.append(on_top.pop(DEFAULT))
        files.update(on_top)
    named = {name: file.config for name, file in files.items()}
    used = {DEFAULT: tuple(defaults), **{name: (file,) for name, file in files.items()}}
    return StageConfigs(_merged(defaults, stage), named, used)


def _merged(defaults: Sequence[ConfigFile], stage: str) -> dict[str, Any]:
    """The defaults of the first file with the changes that the others make."""
    first, *later = defaults
    merged = dict(first.config)
    documentation = seen_from_here(first.path)
    for file in later:
        try:
            check_updates(file.config, first.config, stage, documentation)
        except InvalidInputError as mistake:
            raise InvalidInputError(f"{seen_from_here(file.path)}: {mistake}") from None
        flat = {**dict(iterate_flattened(merged)), **dict(iterate_flattened(file.config))}
        merged = convert_to_nested_dict(flat)
    return merged


def _read_folder(folder: Path, stage: str, number: int = 0) -> dict[str, ConfigFile]:
    """The files of a folder by name; those of a default on top have a number in their artifact."""
    files: dict[str, ConfigFile] = {}
    for path in _yaml_files(folder):
        if path.stem in files:
            raise InvalidInputError(
                f"{path}: another folder of {folder} has a {path.name} too; expected one file for "
                "each named config: rename one of them"
            )
        layer = f"{number}." if number and path.stem == DEFAULT else ""
        files[path.stem] = _read(path, f"config.{stage}.{layer}{path.name}")
    return files


def _yaml_files(folder: Path) -> Iterator[Path]:
    yield from sorted(folder.rglob("*.yaml")) if folder.is_dir() else []


def _read(path: Path, artifact: str) -> ConfigFile:
    try:
        content = path.read_bytes()
        config = _parsed(content, path.suffix)
        if not isinstance(config, dict):
            raise InvalidInputError(f"{path} holds a {type(config).__name__}; {_EXPECTED}")
        _check_keys(config, path)
    except (OSError, ValueError, yaml.YAMLError, RecursionError) as error:
        if isinstance(error, InvalidInputError):
            raise
        kind, reason = path.suffix[1:].upper(), " ".join(str(error).split())[:200]
        raise InvalidInputError(
            f"{path} cannot be read as {'YAML' if kind == 'YML' else kind} ({reason}); {_EXPECTED}"
        ) from error
    return ConfigFile(artifact, content, config, path)


def _parsed(content: bytes, suffix: str) -> Any:
    if suffix == ".json":  # less than YAML, and Sacred reads no more
        return json.loads(content, object_pairs_hook=_once_each) if content.strip() else {}
    found = yaml.load(content, Loader=_Loader)
    return {} if found is None else found


def _once_each(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    keys = [key for key, _ in pairs]
    twice = next((key for key in keys if keys.count(key) > 1), None)
    if twice is not None:
        raise ValueError(f"the key {twice} is there twice")
    return dict(pairs)


def _check_keys(config: Mapping[Any, Any], path: Path) -> None:
    for key in _keys(config):
        if not isinstance(key, str):
            raise InvalidInputError(
                f"{path}: the key {key!r} is a {type(key).__name__}; expected names as keys, in "
                "quotes where YAML takes them for something else"
            )
        if "." in key or key.startswith("$"):
            group, _, name = key.partition(".")
            raise InvalidInputError(
                f"{path}: the key {key!r} is no name; expected a group as a key of its own, "
                f"{group or 'GROUP'}: {{{name or 'KEY'}: VALUE}}"
            )


def _keys(value: Any) -> Iterator[Any]:
    """All keys, those of groups and in lists too."""
    if isinstance(value, Mapping):
        yield from value
        value = list(value.values())
    if isinstance(value, list):
        for inner in value:
            yield from _keys(inner)

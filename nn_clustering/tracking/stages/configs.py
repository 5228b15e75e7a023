"""The YAML files of a project's stages: what they set, and their content to keep with a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from nn_clustering.tracking.errors import InvalidInputError
from nn_clustering.tracking.run_keys import own_keys


@dataclass(frozen=True)
class ConfigFile:
    """A file that sets config keys.

    Attributes:
        artifact: Name under which runs store it.
        content: The file as it was read.
        config: What it sets, nested.
    """

    artifact: str
    content: bytes = field(repr=False)
    config: dict[str, Any]


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


def read_stage_configs(
    folder: Path, stage: str, parts: Mapping[str, Sequence[str]]
) -> StageConfigs:
    """Read the configs of a stage and of the stages that are parts of it.

    Args:
        folder: Holds a folder of YAML files for each stage.
        stage: Name of the stage.
        parts: The parts' names, each with the keys that the stage sets by itself; all other keys
            of the part are keys of the stage under the part's name.

    Raises:
        InvalidInputError: If a file cannot be read as a config, or there is no ``default.yaml``.
    """
    files = _read_folder(folder / stage, stage)
    defaults = dict(files["default"].config)
    named = {name: dict(file.config) for name, file in files.items() if name != "default"}
    used = {name: [file] for name, file in files.items()}
    for part, set_by_stage in parts.items():
        for name, file in _read_folder(folder / part, part).items():
            used.setdefault(name, []).append(file)
            if name == "default":
                left_out = (*set_by_stage, *own_keys(file.config))
                defaults[part] = {
                    key: value for key, value in file.config.items() if key not in left_out
                }
            else:
                named.setdefault(name, {})[part] = file.config
    return StageConfigs(defaults, named, {name: tuple(of_name) for name, of_name in used.items()})


def read_given_file(path: Path) -> ConfigFile:
    """Read a config file that the command line names.

    Raises:
        InvalidInputError: If it is no YAML or JSON file of config keys.
    """
    if path.suffix not in (".yaml", ".yml", ".json"):
        raise InvalidInputError(
            f"{path} is a file, and a config file is YAML or JSON; expected the name of a .yaml, "
            ".yml or .json file, or a named config whose name no file here has"
        )
    return _read(path, f"config.{path.name}")


def _read_folder(folder: Path, stage: str) -> dict[str, ConfigFile]:
    files: dict[str, ConfigFile] = {}
    for path in sorted(folder.rglob("*.yaml")):
        if path.stem in files:
            raise InvalidInputError(
                f"{path}: another folder of {folder} has a {path.name} too; expected one file for "
                "each named config: rename one of them"
            )
        files[path.stem] = _read(path, f"config.{stage}.{path.name}")
    if "default" not in files:
        raise InvalidInputError(
            f"{folder}/default.yaml is not there; expected a file with every key of {stage}"
        )
    return files


def _read(path: Path, artifact: str) -> ConfigFile:
    try:
        content = path.read_bytes()
        config = yaml.safe_load(content) or {}
    except (OSError, yaml.YAMLError) as error:  # JSON is YAML
        reason = " ".join(str(error).split())[:200]
        raise InvalidInputError(
            f"{path} cannot be read as YAML ({reason}); expected config keys, KEY: VALUE"
        ) from error
    if not isinstance(config, dict):
        raise InvalidInputError(
            f"{path} holds a {type(config).__name__}; expected KEY: VALUE lines"
        )
    return ConfigFile(artifact, content, config)

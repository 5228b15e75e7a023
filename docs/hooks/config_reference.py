"""The configuration reference, made from the comments of the YAML files.

A key's description is the comment above it; a file's is the comment that it begins with.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

# In the order in which a study takes them.
STAGES = (
    *("train", "import_network", "cluster", "shuffle_test", "lesion", "visualise"),
    *("choose_k", "agreement", "lesion_table", "visualisation_table", "random_init"),
    *("pipeline", "study", "report"),
)


@dataclass(frozen=True)
class Key:
    """A config key.

    Attributes:
        name: Dotted, as a command line has it.
        description: The comment above it; empty where there is none.
        default: As YAML writes it; None of a section, which is a key that holds others.
    """

    name: str
    description: str
    default: str | None

    @property
    def section(self) -> str:
        """The key that it is in; empty at the top."""
        return self.name.rpartition(".")[0]


@dataclass(frozen=True)
class NamedConfig:
    """A named config.

    Attributes:
        name: As a command line has it.
        description: The comment that its file begins with.
        group: The folder that it is in; empty beside ``default.yaml``.
        values: Its keys, dotted, and what it sets them to.
    """

    name: str
    description: str
    group: str
    values: dict[str, Any]


def read_keys(path: Path) -> list[Key]:
    """Return every key of a YAML file, each section before its keys."""
    text = path.read_text(encoding="utf-8")
    lines = text.splitlines()
    return list(_keys_of(yaml.compose(text), lines, ""))


def read_named_configs(folder: Path) -> list[NamedConfig]:
    """Return the named configs of a stage, those of a group side by side."""
    found = [
        NamedConfig(
            path.stem,
            leading_comment(path),
            str(path.relative_to(folder).parent).strip("."),
            dict(_flattened(yaml.safe_load(path.read_text(encoding="utf-8")) or {})),
        )
        for path in folder.rglob("*.yaml")
        if path.stem != "default"
    ]
    return sorted(found, key=lambda config: (config.group, config.name))


def leading_comment(path: Path) -> str:
    """Return the comment that a file begins with, in one line."""
    words = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            break
        words.append(line.lstrip("#").strip())
    return " ".join(words)


def page(stage: str, configs: Path, programs: Path) -> str:
    """Return the reference page of a stage, in Markdown.

    Args:
        stage: Its name.
        configs: The folder of all stages' folders.
        programs: The folder of the stages' programs, whose docstrings begin the pages.
    """
    keys = read_keys(configs / stage / "default.yaml")
    parts = [
        f"# {stage}",
        _about(programs / f"{stage}.py"),
        "## Keys { #keys }",
        *(_entry(key) for key in keys if not key.section and key.default is not None),
    ]
    for section in (key for key in keys if key.default is None):
        parts.append(f"### {section.name} {{ #{section.name} }}")
        parts += [section.description] if section.description else []
        parts += [
            _entry(key) for key in keys if key.section == section.name and key.default is not None
        ]
    parts += _named_config_parts(read_named_configs(configs / stage))
    return "\n\n".join(parts) + "\n"


def _keys_of(node: yaml.MappingNode, lines: Sequence[str], above: str) -> Iterator[Key]:
    for key, value in node.value:
        name = f"{above}{key.value}"
        comment = _comment_above(lines, key.start_mark.line)
        is_section = isinstance(value, yaml.MappingNode) and value.value
        yield Key(name, comment, None if is_section else _source(value))
        if is_section:
            yield from _keys_of(value, lines, f"{name}.")


def _comment_above(lines: Sequence[str], line: int) -> str:
    """Return a comment in one line, or one for each of its items, which begin with a dash."""
    comment: list[str] = []
    while line > 0 and lines[line - 1].lstrip().startswith("#"):
        line -= 1
        comment.insert(0, lines[line].lstrip(" #"))
    return " ".join(comment).replace(" - ", "\n- ")


def _source(node: yaml.Node) -> str:
    """Return a value as its file has it."""
    mark = node.start_mark
    return mark.buffer[mark.pointer : node.end_mark.pointer].strip()


def _flattened(config: dict[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in config.items():
        if isinstance(value, dict):
            yield from _flattened(value, f"{above}{key}.")
        else:
            yield f"{above}{key}", value


def _about(program: Path) -> str:
    """Return a program's docstring, its command lines as a block of code."""
    docstring = ast.get_docstring(ast.parse(program.read_text(encoding="utf-8"))) or ""
    lines = docstring.splitlines()
    commands = [line for line in lines if line.startswith("python ")]
    prose = "\n".join(line for line in lines if line not in commands).strip()
    return f"{_escaped(prose)}\n\n```bash\n" + "\n".join(commands) + "\n```"


def _entry(key: Key) -> str:
    lines = _escaped(key.description).replace("\n-", "\n\n-", 1).split("\n")
    described = "\n".join(f"    {line}" if line else "" for line in lines).strip()
    return f'<span id="{key.name}"></span>`{key.name}` = `{key.default}`\n:   {described}'


def _named_config_parts(named: Sequence[NamedConfig]) -> Iterator[str]:
    if not named:
        return
    yield "## Named configs { #named-configs }"
    for group in dict.fromkeys(config.group for config in named):
        if group:
            yield f"### {group.capitalize()} {{ #{group} }}"
        yield from (_named_entry(config) for config in named if config.group == group)


def _named_entry(config: NamedConfig) -> str:
    values = " ".join(f"{key}={value}".replace(" ", "") for key, value in config.values.items())
    shown = values if len(values) <= 300 else f"{values[:300]}..."
    return (
        f'<span id="named-{config.name}"></span>`{config.name}`\n'
        f":   {_escaped(config.description)}\n\n    sets `{shown}`"
    )


def _escaped(text: str) -> str:
    # Comments are plain text: no emphasis, no HTML, but code in backticks.
    for letter in ("*", "_", "<"):
        parts = text.split("`")
        parts[::2] = [part.replace(letter, f"\\{letter}") for part in parts[::2]]
        text = "`".join(parts)
    return text

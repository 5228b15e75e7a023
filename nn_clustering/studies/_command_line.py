"""Config keys as Sacred's command line takes them, such that it reads the very same values."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

from nn_clustering.errors import InvalidInputError

# Sacred splits keys at dots, and takes a word without `=` for a named config.
_NAME = re.compile(r"[A-Za-z_]\w*", re.ASCII)


def settings_of(updates: Mapping[str, Any]) -> list[str]:
    """Return config keys as words of a command line, each `key=value`.

    Args:
        updates: The keys, nested.

    Raises:
        InvalidInputError: A value is none that the command line can hold: other than None, a
            boolean, a number but NaN, a text, a list, or a group of keys.
    """
    return [f"{key}={literal(value, key)}" for key, value in _leaves(updates, ())]


def literal(value: Any, key: str) -> str:
    """Return a value as Python writes it, in ASCII.

    Args:
        value: The value.
        key: That has it, for the message.

    Raises:
        InvalidInputError: See :func:`settings_of`.
    """
    if value is None or isinstance(value, (bool, str)):
        return ascii(value)
    if isinstance(value, int):
        return str(int(value))  # large ones are of the driver's own kind
    if isinstance(value, float) and not math.isnan(value):
        return _number(float(value))
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(literal(entry, key) for entry in value)}]"
    if isinstance(value, Mapping) and all(_is_plain_key(name) for name in value):
        entries = (f"{name!a}: {literal(entry, key)}" for name, entry in value.items())
        return f"{{{', '.join(entries)}}}"
    raise InvalidInputError(
        f"{key}={value!r} cannot be set on a command line; expected None, a boolean, a number, a "
        "text, a list or a group of keys"
    )


def _leaves(group: Mapping[str, Any], parents: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
    for name, value in group.items():
        if not (isinstance(name, str) and _NAME.fullmatch(name)):
            raise InvalidInputError(
                f"the config key {name!r} is no name; expected letters, digits and _"
            )
        is_group = isinstance(value, Mapping) and value and all(map(_is_name, value))
        if is_group:
            yield from _leaves(value, (*parents, name))
        else:
            yield ".".join((*parents, name)), value


def _is_name(name: Any) -> bool:
    return isinstance(name, str) and _NAME.fullmatch(name) is not None


def _is_plain_key(name: Any) -> bool:
    # Sacred would make an object of a mapping with such a key, or of the key.
    return isinstance(name, str) and not name.startswith(("py/", "json://"))


def _number(value: float) -> str:
    if math.isinf(value):
        return "1e999" if value > 0 else "-1e999"
    return repr(value)

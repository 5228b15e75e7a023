"""Conditions on runs as a user writes them, `ncut<9`, for what `RunStore.find` is asked."""

from __future__ import annotations

import json
import re
from typing import Any

from nn_clustering.tracking.errors import InvalidInputError
from nn_clustering.tracking.store.query import OPERATORS


def parse_condition(option: str, text: str) -> tuple[str, tuple[str, Any]]:
    """Key, operator and value of a text like `ncut<9`.

    Args:
        option: What a message calls the place where the user wrote it.
        text: The text.

    Raises:
        InvalidInputError: It is none.
    """
    parts = re.fullmatch(
        r"\s*([^<>=!\s]+)\s*(==|=|!=|<=|>=|<|>)(?![<>=])\s*(.*?)\s*", text, re.DOTALL
    )
    if parts is None or not parts[3]:
        raise InvalidInputError(
            f"{option} {text}: expected a key, one of = {' '.join(OPERATORS)} and a value, like "
            'dataset.name=mnist (an empty text is "", no value is null)'
        )
    operator = "==" if parts[2] == "=" else parts[2]
    return parts[1], (operator, parse_value(parts[3]))


def parse_value(text: str) -> Any:
    """The number, text, true, false, null or list that JSON or YAML reads in a text."""
    import yaml

    try:
        return json.loads(text)  # unlike YAML, it takes 1e-3 for a number
    except ValueError:
        pass
    if text in ("True", "False", "None"):  # as Sacred's command line has them
        return {"True": True, "False": False, "None": None}[text]
    try:
        value = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError):
        return text
    # What a config cannot hold, a date or a mapping, was meant as a text.
    return value if isinstance(value, (bool, int, float, str, list, type(None))) else text

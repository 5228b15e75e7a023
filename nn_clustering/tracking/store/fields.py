"""Fields of documents that others wrote: whatever they hold, what can be made of it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from types import MappingProxyType
from typing import Any

# To ask MongoDB for the experiment's name only, and not for its sources; some have the name alone.
EXPERIMENT: Mapping[str, Any] = {
    "experiment": {
        "$cond": [
            {"$eq": [{"$type": "$experiment"}, "object"]},
            {"name": "$experiment.name"},
            "$experiment",
        ]
    }
}

_EMPTY: Mapping[str, Any] = MappingProxyType({})


def as_mapping(value: Any) -> Mapping[str, Any]:
    """The mapping; an empty one in the place of anything else."""
    return value if isinstance(value, dict) else _EMPTY


def as_named(value: Any, name: str) -> Mapping[str, Any]:
    """The mapping; what is something else stands in one under `name`."""
    if isinstance(value, dict):
        return value
    return {} if value is None or value in ("", []) else {name: value}


def as_list(value: Any) -> list[Any]:
    """The list; None is an empty one, and what is something else its only element."""
    if isinstance(value, list):
        return value
    return [] if value is None else [value]


def as_text(value: Any) -> str:
    """The text; lists joined by commas, None empty."""
    if isinstance(value, str):
        return value if type(value) is str else str(value)  # code cannot be hashed
    if value is None:
        return ""
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, (list, tuple)):
        return ", ".join(map(as_text, value))
    return str(value)


def as_texts(value: Any) -> Sequence[str]:
    """The texts of a list; one text holds several, separated by commas, as to Omniboard."""
    if isinstance(value, str):
        return value.split(",")
    return list(map(as_text, value)) if isinstance(value, (list, tuple)) else ()


def as_time(value: Any) -> datetime | None:
    """The time, in UTC; None for what is neither a date nor the text of one in ISO 8601."""
    if type(value) is datetime and value.tzinfo is None:
        return value.replace(tzinfo=timezone.utc)
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(re.sub("[zZ]$", "+00:00", value.strip()))
        except ValueError:
            return None
    if not isinstance(value, datetime):
        return None
    if value.tzinfo is None:
        return value.replace(tzinfo=timezone.utc)
    try:
        return value.astimezone(timezone.utc)
    except OverflowError:
        return None


def name_of_experiment(document: Mapping[str, Any]) -> str:
    """Name of the experiment that made a run, whose document has the field `experiment`."""
    experiment = document.get("experiment")
    return as_text(experiment.get("name") if isinstance(experiment, dict) else experiment)


def artifact_entries(value: Any) -> dict[str, Mapping[str, Any]]:
    """A run's artifacts by name; those whose file is stored have its id under `file_id`.

    Args:
        value: What the run's document has under `artifacts`. Sacred writes mappings with `name`
            and `file_id`; other versions and observers only names, ids, or pairs of both.
    """
    if isinstance(value, dict):
        value = [[name, file_id] for name, file_id in value.items()]
    # Added twice under one name, the later file counts.
    return dict(_artifact_entry(given) for given in as_list(value))


def _artifact_entry(given: Any) -> tuple[str, Mapping[str, Any]]:
    if isinstance(given, dict):
        name = given.get("original_name") or given.get("name")
        return as_text(given.get("file_id") if name is None else name), given
    import bson

    if isinstance(given, list) and len(given) == 2 and isinstance(given[1], bson.ObjectId):
        return as_text(given[0]), {"file_id": given[1]}
    return as_text(given), {"file_id": given} if isinstance(given, bson.ObjectId) else {}

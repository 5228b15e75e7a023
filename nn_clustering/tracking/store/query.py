"""Which runs are meant: what `RunStore.find` is asked, as a MongoDB query.

What a user gives is data: a value never becomes an operator of the query language, and a key
means a key, never the elements of a list.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime, time, timedelta, timezone
from functools import partial
from typing import Any

from nn_clustering.tracking.encoding import LARGEST_INTEGER, is_unicode, to_plain
from nn_clustering.tracking.errors import InvalidInputError

OPERATORS = {"<": "$lt", "<=": "$lte", ">": "$gt", ">=": "$gte", "==": "$eq", "!=": "$ne"}
STATUSES = (
    "RUNNING", "COMPLETED", "FAILED", "INTERRUPTED", "DIED", "TIMEOUT", "QUEUED",
)  # fmt: skip
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def build_query(
    *,
    experiment: str | Sequence[str] | None = None,
    status: str | None = None,
    config: Mapping[str, Any] | None = None,
    tags: Sequence[str] = (),
    since: datetime | date | str | None = None,
    result: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The filter for the collection `runs`; see `RunStore.find` for the arguments.

    Raises:
        InvalidInputError: An argument is malformed.
    """
    conditions: list[dict[str, Any]] = []
    for name, field, value in (
        ("experiment", "experiment.name", experiment),
        ("status", "status", status),
    ):
        if value is not None:
            texts = list(value) if isinstance(value, tuple | list) and value else [value]
            if not all(isinstance(text, str) and text and is_unicode(text) for text in texts):
                raise InvalidInputError(f"{name}={value!r}: expected a name, or None for any")
            conditions.append({field: {"$in": texts} if texts[1:] else {"$eq": texts[0]}})
    if since is not None:
        start = parse_since(since)
        # Other observers write times as texts, in UTC.
        as_text = start.replace(tzinfo=None).isoformat()
        conditions.append(
            {"$or": [{"start_time": {"$gte": start}}, {"start_time": {"$gte": as_text}}]}
        )
    conditions.extend(_tag_condition(tag) for tag in check_tags(tags))
    for field, wanted in (("config", config), ("result", result)):
        if wanted is not None and not isinstance(wanted, Mapping):
            raise InvalidInputError(f"{field}={wanted!r}: expected a mapping of keys to values")
        for key, condition in (wanted or {}).items():
            found = _config_conditions if field == "config" else partial(_value_conditions, field)
            conditions.extend(found(key, condition))
    return {"$and": conditions} if conditions else {}


def parse_since(since: datetime | date | str, now: datetime | None = None) -> datetime:
    """A point in time, in UTC.

    Args:
        since: A datetime or date, or the text of one ("2026-11-01"), without a time zone in UTC;
            or how long ago: "90s", "30m", "3h", "2d", "1w".
        now: From when to count back; default the present.

    Raises:
        InvalidInputError: It is none of these.
    """
    try:
        ago = re.fullmatch(r"(\d+)([smhdw])", since.strip()) if isinstance(since, str) else None
        if ago is not None:
            return (now or datetime.now(timezone.utc)) - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
        if isinstance(since, str):
            since = datetime.fromisoformat(re.sub("[zZ]$", "+00:00", since.strip()))
        if isinstance(since, date) and not isinstance(since, datetime):
            since = datetime.combine(since, time())
        if isinstance(since, datetime):
            return (since if since.tzinfo else since.replace(tzinfo=timezone.utc)).astimezone(
                timezone.utc
            )
    except (ValueError, OverflowError):
        pass
    raise InvalidInputError(
        f"since={since!r}: expected a date like '2026-11-01' or '2026-11-01T18:00' (UTC), or how "
        "long ago, like '30m', '3h', '2d' or '1w'"
    )


def check_tags(tags: Sequence[str]) -> tuple[str, ...]:
    """The tags, each once.

    Raises:
        InvalidInputError: They are no list of texts.
    """
    are_texts = not isinstance(tags, str) and all(
        isinstance(tag, str) and tag.strip() and tag.isprintable() for tag in tags
    )
    if not are_texts:
        raise InvalidInputError(
            f"tags={tags!r}: expected a list of texts of at least one letter, like ['a', 'b']"
        )
    return tuple(dict.fromkeys(tag.strip() for tag in tags))


def _tag_condition(tag: str) -> dict[str, Any]:
    return {"$or": [{"config.tags": {"$eq": tag}}, {"omniboard.tags": {"$eq": tag}}]}


def _config_conditions(key: str, condition: Any) -> Iterator[dict[str, Any]]:
    """On the run's own config, or where that says nothing on what the run is about."""
    on_value: list[Any] = []
    for operator, value in _split(condition, f"config {key!r}"):
        if isinstance(value, Mapping) and value and operator == "==":
            for inner, entry in value.items():
                yield from _config_conditions(f"{key}.{inner}", ("==", entry))
        elif value is None and operator == "==":
            yield from _value_conditions("config", key, value)
        else:
            on_value += [operator, value]
    if on_value:
        own, inherited = (
            list(_value_conditions(field, key, tuple(on_value)))
            for field in ("config", "info.about")
        )
        path, is_list = f"config.{key}", {"$type": "array"}
        says_nothing = [{path: None}, {path: {"$not": is_list}}]  # or is not there
        says_all = [{path: {"$ne": None}}, {path: is_list}, {f"info.about.{key}": None}]
        yield {
            "$or": [
                {"$and": [*own, {"$or": says_all}] if "!=" in on_value[::2] else own},
                {"$and": [*inherited, *says_nothing]},
            ]
        }


def _value_conditions(field: str, key: str, condition: Any) -> Iterator[dict[str, Any]]:
    what = f"{field} {key!r}"
    path = f"{field}.{_checked_key(key, what)}"
    # A path of MongoDB's reaches into lists as well, to any of their elements: not meant here.
    parents = path.split(".")
    for end in range(2 if field == "config" else 1, len(parents)):
        yield {".".join(parents[:end]): {"$not": {"$type": "array"}}}
    for operator, value in _split(condition, what):
        if isinstance(value, Mapping) and value and operator == "==":
            for inner, entry in value.items():
                yield from _value_conditions(field, f"{key}.{inner}", ("==", entry))
        else:
            yield from _leaf_conditions(path, operator, _checked_value(operator, value, what))


def _leaf_conditions(path: str, operator: str, value: Any) -> Iterator[dict[str, Any]]:
    is_list = {path: {"$type": "array"}}
    if isinstance(value, (list, dict)):
        yield {path: {"$exists": True}}
        yield {"$expr": {OPERATORS[operator]: [f"${path}", {"$literal": value}]}}
        return
    if operator == "!=":
        is_null = {"$not": {"$type": "null"}}
        differs = is_null if value is None else {"$ne": value}
        yield {"$or": [is_list, {path: {"$exists": True, **differs}}]}
        return
    yield {path: {"$type": "null"} if value is None else {OPERATORS[operator]: value}}
    yield {path: {"$not": {"$type": "array"}}}


def _split(condition: Any, what: str) -> Iterator[tuple[str, Any]]:
    """Operators and values of a condition; a value alone is to be equal."""
    if not isinstance(condition, tuple):
        condition = ("==", condition)
    operators, values = condition[::2], condition[1::2]
    are_pairs = len(operators) == len(values) > 0
    if not are_pairs or any(operator not in tuple(OPERATORS) for operator in operators):
        raise InvalidInputError(
            f"{what}: {condition!r} is no condition; expected a value, or operators "
            f"({' '.join(OPERATORS)}), each with its value, like ('<', 9) or ('>', 3, '<', 9)"
        )
    yield from zip(operators, values, strict=True)


def _checked_key(key: Any, what: str) -> str:
    is_key = isinstance(key, str) and all(
        part and not part.startswith("$") and part.isprintable() for part in key.split(".")
    )
    if not is_key:
        raise InvalidInputError(
            f"{what} is no key: expected names joined by dots, like 'dataset.name', none of them "
            "empty or with a leading '$'"
        )
    return str(key)


def _checked_value(operator: str, value: Any, what: str) -> Any:
    is_ordered = operator in ("<", "<=", ">", ">=")
    if is_ordered and isinstance(value, int) and abs(value) > LARGEST_INTEGER:
        value = float(value)
    value = to_plain(value)
    known = (int, float, str, datetime) if is_ordered else (int, float, str, datetime, list, dict)
    is_fitting = isinstance(value, known) or (value is None and not is_ordered)
    if is_ordered and isinstance(value, bool):
        is_fitting = False
    if isinstance(value, dict) and (value or operator != "=="):
        is_fitting = False
    if not is_fitting or not _is_storable(value):
        kinds = "a number or a text" if is_ordered else "a number, text, True, False, None or list"
        raise InvalidInputError(f"{what} {operator} {value!r}: expected {kinds}")
    return value


def _is_storable(value: Any) -> bool:
    import bson
    import bson.errors

    try:
        bson.encode({"value": value})
    except (bson.errors.InvalidDocument, OverflowError):
        return False
    return True

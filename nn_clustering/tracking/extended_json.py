"""Documents of MongoDB as JSON that gives back the very same documents: types, NaN, dates, bytes.

It is MongoDB's canonical extended JSON, which any of its tools reads; keys that begin with `$`,
which that takes for types, have one more.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import bson.errors
from bson.codec_options import DatetimeConversion
from bson.json_util import CANONICAL_JSON_OPTIONS, JSONOptions, dumps, loads

if TYPE_CHECKING:
    from pymongo.collection import Collection
    from pymongo.database import Database

# What the driver raises on texts that only look like its own: numbers and times, among others.
_NO_DOCUMENT = (
    *(ValueError, TypeError, ArithmeticError, LookupError, RecursionError),
    bson.errors.BSONError,
)
# Dates that Python does not know stay numbers of milliseconds.
_AUTO = DatetimeConversion.DATETIME_AUTO


def to_extended_json(document: Mapping[str, Any]) -> str:
    """A document in one line."""
    text: str = dumps(_with_prefix(dict(document)), json_options=_options(), ensure_ascii=False)
    return text


def from_extended_json(text: str) -> Any:
    """What `to_extended_json` was given.

    Raises:
        ValueError: It is no such text.
    """
    try:
        return _without_prefix(loads(text, json_options=_options()))
    except _NO_DOCUMENT as problem:
        reason = str(problem) or type(problem).__name__
        raise ValueError(f"no document of MongoDB ({reason})") from None


def exact_collection(database: Database, name: str) -> Collection:
    """A collection whose documents are read as they are, dates beyond Python's included."""
    options = database.codec_options.with_options(datetime_conversion=_AUTO)
    return database.get_collection(name, codec_options=options)


def _options() -> JSONOptions:
    return CANONICAL_JSON_OPTIONS.with_options(tz_aware=False, datetime_conversion=_AUTO)


def _with_prefix(value: Any) -> Any:
    return _renamed(value, lambda key: f"${key}" if key.startswith("$") else key)


def _without_prefix(value: Any) -> Any:
    return _renamed(value, lambda key: key[1:] if key.startswith("$$") else key)


def _renamed(value: Any, rename: Any) -> Any:
    """The value with other names for the keys of its dictionaries, which stay in their order."""
    if type(value) is dict:
        return {rename(key): _renamed(entry, rename) for key, entry in value.items()}
    if isinstance(value, list):
        return [_renamed(entry, rename) for entry in value]
    return value

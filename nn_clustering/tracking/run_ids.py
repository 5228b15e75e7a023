"""Ids of runs: numbers where this project or Sacred gave them, otherwise whatever others chose.

MongoDB takes any value but a list for an `_id`. Numbers, texts and ObjectIds stand for themselves;
what is none of these is an `OtherId`. Each has a text (`id_text`) that no other id has, which the
commands print and take.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias, TypeGuard, Union

from nn_clustering.tracking.encoding import LARGEST_INTEGER

if TYPE_CHECKING:
    from bson import ObjectId
    from pymongo.database import Database

LATEST = "latest"
_NUMBER = re.compile(r"[+-]?[0-9]+")
_OBJECT_ID = re.compile(r"[0-9a-fA-F]{24}")
_PLAIN = re.compile(r"\w[\w./:@+=,~#%-]*")
# Texts that mean something else where they stand alone.
_WORDS = (LATEST, "true", "false", "null")


@dataclass(frozen=True)
class OtherId:
    """An id that is neither number nor text nor ObjectId: a date, a UUID, a document, ...

    Attributes:
        encoded: BSON of a document that holds it under the key `_id`.
    """

    encoded: bytes = field(repr=False)

    @property
    def value(self) -> Any:
        """The id as MongoDB's driver reads it."""
        return _decoded(self.encoded)

    def __str__(self) -> str:
        """MongoDB's Extended JSON, on one line."""
        from bson import json_util

        options = json_util.CANONICAL_JSON_OPTIONS
        text = json_util.dumps(self.value, json_options=options, ensure_ascii=False)
        return "".join(map(_as_printable, text))


RunId: TypeAlias = Union[int, str, "ObjectId", OtherId]


def is_id(value: Any) -> TypeGuard[RunId]:
    """Whether a caller can mean a run by this value."""
    from bson import ObjectId

    return isinstance(value, (int, str, ObjectId, OtherId)) and not isinstance(value, bool)


def read_id(value: Any) -> RunId:
    """The id that a document of the database holds, or that a caller names."""
    # The text "latest" means another run where it stands alone.
    if type(value) in (int, str, OtherId) and value != LATEST:
        found: RunId = value
        return found
    import bson

    if isinstance(value, int) and not isinstance(value, bool):
        return int(value)  # of the driver's own kind
    if isinstance(value, bson.ObjectId):
        return value
    whole = _whole_number(value)  # to MongoDB 12.0 is the same id as 12
    return OtherId(bson.encode({"_id": value})) if whole is None else whole


def stored_id(run_id: Any) -> Any:
    """The value to ask MongoDB for; one that no run has where the id cannot be any run's.

    Args:
        run_id: An id as `read_id` returns it, or anything that a caller took for one.
    """
    import bson

    if isinstance(run_id, OtherId):
        run_id = run_id.value
    if isinstance(run_id, (dict, list, bson.Regex)) and not _is_stored(run_id):
        return bson.ObjectId()
    try:
        bson.encode({"_id": run_id})
    except (bson.errors.InvalidDocument, OverflowError, ValueError, TypeError):
        return bson.ObjectId()
    return run_id


def _is_stored(value: Any) -> bool:
    """Whether MongoDB takes it for an id; the others would ask for something else."""
    return isinstance(value, dict) and not any(key.startswith("$") for key in value)


def by_id(run_id: Any) -> dict[str, Any]:
    """The filter that finds a run's document, and never another, whatever the id is."""
    return {"_id": {"$eq": stored_id(run_id)}}


def stored_ids(run_ids: Iterable[Any]) -> list[Any]:
    """`stored_id` of each; ids of files, too, are whatever others chose."""
    return [
        run_id if type(run_id) is int and abs(run_id) <= LARGEST_INTEGER else stored_id(run_id)
        for run_id in run_ids
    ]


def plain_id(run_id: RunId) -> int | str:
    """The id in JSON: its number, otherwise its text as commands take it."""
    return run_id if isinstance(run_id, int) else id_text(run_id)


def id_text(run_id: RunId) -> str:
    """The id as commands print and take it, in printable letters; no other id has this text.

    Texts that could be taken for a number, an ObjectId or an option stand in double quotes, as in
    JSON.
    """
    if not isinstance(run_id, str):
        return str(run_id)
    is_clear = (
        _PLAIN.fullmatch(run_id) is not None
        and run_id.isprintable()
        and run_id not in _WORDS
        and not _NUMBER.fullmatch(run_id)
        and not _OBJECT_ID.fullmatch(run_id)
    )
    if is_clear:
        return run_id
    return "".join(map(_as_printable, json.dumps(run_id, ensure_ascii=False)))


def meant_ids(text: str) -> list[RunId]:
    """The ids that a text can mean, what it means first of all first."""
    from bson import ObjectId

    meant: list[RunId] = []
    is_number = _NUMBER.fullmatch(text) is not None and len(text) <= 20
    if is_number and -LARGEST_INTEGER - 1 <= int(text) <= LARGEST_INTEGER:
        meant.append(int(text))
    elif _OBJECT_ID.fullmatch(text):
        meant.append(ObjectId(text))
    elif text[:1] in ('"', "{") or text in _WORDS:
        meant += _from_json(text)
    return [*meant, text]


def find_id(database: Database, text: str) -> RunId | None:
    """The id of the run that a user means with a text as `id_text` makes it.

    The number 12 comes before the text "12", which stands in quotes where both are there; what a
    table has cut, with an ellipsis at its end, means the one run whose id begins so.

    Returns:
        The id; None where no run, stored or deleted, has one that can be meant.
    """
    meant = meant_ids(text)
    for collection in ("runs", "deleted_runs"):
        query = {"_id": {"$in": stored_ids(meant)}}
        there = {read_id(found["_id"]) for found in database[collection].find(query, {"_id": 1})}
        for run_id in meant:
            if run_id in there:
                return run_id
    if text.endswith("…"):
        found = [read_id(document["_id"]) for document in database["runs"].find({}, {"_id": 1})]
        begun = [run_id for run_id in found if id_text(run_id).startswith(text[:-1])]
        return begun[0] if len(begun) == 1 else None
    return meant[0] if isinstance(meant[0], int) else None


def order_key(run_id: RunId) -> tuple[int, Any]:
    """To sort ids of all kinds: numbers, then texts, then ObjectIds, then others."""
    if isinstance(run_id, OtherId):
        return 3, run_id.encoded
    return 0 if isinstance(run_id, int) else 1 if isinstance(run_id, str) else 2, run_id


def _from_json(text: str) -> list[RunId]:
    import bson.errors
    from bson import json_util
    from bson.codec_options import DatetimeConversion

    # Those dates too that Python has no name for.
    options = json_util.CANONICAL_JSON_OPTIONS.with_options(
        datetime_conversion=DatetimeConversion.DATETIME_AUTO
    )
    try:
        return [read_id(json_util.loads(text, json_options=options))]
    except (ValueError, TypeError, LookupError, ArithmeticError):
        return []
    except (bson.errors.BSONError, RecursionError):
        return []


def _decoded(encoded: bytes) -> Any:
    import bson
    from bson.codec_options import CodecOptions, DatetimeConversion

    options: CodecOptions[dict[str, Any]] = CodecOptions(
        datetime_conversion=DatetimeConversion.DATETIME_AUTO
    )
    return bson.decode(encoded, options)["_id"]


def _whole_number(value: Any) -> int | None:
    from bson import Decimal128

    if isinstance(value, Decimal128):
        number = value.to_decimal()
        value = float(number) if number.is_finite() and abs(number) < 2**53 else math.nan
    if isinstance(value, float) and value.is_integer() and abs(value) <= 2**53:
        return int(value)
    return None


def _as_printable(letter: str) -> str:
    """The letter, or its escape in JSON."""
    return letter if letter.isprintable() else json.dumps(letter)[1:-1]

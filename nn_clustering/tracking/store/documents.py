"""Reading documents of any origin: one that cannot be read hides none of the others."""

from __future__ import annotations

import gc
import struct
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bson.codec_options import CodecOptions
    from pymongo.collection import Collection
    from pymongo.database import Database

UNREADABLE = "(unreadable)"  # in the place of a value that is no valid BSON
# Bytes that the values of BSON's types take, where that is always the same.
_SIZES = {1: 8, 7: 12, 8: 1, 9: 8, 10: 0, 16: 4, 17: 8, 18: 8, 19: 16}
_DOCUMENT, _BINARY = 3, 5


@contextmanager
def many_objects() -> Iterator[None]:
    """Let Python not look for garbage while many objects are made that all stay.

    It would look at all of them again and again, which takes longer than to make them.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def readable(database: Database) -> Database:
    """The same database, whose documents are read whatever texts and dates they hold."""
    return database.with_options(codec_options=_codec())


def read_documents(
    collection: Collection,
    query: Mapping[str, Any],
    fields: Mapping[str, Any],
    *,
    order: Sequence[tuple[str, int]] | None = None,
    limit: int = 0,
) -> list[dict[str, Any]]:
    """The documents that match, in plain dictionaries.

    Of one that is no valid BSON, each field that cannot be read is `UNREADABLE`. MongoDB stores
    what it does not look into, and the driver refuses the whole batch for one such value.

    Args:
        collection: Where they are.
        query: Which ones.
        fields: Which of their fields, as MongoDB's projection.
        order: By which fields they are sorted, and in which direction.
        limit: How many at most; 0 for all.

    Raises:
        PyMongoError: The server cannot be reached, or does not understand the query.
    """
    import bson

    found: list[dict[str, Any]] = []
    with many_objects():
        for batch in collection.find_raw_batches(query, fields, sort=order, limit=limit):
            try:
                found += bson.decode_all(batch, _codec())
            except bson.errors.BSONError:
                for encoded in _split(batch):
                    found += _decoded(encoded, collection, fields)
    return found


def read_document(
    collection: Collection, query: Mapping[str, Any], fields: Mapping[str, Any]
) -> dict[str, Any] | None:
    """The first document that matches, as `read_documents`; None where none does."""
    return next(iter(read_documents(collection, query, fields, limit=1)), None)


@cache
def _codec() -> CodecOptions[dict[str, Any]]:
    """Texts in other encodings than UTF-8 are read as far as they go, and so are odd dates."""
    from bson.codec_options import CodecOptions, DatetimeConversion

    return CodecOptions(
        unicode_decode_error_handler="replace",
        datetime_conversion=DatetimeConversion.DATETIME_AUTO,
    )


def _split(batch: bytes) -> Iterator[bytes]:
    """The documents of a batch, each of which begins with its length."""
    start = 0
    while start < len(batch):
        (length,) = struct.unpack_from("<i", batch, start)
        yield batch[start : start + length]
        start += length


def _decoded(
    encoded: bytes, collection: Collection, fields: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """The document alone, if need be read anew, field by field; nothing where it has no id."""
    import bson

    try:
        return [bson.decode(encoded, _codec())]
    except bson.errors.BSONError:
        pass
    try:
        document = bson.decode(_first_element(encoded), _codec())
    except (bson.errors.BSONError, LookupError, struct.error):
        return []
    for field, wanted in fields.items():
        name, _, rest = field.partition(".")
        try:
            found = collection.find_one({"_id": {"$eq": document["_id"]}}, {field: wanted}) or {}
        except bson.errors.BSONError:
            found = {name: {rest: UNREADABLE} if rest else UNREADABLE}
        if isinstance(document.get(name), dict) and isinstance(found.get(name), dict):
            document[name].update(found.pop(name))
        document.update(found)
    return [document]


def _first_element(encoded: bytes) -> bytes:
    """A document with the first element of this one alone, which is the `_id` in MongoDB."""
    kind = encoded[4]
    start = encoded.index(b"\0", 5) + 1
    if kind in _SIZES:
        size = _SIZES[kind]
    else:
        (length,) = struct.unpack_from("<i", encoded, start)
        size = length + {_DOCUMENT: 0, _BINARY: 5}.get(kind, 4)
    element = encoded[4 : start + size]
    return struct.pack("<i", len(element) + 5) + element + b"\0"

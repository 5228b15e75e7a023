"""Which runs are the newest: by the store's own order, whatever the clocks of machines say.

Numbers are given by the store, each above all before it: runs with one are ordered by it, though a
machine whose clock is a year ahead made one of them. An id of another kind, which another observer
or a user gave, says nothing of the order: the start time tells where such a run comes among the
others, each of which has the server's time of its registration.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from nn_clustering.tracking.indexes import NEWEST_FIRST
from nn_clustering.tracking.store.documents import read_documents
from nn_clustering.tracking.store.fields import as_time

if TYPE_CHECKING:
    from pymongo.database import Database

    Document = Mapping[str, Any]

NUMBERED = {"_id": {"$type": "number"}}
# Each kind by its name: an index answers for these, not for "no number".
OTHERS = {
    "_id": {
        "$type": [
            *("string", "objectId", "object", "binData", "bool", "date", "timestamp"),
            *("null", "minKey", "maxKey", "symbol", "javascript", "javascriptWithScope"),
            *("undefined", "dbPointer"),
        ]
    }
}  # fmt: skip
# Of every run that is put in order.
FIELDS = {"start_time": 1, "tracking.registered": 1}
MOST = 2**31 - 1  # that MongoDB can be asked for


def newest_first(
    database: Database, query: Mapping[str, Any], fields: Mapping[str, Any], limit: int | None
) -> Sequence[Document]:
    """The documents of runs that match, the newest first.

    Args:
        database: Where the runs are.
        query: A filter for the collection `runs`.
        fields: What to read of each.
        limit: Number of runs at most.
    """
    runs = database["runs"]
    wanted, most = {**fields, **FIELDS}, min(limit or 0, MOST)
    if not read_documents(runs, OTHERS, {"_id": 1}, limit=1):
        return read_documents(runs, query, wanted, order=NEWEST_FIRST, limit=most)
    numbers, rest = {"$and": [query, NUMBERED]}, {"$and": [query, OTHERS]}
    numbered = read_documents(runs, numbers, wanted, order=NEWEST_FIRST, limit=most)
    others = sorted(read_documents(runs, rest, wanted), key=_moment, reverse=True)
    return list(_merged(numbered, others))[: limit or None]


def _merged(numbered: Sequence[Document], others: Sequence[Document]) -> Iterator[Document]:
    """Both in one order, each of them in its own."""
    place = 0
    for document in numbered:
        while place < len(others) and _moment(others[place]) > _moment(document):
            yield others[place]
            place += 1
        yield document
    yield from others[place:]


def _moment(document: Document) -> datetime:
    """When a run was registered, by the server's clock if that is known."""
    tracking = document.get("tracking")
    registered = tracking.get("registered") if isinstance(tracking, Mapping) else None
    moment = as_time(registered) or as_time(document.get("start_time"))
    return datetime.min if moment is None else moment.replace(tzinfo=None)

"""Backing up a whole database: every document, file and index of it, byte for byte."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timezone
from typing import IO, TYPE_CHECKING, Any

from nn_clustering.tracking.errors import TrackingError
from nn_clustering.tracking.names import safe_file_names
from nn_clustering.tracking.store.backup_files import (
    COLLECTION,
    PIECE_BYTES,
    VIEW,
    BackedUpCollection,
    BackupWriter,
    Manifest,
    documents_in,
)

if TYPE_CHECKING:
    from pymongo.database import Database

# Collections of restores that go on, or were interrupted.
STAGING = "restoring."
# Runs first and chunks last: what a document names was stored before it, so that what it names is
# in the backup too, however many runs go on meanwhile.
_ORDER = {"runs": 0, "fs.files": 2, "fs.chunks": 3}
_AT_ONCE = 1000


def back_up(database: Database, handle: IO[bytes]) -> Manifest:
    """Write all that a database holds.

    It may be used meanwhile: of runs that go on, the backup has what they had stored when it came
    to them.

    Args:
        database: The database, as `connect` returned it; to be allowed to read it is enough.
        handle: Where to; it need not be able to go back.

    Returns:
        What was written.

    Raises:
        TrackingError: Runs were deleted meanwhile, or the database has what no backup can hold.
        OSError: The file cannot be written.
        PyMongoError: The server fails.
    """
    began = datetime.now(timezone.utc).isoformat(timespec="seconds")
    runs = [document["_id"] for document in database["runs"].find({}, {"_id": 1})]
    found = _collections(database)
    folders = safe_file_names(entry["name"] for entry in found)
    server = str(database.client.server_info()["version"])
    with BackupWriter(handle) as writer:
        written = tuple(
            _back_up(database, entry, folders[entry["name"]], writer) for entry in found
        )
        _check_runs_are_there(database, runs)
        manifest = Manifest(database.name, began, server, written)
        writer.finish(manifest)
    return manifest


def _collections(database: Database) -> list[dict[str, Any]]:
    """All but those of the server itself, in the order in which they are written."""
    found = [
        entry
        for entry in database.list_collections()
        if not entry["name"].startswith(("system.", STAGING))
    ]
    for entry in found:
        if entry["type"] not in (COLLECTION, VIEW):
            raise TrackingError(
                f"{entry['name']!r} in database {database.name!r} is a {entry['type']}; expected "
                "collections and views alone: move it to another database, then try again"
            )
    return sorted(found, key=lambda entry: (_ORDER.get(entry["name"], 1), entry["name"]))


def _back_up(
    database: Database, entry: dict[str, Any], folder: str, writer: BackupWriter
) -> BackedUpCollection:
    name, documents, size = entry["name"], 0, 0
    indexes: list[dict[str, Any]] = []
    if entry["type"] == COLLECTION:
        indexes = [dict(index) for index in database[name].list_indexes()]
        for number, piece in enumerate(_pieces(database, name), start=1):
            documents += sum(1 for _ in documents_in(piece, f"an answer about {name!r}"))
            size += len(piece)
            writer.add(f"{folder}/{number:05}.bson", piece)
    return BackedUpCollection(
        name, entry["type"], folder, entry.get("options", {}), indexes, documents, size
    )


def _pieces(database: Database, name: str) -> Iterator[bytes]:
    """The documents of a collection in the order in which it has them, some at once."""
    batches, size = [], 0
    for batch in database[name].find_raw_batches({}):
        batches.append(batch)
        size += len(batch)
        if size >= PIECE_BYTES:
            yield b"".join(batches)
            batches, size = [], 0
    if size:
        yield b"".join(batches)


def _check_runs_are_there(database: Database, run_ids: list[Any]) -> None:
    """Refuse a backup whose runs may lack files that were removed with them."""
    for start in range(0, len(run_ids), _AT_ONCE):
        some = run_ids[start : start + _AT_ONCE]
        if database["runs"].count_documents({"_id": {"$in": some}}) != len(some):
            raise TrackingError(
                "runs were deleted while they were backed up; expected a store that nobody deletes "
                "from meanwhile: make the backup again"
            )

"""Putting a backup into a database that holds no runs: all of it, or nothing."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from bson.raw_bson import RawBSONDocument

from nn_clustering.tracking.errors import DamagedArtifactError, InvalidInputError
from nn_clustering.tracking.printing import count_of_runs
from nn_clustering.tracking.store.backup import STAGING
from nn_clustering.tracking.store.backup_files import (
    COLLECTION,
    VIEW,
    BackedUpCollection,
    Backup,
    documents_in,
)

if TYPE_CHECKING:
    from pymongo.database import Database


def restore_backup(database: Database, backup: Backup) -> None:
    """Give a database the collections of a backup, as they were.

    They are written beside those that are there, counted, and put into their places once all are
    there, the runs last: until then the database looks as before. A collection of the database
    that the backup has too is replaced, with what deleted runs left in it; others stay.

    Args:
        database: The database, as `connect` returned it.
        backup: What `read_backup` returned.

    Raises:
        InvalidInputError: The database holds runs.
        DamagedArtifactError: What the server has is not what was sent, or the file was changed.
        PyMongoError: The server fails.
    """
    check_holds_no_runs(database)
    _clear(database, STAGING)  # of a restore that was killed
    staging = f"{STAGING}{secrets.token_hex(4)}."
    collections = [entry for entry in backup.manifest.collections if entry.type == COLLECTION]
    try:
        for entry in collections:
            database.command({"create": staging + entry.name, **entry.options})
        _write(database, backup, staging)
        for entry in collections:
            _check_and_index(database, entry, staging)
        check_holds_no_runs(database)
        for entry in sorted(collections, key=lambda entry: entry.name == "runs"):
            database[staging + entry.name].rename(entry.name, dropTarget=True)
    finally:
        _clear(database, staging)
    for entry in backup.manifest.collections:
        if entry.type == VIEW:
            database.drop_collection(entry.name)
            database.command({"create": entry.name, **entry.options})


def check_holds_no_runs(database: Database) -> None:
    """Refuse to write over runs.

    Raises:
        InvalidInputError: The database holds some.
    """
    runs = database["runs"].count_documents({})
    if runs:
        raise InvalidInputError(
            f"database {database.name!r} holds {count_of_runs(runs)}, which would be lost; "
            "expected one without runs: restore into another database (--into NAME)"
        )


def _write(database: Database, backup: Backup, staging: str) -> None:
    names = {entry.folder: entry.name for entry in backup.manifest.collections}
    for folder, piece in backup.pieces():
        documents = [
            RawBSONDocument(document)
            for document in documents_in(piece, f"{folder} of {backup.path}")
        ]
        database[staging + names[folder]].insert_many(documents)


def _check_and_index(database: Database, entry: BackedUpCollection, staging: str) -> None:
    # Counted before there are indexes, one of which lets the server remove what is too old.
    count = database[staging + entry.name].count_documents({})
    if count != entry.documents:
        raise DamagedArtifactError(
            f"{count} documents of {entry.documents} came into {entry.name!r}; nothing was restored"
        )
    # An index that says nothing of it compares bytes, also where the collection does not.
    plain = {"collation": {"locale": "simple"}} if "collation" in entry.options else {}
    # The others come with the collection.
    indexes = [
        {**plain, **{key: value for key, value in index.items() if key != "ns"}}
        for index in entry.indexes
        if index["name"] != "_id_" and not index.get("clustered")
    ]
    if indexes:
        database.command({"createIndexes": staging + entry.name, "indexes": indexes})


def _clear(database: Database, prefix: str) -> None:
    for name in database.list_collection_names():
        if name.startswith(prefix):
            database.drop_collection(name)

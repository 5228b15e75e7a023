"""Enter a new run in MongoDB."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pymongo.errors

from nn_clustering.tracking.encoding import storable, to_plain
from nn_clustering.tracking.errors import ServerUnavailableError
from nn_clustering.tracking.gridfs import IMPORTS, store_sources
from nn_clustering.tracking.server.reasons import operation_reason
from nn_clustering.tracking.writing.delivery import FAILURES
from nn_clustering.tracking.writing.journal import Journal
from nn_clustering.tracking.writing.journal_bound import JournalFullError

if TYPE_CHECKING:
    from pymongo.database import Database


def run_entry(
    ex_info: Mapping[str, Any],
    command: str,
    host_info: Mapping[str, Any],
    start_time: Any,
    config: Mapping[str, Any],
    meta_info: Mapping[str, Any],
) -> dict[str, Any]:
    """The document of a run that starts, as Sacred's own observer makes it."""
    return {
        "experiment": to_plain(ex_info),
        "format": "MongoObserver-0.7.0",
        "command": to_plain(command),
        "host": to_plain(host_info),
        "start_time": start_time,
        "config": storable(config),
        "meta": to_plain(meta_info),
        "status": "RUNNING",
        "resources": [],
        "artifacts": [],
        "captured_out": "",
        "info": {},
        "heartbeat": None,
    }


def register_run(
    database: Database,
    journal_root: Path,
    token: str,
    entry: Mapping[str, Any],
    source_folder: Path,
) -> tuple[int, Journal]:
    """Make the journal of a run that starts, and store its document.

    Args:
        database: Where the run is to be.
        journal_root: Folder of the journals.
        token: What tells the run from all others.
        entry: From `run_entry`.
        source_folder: Folder that the run's sources are relative to.

    Returns:
        The run's number, and its journal.

    Raises:
        TrackingError: There is no room for a journal.
        ServerUnavailableError: The document cannot be stored.
    """
    journal = Journal.create(journal_root, token)
    try:
        header = location_of_run(database, token, entry)
        journal.write_header(header)
        run_id = insert_run(database, entry, source_folder)
        with contextlib.suppress(JournalFullError):  # its token leads to the run all the same
            journal.write_header({**header, "run_id": run_id})
    except BaseException:
        journal.discard()
        raise
    return run_id, journal


def insert_run(database: Database, entry: Mapping[str, Any], source_folder: Path) -> int:
    """Store a run's sources and its document, under the next free number.

    Raises:
        ServerUnavailableError: They cannot be stored.
    """
    try:
        sources = store_sources(database, entry["experiment"]["sources"], source_folder)
        experiment = {**entry["experiment"], "sources": sources}
        while True:
            run_id = next_run_id(database)
            document = {"_id": run_id, **entry, "experiment": experiment}
            try:
                database["runs"].insert_one(document)
            except pymongo.errors.DuplicateKeyError:
                continue  # another run took the number
            note_server_time(database, run_id)
            return run_id
    except FAILURES as problem:
        reason = operation_reason(problem, database)
    raise ServerUnavailableError(
        f"the run cannot be stored in database {database.name!r}: {reason}; check the server, "
        "then start the run again"
    )


def location_of_run(database: Database, token: str, entry: Mapping[str, Any]) -> dict[str, Any]:
    """Where the run is, for whoever finds its journal later; no user, no password."""
    return {
        "token": token,
        "experiment": entry["experiment"].get("name"),
        "database": database.name,
        "address": ",".join(sorted(f"{host}:{port}" for host, port in database.client.nodes)),
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "started": str(entry["start_time"]),
    }


def note_server_time(database: Database, run_id: int) -> None:
    """Leave word of when the run came by the server's clock: that of this machine may be wrong."""
    with contextlib.suppress(*FAILURES):  # the run is there; it only orders it among foreign ones
        database["runs"].update_one(
            {"_id": run_id}, {"$currentDate": {"tracking.registered": True}}
        )


def next_run_id(database: Database) -> int:
    """One more than any run has or, deleted since, had, or will have that is just imported."""
    newest = []
    for collection, field in (("runs", "_id"), ("deleted_runs", "_id"), (IMPORTS, "run")):
        numbers = {field: {"$type": "number"}}
        found = database[collection].find_one(numbers, {field: 1}, sort=[(field, -1)])
        newest += [int(found[field])] if found else []
    return 1 + max(newest, default=0)

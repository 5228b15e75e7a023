"""Deliver the journals that runs left behind on this machine.

A run whose server was away at its end, or that was killed, leaves its journal. `sync` brings what
is in it to MongoDB, and can be interrupted and repeated: what is there already stays as it is.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nn_clustering.tracking.encoding import LARGE_FIELDS, shortened, without_passwords
from nn_clustering.tracking.errors import TrackingError
from nn_clustering.tracking.gridfs import add_artifact
from nn_clustering.tracking.writing.delivery import (
    DIED,
    FAILURES,
    Delivery,
    metric_entries,
    now,
    short_reason,
)
from nn_clustering.tracking.writing.journal import Journal
from nn_clustering.tracking.writing.journal_reading import journal_folders, read_header

if TYPE_CHECKING:
    from pymongo import MongoClient
    from pymongo.database import Database


@dataclass(frozen=True)
class SyncReport:
    """What became of the journals.

    Attributes:
        delivered: Ids of the runs that are all in MongoDB now.
        running: Ids of the runs whose processes live, and deliver by themselves.
        left: For each journal that is still there, why, in one line.
    """

    delivered: tuple[int, ...]
    running: tuple[int, ...]
    left: tuple[str, ...]


def sync_journals(
    client: MongoClient, root: Path, say: Callable[[str], None] = print
) -> SyncReport:
    """Deliver all journals under `root` whose runs are on the client's server.

    Args:
        client: From `connect(...).client`.
        root: Folder of the journals, `.mongo/journal` of a home.
        say: Gets one line for each journal.

    Raises:
        ServerUnavailableError: Never: a server that goes away leaves journals as they are.
    """
    return sync_folders(client, journal_folders(root), say)


def sync_folders(
    client: MongoClient, folders: Iterable[Path], say: Callable[[str], None]
) -> SyncReport:
    """Deliver the journals in these folders; the rest is as with `sync_journals`."""
    delivered: list[int] = []
    running: list[int] = []
    left: list[str] = []
    for folder in folders:
        run_id = read_header(folder).get("run_id")
        try:
            journal = Journal.open(folder)
            if journal is None:
                running += [run_id] if run_id is not None else []
                continue
            with contextlib.closing(journal):
                outcome = _sync(client, journal)
        except (*FAILURES, TrackingError) as problem:
            left.append(f"run {run_id} waits in {folder}: {short_reason(problem)}")
            say(left[-1])
            continue
        if outcome is not None:
            delivered.append(outcome[0])
            say(f"run {outcome[0]} is all in MongoDB: {outcome[1]}")
    return SyncReport(tuple(delivered), tuple(running), tuple(left))


def _sync(client: MongoClient, journal: Journal) -> tuple[int, str] | None:
    """Deliver one journal and remove it; returns the run's id, and its status with what it lacks.

    None where the run was never entered anywhere: the process ended while it made the journal, or
    the machine while it removed it.
    """
    header = journal.header
    run = None
    if not header and (journal.folder / "header.json").exists():
        raise TrackingError("its header.json cannot be read; expected a file that you may read")
    if header:
        database = client[header["database"]]
        run = database["runs"].find_one({"tracking.token": header["token"]}, {"_id": 1})
    if run is None:
        if "run_id" not in header:
            journal.discard()
            return None
        raise TrackingError(
            f"database {header['database']!r} of this server has no such run; it was stored on "
            f"{header['address']}: set MONGO_URL to that server (if the run was deleted there, "
            "delete this folder)"
        )
    delivery = Delivery(database, journal, run["_id"], header["token"])
    delivery.deliver_events()
    document = journal.document
    if not document.get("finished"):
        document = _document_of_the_dead(database, run["_id"], journal, delivery)
    missing = delivery.deliver_document(document)
    status = "FAILED" if missing else document["fields"]["status"]
    journal.discard()
    captured = header.get("captured")
    if captured is not None and _is_same_file(captured):
        os.unlink(captured["path"])
    return run["_id"], "; ".join([status, *missing])


def _document_of_the_dead(
    database: Database, run_id: int, journal: Journal, delivery: Delivery
) -> dict[str, Any]:
    """The last state of a run whose process was killed: its end is that it died."""
    header = journal.header
    fields = dict(journal.document.get("fields", {}))
    stored = database["runs"].find_one({"_id": run_id}, {"heartbeat": 1, "start_time": 1}) or {}
    signs: list[datetime] = [
        sign
        for sign in (fields.get("heartbeat"), stored.get("heartbeat"), stored.get("start_time"))
        if sign is not None
    ]
    fields.update(status=DIED, stop_time=max(signs, default=now()))
    fields.pop("heartbeat", None)
    entries = metric_entries(header["token"], delivery.metric_counts())
    if entries:
        fields["info"] = {**fields.get("info", {}), "metrics": entries}
    captured = _captured_text(header.get("captured"))
    if captured is not None:
        name = LARGE_FIELDS["captured_out"]
        fields["captured_out"] = shortened(captured, name)
        if fields["captured_out"] is not captured:
            path = journal.file(name)
            path.write_text(captured, "utf-8")
            add_artifact(database, run_id, path, name, added=fields["stop_time"])
    return {"fields": fields, "expected": {}, "finished": True}


def _captured_text(captured: dict[str, Any] | None) -> str | None:
    """All that the run printed, if the file that caught it is still there."""
    if captured is None or not _is_same_file(captured):
        return None
    content = Path(captured["path"]).read_bytes()
    return without_passwords(content.decode("utf-8", "replace"))


def _is_same_file(captured: dict[str, Any]) -> bool:
    """Whether the file at this path is the one that was noted, and ours."""
    try:
        found = os.lstat(captured["path"])
    except OSError:
        return False
    same = (found.st_dev, found.st_ino) == (captured["device"], captured["inode"])
    return same and found.st_uid == os.getuid()

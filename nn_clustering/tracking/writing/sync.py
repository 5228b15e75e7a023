"""Deliver the journals that runs left behind on this machine, or where others see them.

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
    now,
    short_reason,
)
from nn_clustering.tracking.writing.journal import Journal
from nn_clustering.tracking.writing.journal_reading import journal_folders, read_header
from nn_clustering.tracking.writing.signs_of_life import is_elsewhere, lives_elsewhere

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
        incomplete: For each run that lacks something which its journal cannot give any more, what,
            in one line. The journal is kept beside the others, and is not delivered again.
    """

    delivered: tuple[int, ...]
    running: tuple[int, ...]
    left: tuple[str, ...]
    incomplete: tuple[str, ...] = ()


def sync_journals(
    client: MongoClient, root: Path, say: Callable[[str], None] = print
) -> SyncReport:
    """Deliver all journals under `root` whose runs are on the client's server.

    Args:
        client: From `connect(...).client`.
        root: Folder of the journals, `RunStore.journal_root`.
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
    incomplete: list[str] = []
    for folder in folders:
        run_id = read_header(folder).get("run_id")
        try:
            journal = None if lives_elsewhere(client, folder) else Journal.open(folder)
            if journal is None:
                running += [run_id] if run_id is not None else []
                continue
            with contextlib.closing(journal):
                outcome = _sync(client, journal)
        except (*FAILURES, TrackingError) as problem:
            left.append(f"run {run_id} waits in {folder}: {short_reason(problem)}")
            say(left[-1])
            continue
        if outcome is None:
            continue
        if outcome.missing:
            incomplete.append(
                f"run {outcome.run_id} is {outcome.status}, and not whole in MongoDB: "
                f"{'; '.join(outcome.missing)}; its journal is kept in {outcome.kept}"
            )
            say(incomplete[-1])
            continue
        delivered.append(outcome.run_id)
        say(f"run {outcome.run_id} is all in MongoDB: {outcome.status}")
    return SyncReport(tuple(delivered), tuple(running), tuple(left), tuple(incomplete))


@dataclass(frozen=True)
class _Outcome:
    run_id: int
    status: str
    missing: tuple[str, ...] = ()
    kept: Path | None = None


def _sync(client: MongoClient, journal: Journal) -> _Outcome | None:
    """Deliver one journal, and remove it or, where something is missing, set it aside.

    None where the run was never entered anywhere: the process ended while it made the journal, or
    the machine while it removed it.
    """
    found = _find_run(client, journal)
    if found is None:
        journal.discard()
        return None
    database, run_id = found
    stored = database["runs"].find_one({"_id": run_id}, {"status": 1}) or {}
    status = stored.get("status", "")
    if status == "COMPLETED":  # it was compared with what was logged; its journal was in the way
        journal.discard()
        return _Outcome(run_id, status)
    delivery = Delivery(database, journal, run_id, journal.folder.name)
    delivery.deliver_events()
    if journal.document.get("finished"):
        status, missing = _deliver_end(delivery, journal.document)
    elif status not in ("RUNNING", DIED):  # its process said so, and could not write it here
        missing = delivery.damages
    else:
        document = _document_of_the_dead(database, run_id, journal, delivery)
        status, missing = _deliver_end(delivery, document)
    captured = _captured(journal)
    if missing:
        outcome = _Outcome(run_id, status, tuple(missing), journal.set_aside())
    else:
        journal.discard()
        outcome = _Outcome(run_id, status)
    if captured is not None and _is_same_file(captured):
        os.unlink(captured["path"])
    return outcome


def _deliver_end(delivery: Delivery, document: dict[str, Any]) -> tuple[str, list[str]]:
    """Write the end of a run; returns its status, and what it lacks."""
    missing = delivery.deliver_document(document)
    status = document["fields"]["status"]
    return ("FAILED" if missing and status != DIED else status), missing


def _find_run(client: MongoClient, journal: Journal) -> tuple[Database, int] | None:
    """Where the run of a journal is; None where it was never entered anywhere.

    Raises:
        TrackingError: It is not on this server.
    """
    header, run = journal.header, {"tracking.token": journal.folder.name}
    if not header and not journal.damages:
        return None
    names = [header["database"]] if header else client.list_database_names()
    for name in names:
        found = client[name]["runs"].find_one(run, {"_id": 1})
        if found is not None:
            return client[name], found["_id"]
    if header and "run_id" not in header:
        return None
    if not header:
        raise TrackingError(
            f"{'; '.join(journal.damages)}, and no database of this server has a run of its token; "
            "set MONGO_URL to the server that has it"
        )
    raise TrackingError(
        f"database {header['database']!r} of this server has no such run; it was stored on "
        f"{header['address']}: set MONGO_URL to that server (if the run was deleted there, "
        "delete this folder)"
    )


def _document_of_the_dead(
    database: Database, run_id: int, journal: Journal, delivery: Delivery
) -> dict[str, Any]:
    """The last state of a run whose process was killed: its end is that it died."""
    fields = dict(journal.document.get("fields", {}))
    stored = database["runs"].find_one({"_id": run_id}, {"heartbeat": 1, "start_time": 1}) or {}
    signs: list[datetime] = [
        sign
        for sign in (fields.get("heartbeat"), stored.get("heartbeat"), stored.get("start_time"))
        if sign is not None
    ]
    fields.update(status=DIED, stop_time=max(signs, default=now()))
    fields.pop("heartbeat", None)
    entries = delivery.metric_entries()
    if entries:
        fields["info"] = {**fields.get("info", {}), "metrics": entries}
    captured = _captured_text(_captured(journal))
    if captured is not None:
        name = LARGE_FIELDS["captured_out"]
        fields["captured_out"] = shortened(captured, name)
        if fields["captured_out"] is not captured:
            path = journal.file(name)
            path.write_text(captured, "utf-8")
            add_artifact(database, run_id, path, name, added=fields["stop_time"])
    expected = journal.document.get("expected", {})
    return {"fields": fields, "expected": expected, "finished": True}


def _captured(journal: Journal) -> dict[str, Any] | None:
    """The facts about the file that caught the run's output, if it is one of this machine."""
    header = journal.header
    return None if is_elsewhere(header.get("host")) else header.get("captured")


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

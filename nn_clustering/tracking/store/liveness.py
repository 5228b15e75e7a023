"""Finding the runs that are RUNNING in the database and whose process is gone."""

from __future__ import annotations

import fcntl
import os
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pymongo.errors

from nn_clustering.tracking.store.documents import read_documents
from nn_clustering.tracking.store.fields import as_mapping
from nn_clustering.tracking.writing.journal_reading import (
    is_finished,
    journal_folders,
    read_document,
)
from nn_clustering.tracking.writing.signs_of_life import (
    IS_SILENT,
    LAST_MOMENT,
    is_elsewhere,
    is_written_to,
    lives_elsewhere,
)

if TYPE_CHECKING:
    from pymongo.database import Database

LOOK_SECONDS = 10.0  # between looks of one store
DIED = "DIED"
MAY_NOT_WRITE = 13  # MongoDB's code "Unauthorized"


class Watch:
    """Sees which runs of a database died, now and then.

    Attributes:
        journal_root: The folder of journals, of this machine or of several.
    """

    def __init__(self, database: Database, journal_root: Path) -> None:
        """Watch a database; see `mark_died`."""
        self.journal_root = journal_root
        self._database = database
        self._looked = float("-inf")

    def look(self, *, at_once: bool = False) -> None:
        """See which runs died, unless that was done a moment ago."""
        if at_once or time.monotonic() - self._looked > LOOK_SECONDS:
            mark_died(self._database, self.journal_root)
            self._looked = time.monotonic()


def mark_died(database: Database, journal_root: Path | None = None) -> list[int]:
    """Give the status DIED to runs whose process ended without a word.

    A run counts as dead when its last sign of life is two minutes old, by the server's clock, or
    when it ran on this machine and nobody holds the lock of its journal. One whose lock is held is
    alive, however long the server has not heard of it, and so is one of another machine whose
    journal lies here and is written to. Its stop time is its last sign of life, by the clock of its
    machine.

    Args:
        database: Where the runs are. For a user who may only read, nothing is done.
        journal_root: The folder of journals, of this machine or of several.

    Returns:
        Ids of the runs that were marked.
    """
    runs = database["runs"]
    fields = {"tracking.token": 1, "host.hostname": 1}
    marked = []
    try:
        for document in read_documents(runs, {"status": "RUNNING"}, fields):
            is_alive = _is_alive(document, journal_root)
            if is_alive:
                continue
            # One step that looks again: the run may end, or give a sign, at this moment.
            alive_until_now: dict[str, Any] = {"_id": document["_id"], "status": "RUNNING"}
            if is_alive is None:
                alive_until_now["$expr"] = IS_SILENT
            update = runs.update_one(
                alive_until_now, [{"$set": {"status": DIED, "stop_time": LAST_MOMENT}}]
            )
            if update.modified_count:
                marked.append(document["_id"])
    except pymongo.errors.NotPrimaryError:
        return marked
    except pymongo.errors.OperationFailure as problem:
        if problem.code != MAY_NOT_WRITE:
            raise
    return marked


@dataclass(frozen=True)
class UndeliveredRun:
    """A run whose process has ended, and whose journal waits here.

    Attributes:
        status: How it ended, by its own word; DIED where it left none.
        folder: Its journal.
    """

    status: str
    folder: Path

    def __str__(self) -> str:
        """What to do about it, in words."""
        end = "its process is gone" if self.status == DIED else f"it has ended as {self.status}"
        return (
            f"{end}, and not all of it is in MongoDB: `python -m nn_clustering.tracking sync` "
            f"delivers the rest, from {self.folder}"
        )


def undelivered_runs(database: Database, journal_root: Path) -> dict[Any, UndeliveredRun]:
    """The runs of a database whose journals wait here for `sync`, by their numbers."""
    waiting = {
        folder.name: folder
        for folder in journal_folders(journal_root)
        if _is_lock_held(folder / "lock") is False and not lives_elsewhere(database.client, folder)
    }
    if not waiting:
        return {}
    tokens = {"tracking.token": {"$in": list(waiting)}}
    found = read_documents(database["runs"], tokens, {"tracking.token": 1})
    return {
        document["_id"]: _undelivered(waiting[document["tracking"]["token"]])
        for document in found
        if isinstance(document["_id"], int) and document["tracking"]["token"] in waiting
    }


def _undelivered(folder: Path) -> UndeliveredRun:
    document = read_document(folder)
    fields = document.get("fields", {}) if document.get("finished") else {}
    return UndeliveredRun(fields.get("status", DIED), folder)


def journal_folder(document: Mapping[str, Any], journal_root: Path | None) -> Path | None:
    """Where the journal of a run (of its document, the token) is, if it is on this machine."""
    token = as_mapping(document.get("tracking")).get("token")
    is_ours = isinstance(token, str) and re.fullmatch(r"[\w-]{1,100}", token) is not None
    return journal_root / str(token) if journal_root is not None and is_ours else None


def _is_alive(document: Mapping[str, Any], journal_root: Path | None) -> bool | None:
    """Whether the run lives, by its journal; None where that does not tell."""
    folder = journal_folder(document, journal_root)
    if folder is None:
        return None
    # A journal of another machine, in a shared folder, may be locked there unseen from here.
    if is_elsewhere(as_mapping(document.get("host")).get("hostname")):
        return True if is_written_to(folder) or is_finished(folder) else None
    is_held = _is_lock_held(folder / "lock")
    if is_held is False and is_finished(folder):
        return True  # it only waits to be delivered, and will say itself how it ended
    return is_held


def _is_lock_held(path: Path) -> bool | None:
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError:
        return None
    try:
        # A shared lock, given back at once: two who look at the same time do not see each other.
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return None  # a file system without locks
    finally:
        os.close(descriptor)
    return False

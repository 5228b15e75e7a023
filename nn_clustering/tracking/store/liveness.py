"""Finding the runs that are RUNNING in the database and whose process is gone."""

from __future__ import annotations

import fcntl
import os
import re
import socket
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pymongo.errors

from nn_clustering.tracking.store.documents import read_documents
from nn_clustering.tracking.store.fields import as_mapping
from nn_clustering.tracking.writing.journal_reading import is_finished

if TYPE_CHECKING:
    from pymongo.database import Database

# A living run gives a sign every ten seconds or so.
SILENCE_SECONDS = 120
LOOK_SECONDS = 10.0  # between looks of one store
MAY_NOT_WRITE = 13  # MongoDB's code "Unauthorized"


class Watch:
    """Sees which runs of a database died, now and then.

    Attributes:
        journal_root: The folder of this machine's journals.
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
    alive, however long the server has not heard of it. Its stop time is its last sign of life.

    Args:
        database: Where the runs are. For a user who may only read, nothing is done.
        journal_root: The folder of this machine's journals.

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
                alive_until_now["$expr"] = _IS_SILENT
            update = runs.update_one(
                alive_until_now, [{"$set": {"status": "DIED", "stop_time": _LAST_SIGN}}]
            )
            if update.modified_count:
                marked.append(document["_id"])
    except pymongo.errors.NotPrimaryError:
        return marked
    except pymongo.errors.OperationFailure as problem:
        if problem.code != MAY_NOT_WRITE:
            raise
    return marked


def journal_folder(document: Mapping[str, Any], journal_root: Path | None) -> Path | None:
    """Where the journal of a run (of its document, the token) is, if it is on this machine."""
    token = as_mapping(document.get("tracking")).get("token")
    is_ours = isinstance(token, str) and re.fullmatch(r"[\w-]{1,100}", token) is not None
    return journal_root / str(token) if journal_root is not None and is_ours else None


def _first_date(*paths: str) -> dict[str, Any] | None:
    """Expression: the first of the fields that holds a date."""
    expression: dict[str, Any] | None = None
    for path in reversed(paths):
        is_date = {"$eq": [{"$type": path}, "date"]}
        expression = {"$cond": [is_date, path, expression]}
    return expression


_LAST_SIGN = _first_date("$tracking.last_seen", "$heartbeat", "$start_time")
_IS_SILENT = {"$gt": [{"$subtract": ["$$NOW", _LAST_SIGN]}, 1000 * SILENCE_SECONDS]}


def _is_alive(document: Mapping[str, Any], journal_root: Path | None) -> bool | None:
    """Whether the run lives, by the lock of its journal; None where that does not tell."""
    folder = journal_folder(document, journal_root)
    host = as_mapping(document.get("host")).get("hostname")
    # A journal of another machine (in a shared home) may be locked there unseen from here.
    if folder is None or host not in (None, socket.gethostname()):
        return None
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

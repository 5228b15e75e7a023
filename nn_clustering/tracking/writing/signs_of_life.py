"""Whether a run gives signs of life, in MongoDB or, from another machine, in its journal."""

from __future__ import annotations

import os
import socket
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nn_clustering.tracking.writing.journal_reading import read_header

if TYPE_CHECKING:
    from pymongo import MongoClient

# A living run gives a sign every ten seconds or so.
SILENCE_SECONDS = 120


def _first_date(*paths: str) -> dict[str, Any] | None:
    """Expression: the first of the fields that holds a date."""
    expression: dict[str, Any] | None = None
    for path in reversed(paths):
        is_date = {"$eq": [{"$type": path}, "date"]}
        expression = {"$cond": [is_date, path, expression]}
    return expression


# By the server's clock where that was noted: the clock of the run's machine may be wrong.
_LAST_SIGN = _first_date("$tracking.last_seen", "$tracking.registered", "$heartbeat", "$start_time")
# By the clock that its start has, so that the time between them is right.
LAST_MOMENT = _first_date("$heartbeat", "$tracking.last_seen", "$start_time")
IS_SILENT = {"$gt": [{"$subtract": ["$$NOW", _LAST_SIGN]}, 1000 * SILENCE_SECONDS]}


def is_elsewhere(host: Any) -> bool:
    """Whether a process is on another machine, whose locks may be unseen from here.

    Args:
        host: The name of its machine; None where that was not noted, as in former versions, whose
            journals lay on their own machine.
    """
    return host not in (None, socket.gethostname())


def is_written_to(folder: Path) -> bool:
    """Whether something in a journal has changed in the last two minutes.

    By the clock of the file system, which may be another machine's: of a file that is written now.
    """
    changed = []
    with suppress(OSError):
        for path in (folder, *folder.iterdir()):
            with suppress(OSError):  # delivered meanwhile
                changed.append(path.lstat().st_mtime)
    return bool(changed) and _now_at(folder.parent) - max(changed) <= SILENCE_SECONDS


def _now_at(folder: Path) -> float:
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            os.write(file.fileno(), b" ")
            os.fsync(file.fileno())
            return os.fstat(file.fileno()).st_mtime
    except OSError:  # we may only read there
        return time.time()


def lives_elsewhere(client: MongoClient, folder: Path) -> bool:
    """Whether a journal is of a process on another machine that seems to live.

    Raises:
        PyMongoError: MongoDB, which is asked last, does not answer.
    """
    header: Mapping[str, Any] = read_header(folder)
    if not is_elsewhere(header.get("host")):
        return False
    if is_written_to(folder):
        return True
    alive = {"status": "RUNNING", "tracking.token": folder.name, "$expr": {"$not": [IS_SILENT]}}
    return client[header["database"]]["runs"].find_one(alive, {"_id": 1}) is not None

"""Have the runs of a Sacred experiment stored: make an observer, and attach it."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pymongo.errors

from nn_clustering.tracking.errors import ServerUnavailableError
from nn_clustering.tracking.indexes import ensure_indexes
from nn_clustering.tracking.own_code import add_own_code
from nn_clustering.tracking.writing.journal_bound import journal_bound
from nn_clustering.tracking.writing.journal_place import (
    PLACE_VARIABLE,
    journals_folder,
    require_locks,
)
from nn_clustering.tracking.writing.observer import TrackingObserver

if TYPE_CHECKING:
    from pymongo.database import Database
    from sacred import Experiment
    from sacred.run import Run as SacredRun


def make_observer(database: Database, *, journal_folder: Path | None = None) -> TrackingObserver:
    """An observer that stores runs in the database; see `track` for the usual way.

    Args:
        database: From `connect`, so that writes are journalled and time out soon.
        journal_folder: Where the journals of runs are; default what NN_CLUSTERING_JOURNAL names,
            else `.mongo/journal` in the project's folder.

    Raises:
        InvalidInputError: NN_CLUSTERING_JOURNAL_MB, NN_CLUSTERING_JOURNAL or NN_CLUSTERING_HOME
            cannot be used.
        ServerUnavailableError: The server does not let us write (the indexes are made here), or
            the folder of journals is another user's.
    """
    from nn_clustering.tracking.server.reasons import operation_reason

    journal_bound()  # a wrong one is refused before there is a run
    if journal_folder is None:
        journal_folder = journals_folder()
        if os.environ.get(PLACE_VARIABLE, "").strip():
            require_locks(journal_folder)  # as most file systems of networks have, and not all
    try:
        ensure_indexes(database)
    except pymongo.errors.PyMongoError as problem:
        reason = operation_reason(problem, database)
    else:
        return TrackingObserver(database, journal_folder)
    raise ServerUnavailableError(
        f"cannot write to database {database.name!r}: {reason}; expected a server that takes "
        "writes and a user with the role readWrite on it: check MONGO_URL"
    )


def track(experiment: Experiment, database: Database) -> None:
    """Store the runs of a Sacred experiment in the database, with all of its own code.

    From now on SIGTERM ends this process as Ctrl-C does, unless it has a handler already, so that
    a run that is stopped can say so.

    Args:
        experiment: Any experiment.
        database: From `connect`.

    Raises:
        InvalidInputError, ServerUnavailableError: As `make_observer` does.
    """
    observer = make_observer(database)
    add_own_code(experiment)
    experiment.observers.append(observer)

    def attach(_run: SacredRun) -> None:
        observer.attach(_run)

    experiment.pre_run_hook(attach)
    in_main_thread = threading.current_thread() is threading.main_thread()
    if in_main_thread and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, signal.default_int_handler)

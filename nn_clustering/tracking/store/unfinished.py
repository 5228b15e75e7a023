"""Runs that came to no good end, to go on with."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from nn_clustering.tracking.errors import RunNotFoundError, TrackingError
from nn_clustering.tracking.store.liveness import Watch, journal_folder
from nn_clustering.tracking.store.reader import RunReader
from nn_clustering.tracking.store.run import Run

if TYPE_CHECKING:
    from pymongo.database import Database

UNFINISHED = ("DIED", "FAILED", "INTERRUPTED")


def unfinished_run(
    database: Database, reader: RunReader, watch: Watch, run_id: int, *, experiment: str | None
) -> Run:
    """One unfinished run, all delivered; see `RunStore.unfinished_run`.

    Args:
        database: Where it is.
        reader: Reads it.
        watch: Is asked to look which runs died.
        run_id: The run's number.
        experiment: Name of the experiment that it must be a run of; None for any.
    """
    if isinstance(run_id, bool) or not isinstance(run_id, int):
        raise RunNotFoundError(
            f"{run_id!r} is no run to go on with: expected the number of one that is "
            f"{_one_of(UNFINISHED)}"
        )
    watch.look(at_once=True)
    found = reader.run(run_id, experiment=experiment, status=None)
    pid = _deliver(found, database, watch.journal_root)
    run = reader.run(run_id, experiment=experiment, status=None)
    if pid is not None or run.status == "RUNNING":
        raise RunNotFoundError(
            f"run {run_id} is still running on {run.host}{f' (pid {pid})' if pid else ''}; "
            "expected one whose process has ended: stop it, or wait for it"
        )
    if run.status not in UNFINISHED:
        raise RunNotFoundError(
            f"run {run_id} is {run.status}: there is nothing to go on with; expected a run "
            f"that is {_one_of(UNFINISHED)}"
        )
    return run


def _deliver(run: Run, database: Database, journal_root: Path) -> int | None:
    """Deliver the journal of a run, where there is one; returns its process if that lives."""
    from nn_clustering.tracking.writing.journal_reading import read_header
    from nn_clustering.tracking.writing.sync import sync_folders

    document = database["runs"].find_one({"_id": run.id}, {"tracking.token": 1})
    folder = journal_folder(document or {}, journal_root)
    if folder is None or not folder.is_dir():
        return None
    pid = read_header(folder).get("pid")
    report = sync_folders(database.client, [folder], lambda line: None)
    if report.left:
        raise TrackingError(f"{report.left[0]}; it is to be delivered before the run goes on")
    return pid if report.running else None


def _one_of(words: Sequence[str]) -> str:
    return f"{', '.join(words[:-1])} or {words[-1]}"

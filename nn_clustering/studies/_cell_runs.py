"""The stored runs of one cell, as a worker finds them: made, under way, or left unfinished."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nn_clustering.studies._cell_orders import CellOrder
from nn_clustering.studies._stored import UNFINISHED, StoredCell, seconds_of, usable_runs
from nn_clustering.tracking import request_digest
from nn_clustering.tracking.store.liveness import journal_folder, mark_died
from nn_clustering.tracking.writing.sync import sync_folders

if TYPE_CHECKING:
    from pymongo.database import Database

RESUME = "resume"
_FIELDS = {
    "config": 1, "status": 1, "info.code": 1, "info.changed_code": 1, "info.lineage": 1,
    "start_time": 1, "stop_time": 1, "dropped_artifacts": 1, "artifacts": 1, "tracking.token": 1,
}  # fmt: skip


@dataclass(frozen=True)
class CellRuns:
    """What is stored of a cell.

    Attributes:
        completed: The newest run since the study began that can be used in place of a new one.
        running: The run of a process that computes it, here or elsewhere.
        unfinished: The run to go on with.
    """

    completed: StoredCell | None = None
    running: Any = None
    unfinished: Any = None


def find_runs(database: Database, order: CellOrder, journal_root: Path) -> CellRuns:
    """Look what there is of a cell, with what its processes left undelivered on this machine.

    Args:
        database: Where runs are.
        order: The cell.
        journal_root: The folder of this machine's journals.

    Raises:
        PyMongoError: The server cannot be reached.
    """
    mark_died(database, journal_root)
    runs = list(_runs(database, order))
    left = [run for run in runs if run["status"] != "COMPLETED"]
    if deliver(database, left, journal_root):
        runs = list(_runs(database, order))
    runs = [run for run in runs if (run.get("info") or {}).get("code") == order.code]
    # Older ones were looked at when the study was planned, with the data that they had read.
    newer = [run for run in runs if run["_id"] > order.snapshot.run_id]
    for run in usable_runs(database, newer):
        return CellRuns(completed=StoredCell(run["_id"], seconds_of(run), order.code))
    running = next((run["_id"] for run in runs if run["status"] == "RUNNING"), None)
    return CellRuns(running=running, unfinished=_to_go_on_with(database, order, runs))


def deliver(database: Database, runs: Sequence[Mapping[str, Any]], journal_root: Path) -> bool:
    """Deliver what processes that have ended on this machine left of runs.

    Args:
        database: Where the runs are.
        runs: Their documents; `tracking` of them suffices.
        journal_root: The folder of this machine's journals.

    Returns:
        Whether there was anything to deliver.
    """
    folders = [journal_folder(run, journal_root) for run in runs]
    left = [folder for folder in folders if folder is not None and folder.is_dir()]
    report = sync_folders(database.client, left, lambda line: None)
    return bool(report.delivered or report.incomplete)


def _runs(database: Database, order: CellOrder) -> Iterator[dict[str, Any]]:
    """The cell's runs, the newest first; those too that have not told their code yet."""
    query: dict[str, Any] = {
        "experiment.name": order.stage,
        "_id": {"$type": "number"},
        "status": {"$in": ["COMPLETED", "RUNNING", *UNFINISHED]},
        "info.code": {"$in": [order.code, None]},
        # Seeds, and runs that are read: few runs remain, whose whole config is compared.
        **{f"config.{key}": value for key, value in order.updates.items() if type(value) is int},
    }
    wanted = request_digest(order.stage, order.config)
    for run in database["runs"].find(query, _FIELDS).sort("_id", -1):
        if request_digest(order.stage, run.get("config") or {}) == wanted:
            yield run


def _to_go_on_with(
    database: Database, order: CellOrder, runs: Sequence[Mapping[str, Any]]
) -> Any | None:
    """The newest unfinished run that has kept something, unless it leads nowhere."""
    if RESUME not in order.config:
        return None
    unfinished = (run for run in runs if run["status"] in UNFINISHED and _has_kept(run))
    found = next(unfinished, None)
    if found is None or _failures_in_a_row(database, found, order) > order.max_resumed:
        return None
    return found["_id"]


def _has_kept(run: Mapping[str, Any]) -> bool:
    """Whether a run has an artifact other than its configs."""
    names = [str(entry.get("name")) for entry in run.get("artifacts") or ()]
    return any(not name.startswith("config.") for name in names)


def _failures_in_a_row(database: Database, run: Mapping[str, Any], order: CellOrder) -> int:
    """How many runs, each going on with the one before, did not end by being interrupted."""
    count = 0
    each: Mapping[str, Any] | None = run
    while each is not None and each["status"] in ("DIED", "FAILED"):
        count += 1
        before = ((each.get("info") or {}).get("lineage") or {}).get(RESUME)
        if before is None or count > order.max_resumed:
            break
        each = database["runs"].find_one({"_id": before}, _FIELDS)
    return count

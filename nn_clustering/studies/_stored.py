"""Which cells of a study have been computed, by whomever, according to the stored runs."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from nn_clustering.studies._cells import Cell, full_config
from nn_clustering.studies._spec import merged
from nn_clustering.studies._stages import Stages
from nn_clustering.tracking import request_digest, whole_files

if TYPE_CHECKING:
    from pymongo.database import Database

_FIELDS = {
    "config": 1, "info.code": 1, "info.changed_code": 1, "info.inputs": 1, "status": 1,
    "experiment.name": 1,
    "start_time": 1, "stop_time": 1, "dropped_artifacts": 1, "artifacts.file_id": 1,
}  # fmt: skip
# What a run calls the one that it goes on with, among what it has read.
UNFINISHED_INPUT = "unfinished"
UNFINISHED = ("INTERRUPTED", "FAILED", "DIED")


@dataclass(frozen=True)
class StoredCell:
    """The run that a cell has.

    Attributes:
        run_id: The run's.
        seconds: How long it took; None where the run does not say.
        code: What tells its code; None where it does not say.
        inputs: What it read, by name: digests, or ids of runs.
    """

    run_id: Any
    seconds: float | None
    code: str | None
    inputs: Mapping[str, Any] = field(default_factory=dict)


def find_completed(
    database: Database, cells: Sequence[Cell], stages: Stages, *, any_code: bool = False
) -> dict[str, StoredCell]:
    """Find the completed runs of cells: those with the config that the cell has, the newest first.

    Args:
        database: Where runs are.
        cells: Of a study, each after the one that it reads.
        stages: The study's.
        any_code: Whether runs of other code count too; otherwise only those of the code as it is.

    Returns:
        By the names of cells; those that have none are left out.
    """
    found: dict[str, StoredCell] = {}
    for level in _levels(cells):
        ready = [cell for cell in level if cell.parent is None or cell.parent.name in found]
        configs = {
            cell.name: full_config(
                cell, stages, None if cell.parent is None else found[cell.parent.name].run_id
            )
            for cell in ready
        }
        wanted = {cell.name: request_digest(cell.stage, configs[cell.name]) for cell in ready}
        stored = _stored_runs(database, ready, configs, stages, set(wanted.values()))
        for cell in ready:
            config = configs[cell.name]
            runs = stored.get(wanted[cell.name], ())
            code = None if any_code or not runs else stages[cell.stage].code_digest(config)
            run = next((run for run in runs if any_code or _code(run) == code), None)
            if run is not None:
                found[cell.name] = StoredCell(
                    run["_id"],
                    seconds_of(run),
                    _code(run),
                    (run.get("info") or {}).get("inputs", {}),
                )
    return found


def without_changed_inputs(
    found: Mapping[str, StoredCell],
    cells: Sequence[Cell],
    stages: Stages,
    names_data: Callable[[Cell], bool],
    read: Callable[[Cell, Any], Mapping[str, Any]],
) -> dict[str, StoredCell]:
    """Leave out cells whose run read other data than it would read now, and what rests on them.

    First cells are looked at, and others that name data besides the run that they read; of those
    that differ in the seed alone one is.

    Args:
        found: Runs of cells, by name.
        cells: Of a study, each after the one that it reads.
        stages: The study's.
        names_data: Whether a cell that reads a run reads other data, too.
        read: Returns what the run of a cell would read now, by name, from the cell and the id of
            the run that it reads.
    """
    known: dict[str, Mapping[str, Any]] = {}
    left: dict[str, StoredCell] = {}
    for cell in cells:
        if cell.name not in found or (cell.parent is not None and cell.parent.name not in left):
            continue
        if cell.parent is not None and not names_data(cell):
            left[cell.name] = found[cell.name]
            continue
        parent_run = None if cell.parent is None else left[cell.parent.name].run_id
        config = full_config(cell, stages, parent_run)
        key = request_digest(cell.stage, {**config, "seed": None})
        if key not in known:
            known[key] = read(cell, parent_run)
        stored = dict(found[cell.name].inputs)
        stored.pop(UNFINISHED_INPUT, None)
        if stored == known[key]:
            left[cell.name] = found[cell.name]
    return left


def seconds_of(run: Mapping[str, Any]) -> float | None:
    """Return how long a run took, by its document."""
    try:
        seconds: float = (run["stop_time"] - run["start_time"]).total_seconds()
    except (KeyError, TypeError):
        return None
    return seconds


def _levels(cells: Sequence[Cell]) -> Iterator[list[Cell]]:
    """Yield the cells by how many others each rests on."""
    depths = {cell.name: len(cell.ancestors) for cell in cells}
    for depth in sorted(set(depths.values())):
        yield [cell for cell in cells if depths[cell.name] == depth]


def usable_runs(database: Database, runs: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return those completed runs that can stand for new ones.

    These lack no artifact, and their code did not change while they ran.

    Args:
        database: Where they are.
        runs: Their documents: status, artifacts, what was dropped of these, and `changed_code`.
    """
    left = [
        run
        for run in runs
        if run["status"] == "COMPLETED"
        and not run.get("dropped_artifacts")
        and not (run.get("info") or {}).get("changed_code")
    ]
    files = [{entry["file_id"] for entry in run.get("artifacts") or ()} for run in left]
    whole = whole_files(database, set().union(*files))
    return [run for run, of_run in zip(left, files, strict=True) if of_run <= whole]


def _stored_runs(
    database: Database,
    cells: Sequence[Cell],
    configs: Mapping[str, Mapping[str, Any]],
    stages: Stages,
    wanted: Collection[str],
) -> dict[str, list[Mapping[str, Any]]]:
    """The runs that can be those of cells, by what they were asked for, one of `wanted`."""
    if not cells:
        return {}
    links = {cell.link for cell in cells if cell.link is not None}
    query: dict[str, Any] = {
        "experiment.name": {"$in": sorted({cell.stage for cell in cells})},
        "_id": {"$type": "number"},
        "status": "COMPLETED",
        "config.seed": {"$in": sorted({cell.seed for cell in cells})},
    }
    if links and all(cell.link is not None for cell in cells):
        query["$or"] = [
            {
                f"config.{link}": {
                    "$in": [configs[cell.name][link] for cell in cells if cell.link == link]
                }
            }
            for link in sorted(links)
        ]
    digests: dict[Any, str] = {}
    runs = []
    for run in database["runs"].find(query, _FIELDS).sort("_id", -1):
        name = run["experiment"]["name"]
        # One of former code does not have the keys that came since: it did what their defaults do.
        config = merged(stages[name].defaults, run.get("config") or {})
        digests[run["_id"]] = request_digest(name, config)
        if digests[run["_id"]] in wanted:
            runs.append(run)
    found: dict[str, list[Mapping[str, Any]]] = {}
    for usable in usable_runs(database, runs):
        found.setdefault(digests[usable["_id"]], []).append(usable)
    return found


def _code(run: Mapping[str, Any]) -> str | None:
    code: str | None = (run.get("info") or {}).get("code")
    return code

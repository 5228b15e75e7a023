"""Runs as files that anything can read: tables, documents, artifacts."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nn_clustering.tracking.atomic_files import write_at_once
from nn_clustering.tracking.errors import DamagedArtifactError, InvalidInputError, TrackingError
from nn_clustering.tracking.names import safe_file_names
from nn_clustering.tracking.printing import to_json
from nn_clustering.tracking.run_ids import by_id, id_text
from nn_clustering.tracking.store.metrics import read_curves

if TYPE_CHECKING:
    from nn_clustering.tracking.store.run import Run
    from nn_clustering.tracking.store.run_store import RunStore
    from nn_clustering.tracking.store.runs import Runs


def export_runs(store: RunStore, runs: Runs, folder: Path, *, overwrite: bool = False) -> Path:
    """Write runs.csv, metrics.csv and a folder for each run, with run.json and its artifacts.

    Args:
        store: Where the runs are.
        runs: The runs.
        folder: Where to; made if need be.
        overwrite: Whether files that are there already may be replaced.

    Returns:
        The folder.

    Raises:
        InvalidInputError: A file is there already, or the folder cannot be written.
        TrackingError: An artifact is damaged; all else was written.
    """
    files = dict(_planned(store, runs))
    try:
        there = [name for name in files if (folder / name).exists()]
        if there and not overwrite:
            raise InvalidInputError(
                f"{folder / there[0]} is there already; expected a folder without these files: "
                "choose another, or overwrite them (--overwrite)"
            )
        return _write_all(files, folder)
    except OSError as problem:
        raise InvalidInputError(
            f"{problem.filename or folder} cannot be written ({problem.strerror}); expected a "
            "folder with room that can be written to"
        ) from None


def _planned(store: RunStore, runs: Runs) -> Iterable[tuple[str, Callable[[], bytes]]]:
    """Each file to write, relative to the folder, with what makes its content."""
    yield "runs.csv", lambda: _runs_table(runs)
    yield "metrics.csv", lambda: _csv(read_curves(store.database, runs.ids, None))
    # An id is what somebody wrote into the database, and no path.
    folders = safe_file_names(f"run_{id_text(run.id)}" for run in runs)
    for run in runs:
        folder = folders[f"run_{id_text(run.id)}"]
        yield f"{folder}/run.json", lambda run=run: _document(store, run)  # type: ignore[misc]
        for name, file_name in run.file_names().items():
            path = f"{folder}/artifacts/{file_name}"
            yield path, lambda run=run, name=name: run.artifact(name)  # type: ignore[misc]


def _write_all(files: Mapping[str, Callable[[], bytes]], folder: Path) -> Path:
    damaged = []
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            write_at_once(path, content())
        except DamagedArtifactError as problem:
            damaged.append(str(problem))
    if damaged:
        raise TrackingError(
            f"{len(damaged)} of {len(files)} files could not be exported, all others were: "
            + " | ".join(damaged)
        )
    return folder


def _runs_table(runs: Runs) -> bytes:
    table = runs.table()
    table["tags"] = [", ".join(tags) for tags in table["tags"]]
    return _csv(table, index=True)


def _csv(table: Any, *, index: bool = False) -> bytes:
    content: str = table.to_csv(index=index)
    return content.encode("utf-8", "replace")


def _document(store: RunStore, run: Run) -> bytes:
    document = to_json(store.database["runs"].find_one(by_id(run.id)))
    return (json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode()

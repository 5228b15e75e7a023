"""Runs as files that anything can read, and from which they can be imported again."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nn_clustering.tracking.atomic_files import DRAFT, write_at_once
from nn_clustering.tracking.errors import DamagedArtifactError, InvalidInputError, TrackingError
from nn_clustering.tracking.extended_json import to_extended_json
from nn_clustering.tracking.gridfs import digest_file
from nn_clustering.tracking.names import safe_file_names
from nn_clustering.tracking.printing import to_json
from nn_clustering.tracking.run_ids import by_id, id_text, read_id
from nn_clustering.tracking.store.export_folders import (
    EXACT,
    MANIFEST,
    METRICS,
    STORED,
    exact_text,
    manifest_text,
    member_names,
    write_archive,
)
from nn_clustering.tracking.store.fields import as_text
from nn_clustering.tracking.store.lineage import closure, read_links
from nn_clustering.tracking.store.metrics import read_curves
from nn_clustering.tracking.store.originals import ARTIFACT, originals_in
from nn_clustering.tracking.store.runs import Runs

if TYPE_CHECKING:
    from nn_clustering.tracking.store.originals import OriginalRun, RunContent
    from nn_clustering.tracking.store.run import Run
    from nn_clustering.tracking.store.run_store import RunStore

DOCUMENT = "run.json"


def export_runs(store: RunStore, runs: Runs, folder: Path, *, overwrite: bool = False) -> Path:
    """Write runs.csv, metrics.csv and a folder for each run, with run.json and its artifacts.

    With what lies beside these (see `store/export_folders.py`) the runs can be imported exactly.

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
    tables: dict[str, Callable[[], bytes]] = {
        "runs.csv": lambda: _runs_table(runs),
        "metrics.csv": lambda: _csv(read_curves(store.database, runs.ids, None)),
    }
    exports = _exports(store, runs)
    names = [*tables, *(f"{export.folder}/{name}" for export in exports for name in export.names)]
    try:
        there = [name for name in names if (folder / name).exists()]
        if there and not overwrite:
            raise InvalidInputError(
                f"{folder / there[0]} is there already; expected a folder without these files: "
                "choose another, or overwrite them (--overwrite)"
            )
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in tables.items():
            write_at_once(folder / name, content())
        damaged = [problem for export in exports for problem in export.write(folder)]
    except OSError as problem:
        raise InvalidInputError(
            f"{problem.filename or folder} cannot be written ({problem.strerror}); expected a "
            "folder with room that can be written to"
        ) from None
    if damaged:
        raise TrackingError(
            f"{len(damaged)} of {len(names)} files could not be exported, all others were: "
            + " | ".join(damaged)
        )
    return folder


def with_inputs(store: RunStore, runs: Runs) -> Runs:
    """The runs, and all that they rest on."""
    inputs = closure(read_links(store.database), runs.ids)
    read = [store.run(run_id, status=None) for run_id in inputs if _is_there(store, run_id)]
    return Runs([*runs, *read], store.database)


def _is_there(store: RunStore, run_id: Any) -> bool:
    return store.database["runs"].find_one(by_id(run_id), {"_id": 1}) is not None


def _exports(store: RunStore, runs: Runs) -> list[_RunExport]:
    # An id is what somebody wrote into the database, and no path.
    folders = safe_file_names(f"run_{id_text(run.id)}" for run in runs)
    originals = {
        read_id(original.id): original for original in originals_in(store.database, runs.ids)
    }
    return [
        _RunExport(store, run, originals[run.id], folders[f"run_{id_text(run.id)}"])
        for run in runs
        if run.id in originals  # else it was deleted meanwhile
    ]


@dataclass(frozen=True)
class _RunExport:
    """The files of one run.

    Attributes:
        store: Where the run is.
        run: The run.
        original: It as it can be taken elsewhere.
        folder: Name of its folder.
    """

    store: RunStore
    run: Run
    original: OriginalRun
    folder: str

    @property
    def artifacts(self) -> dict[str, str]:
        """Names of the files of the artifacts, by the artifacts' names."""
        return {name: f"artifacts/{file}" for name, file in self.run.file_names().items()}

    @property
    def names(self) -> list[str]:
        """Names of all files."""
        return [DOCUMENT, *self.artifacts.values(), STORED, METRICS, EXACT, MANIFEST]

    def write(self, parent: Path) -> list[str]:
        """Write the files; returns what is damaged, in words."""
        folder = parent / self.folder
        (folder / "artifacts").mkdir(parents=True, exist_ok=True)
        if not self.artifacts:
            (folder / "artifacts").rmdir()
        write_at_once(folder / DOCUMENT, _document(self.store, self.run))
        digests = {DOCUMENT: digest_file(folder / DOCUMENT)}
        damaged = []
        for name, file in self.artifacts.items():
            try:
                write_at_once(folder / file, self.run.artifact(name))
            except DamagedArtifactError as problem:
                damaged.append(str(problem))
                (folder / file).unlink(missing_ok=True)
            else:
                digests[file] = digest_file(folder / file)
        try:
            content = self.original.read()
        except DamagedArtifactError as problem:
            if damaged:
                return damaged  # the same, said by its run
            return [f"run {id_text(self.run.id)} cannot be imported from here: {problem}"]
        damaged += self._write_exact(folder, content, digests)
        write_at_once(folder / MANIFEST, manifest_text(digests).encode())
        return damaged

    def _write_exact(self, folder: Path, content: RunContent, digests: dict[str, str]) -> list[str]:
        """Write what the run can be imported from; adds to the digests."""
        places = self._places(content)
        archived = [file for file in content.files if read_id(file.id) not in places]
        members = member_names(archived)
        places.update({file_id: (STORED, member) for file_id, member in members.items()})
        files = {members[read_id(file.id)]: file for file in archived}
        damaged: list[str] = _write_with(folder / STORED, lambda file: write_archive(file, files))
        lines = (f"{to_extended_json(document)}\n".encode() for document in content.metrics())
        _write_with(folder / METRICS, lambda handle: handle.writelines(lines))
        write_at_once(folder / EXACT, exact_text(self.original, content, places).encode())
        digests.update({name: digest_file(folder / name) for name in (STORED, METRICS, EXACT)})
        return damaged

    def _places(self, content: RunContent) -> dict[Any, tuple[str, str]]:
        """The files of those artifacts that readers see, by their ids."""
        entries = content.document.get("artifacts")
        last = {}
        for entry in entries if isinstance(entries, list) else ():
            if isinstance(entry, dict) and "file_id" in entry:
                name = as_text(entry.get("original_name") or entry.get("name"))
                last[name] = read_id(entry["file_id"])
        names = self.artifacts
        stored = {read_id(file.id) for file in content.files if file.kind == ARTIFACT}
        return {
            file_id: (names[name], "")
            for name, file_id in last.items()
            if name in names and file_id in stored
        }


def _write_with(path: Path, write: Callable[[Any], Any]) -> Any:
    """Write a file in one step, and piece by piece; returns what that returns."""
    draft = path.with_name(f"{DRAFT}{os.urandom(8).hex()}")
    try:
        with draft.open("xb") as handle:
            returned = write(handle)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
    return returned


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

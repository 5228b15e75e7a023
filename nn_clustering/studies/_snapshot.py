"""The code of a study as it was when the study started, written out once a machine.

The study's run has its sources and the config files of its stages in MongoDB. Cells run those, so
that an edit of the checkout, or a `git pull`, in the middle of a study changes nothing.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from nn_clustering.studies._cell_orders import Snapshot
from nn_clustering.tracking import RunStore, TrackingError, project_root
from nn_clustering.tracking.atomic_files import DRAFT
from nn_clustering.tracking.run_keys import digest_of
from nn_clustering.tracking.server.ownership import own_folder
from nn_clustering.tracking.store.stored_programs import write_program

if TYPE_CHECKING:
    from pymongo.database import Database

PROGRAMS, CODE, PLACES = "programs", "code", "places.json"
# Compiled modules, which Python may write beside theirs.
_COMPILED = "__pycache__"
UNUSED_SECONDS = 30 * 24 * 3600.0
# What a crash left half written; nobody writes for longer than this.
ABANDONED_SECONDS = 3600.0


@dataclass(frozen=True)
class WrittenSnapshot:
    """A snapshot on this machine's disk.

    Attributes:
        code: All that was written; nothing of it lies elsewhere.
        base: Holds the packages: what the stored names of sources are relative to.
        start: The image of the folder that the study was started in.
    """

    code: Path
    base: Path
    start: Path

    def program(self, name: str) -> Path:
        """Return the file of a stage.

        Args:
            name: As the study's run names it among its sources.

        Raises:
            TrackingError: It is not there.
        """
        path = Path(os.path.normpath(self.base / name))
        if not (path.is_relative_to(self.code) and path.is_file()):
            raise TrackingError(f"the stored code of the study has no {name}")
        return path


def snapshot_of(
    database: Database, run_id: int, start_folder: str = ".", root: Path | None = None
) -> Snapshot:
    """Take the code that a study's run has stored, which is complete from now on.

    Args:
        database: Where the run is, with all that it has stored.
        run_id: The study's run.
        start_folder: Where the study was started, as seen from the folder that its sources are
            relative to.
        root: Folder that holds `.mongo/`; default `project_root()`.

    Raises:
        TrackingError: Something of it is missing or damaged, or cannot be written.
    """
    folder = _programs(root)
    with _draft(folder) as draft:
        _write(database, run_id, start_folder, draft)
        snapshot = Snapshot(run_id, _digest(draft), start_folder)
        with _locked(folder, snapshot.digest):
            _put_in_place(draft, folder / snapshot.digest, snapshot.digest)
    return snapshot


def written_snapshot(
    database: Database, snapshot: Snapshot, root: Path | None = None
) -> WrittenSnapshot:
    """Write a study's code out, unless that was done on this machine; damaged code is made anew.

    Any number of processes may ask at once: one writes, the others wait for it.

    Args:
        database: Where the study's run is.
        snapshot: From :func:`snapshot_of`.
        root: Folder that holds `.mongo/`; default `project_root()`.

    Raises:
        TrackingError: What is stored is not what it was any more, or cannot be written.
    """
    folder = _programs(root)
    place = folder / snapshot.digest
    if not _is_whole(place, snapshot.digest):
        with _locked(folder, snapshot.digest):
            if not _is_whole(place, snapshot.digest):
                with _draft(folder) as draft:
                    _write(database, snapshot.run_id, snapshot.start_folder, draft)
                    if _digest(draft) != snapshot.digest:
                        raise TrackingError(
                            f"the stored code of run {snapshot.run_id} is not what it was when the "
                            "study started"
                        )
                    _put_in_place(draft, place, snapshot.digest)
                _remove_unused(folder)
    with contextlib.suppress(OSError):
        os.utime(place)  # used now
    return _read(place)


def _programs(root: Path | None) -> Path:
    """The folder of programs of this machine, its user's alone."""
    root = root or project_root()
    folder = own_folder(root) / PROGRAMS
    try:
        for each in (folder.parent, folder):
            each.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as problem:
        raise _unwritable(folder, problem) from None
    return folder


def _write(database: Database, run_id: int, start_folder: str, folder: Path) -> None:
    code = folder / CODE
    run = RunStore(database, folder.parents[2]).run(run_id, status=None)
    try:
        code.mkdir()
        program = write_program(database, run, code, [start_folder])
        places = {
            "base": program.base.relative_to(code).as_posix(),
            "start": program.place_of(start_folder).relative_to(code).as_posix(),
        }
        (folder / PLACES).write_text(json.dumps(places, sort_keys=True), encoding="utf-8")
    except OSError as problem:
        raise _unwritable(folder, problem) from None


def _read(place: Path) -> WrittenSnapshot:
    places = json.loads((place / PLACES).read_text(encoding="utf-8"))
    code = place / CODE
    written = WrittenSnapshot(code, code / places["base"], code / places["start"])
    written.start.mkdir(parents=True, exist_ok=True)  # it may hold no code
    return written


def _is_whole(place: Path, digest: str) -> bool:
    return place.is_dir() and _digest(place) == digest


def _digest(folder: Path) -> str:
    """The SHA-256 of the names and contents of all files in a folder, compiled modules aside."""
    return digest_of(
        {
            path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in _files(folder)
        }
    )


def _files(folder: Path) -> Iterator[Path]:
    for place, folders, names in os.walk(folder):
        if _COMPILED in folders:
            folders.remove(_COMPILED)
        yield from (Path(place, name) for name in names)


@contextlib.contextmanager
def _draft(folder: Path) -> Iterator[Path]:
    """A new folder in which to write; what of it was not put in its place goes at the end."""
    draft = folder / f"{DRAFT}{os.urandom(8).hex()}"
    draft.mkdir(mode=0o700)
    try:
        yield draft.resolve()
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _put_in_place(draft: Path, place: Path, digest: str) -> None:
    """Give a whole draft its name, in one step; damaged code that has it makes room."""
    if _is_whole(place, digest):
        return
    aside = draft.with_name(f"{draft.name}-damaged")
    try:
        if place.exists():
            place.rename(aside)
        draft.rename(place)
    except OSError as problem:
        # Where locks do not work, somebody else may have been faster.
        if not _is_whole(place, digest):
            raise _unwritable(place, problem) from None
    finally:
        shutil.rmtree(aside, ignore_errors=True)


@contextlib.contextmanager
def _locked(folder: Path, digest: str) -> Iterator[None]:
    """Within the block, no other process of this machine writes the same code."""
    with (folder / f"{digest}.lock").open("a") as handle:
        # Not every network file system has locks; then each writes a draft of its own.
        with contextlib.suppress(OSError):
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _remove_unused(folder: Path) -> None:
    """Remove code that no cell was started with for long, and what crashes left."""
    now = time.time()
    for path in folder.iterdir():
        longest = ABANDONED_SECONDS if path.name.startswith(DRAFT) else UNUSED_SECONDS
        with contextlib.suppress(OSError):
            if now - path.stat().st_mtime > longest:
                if path.is_dir():
                    shutil.rmtree(path, ignore_errors=True)
                else:
                    path.unlink()


def _unwritable(folder: Path, problem: OSError) -> TrackingError:
    return TrackingError(f"the study's code cannot be written to {folder} ({problem.strerror})")

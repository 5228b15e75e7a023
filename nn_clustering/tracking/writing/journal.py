"""The journal of a run: what was logged and MongoDB has not acknowledged yet, on the disk.

A folder of its own for each run, under `.mongo/journal/`::

    header.json       which run of which database, on which address; the file that captures output
    lock              held by the process whose run it is, or by the one that delivers it later
    1.events, ...     points of metrics, artifacts, resources in their order: CRC-32 and BSON each
    files/            the artifacts' contents
    document.bson     the latest state of the run's document

What is written here survives the end of the process at once, and a loss of power once it is synced
to the disk, at the latest about a second later (`Journal.sync`).
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import threading
import weakref
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import bson

from nn_clustering.tracking.atomic_files import sync, write_at_once
from nn_clustering.tracking.errors import TrackingError
from nn_clustering.tracking.writing.disk import folder_bytes, try_lock
from nn_clustering.tracking.writing.journal_bound import (
    DEFAULT_BOUND,
    Room,
    journal_bound,
    no_room,
)
from nn_clustering.tracking.writing.journal_reading import read_document, read_header
from nn_clustering.tracking.writing.segments import Segments, frame_of, read_events

COPY_BYTES = 4 * 2**20


class Journal:
    """One run's journal, locked by this process; see the module.

    Any thread may write; one at a time may deliver (`segments`, `drop`).
    """

    def __init__(self, folder: Path, bound: int, lock: int) -> None:
        """Use `create` or `open`."""
        self.folder = folder
        self.document = read_document(folder)
        self._lock_file = lock
        self._lock = threading.Lock()
        self._segments = Segments(folder)
        self._room = Room(folder, bound)
        self._unsynced: set[Path] = set()
        # A forked child would hold the lock after our end.
        os.register_at_fork(after_in_child=partial(_let_go, weakref.ref(self)))

    @classmethod
    def create(cls, root: Path, token: str, bound: int | None = None) -> Journal:
        """Make the journal of a new run.

        Args:
            root: Folder of the journals.
            token: Name of this one, unlike all others.
            bound: Bytes that all journals under `root` may take; default `journal_bound()`.

        Raises:
            TrackingError: The folder cannot be written.
        """
        bound = journal_bound() if bound is None else bound
        folder = root / token
        try:
            root.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            root.mkdir(mode=0o700, exist_ok=True)
            folder.mkdir(mode=0o700)
            (folder / "files").mkdir()
            lock = try_lock(folder / "lock", create=True)
            assert lock is not None
            return cls(folder, bound, lock)
        except OSError as problem:
            shutil.rmtree(folder, ignore_errors=True)
            raise TrackingError(
                f"the journal of the run cannot be kept in {root} ({problem.strerror}); expected a "
                "folder with room and with file locks: free some, or set NN_CLUSTERING_HOME to "
                "another"
            ) from None

    @classmethod
    def open(cls, folder: Path) -> Journal | None:
        """Take over a journal that was left; None while another process holds or removes it.

        Raises:
            TrackingError: It cannot be opened or locked.
        """
        try:
            lock = try_lock(folder / "lock")  # None too where its run has just removed it
        except OSError as problem:
            raise TrackingError(f"{folder} cannot be locked ({problem.strerror})") from None
        return None if lock is None else cls(folder, DEFAULT_BOUND, lock)

    @property
    def header(self) -> dict[str, Any]:
        """Facts about the run: where it is stored, its process, the file of its output."""
        return read_header(self.folder)

    def write_header(self, header: Mapping[str, Any]) -> None:
        """Replace the header.

        Raises:
            JournalFullError: It cannot be written.
        """
        try:
            content = json.dumps(dict(header)).encode()
            write_at_once(self.folder / "header.json", content, is_synced=True)
        except OSError as problem:
            raise no_room(self.folder, problem) from None

    def append(
        self, record: Mapping[str, Any], on_written: Callable[[], object] = lambda: None
    ) -> None:
        """Write one event; once this returns it survives the end of the process.

        Args:
            record: The event.
            on_written: Called once it is written, even if Ctrl-C comes in between; perhaps twice.

        Raises:
            BSONError, OverflowError: The record holds what BSON cannot.
            JournalFullError: There is no room.
        """
        frame = frame_of(record)
        with self._lock:
            self._room.require(len(frame))
            segment = self._segments.append(frame, on_written)
            self._room.own_bytes += len(frame)
            self._unsynced.add(segment)
            # An artifact ends its segment, so that its copy is soon deleted.
            if self._segments.is_long or "file" in record:
                self._segments.close()

    def copy_in(self, path: Path) -> tuple[str, str]:
        """Copy a file's content; returns the copy's name and its SHA-256.

        Raises:
            OSError: The file cannot be read.
            JournalFullError: There is no room.
        """
        digest, size = hashlib.sha256(), 0
        with path.open("rb") as source:
            with self._lock:
                self._room.require(os.fstat(source.fileno()).st_size)
            draft = self.folder / "files" / f"{os.urandom(8).hex()}.new"
            try:
                with draft.open("wb") as target:
                    while piece := _read(source, path):
                        digest.update(piece)
                        target.write(piece)
                        size += len(piece)
                copy = draft.with_name(f"{draft.stem}-{digest.hexdigest()[:16]}")
                draft.replace(copy)
            except _UnreadableError as problem:
                draft.unlink(missing_ok=True)
                raise problem.reason from None
            except OSError as problem:
                draft.unlink(missing_ok=True)
                raise no_room(self.folder, problem) from None
        with self._lock:
            self._room.own_bytes += size
            self._unsynced.add(copy)
        return copy.name, digest.hexdigest()

    def file(self, name: str) -> Path:
        """Path of a copy."""
        return self.folder / "files" / name

    def write_document(self, document: Mapping[str, Any]) -> None:
        """Replace the latest state of the run's document, `document`.

        Raises:
            JournalFullError: It could not be written to the disk; it is the latest state all the
                same, in memory.
        """
        content = bson.encode(document)
        with self._lock:
            self.document = dict(document)
            try:
                write_at_once(self.folder / "document.bson", content, is_synced=True)
            except OSError as problem:
                raise no_room(self.folder, problem) from None

    def sync(self) -> None:
        """Bring to the disk what was written since the last time, so that it outlives the power."""
        with self._lock:
            paths, self._unsynced = self._unsynced, set()
        if paths:
            # Copies first: an event on the disk shall find its file there.
            for path in sorted(paths, key=lambda path: path.suffix == ".events"):
                sync(path)
            sync(self.folder / "files")
            sync(self.folder)

    def segments(self) -> list[Path]:
        """What is to be delivered, in order; nothing is added to it any more."""
        with self._lock:
            self._segments.close()
            return self._segments.paths()

    def records(self, segment: Path) -> Iterator[dict[str, Any]]:
        """The events of a segment, up to where the process or the machine died in the middle."""
        return read_events(segment)

    def drop(self, segment: Path) -> None:
        """Remove a segment that was delivered, and the copies that belong to it."""
        copies = [self.file(record["file"]) for record in self.records(segment) if "file" in record]
        for path in (segment, *copies):
            with contextlib.suppress(FileNotFoundError), self._lock:
                n_bytes = path.stat().st_size
                path.unlink()
                self._room.own_bytes -= n_bytes
                self._unsynced.discard(path)

    @property
    def is_empty(self) -> bool:
        """Whether no event waits to be delivered."""
        with self._lock:
            return not self._segments.paths()

    @property
    def used(self) -> float:
        """Share of the bound that all journals of the folder take."""
        with self._lock:
            return self._room.used

    @property
    def size(self) -> int:
        """The bytes that it takes."""
        return folder_bytes([self.folder])

    def discard(self) -> None:
        """Delete the journal: all of it is delivered."""
        self.close()
        # The header goes last of what counts: without it, the rest is no journal any more.
        shutil.rmtree(self.folder / "files", ignore_errors=True)
        with contextlib.suppress(OSError):
            (self.folder / "header.json").unlink()
        shutil.rmtree(self.folder, ignore_errors=True)

    def close(self) -> None:
        """Let go of the lock; what is in the journal stays."""
        with self._lock:
            self._segments.close()
            if self._lock_file >= 0:
                os.close(self._lock_file)
                self._lock_file = -1


class _UnreadableError(Exception):
    """The file to copy cannot be read, which is not the journal's fault."""

    def __init__(self, reason: OSError) -> None:
        super().__init__(reason)
        self.reason = reason


def _read(source: Any, path: Path) -> bytes:
    try:
        content: bytes = source.read(COPY_BYTES)
        return content
    except OSError as problem:
        problem.filename = str(path)
        raise _UnreadableError(problem) from None


def _let_go(reference: weakref.ref[Journal]) -> None:
    journal = reference()
    if journal is not None and journal._lock_file >= 0:
        os.close(journal._lock_file)
        journal._lock_file = -1

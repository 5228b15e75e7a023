"""The journal of a run: what was logged and MongoDB has not acknowledged yet, on the disk.

A folder of its own for each run, under `.mongo/journal/`::

    header.json       which run of which database, on which address; the file that captures output
    lock              held by the process whose run it is, or by the one that delivers it later
    1.events, ...     points of metrics, artifacts, resources in their order, see `frames.py`
    files/            the artifacts' contents, with the SHA-256 that the events name
    document.bson     the latest state of the run's document, and how many events there were

What is written here survives the end of the process at once, and a loss of power once it is synced
to the disk, at the latest about a second later (`Journal.sync`). Every file carries checksums: what
is damaged is named (`Journal.damages`), never taken for what was logged, nor for the end of it.

The run's own process keeps the latest events in memory besides, and its copies of files open, so
that it can deliver them when the disk is taken away.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import shutil
import threading
import weakref
from collections.abc import Callable, Mapping, Sequence
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
from nn_clustering.tracking.writing.journal_reading import (
    DAMAGED,
    DamagedFileError,
    decode_document,
    decode_header,
    encode_document,
    encode_header,
)
from nn_clustering.tracking.writing.segments import Segments

_LOG = logging.getLogger(__name__)
COPY_BYTES = 4 * 2**20
OPEN_COPIES = 64


class Journal:
    """One run's journal, locked by this process; see the module.

    Any thread may write; one at a time may deliver (`segments`, `records`, `drop`).

    Attributes:
        folder: Where it is.
        document: The latest state of the run's document; empty where there is none, or none whole.
        header: Facts about the run: where it is stored, its process, the file of its output.
        is_left: Whether another process wrote it, and has ended.
        damages: What of it is damaged or cannot be read any more, in words.
    """

    def __init__(self, folder: Path, bound: int, lock: int, *, is_left: bool = False) -> None:
        """Use `create` or `open`."""
        self.folder = folder
        self.is_left = is_left
        self.damages: dict[str, None] = {}
        self._lock_file = lock
        self._lock = threading.Lock()
        self._sync_turn = threading.Lock()
        self.header: dict[str, Any] = {}
        self.document: dict[str, Any] = {}
        if is_left:
            self._read_what_was_left()
        self._n_events = self.document.get("events")  # that it had at least
        self._segments = Segments(folder, self.document.get("segments", {}))
        if is_left and not (folder / "header.json").exists() and self._has_content():
            self.damages["header.json is missing"] = None
        # It is written before the first event, and removed after the last one.
        if is_left and not (folder / "document.bson").exists() and self._segments.paths():
            self.damages["document.bson is missing"] = None
        self._room = Room(folder, bound)
        self._unsynced: set[Path] = set()
        self._open_copies: dict[str, int] = {}
        self._damaged_segments: set[Path] = set()
        self._is_removal_refused = False
        # A forked child would hold the lock after our end.
        os.register_at_fork(after_in_child=partial(_let_go, weakref.ref(self)))

    def _read_what_was_left(self) -> None:
        def read(name: str, decode: Callable[[bytes], dict[str, Any]]) -> dict[str, Any]:
            try:
                return decode((self.folder / name).read_bytes())
            except FileNotFoundError:
                return {}
            except DamagedFileError as damage:
                self.damages[str(damage)] = None
                return {}

        self.header = read("header.json", decode_header)
        if self.header.get("token", self.folder.name) != self.folder.name:
            self.damages["header.json is damaged"] = None
            self.header = {}
        self.document = read("document.bson", partial(decode_document, token=self.folder.name))

    def _has_content(self) -> bool:
        return bool(self._segments.paths()) or (self.folder / "document.bson").exists()

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
        if lock is None:
            return None
        try:
            return cls(folder, DEFAULT_BOUND, lock, is_left=True)
        except OSError as problem:
            os.close(lock)
            raise TrackingError(
                f"{problem.filename} cannot be read ({problem.strerror}); expected files that you "
                "may read"
            ) from None

    def write_header(self, header: Mapping[str, Any]) -> None:
        """Replace the header.

        Raises:
            JournalFullError: It cannot be written.
        """
        self.header = dict(header)
        try:
            write_at_once(self.folder / "header.json", encode_header(header), is_synced=True)
        except OSError as problem:
            raise no_room(self.folder, problem) from None

    def append(
        self,
        record: Mapping[str, Any],
        on_written: Callable[[], object] = lambda: None,
        *,
        encoded: bytes | None = None,
    ) -> None:
        """Write one event; once this returns it survives the end of the process.

        Args:
            record: The event.
            on_written: Called once it is written, even if Ctrl-C comes in between; perhaps twice.
            encoded: The event in BSON, where that is at hand.

        Raises:
            BSONError, OverflowError: The record holds what BSON cannot.
            JournalFullError: There is no room.
        """
        content = bson.encode(record) if encoded is None else encoded
        with self._lock:
            self._room.require(len(content))
            segment, n_bytes = self._segments.append(content, record, on_written)
            self._room.own_bytes += n_bytes
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
            if len(self._open_copies) < OPEN_COPIES:
                with contextlib.suppress(OSError):
                    self._open_copies[copy.name] = os.open(copy, os.O_RDONLY)
        return copy.name, digest.hexdigest()

    def file(self, name: str) -> Path:
        """Path of a copy."""
        return self.folder / "files" / name

    def readable_file(self, name: str) -> Path:
        """A path that the copy can be read from, even if its folder was removed meanwhile."""
        path, descriptor = self.file(name), self._open_copies.get(name)
        if descriptor is None or os.path.exists(path):
            return path
        return Path(f"/proc/self/fd/{descriptor}")

    def write_document(self, document: Mapping[str, Any]) -> None:
        """Replace the latest state of the run's document, `document`.

        Raises:
            BSONError, OverflowError: The document holds what BSON cannot.
            JournalFullError: It could not be written to the disk; it is the latest state all the
                same, in memory.
        """
        with self._lock:
            self.document = dict(document)
            counts = {"events": self._segments.n_events, "segments": self._segments.starts}
        content = encode_document({**document, **counts}, self.folder.name)
        self.sync()  # what it counts is on the disk first, so that a loss of power is no damage
        with self._lock:
            try:
                write_at_once(self.folder / "document.bson", content, is_synced=True)
            except OSError as problem:
                raise no_room(self.folder, problem) from None

    def sync(self) -> None:
        """Bring to the disk what was written since the last time, so that it outlives the power."""
        with self._sync_turn:  # who finds nothing to do relies on its being done
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

    def records(self, segment: Path) -> list[Mapping[str, Any]]:
        """The events of a segment that are left; what is damaged or gone is noted in `damages`.

        Raises:
            OSError: The segment cannot be read now; the run's own process goes on without it.
        """
        try:
            records, damages = self._segments.read(segment, self._n_events)
        except OSError as problem:
            n_missing = self._segments.n_missing(segment)
            if self.is_left:
                raise
            if n_missing == 0:
                return []
            count = "some" if n_missing is None else f"{n_missing:,}"
            self._note(f"{segment.name} cannot be read ({problem.strerror}): {count} events of it "
                       "are missing", segment)  # fmt: skip
            return []
        for damage in damages:
            self._note(str(damage), segment)
        return records

    def _note(self, damage: str, segment: Path) -> None:
        self.damages[damage] = None
        self._damaged_segments.add(segment)

    def drop(self, segment: Path, records: Sequence[Mapping[str, Any]]) -> None:
        """Remove a segment that was delivered, and the copies that its events name.

        Nothing is removed of what another process left, or what is damaged, until all is delivered.
        """
        is_kept = self.is_left or segment in self._damaged_segments
        paths = [segment, *(self.file(record["file"]) for record in records if "file" in record)]
        with self._lock:
            self._segments.forget(segment)
            for path in paths:
                descriptor = self._open_copies.pop(path.name, None)
                if descriptor is not None:
                    os.close(descriptor)
                self._unsynced.discard(path)
                if not is_kept:
                    self._remove(path)

    def _remove(self, path: Path) -> None:
        try:
            n_bytes = path.stat().st_size
            path.unlink()
            self._room.own_bytes -= n_bytes
        except FileNotFoundError:
            pass
        except OSError as problem:  # what is stored already is not stored again
            if not self._is_removal_refused:
                _LOG.warning(
                    "%s cannot be removed (%s); all that it holds is stored", path, problem.strerror
                )
            self._is_removal_refused = True

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

    @property
    def is_there(self) -> bool:
        """Whether the disk still has it."""
        return os.path.isdir(self.folder)

    @property
    def kept_folder(self) -> Path:
        """Where `set_aside` puts it."""
        return self.folder.parent / DAMAGED / self.folder.name

    def set_aside(self) -> Path:
        """Keep the journal where nobody delivers it again; returns the folder that it is in."""
        kept = self.kept_folder
        try:
            kept.parent.mkdir(mode=0o700, exist_ok=True)
            self.folder.rename(kept)
        except OSError:  # then it is delivered again, which changes nothing
            kept = self.folder
        self.close()
        return kept

    def discard(self) -> None:
        """Delete the journal: all of it is delivered."""
        # The header goes last of what counts: without it, the rest is no journal any more.
        shutil.rmtree(self.folder / "files", ignore_errors=True)
        for name in (*(path.name for path in self.folder.glob("*.events")), "document.bson"):
            with contextlib.suppress(OSError):
                (self.folder / name).unlink()
        self.close()
        with contextlib.suppress(OSError):
            (self.folder / "header.json").unlink()
        shutil.rmtree(self.folder, ignore_errors=True)

    def close(self) -> None:
        """Let go of the lock; what is in the journal stays."""
        with self._lock:
            self._segments.close()
            while self._open_copies:
                os.close(self._open_copies.popitem()[1])
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

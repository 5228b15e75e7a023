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
import fcntl
import hashlib
import json
import os
import shutil
import struct
import threading
import time
import weakref
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import bson
import bson.errors

from nn_clustering.tracking.errors import InvalidInputError, TrackingError

DEFAULT_BOUND = 10 * 2**30
BOUND_VARIABLE = "NN_CLUSTERING_JOURNAL_MB"
# A segment is deleted as a whole once it is delivered, so they are kept short.
SEGMENT_BYTES = 4 * 2**20
COPY_BYTES = 4 * 2**20
MEASURE_SECONDS = 5.0  # between looks at how much the other journals take
_CHECKSUM = struct.Struct("<I")
_LENGTH = struct.Struct("<i")


class JournalFullError(TrackingError):
    """There is no room to write: the bound is reached, or the disk is full."""


def journal_bound(environ: Mapping[str, str] = os.environ) -> int:
    """The bytes that all journals of this machine's home may take together.

    Raises:
        InvalidInputError: NN_CLUSTERING_JOURNAL_MB is no positive number.
    """
    text = environ.get(BOUND_VARIABLE, "").strip()
    if not text:
        return DEFAULT_BOUND
    try:
        megabytes = float(text)
    except ValueError:
        megabytes = 0.0
    if not 0 < megabytes < 1e9:
        raise InvalidInputError(
            f"{BOUND_VARIABLE}={text}: expected the megabytes that journals may take, above 0; "
            f"unset it for {DEFAULT_BOUND // 2**20}"
        )
    return round(megabytes * 2**20)


def journal_folders(root: Path) -> list[Path]:
    """The journals under `root`, oldest first."""
    folders = [path.parent for path in root.glob("*/lock")]
    return sorted(folders, key=lambda folder: (read_header(folder).get("started", ""), folder.name))


def is_finished(folder: Path) -> bool:
    """Whether the run of this journal has ended in order and only waits to be delivered."""
    return bool(read_document(folder).get("finished"))


def read_header(folder: Path) -> dict[str, Any]:
    """Facts about the run of this journal, empty where they cannot be read."""
    try:
        content: dict[str, Any] = json.loads((folder / "header.json").read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return content


def read_document(folder: Path) -> dict[str, Any]:
    """The latest state of the run's document, empty where none was written."""
    try:
        found: dict[str, Any] = bson.decode((folder / "document.bson").read_bytes())
        return found
    except (OSError, bson.errors.InvalidBSON):
        return {}


class Journal:
    """One run's journal, locked by this process; see the module.

    Any thread may write; one at a time may deliver (`segments`, `drop`).
    """

    def __init__(self, folder: Path, bound: int, lock: int) -> None:
        """Use `create` or `open`."""
        self.folder = folder
        self.document = read_document(folder)
        self._bound = bound
        self._lock_file = lock
        self._lock = threading.Lock()
        self._handle: int | None = None
        self._size = 0
        self._number = max((number for number, _ in self._events()), default=0)
        self._unsynced: set[Path] = set()
        self._own_bytes = _folder_bytes([folder])
        self._others_bytes, self._measured = 0, float("-inf")
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
            lock = _try_lock(folder, create=True)
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
            lock = _try_lock(folder)
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
            self._replace("header.json", json.dumps(dict(header)).encode())
        except OSError as problem:
            raise _no_room(self.folder, problem) from None

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
        content = bson.encode(record)
        frame = _CHECKSUM.pack(zlib.crc32(content)) + content
        with self._lock:
            self._require_room(len(frame))
            start = self._size
            try:
                if self._handle is None:
                    self._number += 1
                    path = self.folder / f"{self._number}.events"
                    self._handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
                    self._segment, self._size = path, 0
                start = self._size
                _write_all(self._handle, frame)
                on_written()
                self._size += len(frame)
            except OSError as problem:
                self._close_segment()  # half a frame may only ever stand at the end of a segment
                raise _no_room(self.folder, problem) from None
            except BaseException:  # Ctrl-C, before or after the writing
                if self._handle is not None:
                    if os.fstat(self._handle).st_size == start + len(frame):
                        on_written()
                    self._close_segment()
                raise
            self._own_bytes += len(frame)
            self._unsynced.add(self._segment)
            # An artifact ends its segment, so that its copy is soon deleted.
            if self._size > SEGMENT_BYTES or "file" in record:
                self._close_segment()

    def copy_in(self, path: Path) -> tuple[str, str]:
        """Copy a file's content; returns the copy's name and its SHA-256.

        Raises:
            OSError: The file cannot be read.
            JournalFullError: There is no room.
        """
        digest, size = hashlib.sha256(), 0
        with path.open("rb") as source:
            with self._lock:
                self._require_room(os.fstat(source.fileno()).st_size)
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
                raise _no_room(self.folder, problem) from None
        with self._lock:
            self._own_bytes += size
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
                self._replace("document.bson", content)
            except OSError as problem:
                raise _no_room(self.folder, problem) from None

    def sync(self) -> None:
        """Bring to the disk what was written since the last time, so that it outlives the power."""
        with self._lock:
            paths, self._unsynced = self._unsynced, set()
        if paths:
            # Copies first: an event on the disk shall find its file there.
            for path in sorted(paths, key=lambda path: path.suffix == ".events"):
                _sync(path)
            _sync(self.folder / "files")
            _sync(self.folder)

    def segments(self) -> list[Path]:
        """What is to be delivered, in order; nothing is added to it any more."""
        with self._lock:
            self._close_segment()
            return [path for _, path in sorted(self._events())]

    def records(self, segment: Path) -> Iterator[dict[str, Any]]:
        """The events of a segment, up to where the process or the machine died in the middle."""
        content = segment.read_bytes()
        position = 0
        while position + 8 <= len(content):
            (checksum,) = _CHECKSUM.unpack_from(content, position)
            (length,) = _LENGTH.unpack_from(content, position + 4)
            frame = content[position + 4 : position + 4 + length]
            if length < 5 or len(frame) < length or zlib.crc32(frame) != checksum:
                return
            yield bson.decode(frame)
            position += 4 + length

    def drop(self, segment: Path) -> None:
        """Remove a segment that was delivered, and the copies that belong to it."""
        copies = [self.file(record["file"]) for record in self.records(segment) if "file" in record]
        for path in (segment, *copies):
            with contextlib.suppress(FileNotFoundError), self._lock:
                n_bytes = path.stat().st_size
                path.unlink()
                self._own_bytes -= n_bytes
                self._unsynced.discard(path)

    @property
    def is_empty(self) -> bool:
        """Whether no event waits to be delivered."""
        with self._lock:
            return not any(True for _ in self._events())

    @property
    def used(self) -> float:
        """Share of the bound that all journals of the folder take."""
        with self._lock:
            return self._measure() / self._bound

    @property
    def size(self) -> int:
        """The bytes that it takes."""
        return _folder_bytes([self.folder])

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
            self._close_segment()
            if self._lock_file >= 0:
                os.close(self._lock_file)
                self._lock_file = -1

    def _events(self) -> Iterator[tuple[int, Path]]:
        for path in self.folder.glob("*.events"):
            yield int(path.stem), path

    def _close_segment(self) -> None:
        handle, self._handle = self._handle, None
        if handle is not None:
            os.close(handle)

    def _require_room(self, n_bytes: int) -> None:
        if self._measure() + n_bytes > self._bound:
            raise JournalFullError(
                f"the journals in {self.folder.parent} have reached their bound of "
                f"{self._bound / 2**20:,.0f} MB ({BOUND_VARIABLE})"
            )

    def _measure(self) -> int:
        moment = time.monotonic()
        if moment - self._measured > MEASURE_SECONDS:
            others = [path for path in self.folder.parent.iterdir() if path != self.folder]
            self._others_bytes, self._measured = _folder_bytes(others), moment
        return self._own_bytes + self._others_bytes

    def _replace(self, name: str, content: bytes) -> None:
        """Replace a file in one step, so that a whole one is left by a loss of power too."""
        draft = self.folder / f"{name}.new"
        with draft.open("wb") as handle:
            handle.write(content)
            handle.flush()
            os.fsync(handle.fileno())
        draft.replace(self.folder / name)
        _sync(self.folder)


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


def _no_room(folder: Path, problem: OSError) -> JournalFullError:
    return JournalFullError(
        f"the journal {folder} cannot be written ({problem.strerror}); free some space, or set "
        "NN_CLUSTERING_HOME to a folder that has some"
    )


def _write_all(handle: int, content: bytes) -> None:
    while content:
        content = content[os.write(handle, content) :]


def _try_lock(folder: Path, *, create: bool = False) -> int | None:
    try:
        descriptor = os.open(folder / "lock", os.O_RDWR | (os.O_CREAT if create else 0), 0o600)
    except FileNotFoundError:
        if create:
            raise
        return None  # its run has just ended and removed it
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def _sync(path: Path) -> None:
    with contextlib.suppress(OSError):  # not every file system can sync a folder
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _let_go(reference: weakref.ref[Journal]) -> None:
    journal = reference()
    if journal is not None and journal._lock_file >= 0:
        os.close(journal._lock_file)
        journal._lock_file = -1


def _folder_bytes(folders: Iterable[Path]) -> int:
    total = 0
    for folder in folders:
        for parent, _, names in os.walk(folder):
            for name in names:
                with contextlib.suppress(OSError):  # delivered meanwhile
                    total += os.lstat(os.path.join(parent, name)).st_size
    return total

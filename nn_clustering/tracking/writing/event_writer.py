"""Write a run's events to its journal, and past it where it has no room."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import bson
import bson.errors

from nn_clustering.tracking.encoding import measurement, to_plain, without_passwords
from nn_clustering.tracking.errors import TrackingError
from nn_clustering.tracking.gridfs import digest_file
from nn_clustering.tracking.writing.courier import Courier
from nn_clustering.tracking.writing.delivery import FAILURES, RunGoneError, now
from nn_clustering.tracking.writing.journal import Journal
from nn_clustering.tracking.writing.journal_bound import JournalFullError
from nn_clustering.tracking.writing.run_record import RunRecord

_LOG = logging.getLogger(__name__)
# What a value that BSON cannot hold raises.
_UNSTORABLE = (bson.errors.BSONError, OverflowError, TypeError, ValueError)
PAUSE_SECONDS = 1.0  # between attempts where there is room nowhere


class EventWriter:
    """Writes the events of one run; one thread at a time may use it.

    What cannot be stored is told to the record, and fails the run at its end.
    """

    def __init__(self, run_id: int, journal: Journal, courier: Courier, record: RunRecord) -> None:
        """Write events that belong to this process, none of a process that is forked from it."""
        self._run_id = run_id
        self._journal = journal
        self._courier = courier
        self._record = record
        self._process = os.getpid()
        self._is_waiting_told = False
        self._is_bypass_told = False
        self._names: dict[str, str] = {}  # of metrics, without passwords

    def require_own_process(self, kind: str, name: Any) -> None:
        """Refuse an event of a forked process, which nobody could tell from its parent's.

        Raises:
            TrackingError: This is a forked process.
        """
        if os.getpid() != self._process:
            raise TrackingError(
                f"{kind} {name!r}: process {os.getpid()} was forked from run {self._run_id}; "
                f"expected the run's own process {self._process} to log: hand it the values"
            )

    def write_point(self, name: Any, value: Any, step: Any, time: Any = None) -> None:
        """Write one point of a metric."""
        if isinstance(name, str):
            masked = self._names.get(name)
            if masked is None:
                masked = self._names[name] = without_passwords(name)
            name = masked
        counts = self._record.counts
        try:
            if not isinstance(name, str):
                raise TypeError("a metric's name is a text")
            index = counts.get(name, 0)
            point = {
                "step": measurement(step),
                "value": measurement(value),
                "kind": "point",
                "name": name,
                "index": index,
                "time": time or now(),
            }
            encoded = bson.encode(point)
        except _UNSTORABLE as problem:
            given = without_passwords(repr(value))[:80]
            self._record.note_unstorable(
                f"metric {name!r}, step {step}: {given} cannot be stored ({problem})"
            )
            return

        def count() -> None:
            counts[name] = index + 1

        try:
            self._journal.append(point, count, encoded=encoded)
        except JournalFullError:
            append = partial(self._journal.append, point, count, encoded=encoded)
            if not self._when_there_is_room(append, point):
                count()
        self._courier.wake()

    def write_artifact(
        self,
        name: str,
        path: Path,
        metadata: Mapping[str, Any] | None = None,
        content_type: str | None = None,
    ) -> None:
        """Write a file, and expect it in the database at the end."""
        added = self._record.next_added()
        name = without_passwords(name)
        event = {"kind": "artifact", "name": name, "added": added}
        event.update(metadata=to_plain(metadata or {}), content_type=to_plain(content_type))
        sha256 = self._write_file(f"artifact {name!r}", event, path)
        if sha256 is not None:
            self._record.take_artifact(name, added, sha256)

    def write_resource(self, path: str) -> None:
        """Write a file that the run read."""
        event = {"kind": "resource", "name": without_passwords(path)}
        self._write_file(f"resource {path}", event, Path(path))

    def write_document(self) -> bool:
        """Write the state of the run's document; False where the disk did not take it."""
        is_written = True
        try:
            self._journal.write_document(self._record.document())
        except JournalFullError as problem:
            self._tell_of_bypass(problem)
            is_written = False
        self._courier.wake()
        return is_written

    def _write_file(self, what: str, event: dict[str, Any], path: Path) -> str | None:
        """Write an event with a file; returns the file's SHA-256, None where it is refused."""
        journal, digests = self._journal, []
        try:
            bson.encode(event)
        except _UNSTORABLE as problem:
            self._record.note_unstorable(f"{what}: its metadata cannot be stored ({problem})")
            return None

        def write() -> None:
            copy, sha256 = journal.copy_in(path)
            try:
                journal.append({**event, "file": copy, "sha256": sha256})
            except JournalFullError:
                journal.file(copy).unlink(missing_ok=True)
                raise
            digests.append(sha256)

        try:
            self._when_there_is_room(write, {**event, "path": str(path)})
            return digests[-1] if digests else digest_file(path)
        except OSError as problem:
            self._record.note_unstorable(f"{what}: {path} cannot be read ({problem.strerror})")
        finally:
            self._courier.wake()
        return None

    def _when_there_is_room(self, write: Callable[[], None], event: Mapping[str, Any]) -> bool:
        """Write to the journal; where it has no room, past it; in an outage, wait for either.

        Returns:
            False where it was written past the journal.
        """
        while True:
            try:
                write()
                return True
            except JournalFullError as problem:
                reason = problem
            self._tell_of_bypass(reason)
            try:
                self._courier.write_past_journal(event)
                return False
            except RunGoneError:
                raise  # it would wait for ever
            except (*FAILURES, TrackingError):
                if not self._is_waiting_told:
                    _LOG.warning(
                        "run %s waits, for MongoDB is out of reach too and nothing shall be lost: "
                        "%s; start the server, or free some space",
                        self._run_id, reason,
                    )  # fmt: skip
                self._is_waiting_told = True
            time.sleep(PAUSE_SECONDS)

    def _tell_of_bypass(self, reason: JournalFullError) -> None:
        """Say once, here and in the run's document, that the journal does not take all."""
        if not self._is_bypass_told:
            self._is_bypass_told = True
            self._record.note_problem(
                f"run {self._run_id} goes on without its journal, directly to MongoDB: {reason}"
            )

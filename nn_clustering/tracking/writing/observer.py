"""The observer that stores Sacred runs in MongoDB and loses nothing.

Sacred's own observer is switched off by its first failed write, and the run still counts as
completed. This one writes every event to a journal on this machine's disk first (`event_writer.py`,
`journal.py`). A thread carries it to MongoDB (`courier.py`), in an outage as soon as that is over.
A run is COMPLETED only once all that it logged is there (`run_end.py`); what is not delivered at
its end is kept, and `python -m nn_clustering.tracking sync` delivers it later (`sync.py`).
"""

from __future__ import annotations

import logging
import os
import secrets
import sys
import threading
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sacred.observers import RunObserver

from nn_clustering.tracking.errors import TrackingError
from nn_clustering.tracking.writing.courier import Courier
from nn_clustering.tracking.writing.delivery import Delivery, now
from nn_clustering.tracking.writing.event_writer import EventWriter
from nn_clustering.tracking.writing.journal import Journal
from nn_clustering.tracking.writing.journal_bound import JournalFullError
from nn_clustering.tracking.writing.journaled_metrics import JournaledMetrics
from nn_clustering.tracking.writing.registration import register_run, run_entry
from nn_clustering.tracking.writing.run_end import RunEnd, tell_of_earlier_runs
from nn_clustering.tracking.writing.run_record import RunRecord

if TYPE_CHECKING:
    from pymongo.database import Database
    from sacred.run import Run as SacredRun

_LOG = logging.getLogger(__name__)
LAST_HEARTBEAT = 30.0  # seconds


class TrackingObserver(RunObserver):  # type: ignore[misc]  # Sacred has no types
    """Stores runs, one at a time; see `track`.

    Attributes:
        identity: Digest of all that fixes the run's result, stored as `tracking.identity`.
        tells_of_earlier_runs: Whether to say at the start that journals of earlier ones wait.

    A run that lacks something in MongoDB does not end as COMPLETED: `completed_event` raises
    SystemExit with the message, the only thing that Sacred lets through at that point.
    """

    priority = 30  # that of Sacred's own: the id comes from the database
    identity: str | None = None
    tells_of_earlier_runs = True
    # From the start of a run on.
    _journal: Journal
    _courier: Courier
    _record: RunRecord
    _writer: EventWriter
    _end: RunEnd

    def __init__(self, database: Database, journal_folder: Path) -> None:
        self._database = database
        self._journal_folder = journal_folder
        # Events come from the main thread and from the heartbeat's.
        self._lock = threading.RLock()
        self._run_id: int | None = None
        self._heartbeat: threading.Thread | None = None
        self._is_attached = False

    def attach(self, run: SacredRun) -> None:
        """Journal each point of a metric when it is logged, and what is noted already, at once.

        To be called after the run's start: as, or in, a pre-run hook.
        """
        run._metrics = JournaledMetrics(self.log_point)
        self._is_attached = True
        self._heartbeat = run._heartbeat
        if self._run_id is not None:
            # What the run has noted before its start is not to wait for the first heartbeat.
            self.heartbeat_event(run.info, run.captured_out, now(), None)
            self._note_captured_file(run)

    def _note_captured_file(self, run: SacredRun) -> None:
        """Leave word of the file that catches the output: it outlives a run that is killed."""
        name = getattr(getattr(run._output_file, "buffer", None), "name", None)
        if not isinstance(name, str):
            return
        found = os.stat(name)
        captured = {"path": name, "device": found.st_dev, "inode": found.st_ino}
        try:
            self._journal.write_header({**self._journal.header, "captured": captured})
        except JournalFullError as problem:
            _LOG.warning("%s; if it is killed, the run loses its last output", problem)

    def queued_event(self, *args: Any, **kwargs: Any) -> None:
        """Refuse: nothing would ever start a queued run."""
        raise TrackingError("runs cannot be queued; leave out -q to start the run now")

    def started_event(
        self,
        ex_info: Mapping[str, Any],
        command: str,
        host_info: Mapping[str, Any],
        start_time: datetime,
        config: Mapping[str, Any],
        meta_info: Mapping[str, Any],
        _id: Any,
    ) -> int:
        """Insert the run's document; returns its id.

        Raises:
            TrackingError: An id was given (numbers are the database's to give: after one run with
                the id "x", Sacred can number no other), or there is no room for a journal.
            ServerUnavailableError: The document cannot be stored.
        """
        if _id is not None:
            raise TrackingError(
                f"the run was given the id {_id!r}; the database numbers runs: leave out -i"
            )
        if self.tells_of_earlier_runs:
            tell_of_earlier_runs(self._journal_folder)
        token = secrets.token_hex(16)
        entry = run_entry(ex_info, command, host_info, start_time, config, meta_info)
        entry["tracking"] = {"token": token, "identity": self.identity}
        self._run_id, self._heartbeat, self._is_attached = None, None, False
        run_id, self._journal = register_run(
            self._database, self._journal_folder, token, entry, Path(ex_info["base_dir"])
        )
        self._record = RunRecord(token)
        delivery = Delivery(self._database, self._journal, run_id, token)
        self._courier = Courier(delivery, self._journal, f"run {run_id}")
        self._writer = EventWriter(run_id, self._journal, self._courier, self._record)
        self._end = RunEnd(run_id, self._journal, self._courier, self._record, self._writer)
        self._run_id = run_id
        self._courier.start()
        return run_id

    def heartbeat_event(
        self, info: Mapping[str, Any], captured_out: str, beat_time: datetime, result: Any
    ) -> None:
        """Take the state of the run's document."""
        with self._lock, self._record.unforeseen_errors_noted("a heartbeat"):
            if not self._record.is_ended:  # else it comes too late
                self._record.take_heartbeat(info, captured_out, beat_time, result)
                self._writer.write_document()

    def log_metrics(self, metrics_by_name: Mapping[str, Any], info: dict[str, Any]) -> None:
        """Take the points since the last heartbeat, unless each was taken when it was logged."""
        if self._is_attached:
            return
        for name, points in metrics_by_name.items():
            columns = (points["steps"], points["values"], points["timestamps"])
            for step, value, logged in zip(*columns, strict=True):
                self.log_point(name, value, step, logged)

    def log_point(self, name: str, value: Any, step: Any, time: datetime | None = None) -> None:
        """Take one point; what cannot be stored is told, and fails the run at its end.

        Raises:
            TrackingError: This is a forked process, whose points nobody could tell from its
                parent's.
        """
        self._writer.require_own_process("metric", name)
        with self._lock:
            try:
                self._writer.write_point(name, value, step, time)
            except Exception as problem:
                self._record.note_unforeseen(f"metric {name!r}", problem)

    def artifact_event(
        self,
        name: str,
        filename: str,
        metadata: Mapping[str, Any] | None = None,
        content_type: str | None = None,
    ) -> None:
        """Take a file.

        Raises:
            TrackingError: This is a forked process.
        """
        self._writer.require_own_process("artifact", name)
        with self._lock, self._record.unforeseen_errors_noted(f"artifact {name!r}"):
            self._writer.write_artifact(name, Path(filename), metadata, content_type)

    def resource_event(self, filename: str) -> None:
        """Take a file that the run read; it is stored once per version."""
        with self._lock, self._record.unforeseen_errors_noted(f"resource {filename}"):
            self._writer.write_resource(str(filename))

    def completed_event(self, stop_time: datetime, result: Any) -> None:
        """Deliver everything and mark the run COMPLETED.

        Raises:
            SystemExit: Something is not in MongoDB. Sacred then reports the run as failed.
        """
        self._await_heartbeat()
        with self._lock:
            self._record.take_result(result)
            message = self._end.finish("COMPLETED", stop_time)
        if message:
            raise SystemExit(message)

    def interrupted_event(self, interrupt_time: datetime, status: str) -> None:
        """Deliver what there is and mark the run INTERRUPTED (or what the exception says)."""
        self._finish_early(status, interrupt_time)

    def failed_event(self, fail_time: datetime, fail_trace: list[str]) -> None:
        """Deliver what there is and mark the run FAILED."""
        self._finish_early("FAILED", fail_time, fail_trace)

    def _finish_early(
        self, status: str, stop_time: datetime, fail_trace: list[str] | None = None
    ) -> None:
        if self._run_id is None or self._end.is_told:
            return  # not started, or its end was told already
        self._await_heartbeat()
        with self._lock:
            message = self._end.finish(status, stop_time, fail_trace)
        if message:
            print(message, file=sys.stderr)

    def _await_heartbeat(self) -> None:
        """Sacred waits two seconds for the last heartbeat, which has the end of the output."""
        if self._heartbeat is not None:
            self._heartbeat.join(LAST_HEARTBEAT)

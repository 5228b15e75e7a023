"""The observer that stores Sacred runs in MongoDB and loses nothing.

Sacred's own observer is switched off by its first failed write, and the run still counts as
completed. This one writes every event to a journal on this machine's disk first (`journal.py`). A
thread carries it to MongoDB (`courier.py`), in an outage as soon as that is over. A run is
COMPLETED only once all that it logged is there; what is not delivered at its end is kept, and
`python -m nn_clustering.tracking sync` delivers it later (`sync.py`).
"""

from __future__ import annotations

import logging
import os
import secrets
import signal
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import bson
import bson.errors
import pymongo.errors
from sacred.metrics_logger import MetricsLogger, ScalarMetricLogEntry
from sacred.observers import RunObserver

from nn_clustering.tracking.encoding import measurement, to_plain
from nn_clustering.tracking.errors import ServerUnavailableError, TrackingError
from nn_clustering.tracking.gridfs import digest_file
from nn_clustering.tracking.indexes import ensure_indexes
from nn_clustering.tracking.sources import add_own_code
from nn_clustering.tracking.writing.courier import Courier
from nn_clustering.tracking.writing.delivery import (
    FAILURES,
    Delivery,
    RunGoneError,
    now,
    short_reason,
)
from nn_clustering.tracking.writing.journal import (
    Journal,
    JournalFullError,
    is_finished,
    journal_folders,
)
from nn_clustering.tracking.writing.registration import insert_run, location_of_run, run_entry
from nn_clustering.tracking.writing.run_record import RunRecord

if TYPE_CHECKING:
    from pymongo.database import Database
    from sacred import Experiment
    from sacred.run import Run as SacredRun

_LOG = logging.getLogger(__name__)
# What a value that BSON cannot hold raises.
_UNSTORABLE = (bson.errors.BSONError, OverflowError, TypeError, ValueError)
LAST_HEARTBEAT = 30.0  # seconds
SYNC_COMMAND = "python -m nn_clustering.tracking sync"


def make_observer(database: Database, *, journal_folder: Path | None = None) -> TrackingObserver:
    """An observer that stores runs in the database; see `track` for the usual way.

    Args:
        database: From `connect`, so that writes are journalled and time out soon.
        journal_folder: Where the journals of runs are; default `.mongo/journal` in the project's
            folder.

    Raises:
        ServerUnavailableError: The server does not let us write (the indexes are made here).
    """
    from nn_clustering.tracking.server.connection import project_root

    try:
        ensure_indexes(database)
    except pymongo.errors.PyMongoError as problem:
        reason = f"cannot write to database {database.name!r} ({type(problem).__name__})"
    else:
        return TrackingObserver(database, journal_folder or project_root() / ".mongo" / "journal")
    raise ServerUnavailableError(
        f"{reason}; expected a server that runs and a user with the role readWrite; check MONGO_URL"
    )


def track(experiment: Experiment, database: Database) -> None:
    """Store the runs of a Sacred experiment in the database, with all of its own code.

    From now on SIGTERM ends this process as Ctrl-C does, unless it has a handler already, so that
    a run that is stopped can say so.

    Args:
        experiment: Any experiment.
        database: From `connect`.

    Raises:
        ServerUnavailableError: The server does not let us write.
    """
    observer = make_observer(database)
    add_own_code(experiment)
    experiment.observers.append(observer)

    def attach(_run: SacredRun) -> None:
        observer.attach(_run)

    experiment.pre_run_hook(attach)
    in_main_thread = threading.current_thread() is threading.main_thread()
    if in_main_thread and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, signal.default_int_handler)


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

    def __init__(self, database: Database, journal_folder: Path) -> None:
        self._database = database
        self._journal_folder = journal_folder
        # Events come from the main thread and from the heartbeat's.
        self._lock = threading.RLock()
        self._run_id: int | None = None
        self._heartbeat: threading.Thread | None = None
        self._is_attached = False
        self._is_finished = False
        self._is_waiting_told = False
        self._process = os.getpid()

    def attach(self, run: SacredRun) -> None:
        """Journal each point of a metric when it is logged, and what is noted already, at once.

        To be called after the run's start: as, or in, a pre-run hook.
        """
        run._metrics = _JournaledMetrics(self)
        self._is_attached = True
        self._heartbeat = run._heartbeat
        if self._run_id is not None:
            # What the run has noted before its start is not to wait for the first heartbeat.
            self.heartbeat_event(run.info, run.captured_out, now(), None)
        name = getattr(getattr(run._output_file, "buffer", None), "name", None)
        if self._run_id is None or not isinstance(name, str):
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
            self._tell_of_earlier_runs()
        token = secrets.token_hex(16)
        entry = run_entry(ex_info, command, host_info, start_time, config, meta_info)
        entry["tracking"] = {"token": token, "identity": self.identity}
        self._run_id, self._heartbeat, self._is_attached = None, None, False
        self._process, self._is_finished = os.getpid(), False
        self._journal = Journal.create(self._journal_folder, token)
        try:
            header = location_of_run(self._database, token, entry)
            self._journal.write_header(header)
            run_id = insert_run(self._database, entry, Path(ex_info["base_dir"]))
            self._journal.write_header({**header, "run_id": run_id})
        except BaseException:
            self._journal.discard()
            raise
        self._run_id, self._record = run_id, RunRecord(token)
        delivery = Delivery(self._database, self._journal, run_id, token)
        self._courier = Courier(delivery, self._journal, f"run {run_id}")
        self._courier.start()
        return run_id

    def heartbeat_event(
        self, info: Mapping[str, Any], captured_out: str, beat_time: datetime, result: Any
    ) -> None:
        """Take the state of the run's document."""
        with self._lock, self._record.unforeseen_errors_noted("a heartbeat"):
            if not self._record.is_ended:  # else it comes too late
                self._record.take_heartbeat(info, captured_out, beat_time, result)
                self._write_document()

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
        self._require_own_process(f"metric {name!r}")
        with self._lock, self._record.unforeseen_errors_noted(f"metric {name!r}"):
            index = self._record.counts.get(name, 0)
            count = partial(self._record.counts.__setitem__, name, index + 1)
            try:
                if not isinstance(name, str):
                    raise TypeError("a metric's name is a text")
                point = {"step": measurement(step), "value": measurement(value)}
                point.update(kind="point", name=name, index=index, time=time or now())
                bson.encode(point)
            except _UNSTORABLE as problem:
                given = f"{value!r:.80}"
                self._record.note_unstorable(
                    f"metric {name!r}, step {step}: {given} cannot be stored ({problem})"
                )
                return
            self._append(point, count)

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
        self._require_own_process(f"artifact {name!r}")
        with self._lock, self._record.unforeseen_errors_noted(f"artifact {name!r}"):
            added = self._record.next_added()
            event = {"kind": "artifact", "name": name, "added": added}
            event.update(metadata=to_plain(metadata or {}), content_type=content_type)
            sha256 = self._append_file(f"artifact {name!r}", event, Path(filename))
            if sha256 is not None:
                self._record.take_artifact(name, added, sha256)

    def resource_event(self, filename: str) -> None:
        """Take a file that the run read; it is stored once per version."""
        with self._lock, self._record.unforeseen_errors_noted(f"resource {filename}"):
            event = {"kind": "resource", "name": str(filename)}
            self._append_file(f"resource {filename}", event, Path(filename))

    def completed_event(self, stop_time: datetime, result: Any) -> None:
        """Deliver everything and mark the run COMPLETED.

        Raises:
            SystemExit: Something is not in MongoDB. Sacred then reports the run as failed.
        """
        self._await_heartbeat()
        with self._lock:
            self._record.take_result(result)
            message = self._finish_whatever("COMPLETED", stop_time)
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
        if self._run_id is None or self._is_finished:
            return  # not started, or its end was told already
        self._await_heartbeat()
        with self._lock:
            message = self._finish_whatever(status, stop_time, fail_trace)
        if message:
            print(message, file=sys.stderr)

    def _await_heartbeat(self) -> None:
        """Sacred waits two seconds for the last heartbeat, which has the end of the output."""
        if self._heartbeat is not None:
            self._heartbeat.join(LAST_HEARTBEAT)

    def _finish_whatever(
        self, status: str, stop_time: datetime, fail_trace: list[str] | None = None
    ) -> str:
        """Finish; Sacred would swallow an exception, and nobody would hear of it."""
        try:
            return self._finish(status, stop_time, fail_trace)
        except Exception as problem:
            self._is_finished = True
            self._courier.stop()
            self._journal.close()
            return (
                f"the end of run {self._run_id} could not be stored ({short_reason(problem)}); "
                f"`{SYNC_COMMAND}` delivers what is in {self._journal.folder}"
            )

    def _finish(self, status: str, stop_time: datetime, fail_trace: list[str] | None = None) -> str:
        """Deliver all; returns what to tell where not all is in MongoDB."""
        with (
            self._record.unforeseen_errors_noted("what is too large for the run's document"),
            tempfile.TemporaryDirectory() as folder,
        ):
            for path in self._record.write_large_fields(Path(folder)):
                self.artifact_event(path.name, str(path))
        self._record.end(status, stop_time, fail_trace)
        is_kept = self._write_document()
        try:
            is_delivered = self._courier.finish()
        except KeyboardInterrupt:  # ends the waiting
            is_delivered = False
        self._courier.stop()
        self._is_finished = True
        if not is_delivered:
            return self._undelivered(is_kept)
        self._journal.discard()
        missing = "; ".join([*self._record.refusals, *(self._courier.missing or ())])
        if not missing:
            return ""
        return f"run {self._run_id} is FAILED, for it is incomplete in MongoDB: {missing}"

    def _undelivered(self, is_kept: bool) -> str:
        folder, megabytes = self._journal.folder, self._journal.size / 2**20
        reason = self._courier.problem or "the waiting for it was ended"
        self._journal.close()
        if self._courier.is_gone:
            return f"run {self._run_id} cannot be stored: {reason}"
        if not is_kept:
            return (
                f"run {self._run_id} is incomplete in MongoDB ({reason}) and its end could not be "
                f"written to {folder}; free some space, then `{SYNC_COMMAND}` delivers the rest"
            )
        return (
            f"run {self._run_id} is not all in MongoDB ({reason}): its last events and its end "
            f"wait in {folder} ({megabytes:.1f} MB); when the server is back, `{SYNC_COMMAND}` "
            "delivers them"
        )

    def _tell_of_earlier_runs(self) -> None:
        waiting = [path for path in journal_folders(self._journal_folder) if is_finished(path)]
        if waiting:
            _LOG.warning(
                "%d earlier %s not all in MongoDB yet: `%s` delivers the rest",
                len(waiting), "runs are" if len(waiting) > 1 else "run is", SYNC_COMMAND,
            )  # fmt: skip

    def _append_file(self, what: str, event: dict[str, Any], path: Path) -> str | None:
        """Journal an event with a file; returns the file's SHA-256, None where it is refused."""
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

    def _append(self, event: Mapping[str, Any], on_written: Callable[[], object]) -> None:
        journal = self._journal
        if not self._when_there_is_room(lambda: journal.append(event, on_written), event):
            on_written()
        self._courier.wake()

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
            time.sleep(1.0)

    def _require_own_process(self, what: str) -> None:
        if os.getpid() != self._process:
            raise TrackingError(
                f"{what}: process {os.getpid()} was forked from run {self._run_id}; expected the "
                f"run's own process {self._process} to log: hand it the values"
            )

    def _write_document(self) -> bool:
        """Journal the state of the run's document; False where the disk did not take it."""
        is_written = True
        try:
            self._journal.write_document(self._record.document())
        except JournalFullError as problem:
            _LOG.warning("run %s: %s", self._run_id, problem)
            is_written = False
        self._courier.wake()
        return is_written


class _JournaledMetrics(MetricsLogger):  # type: ignore[misc]  # Sacred has no types
    """Sacred's metrics, each point of which goes to the journal when it is logged."""

    def __init__(self, observer: TrackingObserver) -> None:
        super().__init__()
        self._observer = observer
        self._for_others: deque[ScalarMetricLogEntry] = deque()

    def log_scalar_metric(self, metric_name: str, value: Any, step: Any = None) -> None:
        """Log one point."""
        if step is None:
            step = self._metric_step_counter.get(metric_name, -1) + 1
        self._metric_step_counter[metric_name] = step
        self._observer.log_point(metric_name, value, step)
        # For other observers. Sacred's queue, interrupted in the middle, would never open again.
        self._for_others.append(ScalarMetricLogEntry(metric_name, step, now(), value))

    def get_last_metrics(self) -> list[ScalarMetricLogEntry]:
        """What was logged since the last call."""
        return [self._for_others.popleft() for _ in range(len(self._for_others))]

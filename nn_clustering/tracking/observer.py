"""The observer that stores Sacred runs in MongoDB and says so when it cannot.

Sacred's own observer is switched off by its first failed write, and the run still counts as
completed. This one keeps what it could not deliver, tries again with every heartbeat and at the
end, and if something is left over, saves it to a folder and makes the run fail.
"""

from __future__ import annotations

import json
import logging
import mimetypes
import sys
import tempfile
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gridfs
import pymongo
import pymongo.errors
from sacred.observers import MongoObserver

from nn_clustering.errors import ServerUnavailableError, TrackingError
from nn_clustering.tracking._delivery import (
    FAILURES,
    PAUSES,
    Artifact,
    Batch,
    Leftovers,
    PendingMetrics,
    digest_file,
    with_retries,
)
from nn_clustering.tracking._plain import (
    LARGE_FIELDS,
    shortened,
    storable,
    to_number,
    to_plain,
    without_passwords,
)

if TYPE_CHECKING:
    from datetime import datetime

    from pymongo.database import Database

_LOG = logging.getLogger(__name__)


def make_observer(database: Database, *, failure_folder: Path | None = None) -> TrackingObserver:
    """An observer that stores runs in the database, ready to append to `experiment.observers`.

    Args:
        database: From `connect`, so that writes are journalled and time out soon.
        failure_folder: Where to save what cannot be delivered at the end of a run; default
            `.mongo/undelivered` in the project's folder.

    Raises:
        ServerUnavailableError: The server does not let us write (the indexes are made here).
    """
    if failure_folder is None:
        from nn_clustering.tracking.server import project_root

        failure_folder = project_root() / ".mongo" / "undelivered"
    try:
        database["metrics"].create_index([("run_id", 1), ("name", 1)])
        database["runs"].create_index([("experiment.name", 1), ("status", 1), ("start_time", -1)])
        database["fs.files"].create_index([("md5", 1), ("filename", 1)], sparse=True)
    except pymongo.errors.PyMongoError as problem:
        reason = f"cannot write to database {database.name!r} ({type(problem).__name__})"
    else:
        return TrackingObserver(database, failure_folder)
    raise ServerUnavailableError(
        f"{reason}; expected a server that runs and a user with the role readWrite; check MONGO_URL"
    )


class TrackingObserver(MongoObserver):
    """Stores one run; see `make_observer`.

    A run whose data could not all be delivered ends as FAILED: `completed_event` raises
    SystemExit with the message, the only thing that Sacred lets through at that point.
    """

    def __init__(self, database: Database, failure_folder: Path) -> None:
        self.initialize(
            database["runs"],
            gridfs.GridFS(database),
            metrics_collection=database["metrics"],
            failure_dir=str(failure_folder),
        )
        self._pending = PendingMetrics(database["metrics"])
        self._leftovers = Leftovers(failure_folder)
        # Events come from the main thread and from the heartbeat's.
        self._lock = threading.RLock()
        self._is_finished = False

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
            TrackingError: An id was given. Numbers are the database's to give: after one run
                with the id "x", Sacred can number no other.
            ServerUnavailableError: The document cannot be stored.
        """
        if _id is not None:
            raise TrackingError(
                f"the run was given the id {_id!r}; the database numbers runs: leave out -i"
            )
        try:
            run_id: int = super().started_event(
                to_plain(ex_info), command, to_plain(host_info), start_time, to_plain(config),
                to_plain(meta_info), None,
            )  # fmt: skip
        except FAILURES as problem:
            reason = without_passwords(str(problem))[:200]
            raise ServerUnavailableError(
                f"the run cannot be stored in database {self.runs.database.name!r}: {reason}; "
                "check the server, then start the run again"
            ) from None
        self._leftovers.run_id = self._pending.run_id = run_id
        return run_id

    def insert(self) -> None:
        """Insert the run under the next free number."""
        while True:
            newest = self.runs.find_one(
                {"_id": {"$type": "number"}}, {"_id": 1}, sort=[("_id", -1)]
            )
            self.run_entry["_id"] = int(newest["_id"]) + 1 if newest else 1
            try:
                self.runs.insert_one(self.run_entry)
                return
            except pymongo.errors.DuplicateKeyError:
                continue  # another run took the number

    def save_sources(self, ex_info: Mapping[str, Any]) -> list[list[Any]]:
        """Store each source file once per version; Sacred's stores it again for every run."""
        folder = Path(ex_info["base_dir"])
        return [[name, self._store_once(folder / name, md5)] for name, md5 in ex_info["sources"]]

    def heartbeat_event(
        self, info: Mapping[str, Any], captured_out: str, beat_time: datetime, result: Any
    ) -> None:
        """Update the run's document; a failure waits for the next heartbeat."""
        with self._lock:
            self.run_entry.update(
                info=storable(info),
                captured_out=without_passwords(captured_out),
                heartbeat=beat_time,
                result=storable(result),
            )
            self.save()

    def log_metrics(self, metrics_by_name: Mapping[str, Any], info: dict[str, Any]) -> None:
        """Store measurements; what does not arrive is sent with the next heartbeat."""
        with self._lock:
            known = {entry["name"] for entry in info.get("metrics", ())}
            for name, measured in metrics_by_name.items():
                values = [to_number(value) for value in measured["values"]]
                steps = [to_number(step) for step in measured["steps"]]
                metric_id = self._pending.add(Batch(name, steps, values, measured["timestamps"]))
                if name not in known:
                    info.setdefault("metrics", []).append({"name": name, "id": metric_id})
            try:
                self._pending.deliver()
            except FAILURES as problem:
                self._warn("metrics wait for the next heartbeat", problem)

    def artifact_event(
        self,
        name: str,
        filename: str,
        metadata: Mapping[str, Any] | None = None,
        content_type: str | None = None,
    ) -> None:
        """Store a file with its SHA-256 and size in bytes in its metadata."""
        artifact = Artifact(name, Path(filename), metadata, content_type)
        with self._lock:
            if not self._store_artifact(artifact):
                self._leftovers.keep_artifact(artifact)

    def resource_event(self, filename: str) -> None:
        """Store a file that the run read, once per version."""
        with self._lock:
            try:
                md5 = digest_file(Path(filename), "md5")
                with_retries(lambda: self._store_once(Path(filename), md5))
            except (*FAILURES, OSError) as problem:
                self._warn(f"resource {filename} could not be stored", problem)
                self._leftovers.add(f"resource {filename}")
                return
            if (filename, md5) not in self.run_entry["resources"]:
                self.run_entry["resources"].append((filename, md5))
                self.save()

    def completed_event(self, stop_time: datetime, result: Any) -> None:
        """Deliver everything and mark the run COMPLETED.

        Raises:
            SystemExit: Something could not be delivered. Sacred then reports the run as failed.
        """
        with self._lock:
            self.run_entry.update(stop_time=stop_time, result=storable(result))
            self._finish("COMPLETED")
            if self._leftovers.any:
                raise SystemExit(self._leftovers.message())

    def interrupted_event(self, interrupt_time: datetime, status: str) -> None:
        """Deliver what there is and mark the run INTERRUPTED (or what the exception says)."""
        self._finish_early(status, stop_time=interrupt_time)

    def failed_event(self, fail_time: datetime, fail_trace: list[str]) -> None:
        """Deliver what there is and mark the run FAILED."""
        self._finish_early("FAILED", stop_time=fail_time, fail_trace=to_plain(fail_trace))

    def save(self) -> None:
        """Write the run's document; a failure waits for the next save."""
        try:
            self._write()
        except FAILURES as problem:
            self._warn("the run's document waits for the next heartbeat", problem)

    def _finish_early(self, status: str, **fields: Any) -> None:
        with self._lock:
            is_started = self.run_entry is not None and self.run_entry.get("_id") is not None
            if self._is_finished or not is_started:
                return
            self.run_entry.update(fields)
            self._finish(status)
            if self._leftovers.any:
                print(self._leftovers.message(), file=sys.stderr)

    def _finish(self, status: str) -> None:
        """Deliver what is pending, then the document with its final status."""
        self._is_finished = True
        self.run_entry["status"] = status
        try:
            with_retries(self._ping)  # one wait for the server, not one for each thing to store
            self._deliver()
            self._mark_incomplete()
            with_retries(self._write)
        except (*FAILURES, OSError, KeyboardInterrupt) as problem:  # Ctrl-C ends the waiting
            self._warn("the run could not be stored", problem)
            self._leftovers.keep_metrics(self._pending.take())
            self._mark_incomplete()
            self._leftovers.keep_document(self.run_entry)

    def _deliver(self) -> None:
        for artifact in list(self._leftovers.artifacts):
            if self._store_artifact(artifact):
                self._leftovers.forget_artifact(artifact)
        with_retries(self._pending.deliver)
        self._leftovers.keep_metrics(self._pending.take())
        self._move_out_large_fields()

    def _mark_incomplete(self) -> None:
        if self._leftovers.any:
            self.run_entry["status"] = "FAILED"
            self.run_entry.setdefault("fail_trace", [self._leftovers.message()])

    def _ping(self) -> None:
        with pymongo.timeout(3.0):
            self.runs.database.command("ping")

    def _write(self) -> None:
        entry = {key: value for key, value in self.run_entry.items() if key != "_id"}
        for field, artifact in LARGE_FIELDS.items():
            entry[field] = shortened(entry.get(field), artifact)
        self.runs.update_one({"_id": self.run_entry["_id"]}, {"$set": entry}, upsert=True)

    def _move_out_large_fields(self) -> None:
        """Store what is too large for the run's document as an artifact."""
        for field, artifact in LARGE_FIELDS.items():
            value = self.run_entry.get(field)
            if shortened(value, artifact) is value:
                continue
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / artifact
                path.write_text(value if field == "captured_out" else json.dumps(value), "utf-8")
                self.artifact_event(artifact, str(path))

    def _store_artifact(self, artifact: Artifact) -> bool:
        """Store the file; False where it could not be done."""
        try:
            # It is tried again at the end; the run need not stand still for the server now, and
            # where the server is known to be away, not at all.
            pauses = () if self._leftovers.artifacts else PAUSES[:1]
            with_retries(lambda: self._put(artifact), pauses)
        except (*FAILURES, OSError) as problem:
            self._warn(f"artifact {artifact.name!r} could not be stored", problem)
            return False
        self.save()
        return True

    def _put(self, artifact: Artifact) -> None:
        facts = {
            "sha256": digest_file(artifact.path, "sha256"),
            "size": artifact.path.stat().st_size,
        }
        guess = mimetypes.guess_type(artifact.name)[0] or "application/octet-stream"
        with artifact.path.open("rb") as handle:
            file_id = self.fs.put(
                handle,
                filename=f"artifact://{self.runs.name}/{self.run_entry['_id']}/{artifact.name}",
                metadata={**to_plain(artifact.metadata or {}), **facts},
                content_type=artifact.content_type or guess,
            )
        self.run_entry["artifacts"].append({"name": artifact.name, "file_id": file_id})

    def _store_once(self, path: Path, md5: str) -> Any:
        """Id of the stored copy of this version of the file."""
        stored = self.fs.find_one({"md5": md5, "filename": str(path)})
        if stored is not None:
            return stored._id
        with path.open("rb") as handle:
            return self.fs.put(handle, filename=str(path), md5=md5)

    def _warn(self, what: str, problem: BaseException) -> None:
        _LOG.warning("%s (%s)", what, without_passwords(str(problem))[:200])

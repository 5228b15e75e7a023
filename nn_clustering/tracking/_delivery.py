"""What makes delivery to MongoDB dependable: retries, exactly-once metrics, what is left over."""

from __future__ import annotations

import contextlib
import hashlib
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import bson
import bson.errors
import pymongo.errors
from bson import json_util

if TYPE_CHECKING:
    from pymongo.collection import Collection

# Pauses between attempts in seconds. An unreachable server costs three more for each attempt, so
# a run gives up on it after about fifteen.
PAUSES = (0.5, 1.0, 2.0)
TRANSIENT = (
    pymongo.errors.ConnectionFailure,
    pymongo.errors.ExecutionTimeout,
    pymongo.errors.WTimeoutError,
)
# All that storing can raise: a document that is too large, for one, is no PyMongoError.
FAILURES = (pymongo.errors.PyMongoError, bson.errors.BSONError, OverflowError)


def with_retries(action: Callable[[], Any], pauses: Sequence[float] = PAUSES) -> Any:
    """Do it, and again after each pause (seconds) while the server is out of reach."""
    for pause in pauses:
        try:
            return action()
        except TRANSIENT:
            time.sleep(pause)
    return action()


def digest_file(path: Path, algorithm: str) -> str:
    """Hex digest of a file's content, read in pieces."""
    digest = hashlib.new(algorithm, usedforsecurity=False)
    with path.open("rb") as handle:
        while piece := handle.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()


class Batch(NamedTuple):
    """Measurements of one metric that are written together."""

    name: str
    steps: list[Any]
    values: list[Any]
    timestamps: list[Any]

    def columns(self) -> dict[str, list[Any]]:
        """The measurements as the metrics collection holds them."""
        return {"steps": self.steps, "values": self.values, "timestamps": self.timestamps}


class PendingMetrics:
    """Measurements on their way to the metrics collection, each stored exactly once.

    A write whose acknowledgement got lost may have happened. So a batch never changes once it was
    tried, and each write names the number of values that it expects to find: tried again, it does
    nothing if it already succeeded.
    """

    def __init__(self, collection: Collection) -> None:
        self.run_id: int | None = None
        self._collection = collection
        self._waiting: list[Batch] = []
        self._rejected: list[Batch] = []
        self._ids: dict[str, bson.ObjectId] = {}
        self._counts: dict[str, int] = {}

    def add(self, batch: Batch) -> str:
        """Queue measurements; returns the id of the metric's document."""
        self._waiting.append(batch)
        return str(self._ids.setdefault(batch.name, bson.ObjectId()))

    def deliver(self) -> None:
        """Write everything that waits, in order; what the server cannot take now keeps waiting."""
        while self._waiting:
            batch = self._waiting[0]
            try:
                self._write(batch)
            except TRANSIENT:
                raise
            except FAILURES:
                self._rejected.append(batch)  # would fail for ever, and hold up all the others
            else:
                count = self._counts.get(batch.name, 0)
                self._counts[batch.name] = count + len(batch.steps)
            del self._waiting[0]

    def take(self) -> list[Batch]:
        """Give up on what was rejected or still waits, and hand it over."""
        given_up = self._rejected + self._waiting
        self._rejected, self._waiting = [], []
        return given_up

    def _write(self, batch: Batch) -> None:
        metric_id, count = self._ids[batch.name], self._counts.get(batch.name, 0)
        if count:
            self._collection.update_one(
                {"_id": metric_id, f"steps.{count}": {"$exists": False}},
                {"$push": {key: {"$each": column} for key, column in batch.columns().items()}},
            )
            return
        document = {"_id": metric_id, "run_id": self.run_id, "name": batch.name}
        with contextlib.suppress(pymongo.errors.DuplicateKeyError):  # it succeeded after all
            self._collection.insert_one({**document, **batch.columns()})


class Artifact(NamedTuple):
    """A file to be stored with a run."""

    name: str
    path: Path
    metadata: Mapping[str, Any] | None = None
    content_type: str | None = None


class Leftovers:
    """What could not be delivered: kept in a folder, one sub-folder a run, and listed."""

    def __init__(self, folder: Path) -> None:
        self.run_id: int | None = None
        self.artifacts: list[Artifact] = []
        self._lost: list[str] = []
        self._folder = folder

    @property
    def any(self) -> bool:
        """Whether anything is missing in the database."""
        return bool(self._lost or self.artifacts)

    def message(self) -> str:
        """What was lost and where it was saved, in one line."""
        things = [*self._lost, *(f"artifact {artifact.name!r}" for artifact in self.artifacts)]
        return (
            f"run {self.run_id} is incomplete in MongoDB: {', '.join(things)} could not be "
            f"stored; what could be saved is in {self._run_folder()}; check the server, then "
            "repeat the run"
        )

    def add(self, thing: str) -> None:
        """List something that cannot be saved either."""
        self._lost.append(thing)

    def keep_artifact(self, artifact: Artifact) -> None:
        """Copy the file, for it may be a temporary one, to try it again at the end."""
        copy = self._run_folder() / Path(artifact.name).name
        try:
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(artifact.path, copy)
        except OSError as problem:
            self.add(f"artifact {artifact.name!r} ({problem.strerror})")
        else:
            self.artifacts.append(artifact._replace(path=copy))

    def forget_artifact(self, artifact: Artifact) -> None:
        """The artifact arrived after all: remove the copy."""
        self.artifacts.remove(artifact)
        artifact.path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # not empty
            self._run_folder().rmdir()

    def keep_metrics(self, batches: list[Batch]) -> None:
        """Save measurements."""
        if batches:
            self.add(f"metrics {', '.join(sorted({batch.name for batch in batches}))}")
            self._save("metrics.json", [batch._asdict() for batch in batches])

    def keep_document(self, entry: Mapping[str, Any]) -> None:
        """Save the run's document."""
        self.add("the run's document")
        self._save("run.json", entry)

    def _save(self, name: str, content: Any) -> None:
        try:
            self._run_folder().mkdir(parents=True, exist_ok=True)
            path = self._run_folder() / name
            path.write_text(json_util.dumps(content, indent=1), encoding="utf-8")
        except OSError as problem:
            self.add(f"{name} ({problem.strerror})")

    def _run_folder(self) -> Path:
        return self._folder / f"run-{self.run_id}"

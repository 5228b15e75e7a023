"""From a run's journal to MongoDB: in order, everything once, however often it is tried.

Nothing remembers how far a delivery came. Each event says where it belongs (the point of a metric
its index, an artifact its time), and what is there already is not written again; so the run itself,
and `sync` after its end, on whatever part of the journal is left, do the same thing.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby, islice, pairwise
from operator import itemgetter
from pathlib import Path
from time import time_ns
from typing import TYPE_CHECKING, Any

import bson
import bson.errors
import pymongo.errors
from pymongo import UpdateOne

from nn_clustering.tracking.encoding import without_passwords
from nn_clustering.tracking.errors import TrackingError
from nn_clustering.tracking.gridfs import (
    DUPLICATE_KEY,
    add_artifact,
    digest_file,
    digest_id,
    is_intact,
    store_source,
)

if TYPE_CHECKING:
    from pymongo.database import Database

    from nn_clustering.tracking.writing.journal import Journal

# A document holds 16 MB; a metric of more points than this goes on in another one.
POINTS_A_DOCUMENT = 100_000
POINTS_A_WRITE = 20_000
_EPOCH = datetime(1970, 1, 1)
# All that a delivery can end with: it is tried again.
FAILURES = (pymongo.errors.PyMongoError, bson.errors.BSONError, OverflowError, OSError)
# The status of a run whose process ended without a word.
DIED = "DIED"
# MongoDB's codes for what it will never take: too large a document, by itself or after an update;
# too deeply nested; bad values and names.
_FINAL = (10334, 17419, 15, 2, 9, 52, 55, 57)
# Fields that say how the run stands: never written before the others.
_OF_THE_END = {"status", "stop_time", "heartbeat"}
# Of a metric's document, and the keys of a point that they are made of.
_COLUMNS = (("steps", "step"), ("values", "value"), ("timestamps", "time"))


class RunGoneError(TrackingError):
    """The run's document is not in the database."""


class Delivery:
    """Delivers the journal of one run; one thread at a time may use it."""

    def __init__(self, database: Database, journal: Journal, run_id: int, token: str) -> None:
        """Deliver to the run of this id that carries this token."""
        self._database = database
        self._journal = journal
        self._run_id = run_id
        self._token = token
        # What each metric document has; None where that has to be asked for.
        self._counts: dict[Any, _Stored] | None = None
        self._sent: dict[str, bytes] = {}
        self._problems: dict[str, None] = {}
        self._left_out: set[str] = set()

    def deliver_events(self) -> None:
        """Write all events of the journal, and remove from it what the server acknowledged.

        Raises:
            PyMongoError: The server cannot be reached, or does not take something now.
            TrackingError: The database has no such run any more, or has lost what it acknowledged.
            OSError: The journal cannot be read.
        """
        if self._journal.is_empty:
            return
        self.require_run()  # first of all, so that an outage leaves the journal as it is
        for segment in self._journal.segments():
            records = self._journal.records(segment)
            self.write(records)
            self._journal.drop(segment, records)

    def write(self, records: Iterable[Mapping[str, Any]]) -> None:
        """Write events, in their order."""
        for kind, group in groupby(records, key=itemgetter("kind")):
            size = POINTS_A_WRITE if kind == "point" else 1
            while batch := list(islice(group, size)):
                try:
                    (self._write_points if kind == "point" else self._write_files)(batch)
                except pymongo.errors.OperationFailure as problem:
                    # It would hold up all the others for ever; `missing` will name it.
                    if not _is_final(problem):
                        raise

    def deliver_document(self, document: Mapping[str, Any]) -> list[str]:
        """Write what changed of the run's document; the end of a run only once it is true.

        To be called after all events that were logged before it are delivered.

        Returns:
            What an ended run lacks in the database although it was logged, in words. Its status
            is FAILED then, unless it died.

        Raises:
            RunGoneError: The database has no such run any more.
            PyMongoError: The server cannot be reached, or does not take it now.
        """
        fields = {
            key: value
            for key, value in document.get("fields", {}).items()
            if key not in self._left_out
        }
        missing: list[str] = []
        if document.get("finished"):
            # Omniboard takes the time from the start to the last heartbeat for the duration.
            fields["heartbeat"] = fields["stop_time"]
            has_died = fields["status"] == DIED  # and may have logged more than was counted
            expected = self.missing(document.get("expected", {}), at_least=has_died)
            missing = [*self.damages, *expected]
            if missing and not has_died:
                fields["status"] = "FAILED"
            if missing:
                trace = f"not everything that was logged is in MongoDB: {'; '.join(missing)}"
                if self._journal.damages:
                    trace += f"; what is left of it is in {self._journal.kept_folder}"
                fields["fail_trace"] = [*fields.get("fail_trace", ()), trace]
        else:
            fields["heartbeat"] = now()
        try:
            self._set_fields(fields)
        except (pymongo.errors.OperationFailure, pymongo.errors.DocumentTooLarge) as problem:
            if isinstance(problem, pymongo.errors.OperationFailure) and not _is_final(problem):
                raise
            if not self._leave_out_what_is_refused(fields):
                raise
            return self.deliver_document(document)
        return missing

    def _leave_out_what_is_refused(self, fields: Mapping[str, Any]) -> bool:
        """Find fields that the server will never take, so as not to send them again."""
        refused = {}
        sizes = {key: len(bson.encode({"": fields[key]})) for key in fields}
        # The largest last: where all do not fit together, it is the one to go.
        for key in sorted(fields.keys() - _OF_THE_END, key=sizes.__getitem__):
            try:
                self._set_fields({key: fields[key]})
            except (pymongo.errors.OperationFailure, pymongo.errors.DocumentTooLarge) as problem:
                refused[key] = short_reason(problem)
        self._left_out |= set(refused)
        for key, why in refused.items():
            self._problems[f"{key} cannot be stored ({why})"] = None
        return bool(refused)

    @property
    def damages(self) -> list[str]:
        """What cannot be delivered any more, in words."""
        return [*self._journal.damages, *self._problems]

    def metric_entries(self) -> list[dict[str, str]]:
        """Sacred's list of the run's metrics, of those documents that the database has."""
        return [
            {"name": document["name"], "id": str(document["_id"])}
            for document in self._stored_metrics()
        ]

    def metric_counts(self) -> dict[str, int]:
        """Names of the metrics that the database has of the run, with their numbers of points."""
        counts: dict[str, int] = defaultdict(int)
        for document in self._stored_metrics():
            counts[document["name"]] += document["n"]
        return dict(counts)

    def _set_fields(self, fields: Mapping[str, Any]) -> None:
        """Write those fields that differ from what was last written, and that the run is alive."""
        digests = {key: hashlib.sha256(bson.encode({"": fields[key]})).digest() for key in fields}
        changed = {key: fields[key] for key in fields if self._sent.get(key) != digests[key]}
        update: dict[str, Any] = {"$currentDate": {"tracking.last_seen": True}}
        if "status" in fields:  # someone may have taken the run for dead meanwhile
            changed["status"] = fields["status"]
            if "stop_time" not in fields:
                update["$unset"] = {"stop_time": ""}
        self._sent = {key: self._sent[key] for key in self._sent if key not in changed}
        updated = self._database["runs"].update_one(
            {"_id": self._run_id, "tracking.token": self._token},
            {"$set": changed, **update},
        )
        if updated.matched_count == 0:
            raise self._gone()
        self._sent.update(digests)

    def require_run(self) -> None:
        """Raise RunGoneError if the database has no such run any more."""
        run = {"_id": self._run_id, "tracking.token": self._token}
        if self._database["runs"].find_one(run, {"_id": 1}) is None:
            raise self._gone()

    def _gone(self) -> RunGoneError:
        return RunGoneError(
            f"run {self._run_id} is no longer in database {self._database.name!r}: it was "
            f"deleted there; what it logged since is in {self._journal.folder}"
        )

    def missing(self, expected: Mapping[str, Any], *, at_least: bool = False) -> list[str]:
        """What of the things that were logged is not in the database, in words.

        Args:
            expected: `metrics`, the name and the number of points of each, and `artifacts`, for
                each its name, the time when it was added, and its SHA-256.
            at_least: Whether metrics may have more points.
        """
        found = self.metric_counts()
        differences = [
            f"metric {name!r} has {found.get(name, 0)} points of {count}"
            for name, count in expected.get("metrics", ())
            if found.get(name, 0) != count and not (at_least and found.get(name, 0) > count)
        ]
        run = self._database["runs"].find_one({"_id": self._run_id}, {"artifacts": 1}) or {}
        entries = {_key(entry): entry["file_id"] for entry in run.get("artifacts", ())}
        for artifact in expected.get("artifacts", ()):
            file_id = entries.get(_key(artifact))
            if not is_intact(self._database, file_id, artifact["sha256"]):
                differences.append(f"artifact {artifact['name']!r} is not there whole")
        return differences

    def _write_points(self, points: Sequence[Mapping[str, Any]]) -> None:
        for _ in range(10):
            if self._counts is None:
                self._counts = {
                    entry["_id"]: _Stored(entry["n"], sum(count for _, count in entry["gaps"]))
                    for entry in self._stored_metrics()
                }
            updates = dict(self._updates(points))
            if not updates:
                return
            counts, self._counts = self._counts, None  # unknown until we are told what happened
            try:
                result = self._database["metrics"].bulk_write(
                    [update for update, _ in updates.values()], ordered=False
                )
            except pymongo.errors.BulkWriteError as problem:
                errors = problem.details["writeErrors"]
                if any(error["code"] != DUPLICATE_KEY for error in errors):
                    raise
                continue  # an earlier attempt was written after all
            if result.matched_count + result.upserted_count == len(updates):
                self._counts = {**counts, **{key: count for key, (_, count) in updates.items()}}
                return
        raise TrackingError(f"someone else writes the metrics of run {self._run_id}")

    def _updates(
        self, points: Sequence[Mapping[str, Any]]
    ) -> Iterator[tuple[Any, tuple[UpdateOne, _Stored]]]:
        """For each metric document that lacks points: its id, the update, what it has after it."""
        assert self._counts is not None
        by_document: dict[tuple[str, int], list[Mapping[str, Any]]] = defaultdict(list)
        for point in points:
            by_document[point["name"], point["index"] // POINTS_A_DOCUMENT].append(point)
        for (name, part), its_points in by_document.items():
            key = metric_id(self._token, name, part)
            stored = self._counts.get(key, _Stored(0, 0))
            start = part * POINTS_A_DOCUMENT + stored.n + stored.n_lost
            new = [point for point in its_points if point["index"] >= start]
            if not new:
                continue
            gaps = _gaps([point["index"] for point in new], start)
            if gaps and not (self._journal.is_left or self._journal.damages):
                raise TrackingError(
                    f"metric {name!r} of run {self._run_id} has {start} points in database "
                    f"{self._database.name!r}, which acknowledged {new[0]['index']}: it was "
                    "restored from an old copy; what it lacks is lost, what follows is kept in "
                    f"{self._journal.folder}"
                )
            columns = {
                field: {"$each": [point[source] for point in new]} for field, source in _COLUMNS
            }
            if gaps:  # which say, for the next time, what index the next point has
                columns["gaps"] = {"$each": gaps}
            owner = {"run_id": self._run_id, "name": name, **({"part": part} if part else {})}
            # The number of points that it must have makes an attempt that arrives late do nothing.
            update = UpdateOne(
                {"_id": key, "steps": {"$size": stored.n}},
                {"$push": columns, "$setOnInsert": owner},
                upsert=stored.n == 0,
            )
            n_lost = stored.n_lost + sum(count for _, count in gaps)
            yield key, (update, _Stored(stored.n + len(new), n_lost))

    def _stored_metrics(self) -> list[Mapping[str, Any]]:
        """Id, name, number of points and gaps of the run's metric documents, not of others'."""
        found = self._database["metrics"].aggregate(
            [
                {"$match": {"run_id": self._run_id, "name": {"$type": "string"}}},
                {
                    "$project": {
                        "name": 1,
                        "part": 1,
                        "n": {"$size": {"$ifNull": ["$steps", []]}},
                        "gaps": {"$ifNull": ["$gaps", []]},
                    }
                },
                {"$sort": {"name": 1, "part": 1}},
            ]
        )
        return [
            entry
            for entry in found
            if entry["_id"] == metric_id(self._token, entry["name"], entry.get("part", 0))
        ]

    def _is_whole_copy(self, path: Path, sha256: str) -> bool:
        """Whether the disk has kept the copy of a file: a loss of power may have torn it."""
        try:
            return digest_file(path) == sha256
        except FileNotFoundError:
            return False
        except OSError:
            if self._journal.is_left:
                raise
            return False  # it will not be back while the run lives

    def _write_files(self, records: Iterable[Mapping[str, Any]]) -> None:
        for record in records:
            self._write_file(record)

    def _write_file(self, record: Mapping[str, Any]) -> None:
        runs, run = self._database["runs"], {"_id": self._run_id, "tracking.token": self._token}
        journal = self._journal
        path = Path(record["path"]) if "path" in record else journal.readable_file(record["file"])
        if record["kind"] == "artifact":
            document = runs.find_one(run, {"artifacts": 1}) or {}
            if _key(record) in {_key(entry) for entry in document.get("artifacts", ())}:
                return
        if "file" in record and not self._is_whole_copy(path, record["sha256"]):
            damage = f"the copy of {record['kind']} {record['name']!r} was torn"
            self._journal.damages[damage] = None
            return
        if record["kind"] == "resource":
            _, md5 = store_source(self._database, path, Path(record["name"]))
            runs.update_one(run, {"$addToSet": {"resources": [record["name"], md5]}})
            return
        add_artifact(
            self._database,
            self._run_id,
            path,
            record["name"],
            metadata=record["metadata"],
            content_type=record["content_type"],
            added=record["added"],
        )


@dataclass(frozen=True)
class _Stored:
    """What a metric's document has: points, and how many before its last one are lost."""

    n: int
    n_lost: int


def _gaps(indices: Sequence[int], start: int) -> list[list[int]]:
    """Where points are missing that go on from `start`: first index and number of each gap."""
    if indices[-1] - start + 1 == len(indices):
        return []
    before = [start - 1, *indices]
    return [[last + 1, index - last - 1] for last, index in pairwise(before) if index > last + 1]


def now() -> datetime:
    """The time (UTC) as MongoDB keeps it: without a zone, in whole milliseconds."""
    milliseconds = time_ns() // 1_000_000
    return _EPOCH + timedelta(milliseconds=milliseconds)


def metric_id(token: str, name: str, part: int = 0) -> bson.ObjectId:
    """Id of the document that holds points of a metric: known before it is stored."""
    return digest_id(bson.encode({"token": token, "name": name, "part": part}))


def metric_entries(token: str, counts: Mapping[str, int]) -> list[dict[str, str]]:
    """Sacred's list of a run's metrics, for `info.metrics`: name and id of each document."""
    return [
        {"name": name, "id": str(metric_id(token, name, part))}
        for name, count in counts.items()
        for part in range(-(-count // POINTS_A_DOCUMENT))
    ]


def _is_final(problem: pymongo.errors.OperationFailure) -> bool:
    errors = (problem.details or {}).get("writeErrors") or [{"code": problem.code}]
    return any(error["code"] in _FINAL for error in errors)


def short_reason(problem: BaseException) -> str:
    """Why a delivery failed, in one line."""
    text = " ".join(without_passwords(str(problem)).partition(", Timeout:")[0].split())
    known = isinstance(problem, (*FAILURES, TrackingError))
    return text[:300] if known else f"{type(problem).__name__}: {text[:300]}"


def _key(artifact: Mapping[str, Any]) -> tuple[str, datetime | None]:
    """By which an artifact's entry in the run's document is known again."""
    return artifact.get("original_name", artifact["name"]), artifact.get("added")

"""One stored run, and how its document is read."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from nn_clustering.tracking.errors import DamagedArtifactError, RunNotFoundError
from nn_clustering.tracking.names import safe_file_names
from nn_clustering.tracking.run_ids import (
    RunId,
    by_id,
    id_text,
    is_id,
    read_id,
    stored_id,
    stored_ids,
)
from nn_clustering.tracking.store.about import read_about
from nn_clustering.tracking.store.documents import read_document, read_documents
from nn_clustering.tracking.store.dropping import (
    DROPPED,
    DroppedArtifact,
    read_dropped,
    when_dropped,
)
from nn_clustering.tracking.store.fields import (
    EXPERIMENT,
    artifact_entries,
    as_list,
    as_mapping,
    as_named,
    as_text,
    as_texts,
    as_time,
    name_of_experiment,
)
from nn_clustering.tracking.store.metrics import last_values, metric_names, read_curves

if TYPE_CHECKING:
    from pandas import DataFrame
    from pymongo.database import Database

    from nn_clustering.tracking.store.artifact_cache import ArtifactCache

# Captured output and sources can be large, and no reader of many runs needs them.
FIELDS = {
    **EXPERIMENT,
    "status": 1,
    "config": 1,
    "result": 1,
    "info": 1,
    "start_time": 1,
    "stop_time": 1,
    "heartbeat": 1,
    "tracking.last_seen": 1,
    "host.hostname": 1,
    "meta.comment": 1,
    "omniboard": 1,
    "artifacts": 1,
}
_FILE_FIELDS = {"length": 1, "metadata": 1, "contentType": 1}
# What GridFS' reader raises on entries of files that it did not write.
_UNREADABLE = (TypeError, ValueError, AttributeError, LookupError, ArithmeticError)


@dataclass(frozen=True)
class StoredFile:
    """What is known of an artifact without reading it.

    Attributes:
        name: Its name in the run.
        size: Bytes; None where the file itself is lost.
        sha256: Hex digest of the content, None where none was stored with it.
        content_type: MIME type.
        added: When it was added to the run (UTC), None where that was not noted.
    """

    name: str
    size: int | None
    sha256: str | None
    content_type: str | None
    added: datetime | None


@dataclass(frozen=True)
class Run:
    """One stored run, as it was when it was read. All times are in UTC.

    Runs of other projects hold what their authors wrote: what is no mapping, text or time where
    one is expected is made to one as far as that goes.

    Attributes:
        id: The run's number; of runs of others a text, an ObjectId or another id.
        experiment: Name of the experiment that made it.
        status: RUNNING, COMPLETED, FAILED, INTERRUPTED or DIED (its process went away silently).
        config: The whole configuration.
        result: What the run returned.
        info: What the run noted besides.
        start_time: When it started.
        stop_time: When it ended; None while it runs.
        last_seen: Its last sign of life; None where there is none.
        host: Name of the machine that it ran on.
        tags: Words that the config or a user gave it.
        notes: What users noted about it.
        artifacts: Names of the stored files, in the order in which they were added.
    """

    id: RunId
    experiment: str
    status: str
    config: Mapping[str, Any]
    result: Any
    info: Mapping[str, Any]
    start_time: datetime | None
    stop_time: datetime | None
    last_seen: datetime | None
    host: str
    tags: tuple[str, ...]
    notes: str
    artifacts: tuple[str, ...]
    _entries: Mapping[str, Mapping[str, Any]] = field(repr=False, compare=False)
    _database: Database = field(repr=False, compare=False)
    _cache: ArtifactCache = field(repr=False, compare=False)

    __hash__ = None  # type: ignore[assignment]  # it holds mappings

    @property
    def duration(self) -> float | None:
        """Seconds from the start to the end, or to the last sign of life while it runs."""
        end = self.stop_time or self.last_seen
        return None if self.start_time is None or end is None else _seconds(self.start_time, end)

    @property
    def lineage(self) -> dict[str, RunId]:
        """Ids of the runs that this one read, by config key."""
        return read_ids(self.info.get("lineage"))

    @property
    def about(self) -> Mapping[str, Any]:
        """What the run is about, by itself and by what it read: its data set, its network, ..."""
        return read_about(self.info)

    @property
    def origin(self) -> Mapping[str, Any]:
        """For a run that was imported, the `store` that it came from and its `id` there."""
        return as_mapping(self._field("origin"))

    def artifact(self, name: str) -> bytes:
        """The content of a stored file, checked against the SHA-256 that was stored with it.

        What was read once comes from this machine's disk afterwards, checked in the same way.

        Raises:
            RunNotFoundError: The run has no artifact of this name.
            DamagedArtifactError: The content is not what was stored.
        """
        import bson.errors
        import gridfs

        if name not in self._entries:
            dropped = self.dropped().get(name)
            if dropped is not None:
                raise RunNotFoundError(when_dropped(self.id, dropped))
            raise RunNotFoundError(
                f"{self._named()} has no artifact {name!r}; expected one of: "
                f"{', '.join(self.artifacts) or 'none stored'}; is the run {self.status}?"
            )
        if "file_id" not in self._entries[name]:
            raise RunNotFoundError(
                f"{self._named()} names an artifact {name!r} whose file is not in this database; "
                "expected one that was stored with the run: look where the run was first tracked"
            )
        try:
            file_id = stored_id(self._entries[name]["file_id"])
            stored = gridfs.GridFS(self._database).get(file_id)
            digest = _digest_of(stored.metadata)
            content: bytes | None = self._cache.read(digest) if digest else None
            if content is not None:
                return content
            content = stored.read()
        except (gridfs.errors.NoFile, gridfs.errors.CorruptGridFile):
            raise self._damaged(name, "parts of it are missing") from None
        except (*_UNREADABLE, bson.errors.BSONError):
            raise self._damaged(name, "what is noted of its file cannot be read") from None
        if digest is not None:
            if hashlib.sha256(content).hexdigest() != digest:
                raise self._damaged(name, "its SHA-256 differs from the one stored with it")
            self._cache.write(digest, content)
        return content

    def artifact_info(self) -> tuple[StoredFile, ...]:
        """Name, size and digest of each artifact."""
        ids = [entry["file_id"] for entry in self._entries.values() if "file_id" in entry]
        found = read_documents(
            self._database["fs.files"], {"_id": {"$in": stored_ids(ids)}}, _FILE_FIELDS
        )
        files = {read_id(document["_id"]): document for document in found}
        return tuple(
            _stored_file(name, entry, files.get(read_id(entry.get("file_id")), {}))
            for name, entry in self._entries.items()
        )

    def dropped(self) -> dict[str, DroppedArtifact]:
        """The artifacts that the run had until they were dropped to free disk, by name."""
        return read_dropped(self._field(DROPPED))

    def file_names(self) -> dict[str, str]:
        """A name for a file of each artifact, by the artifact's name, to write it to a folder.

        All differ, and none leads out of the folder, whatever the artifacts are called. Those
        whose file is not in this database are left out.
        """
        return safe_file_names(name for name, entry in self._entries.items() if "file_id" in entry)

    def metric(self, name: str) -> DataFrame:
        """A metric, in the order in which it was logged.

        Returns:
            Columns run, metric, step, value, timestamp (UTC); a row for each point.

        Raises:
            RunNotFoundError: The run has no metric of this name.
        """
        table = read_curves(self._database, [self.id], name)
        if table.empty:
            names = metric_names(self._database, [self.id])
            raise RunNotFoundError(
                f"{self._named()} has no metric {name!r}; expected one of: "
                f"{', '.join(names) or 'none logged'}"
            )
        return table

    def last_values(self) -> dict[str, Any]:
        """The last value of each metric, by name."""
        return dict(sorted(last_values(self._database, [self.id]).get(self.id, {}).items()))

    def output(self) -> str:
        """What the run printed, or the most of it where that is very long."""
        return as_text(self._field("captured_out"))

    def failure(self) -> str:
        """The last line of the traceback that ended the run; empty where none did."""
        lines = "".join(map(as_text, as_list(self._field("fail_trace")))).split("\n")
        return next((line.strip() for line in reversed(lines) if line.strip()), "")

    def problems(self) -> tuple[str, ...]:
        """What went wrong with storing the run, and cost nothing of it."""
        return tuple(map(as_text, as_list(as_mapping(self._field("tracking")).get("problems"))))

    def _field(self, name: str) -> Any:
        return (read_document(self._database["runs"], by_id(self.id), {name: 1}) or {}).get(name)

    def _named(self) -> str:
        return f"run {id_text(self.id)} ({self.experiment!r})"

    def _damaged(self, name: str, how: str) -> DamagedArtifactError:
        return DamagedArtifactError(
            f"artifact {name!r} of run {id_text(self.id)} is damaged: {how}; repeat experiment "
            f"{self.experiment!r} (a stage with reuse=False) and use the new run"
        )


def read_run(document: Mapping[str, Any], database: Database, cache: ArtifactCache) -> Run:
    """The run that a document of the collection `runs` describes (`FIELDS` of it)."""
    entries = artifact_entries(document.get("artifacts"))
    # Each heartbeat is by the clock of the run's machine, as its start is.
    seen = document.get("heartbeat") or as_mapping(document.get("tracking")).get("last_seen")
    return Run(
        id=read_id(document["_id"]),
        experiment=name_of_experiment(document),
        status=as_text(document.get("status")),
        config=as_named(document.get("config"), "config"),
        result=document.get("result"),
        info=as_named(document.get("info"), "info"),
        start_time=as_time(document.get("start_time")),
        stop_time=as_time(document.get("stop_time")),
        last_seen=as_time(seen),
        host=as_text(as_mapping(document.get("host")).get("hostname")),
        tags=read_tags(document),
        notes=read_notes(document),
        artifacts=tuple(entries),
        _entries=entries,
        _database=database,
        _cache=cache,
    )


def read_ids(links: Any) -> dict[str, RunId]:
    """The ids of runs in what a run noted as its lineage, by config key."""
    return {key: read_id(value) for key, value in as_mapping(links).items() if is_id(value)}


def read_tags(document: Mapping[str, Any]) -> tuple[str, ...]:
    """The tags of the config and those that were given later, each once."""
    given = as_texts(as_mapping(document.get("config")).get("tags"))
    later = as_texts(as_mapping(document.get("omniboard")).get("tags"))
    if not given and not later:
        return ()
    return tuple(dict.fromkeys(tag.strip() for tag in (*given, *later) if tag.strip()))


def read_notes(document: Mapping[str, Any]) -> str:
    """The comment that the run was started with, and what was noted later."""
    comment = as_text(as_mapping(document.get("meta")).get("comment"))
    noted = as_text(as_mapping(document.get("omniboard")).get("notes"))
    # The first note repeats the comment, because Omniboard shows the comment only without notes.
    return noted if comment in noted else f"{comment}\n{noted}".strip()


def _stored_file(name: str, entry: Mapping[str, Any], stored: Mapping[str, Any]) -> StoredFile:
    size, kind = stored.get("length"), stored.get("contentType")
    return StoredFile(
        name=name,
        size=int(size) if isinstance(size, (int, float)) and math.isfinite(size) else None,
        sha256=_digest_of(stored.get("metadata")),
        content_type=None if kind is None else as_text(kind),
        added=as_time(entry.get("added")),
    )


def _digest_of(metadata: Any) -> str | None:
    digest = as_mapping(metadata).get("sha256")
    return digest if isinstance(digest, str) and digest else None


def _seconds(start: datetime, end: datetime) -> float:
    return max((end - start).total_seconds(), 0.0)

"""Runs as they are taken from one store to another: the original, and all that belongs to it."""

from __future__ import annotations

import contextlib
import hashlib
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import bson
import bson.errors

from nn_clustering.tracking.errors import DamagedArtifactError
from nn_clustering.tracking.extended_json import exact_collection
from nn_clustering.tracking.run_ids import RunId, by_id, id_text, read_id, stored_id, stored_ids
from nn_clustering.tracking.run_keys import KEY_FIELDS, key_of, store_id
from nn_clustering.tracking.store.documents import read_documents
from nn_clustering.tracking.store.fields import as_mapping
from nn_clustering.tracking.store.run import read_ids

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from pymongo.database import Database

ARTIFACT, SOURCE, RESOURCE = "artifact", "source", "resource"


@dataclass(frozen=True)
class OriginalFile:
    """A stored file of a run that is taken elsewhere.

    Attributes:
        kind: Artifact, source or resource.
        id: That it has in its store.
        name: How a message calls it.
        fields: Of its document there: filename, metadata, contentType, md5.
        size: Bytes.
        open: Gives a file of its content, which was checked; raises DamagedArtifactError where
            that is not what was stored.
    """

    kind: str
    id: Any
    name: str
    fields: Mapping[str, Any]
    size: int
    open: Callable[[], AbstractContextManager[Path]] = field(repr=False)


@dataclass(frozen=True)
class RunContent:
    """All that belongs to a run.

    Attributes:
        document: Of the run.
        files: Its artifacts, sources and resources, as far as they are stored.
        metrics: Gives the documents of its metrics.
        lost: Names of sources and resources that its store had lost already.
    """

    document: dict[str, Any]
    files: tuple[OriginalFile, ...]
    metrics: Callable[[], Iterable[dict[str, Any]]]
    lost: tuple[str, ...] = ()


@dataclass(frozen=True)
class OriginalRun:
    """A run that could be taken to another store.

    Attributes:
        label: How a message calls it.
        store: The store that it is in; empty where that is not known.
        id: That it has there.
        key: What tells it from all others.
        inputs: For each run that it read, by config key, what tells that one; empty where nobody
            knows.
        status: Its status.
        start_time: When it began.
        read: Reads the rest. Raises DamagedArtifactError where something is not what it was.
    """

    label: str
    store: str
    id: Any
    key: str
    inputs: Mapping[str, str]
    status: str
    start_time: Any
    read: Callable[[], RunContent] = field(repr=False)


def originals_in(database: Database, run_ids: Iterable[Any]) -> list[OriginalRun]:
    """Runs of a database, to be taken elsewhere.

    Args:
        database: Where they are.
        run_ids: The runs.
    """
    store = store_id(database)
    fields = {**KEY_FIELDS, "info.lineage": 1, "status": 1}
    runs = database["runs"]
    found = read_documents(runs, {"_id": {"$in": stored_ids(run_ids)}}, fields)
    documents = {read_id(document["_id"]): document for document in found}
    needed = {run for document in documents.values() for run in lineage_of(document).values()}
    read = read_documents(runs, {"_id": {"$in": stored_ids(needed)}}, KEY_FIELDS)
    keys = {read_id(document["_id"]): key_of(document) for document in read}
    return [
        OriginalRun(
            label=f"run {id_text(run_id)}",
            store=store,
            id=document["_id"],
            key=key_of(document),
            inputs={name: keys.get(run, "") for name, run in lineage_of(document).items()},
            status=str(document.get("status")),
            start_time=document.get("start_time"),
            read=_reader(database, run_id),
        )
        for run_id, document in documents.items()
    ]


def lineage_of(document: Mapping[str, Any]) -> dict[str, RunId]:
    """Ids of the runs that a run read, by config key."""
    return read_ids(as_mapping(document.get("info")).get("lineage"))


def file_entries(document: Mapping[str, Any]) -> Iterator[tuple[str, Any, str]]:
    """Kind, id and name of each artifact and source that a run's document lists as stored."""
    experiment = document.get("experiment")
    sources = experiment.get("sources") if isinstance(experiment, Mapping) else None
    for entry in _list(document.get("artifacts")):
        if isinstance(entry, Mapping) and "file_id" in entry:
            yield ARTIFACT, entry["file_id"], str(entry.get("original_name") or entry.get("name"))
        elif isinstance(entry, bson.ObjectId):  # as old versions of Sacred have it
            yield ARTIFACT, entry, str(entry)
        elif isinstance(entry, list) and len(entry) == 2 and isinstance(entry[1], bson.ObjectId):
            yield ARTIFACT, entry[1], str(entry[0])
    for entry in _list(sources):
        if isinstance(entry, (list, tuple)) and len(entry) == 2:
            yield SOURCE, entry[1], str(entry[0])


@contextlib.contextmanager
def checked_file(database: Database, stored: Mapping[str, Any], name: str) -> Iterator[Path]:
    """A temporary file of what is stored, compared with its length and digests.

    Raises:
        DamagedArtifactError: It is not what was stored.
    """
    digests = {"sha256": hashlib.sha256(), "md5": hashlib.md5(usedforsecurity=False)}
    length = 0
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "content")
        its_chunks = {"files_id": {"$eq": stored["_id"]}}
        chunks = database["fs.chunks"].find(its_chunks, {"data": 1}).sort("n", 1)
        with path.open("wb") as handle:
            for chunk in chunks:
                handle.write(chunk["data"])
                length += len(chunk["data"])
                for digest in digests.values():
                    digest.update(chunk["data"])
        metadata = stored.get("metadata")
        noted = {
            "sha256": metadata.get("sha256") if isinstance(metadata, Mapping) else None,
            "md5": stored.get("md5"),
        }
        if length != stored.get("length"):
            raise DamagedArtifactError(f"{name} is damaged: parts of it are missing")
        for algorithm, digest in digests.items():
            if noted[algorithm] not in (None, digest.hexdigest()):
                raise DamagedArtifactError(
                    f"{name} is damaged: its {algorithm.upper()} differs from the one stored with "
                    "it"
                )
        yield path


def _reader(database: Database, run_id: Any) -> Callable[[], RunContent]:
    def read() -> RunContent:
        label = f"run {id_text(run_id)}"
        try:
            document = exact_collection(database, "runs").find_one(by_id(run_id))
        except bson.errors.BSONError as problem:
            raise DamagedArtifactError(f"the document of {label} is no BSON ({problem})") from None
        if document is None:
            raise DamagedArtifactError(f"{label} was deleted meanwhile")
        files, lost = _stored_files(database, document)
        metrics = exact_collection(database, "metrics")
        return RunContent(
            document, files, lambda: metrics.find({"run_id": {"$eq": stored_id(run_id)}}), lost
        )

    return read


def _stored_files(
    database: Database, document: Mapping[str, Any]
) -> tuple[tuple[OriginalFile, ...], tuple[str, ...]]:
    """The files of a run, and the names of those sources and resources that are lost.

    Raises:
        DamagedArtifactError: An artifact is lost.
    """
    entries = list(file_entries(document))
    query = {"_id": {"$in": stored_ids(file_id for _, file_id, _ in entries)}}
    # Not every id that others gave can be hashed as it is.
    stored = {read_id(file["_id"]): file for file in database["fs.files"].find(query)}
    for resource in _list(document.get("resources")):
        if isinstance(resource, (list, tuple)) and len(resource) == 2:
            query = {"filename": {"$eq": resource[0]}, "md5": {"$eq": resource[1]}}
            found = database["fs.files"].find_one(query)
            if found is not None:
                stored[read_id(found["_id"])] = found
            entries.append((RESOURCE, found and found["_id"], str(resource[0])))
    files, lost = {}, []
    for kind, file_id, name in entries:
        file = stored.get(read_id(file_id))
        if file is not None:
            files[kind, str(file_id)] = _stored_file(database, kind, file, name)
        elif kind == ARTIFACT:
            raise DamagedArtifactError(f"artifact {name!r} is damaged: its file is missing")
        else:
            lost.append(name)
    return tuple(files.values()), tuple(lost)


def _stored_file(
    database: Database, kind: str, stored: Mapping[str, Any], name: str
) -> OriginalFile:
    kept = ("filename", "metadata", "contentType", "md5")
    label = f"{kind} {name!r}"
    length = stored.get("length")
    return OriginalFile(
        kind, stored["_id"], label, {key: stored[key] for key in kept if key in stored},
        length if isinstance(length, int) else 0, lambda: checked_file(database, stored, label),
    )  # fmt: skip


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []

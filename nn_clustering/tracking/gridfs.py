"""Files in GridFS, each stored once however many runs use it.

A file's id is a digest of its content and of what is said about it, so that to store it again,
after a lost acknowledgement or from another run, finds what is there and adds what is missing.
"""

from __future__ import annotations

import hashlib
import io
import mimetypes
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime, timedelta, timezone
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import bson
import pymongo
import pymongo.errors

from nn_clustering.tracking.encoding import to_plain
from nn_clustering.tracking.run_ids import RunId, by_id, read_id

if TYPE_CHECKING:
    from pymongo.collection import Collection
    from pymongo.database import Database

CHUNK_BYTES = 255 * 1024  # GridFS' own choice
CHUNKS_AT_ONCE = 32
ABANDONED = timedelta(minutes=10)  # a removal that takes longer was killed
# Omniboard shows an artifact whose name ends like this as a page of its own, scripts and all.
PAGES = (".html", ".htm", ".xhtml", ".xht", ".shtml")
DUPLICATE_KEY = 11000
# The collection of the runs that are just being imported, with the files that they hold already.
IMPORTS = "imports"


def digest_id(content: bytes) -> bson.ObjectId:
    """The id, always the same, of what this content describes."""
    return bson.ObjectId(hashlib.sha256(content).hexdigest()[:24])


def digest_file(path: Path, algorithm: str = "sha256") -> str:
    """Hex digest of a file's content, read in pieces."""
    digest = hashlib.new(algorithm, usedforsecurity=False)
    with path.open("rb") as handle:
        while piece := handle.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()


def add_artifact(
    database: Database,
    run_id: RunId,
    path: Path,
    name: str,
    *,
    metadata: Mapping[str, Any] | None = None,
    content_type: str | None = None,
    added: datetime | None = None,
) -> None:
    """Store a file and enter it in a run's document; done twice it changes nothing.

    An equal file (content, metadata, content type) that is stored already is shared. A page that a
    browser would run is stored as text, under its name with `.txt`; its entry keeps the name.

    Args:
        database: Where the run is.
        run_id: The run.
        path: The file.
        name: Name of the artifact.
        metadata: What else to note with it; SHA-256 and size in bytes are.
        content_type: Its MIME type, guessed from the name by default.
        added: When it was added (UTC), by default now: two artifacts of one name differ by it.

    Raises:
        PyMongoError: The server cannot be reached or does not take it.
        OSError: The file cannot be read.
    """
    shown, content_type = shown_as(name, content_type)
    facts = {
        **to_plain(metadata or {}),
        "sha256": digest_file(path),
        "size": path.stat().st_size,
    }
    entry: dict[str, Any] = {
        "name": shown,
        "added": added or datetime.now(timezone.utc).replace(tzinfo=None),
    }
    if shown != name:
        entry["original_name"] = name
    runs = database["runs"]
    for salt in range(100):
        file_id = _id_of(facts, content_type, salt)
        if _is_being_removed(database, file_id):
            continue
        put_file(
            database,
            path,
            file_id,
            facts["sha256"],
            filename=f"artifact://{runs.name}/{run_id}/{shown}",
            metadata=facts,
            contentType=content_type,
        )
        entered = {"artifacts": {**entry, "file_id": file_id}}
        runs.update_one(by_id(run_id), {"$addToSet": entered})
        # Whoever removes files marks one before looking who uses it, and we look for the mark
        # after the file is entered as used: one of the two sees the other.
        if not _is_being_removed(database, file_id) and is_whole(database, file_id):
            return
        runs.update_one(by_id(run_id), {"$pull": entered})
    raise pymongo.errors.OperationFailure(f"artifact {name!r} is removed as often as it is stored")


def shown_as(name: str, content_type: str | None) -> tuple[str, str]:
    """Name and MIME type under which an artifact is stored, so that no browser runs it."""
    guessed = content_type or mimetypes.guess_type(name)[0] or "application/octet-stream"
    if PurePosixPath(name).suffix.lower() in PAGES:
        return f"{name}.txt", "text/plain"
    return name, "text/plain" if "html" in guessed.lower() else guessed


def put_file(database: Database, path: Path, file_id: Any, sha256: str, **fields: Any) -> None:
    """Write a file to GridFS, unless it is there whole and undamaged.

    Args:
        database: Where to.
        path: The file.
        file_id: Its id, which belongs to this content alone.
        sha256: The digest of its content.
        **fields: The other fields of its document (filename, metadata, ...).
    """
    files, chunks = database["fs.files"], database["fs.chunks"]
    if is_intact(database, file_id, sha256):
        return
    _ensure_indexes(database)
    with path.open("rb") as handle:
        for documents in _chunk_documents(handle, file_id):
            _write(chunks, map(_replacement, documents))
        length = handle.tell()
    chunks.delete_many({"files_id": file_id, "n": {"$gte": -(-length // CHUNK_BYTES)}})
    _write(files, [_entry(file_id, length, fields)])


def _ensure_indexes(database: Database) -> None:
    """GridFS' own."""
    database["fs.chunks"].create_index([("files_id", 1), ("n", 1)], unique=True)
    database["fs.files"].create_index([("filename", 1), ("uploadDate", 1)])


def _replacement(chunk: dict[str, Any]) -> pymongo.ReplaceOne:
    return pymongo.ReplaceOne({"files_id": chunk["files_id"], "n": chunk["n"]}, chunk, upsert=True)


def _entry(file_id: Any, length: int, fields: Mapping[str, Any]) -> pymongo.UpdateOne:
    document = {
        "length": length,
        "chunkSize": CHUNK_BYTES,
        "uploadDate": datetime.now(timezone.utc),
        **fields,
    }
    return pymongo.UpdateOne({"_id": file_id}, {"$setOnInsert": document}, upsert=True)


def _write(collection: Collection, updates: Iterable[Any]) -> None:
    """Write all of them; what another run stores at the same time is the same."""
    updates = list(updates)
    if not updates:
        return
    try:
        collection.bulk_write(updates, ordered=False)
    except pymongo.errors.BulkWriteError as problem:
        if any(error["code"] != DUPLICATE_KEY for error in problem.details["writeErrors"]):
            raise


def _chunk_documents(handle: Any, file_id: Any) -> Iterator[list[dict[str, Any]]]:
    number = 0
    while documents := [
        {"files_id": file_id, "n": number + offset, "data": piece}
        for offset in range(CHUNKS_AT_ONCE)
        if (piece := handle.read(CHUNK_BYTES))
    ]:
        number += len(documents)
        yield documents


def is_intact(database: Database, file_id: Any, sha256: str) -> bool:
    """Whether a file is stored whose bytes, read back, have this SHA-256."""
    document = database["fs.files"].find_one({"_id": file_id}, {"metadata.sha256": 1})
    if document is None or document.get("metadata", {}).get("sha256", sha256) != sha256:
        return False
    digest = hashlib.sha256()
    for chunk in database["fs.chunks"].find({"files_id": file_id}, {"data": 1}).sort("n", 1):
        digest.update(chunk["data"])
    return digest.hexdigest() == sha256


def is_whole(database: Database, file_id: Any) -> bool:
    """Whether a stored file has all its bytes, by their number."""
    document = database["fs.files"].find_one({"_id": file_id}, {"length": 1})
    if document is None:
        return False
    (found,) = list(
        database["fs.chunks"].aggregate(
            [
                {"$match": {"files_id": file_id}},
                {"$group": {"_id": None, "length": {"$sum": {"$binarySize": "$data"}}}},
            ]
        )
    ) or [{"length": 0}]
    return bool(found["length"] == document["length"])


def whole_files(database: Database, file_ids: Iterable[Any]) -> set[Any]:
    """Those of many stored files that have all their chunks, by their number.

    It takes no longer for large files than for small ones: no chunk is read.
    """
    unique = list(set(file_ids))
    stored = database["fs.files"].find(
        {"_id": {"$in": unique}}, {"length": 1, "chunkSize": 1}, batch_size=10_000
    )
    expected = {file["_id"]: -(-file["length"] // file["chunkSize"]) for file in stored}
    counted = database["fs.chunks"].aggregate(
        [
            {"$match": {"files_id": {"$in": unique}}},
            {"$project": {"_id": 0, "files_id": 1, "n": 1}},  # which the index alone tells
            {"$group": {"_id": "$files_id", "n": {"$sum": 1}}},
        ],
        batchSize=10_000,
    )
    found = {chunks["_id"]: chunks["n"] for chunks in counted}
    return {file_id for file_id, n in expected.items() if found.get(file_id, 0) == n}


def store_source(database: Database, path: Path, name: Path | None = None) -> tuple[Any, str]:
    """Store a file under its path (or another name), once per version.

    Returns:
        The stored file's id, and its MD5, by which Sacred tells versions.
    """
    md5, sha256 = digest_file(path, "md5"), digest_file(path)
    file_id = _id_of(str(name or path), md5)
    put_file(database, path, file_id, sha256, filename=str(name or path), md5=md5)
    return file_id, md5


def store_sources(
    database: Database, sources: Iterable[tuple[str, str]], folder: Path
) -> list[list[Any]]:
    """Store source files, each version once.

    Args:
        database: Where to.
        sources: Names relative to the folder, and MD5s.
        folder: The folder.

    Returns:
        For each source its name and the id of its file, as Sacred's documents list them.
    """
    ids = {name: _id_of(str(folder / name), md5) for name, md5 in sources}
    stored = database["fs.files"].find({"_id": {"$in": list(ids.values())}}, {"_id": 1})
    there = {document["_id"] for document in stored}
    missing = [name for name in ids if ids[name] not in there]
    chunks: list[pymongo.ReplaceOne] = []
    entries = []
    for name in missing:
        path = folder / name
        content = path.read_bytes()
        # Edited since Sacred looked: what is stored is named by what it holds.
        md5 = hashlib.md5(content, usedforsecurity=False).hexdigest()
        ids[name] = _id_of(str(path), md5)
        for documents in _chunk_documents(io.BytesIO(content), ids[name]):
            chunks += map(_replacement, documents)
        entries.append(_entry(ids[name], len(content), {"filename": str(path), "md5": md5}))
    if missing:  # all at once: a new version of a project has many
        _ensure_indexes(database)
        _write(database["fs.chunks"], chunks)
        _write(database["fs.files"], entries)
    return [[name, file_id] for name, file_id in ids.items()]


def remove_unreferenced(database: Database, file_ids: Iterable[Any]) -> int:
    """Delete those artifacts' files that no run uses; returns how many.

    Args:
        database: Where they are.
        file_ids: Ids of files that a run used that is deleted now.
    """
    files, runs = database["fs.files"], database["runs"]
    count = 0
    for file_id in {read_id(file_id): file_id for file_id in file_ids}.values():
        # Whatever others made the id of: no pattern or condition that matches other files, too.
        this = {"$eq": file_id}
        mark = {"removed": {"by": bson.ObjectId(), "at": datetime.now(timezone.utc)}}
        # One at a time removes a file, or takes over from one that was killed.
        abandoned = mark["removed"]["at"] - ABANDONED
        free = [{"removed": {"$exists": False}}, {"removed.at": {"$lt": abandoned}}]
        if not files.update_one({"_id": this, "$or": free}, {"$set": mark}).matched_count:
            continue
        # In this order: a run that is imported stands among the runs before it leaves the others.
        is_imported = database[IMPORTS].find_one({"files": this}, {"_id": 1}) is not None
        if is_imported or runs.find_one({"artifacts.file_id": this}, {"_id": 1}) is not None:
            files.update_one({"_id": this, **mark}, {"$unset": {"removed": 1}})
            continue
        database["fs.chunks"].delete_many({"files_id": this})
        count += files.delete_one({"_id": this}).deleted_count
    return count


def _is_being_removed(database: Database, file_id: Any) -> bool:
    marked = {"_id": file_id, "removed": {"$exists": True}}
    return database["fs.files"].find_one(marked, {"_id": 1}) is not None


def artifact_ids(facts: Mapping[str, Any], content_type: str) -> Iterator[bson.ObjectId]:
    """The ids that an artifact's file may have, the first that is free first.

    Args:
        facts: What is noted with it, SHA-256 and size included.
        content_type: Its MIME type.
    """
    return (_id_of(facts, content_type, salt) for salt in range(100))


def source_id(filename: str, md5: str) -> bson.ObjectId:
    """The id of the file of a source, or of a resource."""
    return _id_of(filename, md5)


def put_held_file(
    database: Database,
    path: Path,
    file_ids: Iterable[Any],
    sha256: str,
    hold: Callable[[Any], object],
    **fields: Any,
) -> Any:
    """Write a file to GridFS while others remove files, and check what is read back.

    Args:
        database: Where to.
        path: The file.
        file_ids: Ids that it may have; the first is taken that nobody just removes.
        sha256: The digest of its content.
        hold: Enters an id where those look that remove files, before the file is written.
        **fields: The other fields of its document (filename, metadata, ...).

    Returns:
        Its id.

    Raises:
        PyMongoError: The server does not take it, or gives back something else.
    """
    for file_id in file_ids:
        if _is_being_removed(database, file_id):
            continue
        hold(file_id)
        put_file(database, path, file_id, sha256, **fields)
        if not _is_being_removed(database, file_id) and is_intact(database, file_id, sha256):
            return file_id
    raise pymongo.errors.OperationFailure(f"file {path.name!r} does not come back as it was stored")


def _id_of(*parts: Any) -> bson.ObjectId:
    return digest_id(bson.encode({"parts": list(parts)}))

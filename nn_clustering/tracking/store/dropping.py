"""Dropping stored files of runs to free disk, while the runs stay and say what they had."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from nn_clustering.tracking.errors import InvalidInputError, RunNotFoundError, TrackingError
from nn_clustering.tracking.run_ids import RunId, by_id, id_text, read_id, stored_ids
from nn_clustering.tracking.store.documents import read_documents
from nn_clustering.tracking.store.fields import as_list, as_mapping, as_text, as_time

if TYPE_CHECKING:
    from pymongo.database import Database

DROPPED = "dropped_artifacts"  # of a run's document
_STILL_ON = ("RUNNING", "QUEUED")


@dataclass(frozen=True)
class DroppedArtifact:
    """A file that a run had.

    Attributes:
        name: Its name in the run.
        size: Bytes; None where it was lost before.
        sha256: Hex digest of its content, None where none was stored with it.
        dropped: When it was dropped (UTC).
    """

    name: str
    size: int | None
    sha256: str | None
    dropped: datetime | None


@dataclass(frozen=True)
class Drop:
    """A stored file that is to be dropped from a run.

    Attributes:
        run: The run.
        name: Name of the artifact.
        size: Bytes; None where the file is lost already.
        frees: The bytes that this frees: none where the same file is counted before, or stays.
        kept_by: The runs that have the same file and keep it.
    """

    run: RunId
    name: str
    size: int | None
    frees: int
    kept_by: tuple[RunId, ...]
    _entry: Mapping[str, Any] = field(repr=False, compare=False)
    _facts: Mapping[str, Any] = field(repr=False, compare=False)


def plan_drop(
    database: Database,
    run_ids: Sequence[RunId],
    patterns: Sequence[str] = (),
    larger: int | None = None,
) -> list[Drop]:
    """The artifacts that are to be dropped, run after run; changes nothing.

    Args:
        database: Where the runs are.
        run_ids: The runs.
        patterns: Of their names, as in a shell (`*.npz`); one of them must match. None for all.
        larger: Bytes that a file must have more than.

    Raises:
        InvalidInputError: Neither names nor a size are given.
        RunNotFoundError: There is no such run.
        TrackingError: A run has not ended.
    """
    if not patterns and larger is None:
        raise InvalidInputError(
            "drop: expected names of artifacts (--artifacts '*.npz'), or a size (--larger 10MB), "
            "or both"
        )
    given = list(dict.fromkeys(run_ids))
    documents = _documents(database, given)
    chosen = [
        (run_id, entry)
        for run_id in given
        for entry in _entries(documents[run_id])
        if not patterns or any(fnmatchcase(_name(entry), pattern) for pattern in patterns)
    ]
    facts = _file_facts(database, [entry["file_id"] for _, entry in chosen])
    wanted = [
        (run_id, entry)
        for run_id, entry in chosen
        if larger is None or (facts.get(read_id(entry["file_id"]), {}).get("size") or 0) > larger
    ]
    return list(_planned(wanted, facts, _keepers(database, wanted)))


def drop_artifacts(database: Database, plan: Iterable[Drop]) -> int:
    """Drop what `plan_drop` returned; returns how many artifacts were there still.

    Each is first noted as dropped, so that what was cut short is finished by the next call.

    Raises:
        PyMongoError: The server cannot be reached, or does not let us write.
    """
    count = 0
    for drop in plan:
        entry = {key: value for key, value in drop._entry.items() if not isinstance(value, dict)}
        note = {
            "name": drop.name,
            **drop._facts,
            "dropped": datetime.now(timezone.utc),
            "file_id": drop._entry["file_id"],
        }
        ended = {**by_id(drop.run), "status": {"$nin": _STILL_ON}}
        changed = database["runs"].update_one(
            {**ended, "artifacts": {"$elemMatch": entry}},
            {"$pull": {"artifacts": entry}, "$push": {DROPPED: note}},
        )
        count += changed.modified_count
    _finish(database)
    return count


def read_dropped(value: Any) -> dict[str, DroppedArtifact]:
    """The artifacts that a run had, by name.

    Args:
        value: What its document has under `dropped_artifacts`.
    """
    found = {}
    for entry in map(as_mapping, as_list(value)):
        name, size, sha256 = (entry.get(key) for key in ("name", "size", "sha256"))
        found[as_text(name)] = DroppedArtifact(
            as_text(name),
            size if isinstance(size, int) else None,
            sha256 if isinstance(sha256, str) else None,
            as_time(entry.get("dropped")),
        )
    return found


def when_dropped(run_id: RunId, file: DroppedArtifact) -> str:
    """When a file was dropped and how to get it again, for a message."""
    day = f" on {file.dropped:%Y-%m-%d}" if file.dropped else ""
    return (
        f"artifact {file.name!r} of run {id_text(run_id)} was dropped{day} to free disk; `python "
        f"-m nn_clustering.tracking rerun {id_text(run_id)}` makes a run that has it again"
    )


def _documents(database: Database, run_ids: Sequence[RunId]) -> dict[RunId, Mapping[str, Any]]:
    query = {"_id": {"$in": stored_ids(run_ids)}}
    found = read_documents(database["runs"], query, {"artifacts": 1, "status": 1})
    documents: dict[RunId, Mapping[str, Any]] = {
        read_id(document["_id"]): document for document in found
    }
    for run_id in run_ids:
        if run_id not in documents:
            raise RunNotFoundError(
                f"there is no run {id_text(run_id)}; expected the numbers of stored runs: see "
                "`python -m nn_clustering.tracking list`"
            )
        if documents[run_id].get("status") in _STILL_ON:
            raise TrackingError(
                f"run {id_text(run_id)} is {documents[run_id].get('status')}; expected runs that "
                "have ended: wait for it, or stop it"
            )
    return documents


def _entries(document: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Those artifacts whose files are stored as ours are."""
    entries = map(as_mapping, as_list(document.get("artifacts")))
    return [entry for entry in entries if "file_id" in entry]


def _name(entry: Mapping[str, Any]) -> str:
    return as_text(entry.get("original_name") or entry.get("name"))


def _file_facts(database: Database, ids: Sequence[Any]) -> dict[Any, dict[str, Any]]:
    """Size, digest and type of files, by their ids."""
    fields = {"length": 1, "metadata.sha256": 1, "contentType": 1}
    found = read_documents(database["fs.files"], {"_id": {"$in": stored_ids(ids)}}, fields)
    return {
        read_id(file["_id"]): {
            "size": file.get("length"),
            "sha256": as_mapping(file.get("metadata")).get("sha256"),
            "content_type": file.get("contentType"),
        }
        for file in found
    }


def _keepers(
    database: Database, wanted: Sequence[tuple[RunId, Mapping[str, Any]]]
) -> dict[Any, list[RunId]]:
    """The runs that keep a file, by its id: another's, or under another name the run's own."""
    to_drop = {(run_id, _identity(entry)) for run_id, entry in wanted}
    ids = {read_id(entry["file_id"]): entry["file_id"] for _, entry in wanted}
    holding = {"artifacts.file_id": {"$in": stored_ids(ids)}}
    keepers: dict[Any, list[RunId]] = defaultdict(list)
    for document in read_documents(database["runs"], holding, {"artifacts": 1}):
        run_id = read_id(document["_id"])
        for entry in _entries(document):
            file_id = read_id(entry["file_id"])
            if file_id in ids and (run_id, _identity(entry)) not in to_drop:
                keepers[file_id].append(run_id)
    return keepers


def _identity(entry: Mapping[str, Any]) -> tuple[Any, ...]:
    return read_id(entry["file_id"]), _name(entry), as_time(entry.get("added"))


def _planned(
    wanted: Sequence[tuple[RunId, Mapping[str, Any]]],
    facts: Mapping[Any, Mapping[str, Any]],
    keepers: Mapping[Any, Sequence[RunId]],
) -> Iterator[Drop]:
    counted = set()
    for run_id, entry in wanted:
        file_id = read_id(entry["file_id"])
        known = facts.get(file_id, {})
        size, kept_by = known.get("size"), tuple(dict.fromkeys(keepers.get(file_id, ())))
        frees = 0 if kept_by or file_id in counted else int(size or 0)
        counted.add(file_id)
        yield Drop(run_id, _name(entry), size, frees, kept_by, entry, known)


def _finish(database: Database) -> None:
    """Remove the files of what is noted as dropped, unless another run has them."""
    from nn_clustering.tracking.gridfs import remove_unreferenced

    field_name = f"{DROPPED}.file_id"
    pending = {field_name: {"$exists": True}}
    noted = [
        entry["file_id"]
        for document in read_documents(database["runs"], pending, {DROPPED: 1})
        for entry in map(as_mapping, as_list(document.get(DROPPED)))
        if "file_id" in entry
    ]
    ids = list({read_id(file_id): file_id for file_id in noted}.values())
    remove_unreferenced(database, ids)
    # Those that another has begun to remove, and may never finish.
    begun = {"_id": {"$in": stored_ids(ids)}, "removed": {"$exists": True}}
    left = [document["_id"] for document in database["fs.files"].find(begun, {"_id": 1})]
    done = {"file.file_id": {"$exists": True, "$nin": left}}
    database["runs"].update_many(
        pending, {"$unset": {f"{DROPPED}.$[file].file_id": ""}}, array_filters=[done]
    )

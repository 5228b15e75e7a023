"""Deleting runs with all that belongs to them alone."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timezone
from graphlib import CycleError, TopologicalSorter
from typing import TYPE_CHECKING, Any

from nn_clustering.tracking.errors import RunNotFoundError, TrackingError
from nn_clustering.tracking.gridfs import remove_unreferenced
from nn_clustering.tracking.names import listed
from nn_clustering.tracking.run_ids import (
    RunId,
    by_id,
    id_text,
    is_id,
    read_id,
    stored_id,
    stored_ids,
)
from nn_clustering.tracking.store.documents import read_document, read_documents
from nn_clustering.tracking.store.dropping import DROPPED
from nn_clustering.tracking.store.fields import (
    EXPERIMENT,
    as_list,
    as_mapping,
    name_of_experiment,
)
from nn_clustering.tracking.store.lineage import closure, read_links, reversed_links

if TYPE_CHECKING:
    from pymongo.database import Database


def plan_deletion(
    database: Database, run_ids: Sequence[RunId], *, with_dependents: bool = False
) -> list[RunId]:
    """The runs that are to be deleted, readers before what they read; changes nothing.

    Args:
        database: Where the runs are.
        run_ids: The runs.
        with_dependents: Whether to delete the runs that rest on them too, and so on.

    Raises:
        RunNotFoundError: There is no such run, and none that was half deleted.
        TrackingError: A run is RUNNING, or another one rests on it.
    """
    for run_id in run_ids:
        if not is_id(run_id):
            raise _unknown(run_id)
    given = list(dict.fromkeys(run_ids))
    readers = reversed_links(read_links(database))
    dependents = closure(readers, given)
    to_delete = [*given, *dependents] if with_dependents else given
    query = {"_id": {"$in": stored_ids(to_delete)}}
    statuses = {
        read_id(document["_id"]): document.get("status")
        for document in read_documents(database["runs"], query, {"status": 1})
    }
    begun = set(_unfinished(database, to_delete))
    for run_id in to_delete:
        if run_id not in statuses and run_id not in begun:
            raise _unknown(run_id)
        if statuses.get(run_id) == "RUNNING":
            raise TrackingError(
                f"run {id_text(run_id)} is RUNNING and cannot be deleted; expected runs that have "
                "ended: "
                "wait for it, or stop it"
            )
    if dependents and not with_dependents:
        _refuse_dependents(readers, given)
    return _readers_first(to_delete, readers)


def _unknown(run_id: Any) -> RunNotFoundError:
    return RunNotFoundError(
        f"there is no run {id_text(run_id)} to delete; expected the numbers of stored runs: see "
        "`python -m nn_clustering.tracking list`"
    )


def delete_runs(database: Database, run_ids: Sequence[RunId]) -> None:
    """Delete runs that `plan_deletion` returned.

    First of all a note is left in `deleted_runs`, which gives the number to no other run and says
    what belongs to it: a deletion that was cut short anywhere is finished by the next one.

    Raises:
        TrackingError: A run is RUNNING.
        PyMongoError: The server cannot be reached, or does not let us write.
    """
    for run_id in run_ids:
        _leave_note(database, run_id)
        _finish(database, run_id)
    for run_id in _unfinished(database):
        # Where the run itself is still there, it was not begun in earnest.
        if database["runs"].find_one(by_id(run_id), {"_id": 1}) is None:
            _finish(database, run_id)


def _leave_note(database: Database, run_id: RunId) -> None:
    run = read_document(database["runs"], by_id(run_id), {**EXPERIMENT, "artifacts": 1, DROPPED: 1})
    if run is None:
        return
    note = {
        "experiment": name_of_experiment(run),
        "deleted": datetime.now(timezone.utc),
        # What is still to be removed; the key goes once nothing is.
        "files": _files(run),
    }
    database["deleted_runs"].update_one(by_id(run_id), {"$set": note}, upsert=True)


def _files(run: Mapping[str, Any]) -> list[Any]:
    """Ids of the files that belong to a run alone unless another one has them too.

    Those that others list by the id alone stay: no index says who else has them.
    """
    entries = [*as_list(run.get("artifacts")), *as_list(run.get(DROPPED))]
    return [entry["file_id"] for entry in entries if "file_id" in as_mapping(entry)]


def _finish(database: Database, run_id: RunId) -> None:
    # The run may have been added to since the note was written.
    run = database["runs"].find_one_and_delete(
        {**by_id(run_id), "status": {"$ne": "RUNNING"}}, {"artifacts": 1, DROPPED: 1}
    )
    notes = database["deleted_runs"]
    if run is None and database["runs"].find_one(by_id(run_id), {"_id": 1}) is not None:
        notes.delete_one(by_id(run_id))
        raise TrackingError(
            f"run {id_text(run_id)} is RUNNING and cannot be deleted; expected runs that have ended"
        )
    note = notes.find_one(by_id(run_id)) or {}
    database["metrics"].delete_many({"run_id": {"$eq": stored_id(run_id)}})
    noted = [*as_list(note.get("files")), *_files(run or {})]
    to_delete = list({read_id(file_id): file_id for file_id in noted}.values())
    remove_unreferenced(database, to_delete)
    # Those that another deletion has begun to remove, and may never finish.
    begun = {"_id": {"$in": stored_ids(to_delete)}, "removed": {"$exists": True}}
    left = [document["_id"] for document in database["fs.files"].find(begun, {"_id": 1})]
    done = {"$set": {"files": left}} if left else {"$unset": {"files": 1}}
    notes.update_one(by_id(run_id), done)


def _unfinished(database: Database, run_ids: Collection[RunId] | None = None) -> list[RunId]:
    query: dict[str, Any] = {"files": {"$exists": True}}
    if run_ids is not None:
        query["_id"] = {"$in": stored_ids(run_ids)}
    return [read_id(note["_id"]) for note in database["deleted_runs"].find(query, {"_id": 1})]


def _refuse_dependents(readers: Any, given: Sequence[RunId]) -> None:
    for run_id in given:
        others = list(
            dict.fromkeys(
                id_text(other) for _, other in readers.get(run_id, ()) if other not in given
            )
        )
        if others:
            raise TrackingError(
                f"run {id_text(run_id)} cannot be deleted: {listed(others)} read it; expected "
                "runs that no other rests on: delete those too (with_dependents=True, "
                "--with-dependents)"
            )


def _readers_first(to_delete: Sequence[RunId], readers: Any) -> list[RunId]:
    """In an order that never leaves a run without one that it read."""
    chosen = set(to_delete)
    before = {
        run_id: {other for _, other in readers.get(run_id, ()) if other in chosen}
        for run_id in to_delete
    }
    try:
        return list(TopologicalSorter(before).static_order())
    except CycleError:  # not that a run could read a later one
        return list(to_delete)

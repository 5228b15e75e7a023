"""Taking runs of another store into this one, whole or not at all, and each once.

A run is seen only once all that belongs to it is there. Until then the collection `imports` holds
its new number and the files that it has already; what was cut short is gone on with by the next
import of the same run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from itertools import islice
from typing import TYPE_CHECKING, Any

import bson
import bson.errors
import pymongo
import pymongo.errors

from nn_clustering.tracking.encoding import to_plain, without_passwords
from nn_clustering.tracking.errors import DamagedArtifactError, TrackingError
from nn_clustering.tracking.gridfs import (
    IMPORTS,
    digest_file,
    digest_id,
    put_held_file,
    remove_unreferenced,
)
from nn_clustering.tracking.indexes import ensure_indexes
from nn_clustering.tracking.run_ids import read_id
from nn_clustering.tracking.run_keys import find_by_key
from nn_clustering.tracking.store.fields import as_time
from nn_clustering.tracking.store.imported_documents import (
    document_here,
    file_here,
    is_number,
    require_storable,
)
from nn_clustering.tracking.store.originals import (
    ARTIFACT,
    OriginalFile,
    OriginalRun,
    RunContent,
)
from nn_clustering.tracking.writing.registration import next_run_id, note_server_time

if TYPE_CHECKING:
    from pymongo.database import Database

METRICS_AT_ONCE = 10
_STILL_ON = ("RUNNING", "QUEUED")
# What shows that a run cannot be taken as a whole.
_NOT_WHOLE = (
    DamagedArtifactError,
    bson.errors.BSONError,
    pymongo.errors.DocumentTooLarge,
    pymongo.errors.WriteError,
)


@dataclass
class ImportReport:
    """What came of an import.

    Attributes:
        imported: The new numbers of the runs that were taken, by their labels.
        here: The numbers of those that were here already, by their labels.
        waiting: Labels of those that had not ended.
        refused: Why the others were not taken, by their labels.
        lost: What the runs that were taken had lost before, by their labels.
    """

    imported: dict[str, Any] = field(default_factory=dict)
    here: dict[str, Any] = field(default_factory=dict)
    waiting: list[str] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)
    lost: dict[str, tuple[str, ...]] = field(default_factory=dict)


def import_runs(
    database: Database,
    originals: Iterable[OriginalRun],
    *,
    without_inputs: bool = False,
    on_run: Callable[[str, bool], object] = lambda line, is_refused: None,
) -> ImportReport:
    """Take runs into a database, what a run read before itself.

    Args:
        database: Where to.
        originals: The runs.
        without_inputs: Whether to take runs, too, that read one which is neither among these nor
            here. In the place of its number they get a text that says which one it was.
        on_run: Is told what becomes of each run, in a line, and whether it is refused.

    Raises:
        PyMongoError: The server cannot be reached, or does not take something.
    """
    ensure_indexes(database)
    database["runs"].create_index("origin.key", sparse=True)
    database[IMPORTS].create_index("run", unique=True)
    importer = _Importer(database, without_inputs)
    for original in _inputs_first(list(originals)):
        line = importer.take(original)
        on_run(line, original.label in importer.report.refused)
    return importer.report


class _IsHereError(Exception):
    """Somebody else has just imported the run.

    Attributes:
        number: That it has now.
    """

    def __init__(self, number: Any) -> None:
        super().__init__(number)
        self.number = number


class _Importer:
    """Takes runs, one after another."""

    def __init__(self, database: Database, without_inputs: bool) -> None:
        self.report = ImportReport()
        self._database = database
        self._without_inputs = without_inputs
        self._numbers: dict[str, Any] = {}  # of runs that are here, by key
        self._files: dict[Any, Any] = {}  # ids of sources that were stored, by those they had

    def take(self, original: OriginalRun) -> str:
        """Take a run, unless it is here; returns what became of it."""
        label, report = original.label, self.report
        try:
            number = find_by_key(self._database, original.key, original.start_time)
            if number is not None:
                self._database[IMPORTS].delete_one({"_id": original.key})
                return self._found(original, number)
            if original.status in _STILL_ON:
                report.waiting.append(label)
                return f"{label} is {original.status}: import it once it has ended"
            numbers = self._numbers_of_inputs(original)
            number, content = self._take(original, numbers)
        except _IsHereError as found:
            return self._found(original, found.number)
        except (*_NOT_WHOLE, TrackingError) as problem:
            reason = report.refused[label] = without_passwords(" ".join(str(problem).split()))
            return f"{label} is not imported: {reason}"
        report.imported[label] = self._numbers[original.key] = number
        if content.lost:
            report.lost[label] = content.lost
        lost = f" (its store had lost {', '.join(content.lost)})" if content.lost else ""
        return f"{label} is run {number} now{lost}"

    def _found(self, original: OriginalRun, number: Any) -> str:
        self.report.here[original.label] = self._numbers[original.key] = number
        return f"{original.label} is here already, as run {number}"

    def _numbers_of_inputs(self, original: OriginalRun) -> dict[str, Any]:
        """The numbers that the runs have here which a run read, by config key."""
        numbers = {}
        for name, key in original.inputs.items():
            number = self._numbers.get(key)
            if number is None and key:
                number = find_by_key(self._database, key, None)
            if number is not None:
                numbers[name] = number
            elif not self._without_inputs:
                raise TrackingError(
                    f"the run that it read ({name}) is neither here nor among these that can be "
                    "imported; export it too (export --with-inputs), or leave it out "
                    "(--without-inputs)"
                )
        return numbers

    def _take(self, original: OriginalRun, inputs: Mapping[str, Any]) -> tuple[Any, RunContent]:
        content = original.read()
        for document in (content.document, *(dict(file.fields) for file in content.files)):
            require_storable(document)
        self._reserve(original)
        try:
            files = {
                read_id(file.id): self._store_file(original.key, file) for file in content.files
            }
            metrics = self._store_metrics(original, content)
            # What was not stored here may hold passwords of URLs.
            document = to_plain(document_here(original, content, inputs, files, metrics))
            while True:
                number = self._reserved(original)
                try:
                    self._database["runs"].insert_one({"_id": number, **document})
                except pymongo.errors.DuplicateKeyError:
                    self._renumber(original, number, list(metrics.values()))
                    continue
                note_server_time(self._database, number)  # by which runs are in order
                self._database[IMPORTS].delete_one({"_id": original.key})
                return number, content
        except _NOT_WHOLE:
            self._discard(original.key)
            raise

    def _reserve(self, original: OriginalRun) -> None:
        """Give the run a number that no other gets; one that was cut short has one."""
        imports = self._database[IMPORTS]
        while imports.find_one({"_id": original.key}, {"_id": 1}) is None:
            entry = {
                "_id": original.key,
                "run": next_run_id(self._database),
                "files": [],
                "started": datetime.now(timezone.utc),
            }
            try:
                imports.insert_one(entry)
            except pymongo.errors.DuplicateKeyError:
                continue  # of the number, or of the run
        # Whoever imported it meanwhile has made it a run before giving back its reservation.
        here = find_by_key(self._database, original.key, original.start_time)
        if here is not None:
            imports.delete_one({"_id": original.key})
            raise _IsHereError(here)

    def _reserved(self, original: OriginalRun) -> Any:
        """The number that the run shall have."""
        staged = self._database[IMPORTS].find_one({"_id": original.key}, {"run": 1})
        if staged is not None:
            return staged["run"]
        here = find_by_key(self._database, original.key, original.start_time)
        if here is not None:
            raise _IsHereError(here)
        raise TrackingError("somebody else has just tried to import it, in vain; try again")

    def _renumber(self, original: OriginalRun, taken: Any, metrics: Sequence[Any]) -> None:
        """Give the run another number: an observer that knows nothing of imports took its own."""
        here = find_by_key(self._database, original.key, original.start_time)
        if here is not None:
            self._database[IMPORTS].delete_one({"_id": original.key})
            raise _IsHereError(here)
        number = next_run_id(self._database)
        self._database[IMPORTS].update_one(
            {"_id": original.key, "run": taken}, {"$set": {"run": number}}
        )
        self._database["metrics"].update_many(
            {"_id": {"$in": list(metrics)}}, {"$set": {"run_id": number}}
        )

    def _discard(self, key: str) -> None:
        """Take back what is here of a run that turned out not to be whole."""
        staged = self._database[IMPORTS].find_one_and_delete({"_id": key})
        if staged is not None:
            self._database["metrics"].delete_many({"run_id": staged["run"]})
            remove_unreferenced(self._database, staged["files"])

    def _store_file(self, key: str, file: OriginalFile) -> Any:
        """Store a file; returns its id here."""
        its_id = read_id(file.id)
        if file.kind != ARTIFACT and its_id in self._files:
            return self._files[its_id]
        staged = self._database[IMPORTS]

        def hold(file_id: Any) -> None:
            if file.kind == ARTIFACT:
                staged.update_one({"_id": key}, {"$addToSet": {"files": file_id}})

        with file.open() as path:
            sha256 = digest_file(path)
            fields, ids = file_here(file, path, sha256)
            stored = put_held_file(self._database, path, ids, sha256, hold, **fields)
        if file.kind != ARTIFACT:
            self._files[its_id] = stored
        return stored

    def _store_metrics(self, original: OriginalRun, content: RunContent) -> dict[Any, Any]:
        """Store the documents of a run's metrics; returns their ids here by those they had."""
        key, number = original.key, self._reserved(original)
        ids: dict[Any, Any] = {}
        documents = iter(content.metrics())
        while batch := list(islice(documents, METRICS_AT_ONCE)):
            for document in batch:
                require_storable(document)
            old = [document["_id"] for document in batch]
            others = {"_id": {"$in": old}, "run_id": {"$ne": number}}
            found = self._database["metrics"].find(others, {"_id": 1})
            taken = {read_id(document["_id"]) for document in found}
            for its_id in old:
                is_taken = isinstance(its_id, list) or read_id(its_id) in taken
                here = digest_id(f"{key} {its_id}".encode()) if is_taken else its_id
                ids[read_id(its_id)] = here
            self._database["metrics"].bulk_write(
                [
                    pymongo.ReplaceOne(
                        {"_id": {"$eq": ids[read_id(document["_id"])]}},
                        {
                            "_id": ids[read_id(document["_id"])],
                            **{key: value for key, value in document.items() if key != "_id"},
                            **to_plain({"name": document.get("name", "")}),
                            "run_id": number,
                        },
                        upsert=True,
                    )
                    for document in batch
                ],
                ordered=False,
            )
        stored = self._database["metrics"].count_documents({"_id": {"$in": list(ids.values())}})
        if stored != len(ids):
            raise pymongo.errors.OperationFailure("metrics do not come back as they were stored")
        return ids


def _inputs_first(originals: Sequence[OriginalRun]) -> list[OriginalRun]:
    """The runs in the order of their numbers, that is of their age, and after what they read."""
    by_key = {original.key: original for original in sorted(originals, key=_age)}
    before = {
        key: set(original.inputs.values()) & by_key.keys() for key, original in by_key.items()
    }
    return [by_key[key] for key in _with_inputs_before(before)]


def _with_inputs_before(before: Mapping[str, set[str]]) -> Iterator[str]:
    """Keys, each after those that it needs; in a circle, one stands before what it needs."""
    done: set[str] = set()
    for first in before:
        waiting = [first]
        while waiting:
            key = waiting[-1]
            missing = [other for other in before[key] if other not in done and other not in waiting]
            if missing:
                waiting.append(missing[0])
                continue
            waiting.pop()
            if key not in done:
                done.add(key)
                yield key


def _age(original: OriginalRun) -> tuple[bool, Any, datetime]:
    start = as_time(original.start_time)
    moment = datetime.min.replace(tzinfo=timezone.utc) if start is None else start
    return (False, original.id, moment) if is_number(original.id) else (True, 0, moment)

"""Finding runs, and reading one that is what the caller needs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from nn_clustering.tracking.errors import InvalidInputError, RunNotFoundError, did_you_mean
from nn_clustering.tracking.run_ids import LATEST, RunId, by_id, id_text, is_id, stored_ids
from nn_clustering.tracking.store.documents import many_objects, read_document, read_documents
from nn_clustering.tracking.store.fields import as_text, as_time
from nn_clustering.tracking.store.order import newest_first
from nn_clustering.tracking.store.query import STATUSES, build_query
from nn_clustering.tracking.store.run import FIELDS, Run, read_run
from nn_clustering.tracking.store.runs import Runs

if TYPE_CHECKING:
    from pandas import DataFrame
    from pymongo.database import Database

    from nn_clustering.tracking.store.artifact_cache import ArtifactCache
    from nn_clustering.tracking.store.liveness import Watch

LISTED = 5  # ids that a message names at most


class RunReader:
    """Reads the runs of one database; arguments and errors are those of `RunStore`."""

    def __init__(self, database: Database, cache: ArtifactCache, watch: Watch) -> None:
        """Read from a database.

        Args:
            database: Where the runs are.
            cache: Where artifacts are kept that were read before.
            watch: Is asked to look which runs died before any is read.
        """
        self._database = database
        self._cache = cache
        self._watch = watch

    def find(self, *, status: str | None = None, limit: int | None = None, **filters: Any) -> Runs:
        """All runs that match, newest first."""
        if limit is not None and (isinstance(limit, bool) or limit < 1):
            raise InvalidInputError(f"limit={limit}: expected at least 1, or None for all runs")
        query = self._query(status=status, **filters)
        self._watch.look()
        found = newest_first(self._database, query, FIELDS, limit)
        with many_objects():
            return Runs([self._read(document) for document in found], self._database)

    def count(self, **filters: Any) -> int:
        """How many runs match."""
        return self._database["runs"].count_documents(self._query(**filters))

    def experiments(self) -> list[str]:
        """Names of the experiments that have runs."""
        found = self._database["runs"].distinct("experiment.name")
        return sorted({as_text(name) for name in found} - {""})

    def run(
        self, run_id: RunId, *, experiment: str | Sequence[str] | None, status: str | None
    ) -> Run:
        """One run, checked to be what the caller needs."""
        if run_id == LATEST:
            found = self.find(experiment=experiment, status=status, limit=1)
            if not found:
                raise RunNotFoundError(self._nothing_yet(experiment, status))
            return found[0]
        run = self._one(run_id) if is_id(run_id) else None
        if run is None:
            deleted = self._deleted(run_id) if is_id(run_id) else ""
            is_none = is_id(run_id) and (deleted or not isinstance(run_id, str))
            problem = (
                f"there is no run {id_text(run_id)}{deleted}"
                if is_none
                else "no run is named"
                if run_id is None
                else f"{run_id!r} is no run"
            )
            raise RunNotFoundError(
                f"{problem}: expected a run's number or {LATEST!r}"
                + self._newest(experiment, status)
            )
        if experiment is not None and run.experiment not in _names(experiment):
            raise RunNotFoundError(
                f"run {id_text(run.id)} is a {run.experiment!r} run; expected a "
                f"{_in_words(experiment)} run" + self._newest(experiment, status)
            )
        if status is not None and run.status != status:
            raise RunNotFoundError(
                f"run {id_text(run.id)} is {run.status}; expected a run that is {status}"
                + self._newest(run.experiment, status)
            )
        return run

    def runs(self, run_ids: Sequence[RunId]) -> Runs:
        """Several runs, in the order in which they are named."""
        self._watch.look()
        query = {"_id": {"$in": stored_ids(run_ids)}}
        documents = read_documents(self._database["runs"], query, FIELDS)
        with many_objects():
            found = {run.id: run for run in map(self._read, documents)}
        for run_id in run_ids:
            if run_id not in found:
                self.run(run_id, experiment=None, status=None)  # says so
        return Runs([found[run_id] for run_id in run_ids], self._database)

    def compare(self, run_ids: Sequence[RunId]) -> DataFrame:
        """What differs between runs, as a table."""
        from nn_clustering.tracking.store.tables import table_of_differences

        return table_of_differences(
            [self.run(run_id, experiment=None, status=None) for run_id in dict.fromkeys(run_ids)]
        )

    def _query(self, **filters: Any) -> dict[str, Any]:
        query = build_query(**filters)
        self._check_status(filters.get("status"))
        return query

    def _check_status(self, status: str | None) -> None:
        if status is None or status in STATUSES:
            return
        # An experiment can have its own.
        own = sorted(set(map(as_text, self._database["runs"].distinct("status"))))
        if status not in own:
            hint = did_you_mean(status, STATUSES)
            raise InvalidInputError(
                f"status={status!r}: no run has it{hint}; expected one of "
                f"{', '.join(dict.fromkeys([*STATUSES, *own]))}"
            )

    def _one(self, run_id: RunId) -> Run | None:
        self._watch.look()
        document = read_document(self._database["runs"], by_id(run_id), FIELDS)
        return None if document is None else self._read(document)

    def _read(self, document: Mapping[str, Any]) -> Run:
        return read_run(document, self._database, self._cache)

    def _deleted(self, run_id: RunId) -> str:
        note = self._database["deleted_runs"].find_one(by_id(run_id)) or {}
        deleted = as_time(note.get("deleted"))
        return "" if deleted is None else f" (deleted on {deleted:%Y-%m-%d})"

    def _newest(self, experiment: str | Sequence[str] | None, status: str | None) -> str:
        """The end of a message: the newest runs that would do, or how to make one."""
        runs = self.find(experiment=experiment, status=status, limit=LISTED)
        if not runs:
            return f"; {self._nothing_yet(experiment, status)}"
        kind = _kind_of_run(experiment, status, "runs")
        return f"; the newest {kind}: {', '.join(id_text(run.id) for run in runs)}"

    def _nothing_yet(self, experiment: str | Sequence[str] | None, status: str | None) -> str:
        missing = f"experiment {_in_words(experiment)}" if experiment else "an experiment"
        return (
            f"there is no {_kind_of_run(experiment, status, 'run')} in database "
            f"{self._database.name!r} yet; run {missing} first"
        )


def _names(experiment: str | Sequence[str]) -> Sequence[str]:
    return [experiment] if isinstance(experiment, str) else experiment


def _in_words(experiment: str | Sequence[str]) -> str:
    return " or ".join(map(repr, _names(experiment)))


def _kind_of_run(experiment: str | Sequence[str] | None, status: str | None, noun: str) -> str:
    return " ".join(filter(None, [status, _in_words(experiment) if experiment else "", noun]))

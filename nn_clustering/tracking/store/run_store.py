"""The run store: find stored runs, read and compare them, annotate and delete them."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unicodedata import category

from nn_clustering.tracking.errors import (
    InvalidInputError,
    RunNotFoundError,
    ServerUnavailableError,
    TrackingError,
)
from nn_clustering.tracking.indexes import NEWEST_FIRST
from nn_clustering.tracking.store.annotations import add_note, add_tags, remove_tags
from nn_clustering.tracking.store.artifact_cache import ArtifactCache
from nn_clustering.tracking.store.deletion import delete_runs, plan_deletion
from nn_clustering.tracking.store.lineage import MISSING, Lineage, read_lineage
from nn_clustering.tracking.store.liveness import MAY_NOT_WRITE, journal_folder, mark_died
from nn_clustering.tracking.store.query import STATUSES, build_query
from nn_clustering.tracking.store.run import FIELDS, Run, StoredFile, read_run
from nn_clustering.tracking.store.runs import Runs

if TYPE_CHECKING:
    from pandas import DataFrame
    from pymongo.database import Database

__all__ = ["Lineage", "Run", "RunStore", "Runs", "StoredFile"]

LATEST = "latest"
LISTED = 5  # ids that a message names at most
LOOK_SECONDS = 10.0
UNFINISHED = ("DIED", "FAILED", "INTERRUPTED")


class RunStore:
    """The stored runs of one database."""

    def __init__(self, database: Database, root: Path | None = None) -> None:
        """Read from a database that `connect` returned.

        Args:
            database: Where the runs are.
            root: Folder that holds `.mongo/`, for the cache of artifacts and to see which runs of
                this machine live; default `project_root()`.
        """
        if root is None:
            from nn_clustering.tracking.server.connection import project_root

            root = project_root()
        self.database = database
        self.journal_root = Path(root) / ".mongo" / "journal"
        self._cache = ArtifactCache(Path(root) / ".mongo" / "cache")
        self._looked = float("-inf")

    @classmethod
    def open(cls, environ: Mapping[str, str] = os.environ, root: Path | None = None) -> RunStore:
        """The store on the server that the environment names, else on the embedded one.

        Raises:
            ServerUnavailableError: The server cannot be reached or started.
        """
        from nn_clustering.tracking.server.connection import connect, project_root, resolve_server

        return cls(connect(resolve_server(environ, root)), root or project_root(environ))

    def close(self) -> None:
        """Close the connection."""
        self.database.client.close()

    def __enter__(self) -> RunStore:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def run(
        self,
        run_id: int | str,
        *,
        experiment: str | None = None,
        status: str | None = "COMPLETED",
    ) -> Run:
        """One run, checked to be what the caller needs.

        Args:
            run_id: The run's number, or "latest": the newest of that experiment and status.
            experiment: Name of the experiment that it must be a run of; None for any.
            status: The status that it must have; None for any.

        Raises:
            RunNotFoundError: There is no such run, or it is another experiment's, or has
                another status.
        """
        if run_id == LATEST:
            found = self.find(experiment=experiment, status=status, limit=1)
            if not found:
                raise RunNotFoundError(self._nothing_yet(experiment, status))
            return found[0]
        if isinstance(run_id, bool) or not isinstance(run_id, int):
            raise RunNotFoundError(
                f"{run_id!r} is no run: expected a run's number or {LATEST!r}"
                + self._newest(experiment, status)
            )
        self._look()
        document = self.database["runs"].find_one({"_id": _key(run_id)}, FIELDS)
        if document is None:
            raise RunNotFoundError(
                f"there is no run {run_id}{self._deleted(run_id)}: expected a run's number or "
                f"{LATEST!r}" + self._newest(experiment, status)
            )
        run = self._read(document)
        if experiment is not None and run.experiment != experiment:
            raise RunNotFoundError(
                f"run {run_id} is a {run.experiment!r} run; expected a {experiment!r} run"
                + self._newest(experiment, status)
            )
        if status is not None and run.status != status:
            raise RunNotFoundError(
                f"run {run_id} is {run.status}; expected a run that is {status}"
                + self._newest(run.experiment, status)
            )
        return run

    def unfinished_run(self, run_id: int, *, experiment: str | None = None) -> Run:
        """One run that came to no good end, to go on with.

        What its process left undelivered on this machine is delivered first.

        Args:
            run_id: The run's number.
            experiment: Name of the experiment that it must be a run of; None for any.

        Raises:
            RunNotFoundError: There is no such run, or it is another experiment's, or its process
                still runs, or it is COMPLETED.
            TrackingError: What its process left cannot be delivered.
        """
        if isinstance(run_id, bool) or not isinstance(run_id, int):
            raise RunNotFoundError(
                f"{run_id!r} is no run to go on with: expected the number of one that is "
                f"{_one_of(UNFINISHED)}"
            )
        self._look(at_once=True)
        found = self.run(run_id, experiment=experiment, status=None)
        pid = self._deliver(found)
        run = self.run(run_id, experiment=experiment, status=None)
        if pid is not None or run.status == "RUNNING":
            raise RunNotFoundError(
                f"run {run_id} is still running on {run.host}{f' (pid {pid})' if pid else ''}; "
                "expected one whose process has ended: stop it, or wait for it"
            )
        if run.status not in UNFINISHED:
            raise RunNotFoundError(
                f"run {run_id} is {run.status}: there is nothing to go on with; expected a run "
                f"that is {_one_of(UNFINISHED)}"
            )
        return run

    def find(
        self,
        *,
        experiment: str | None = None,
        status: str | None = None,
        config: Mapping[str, Any] | None = None,
        tags: Sequence[str] = (),
        since: datetime | date | str | None = None,
        result: Mapping[str, Any] | None = None,
        limit: int | None = None,
    ) -> Runs:
        """All runs that match, newest first.

        Args:
            experiment: Name of the experiment.
            status: Status of the run.
            config: What configuration keys must be; keys of nested ones are dotted
                ("dataset.name"), or nested as well. Each is a value, or a tuple of an operator
                (`< <= > >= == !=`) and its value, or of several: `{"n_clusters": (">=", 8)}`,
                `{"seed": (">", 3, "<", 9)}`. A list means that very list. A run without the key
                never matches, not even `!=`; numbers are compared with numbers only, and texts
                with texts.
            tags: Tags that a run must have, all of them.
            since: When it must have been started at the earliest: a datetime or date, or the text
                of one ("2026-11-01"), in UTC unless it has a time zone; or how long ago at most
                ("30m", "3h", "2d", "1w").
            result: What the results must be, like `config`.
            limit: Number of runs at most.

        Raises:
            InvalidInputError: An argument is malformed, or there is no such status.
        """
        if limit is not None and (isinstance(limit, bool) or limit < 1):
            raise InvalidInputError(f"limit={limit}: expected at least 1, or None for all runs")
        query = build_query(
            experiment=experiment, status=status, config=config, tags=tags, since=since,
            result=result,
        )  # fmt: skip
        self._check_status(status)
        self._look()
        found = self.database["runs"].find(query, FIELDS).sort(NEWEST_FIRST).limit(limit or 0)
        return Runs([self._read(document) for document in found], self.database)

    def count(self, **filters: Any) -> int:
        """How many runs match; the arguments are those of `find`, without `limit`.

        Raises:
            InvalidInputError: As `find`.
        """
        query = build_query(**filters)
        self._check_status(filters.get("status"))
        return self.database["runs"].count_documents(query)

    def experiments(self) -> list[str]:
        """Names of the experiments that have runs."""
        return sorted(name for name in self.database["runs"].distinct("experiment.name") if name)

    def compare(self, run_ids: Sequence[int]) -> DataFrame:
        """What differs between runs.

        Args:
            run_ids: At least two runs.

        Returns:
            A row for each key of config and result whose values are not all the same
            (`config.seed`, `result.ncut`), first those that all runs have, and a column for each
            run; empty where a run lacks the key. What says how to run rather than what (`reuse`,
            `tags`, `n_repeats` with `n_workers`) does not count as config.

        Raises:
            InvalidInputError: There are fewer than two runs.
            RunNotFoundError: One of them does not exist.
        """
        import pandas as pd

        from nn_clustering.tracking.store.tables import ABSENT, differences

        runs = [self.run(run_id, status=None) for run_id in dict.fromkeys(run_ids)]
        rows = differences(runs)
        return pd.DataFrame(
            [[None if value is ABSENT else value for value in row] for row in rows.values()],
            index=pd.Index(list(rows), name="key"),
            columns=pd.Index([run.id for run in runs], name="run"),
            dtype=object,
        )

    def lineage(self, run_id: int) -> Lineage:
        """What a run read, and what read it, each with all that lies behind.

        Raises:
            RunNotFoundError: There is no such run, and never was.
        """
        lineage = read_lineage(self.database, _key(run_id))
        if lineage.status == MISSING:
            self.run(run_id, status=None)  # says what is there instead
        return lineage

    def plan_deletion(self, run_ids: Sequence[int], *, with_dependents: bool = False) -> list[int]:
        """The runs that `delete` would delete, in its order; arguments and errors are the same."""
        self._look(at_once=True)
        keys = [_key(run_id) for run_id in run_ids]
        return plan_deletion(self.database, keys, with_dependents=with_dependents)

    def delete(self, run_ids: Sequence[int], *, with_dependents: bool = False) -> list[int]:
        """Delete runs: their documents, metrics, and those artifacts that no other run has.

        Sources and resources stay, which runs share. Cut short, it can be repeated, and deletes
        the rest.

        Args:
            run_ids: The runs.
            with_dependents: Whether to delete the runs that rest on them too, and so on.

        Returns:
            The deleted runs.

        Raises:
            RunNotFoundError: One of them does not exist.
            TrackingError: One is RUNNING, or another run rests on it, or we may not write.
        """
        to_delete = self.plan_deletion(run_ids, with_dependents=with_dependents)
        with self._writing():
            delete_runs(self.database, to_delete)
        return to_delete

    def tag(self, run_id: int, *tags: str) -> None:
        """Give tags to a run.

        Raises:
            InvalidInputError: There is no tag, or it is no text.
            RunNotFoundError: There is no such run.
            TrackingError: We may not write.
        """
        with self._writing():
            add_tags(self.database, _key(run_id), tags)

    def untag(self, run_id: int, *tags: str) -> None:
        """Take tags from a run.

        Raises:
            InvalidInputError: There is no tag, or the run's config holds it.
            RunNotFoundError: There is no such run.
            TrackingError: We may not write.
        """
        with self._writing():
            remove_tags(self.database, _key(run_id), tags)

    def note(self, run_id: int, text: str) -> None:
        """Append a line to a run's notes.

        Raises:
            InvalidInputError: The text is empty.
            RunNotFoundError: There is no such run.
            TrackingError: We may not write.
        """
        with self._writing():
            add_note(self.database, _key(run_id), text)

    def add_artifact(self, run_id: int, path: Path | str, name: str | None = None) -> None:
        """Store a file with a run that there is already.

        Args:
            run_id: The run.
            path: The file.
            name: Name of the artifact, which could be a file's; default the file's.

        Raises:
            InvalidInputError: There is no such file, the run has an artifact of that name, or the
                name is none that a file could have.
            RunNotFoundError: There is no such run.
            TrackingError: We may not write.
        """
        from nn_clustering.tracking.gridfs import add_artifact

        path = Path(path)
        name = path.name if name is None else name
        run = self.run(run_id, status=None)
        if not path.is_file():
            raise InvalidInputError(f"{path} is no file that can be read; expected one to store")
        if not _is_file_name(name):
            raise InvalidInputError(
                f"artifact {name!r}: expected a name as files have it, without '/', '\\' and "
                "control characters; give another (name=, --name)"
            )
        if name in run.artifacts:
            raise InvalidInputError(
                f"artifact {name!r} of run {run_id}: expected a name that none of its artifacts has"
                f" ({', '.join(run.artifacts) or 'there are none'}); give another (name=, --name)"
            )
        try:
            with self._writing():
                add_artifact(self.database, run.id, path, name)
        except OSError as problem:
            raise InvalidInputError(
                f"{path} cannot be read ({problem.strerror}); expected a file to store"
            ) from None

    def _look(self, *, at_once: bool = False) -> None:
        """See which runs died, unless that was done a moment ago."""
        if at_once or time.monotonic() - self._looked > LOOK_SECONDS:
            mark_died(self.database, self.journal_root)
            self._looked = time.monotonic()

    def _deliver(self, run: Run) -> int | None:
        """Deliver the journal of a run, where there is one; returns its process if that lives."""
        from nn_clustering.tracking.writing.journal import read_header
        from nn_clustering.tracking.writing.sync import sync_folders

        document = self.database["runs"].find_one({"_id": run.id}, {"tracking.token": 1})
        folder = journal_folder(document or {}, self.journal_root)
        if folder is None or not folder.is_dir():
            return None
        pid = read_header(folder).get("pid")
        report = sync_folders(self.database.client, [folder], lambda line: None)
        if report.left:
            raise TrackingError(f"{report.left[0]}; it is to be delivered before the run goes on")
        return pid if report.running else None

    def _check_status(self, status: str | None) -> None:
        if status is None or status in STATUSES:
            return
        own = sorted(self.database["runs"].distinct("status"))  # an experiment can have its own
        if status not in own:
            raise InvalidInputError(
                f"status={status!r}: no run has it; expected one of "
                f"{', '.join(dict.fromkeys([*STATUSES, *own]))}"
            )

    def _read(self, document: Mapping[str, Any]) -> Run:
        return read_run(document, self.database, self._cache)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        import pymongo.errors

        try:
            yield
        except pymongo.errors.OperationFailure as problem:
            if problem.code != MAY_NOT_WRITE:
                raise
            reason = f"database {self.database.name!r} does not let this user write"
        except pymongo.errors.ConnectionFailure:
            raise ServerUnavailableError(
                f"the server of database {self.database.name!r} does not answer any more; expected "
                "one that runs: see `python -m nn_clustering.tracking status`, then try again"
            ) from None
        else:
            return
        raise TrackingError(f"{reason}; expected a user with the role readWrite: check MONGO_URL")

    def _deleted(self, run_id: int) -> str:
        note = self.database["deleted_runs"].find_one({"_id": _key(run_id)})
        if note is None or "deleted" not in note:
            return ""
        return f" (deleted on {note['deleted']:%Y-%m-%d})"

    def _newest(self, experiment: str | None, status: str | None) -> str:
        """The end of a message: the newest runs that would do, or how to make one."""
        runs = self.find(experiment=experiment, status=status, limit=LISTED)
        if not runs:
            return f"; {self._nothing_yet(experiment, status)}"
        kind = " ".join(filter(None, [status, repr(experiment) if experiment else "", "runs"]))
        return f"; the newest {kind}: {', '.join(str(run.id) for run in runs)}"

    def _nothing_yet(self, experiment: str | None, status: str | None) -> str:
        kind = " ".join(filter(None, [status, repr(experiment) if experiment else "", "run"]))
        script = f"experiments/{experiment}.py" if experiment else "an experiment"
        return f"there is no {kind} in database {self.database.name!r} yet; run {script} first"


def _one_of(words: Sequence[str]) -> str:
    return f"{', '.join(words[:-1])} or {words[-1]}"


def _is_file_name(name: Any) -> bool:
    """Whether a file could have this name in any folder, so that it leads out of none."""
    return (
        isinstance(name, str)
        and name not in ("", ".", "..")
        # Control characters, and what no encoding can write.
        and not any(letter in "/\\" or category(letter) in ("Cc", "Cs") for letter in name)
    )


def _key(run_id: Any) -> Any:
    """A run's number that can be asked for; -1, which none has, for what cannot be one."""
    is_number = isinstance(run_id, int) and not isinstance(run_id, bool)
    return run_id if is_number and abs(run_id) < 2**63 else -1

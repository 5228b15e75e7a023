"""The run store: find stored runs, read and compare them, annotate and delete them.

`RunStore` is the face; what it does stands beside it: `reader.py` finds and reads, `unfinished.py`
finds what can be gone on with, `editor.py` changes and deletes, `liveness.py` sees who died.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nn_clustering.tracking.run_ids import RunId, is_id
from nn_clustering.tracking.store.artifact_cache import ArtifactCache
from nn_clustering.tracking.store.documents import readable
from nn_clustering.tracking.store.dropping import Drop, DroppedArtifact
from nn_clustering.tracking.store.editor import RunEditor
from nn_clustering.tracking.store.lineage import MISSING, Lineage, read_lineage
from nn_clustering.tracking.store.liveness import UndeliveredRun, Watch, undelivered_runs
from nn_clustering.tracking.store.reader import RunReader
from nn_clustering.tracking.store.run import Run, StoredFile
from nn_clustering.tracking.store.runs import Runs
from nn_clustering.tracking.store.unfinished import unfinished_run

if TYPE_CHECKING:
    from pandas import DataFrame
    from pymongo.database import Database

__all__ = ["Drop", "DroppedArtifact", "Lineage", "Run", "RunStore", "Runs", "StoredFile"]


class RunStore:
    """The stored runs of one database."""

    def __init__(
        self,
        database: Database,
        root: Path | None = None,
        environ: Mapping[str, str] = os.environ,
    ) -> None:
        """Read from a database that `connect` returned.

        Args:
            database: Where the runs are.
            root: Folder that holds `.mongo/`, for the cache of artifacts and to see which runs of
                this machine live; default `project_root()`.
            environ: Where to look for NN_CLUSTERING_JOURNAL, the folder of journals.

        Raises:
            InvalidInputError: NN_CLUSTERING_HOME or NN_CLUSTERING_JOURNAL is no folder.
            ServerUnavailableError: The folder of runs, or of journals, is another user's.
        """
        from nn_clustering.tracking.writing.journal_place import journals_folder

        if root is None:
            from nn_clustering.tracking.server.connection import project_root

            root = project_root()
        self.root = Path(root)
        self.database = database = readable(database)
        self.journal_root = journals_folder(environ, self.root)
        self._watch = Watch(database, self.journal_root)
        cache = ArtifactCache(Path(root) / ".mongo" / "cache")
        self._reader = RunReader(database, cache, self._watch)
        self._editor = RunEditor(database, self._watch)

    @classmethod
    def open(cls, environ: Mapping[str, str] = os.environ, root: Path | None = None) -> RunStore:
        """The store on the server that the environment names, else on the embedded one.

        Raises:
            ServerUnavailableError: The server cannot be reached or started, or the folder of
                runs is another user's.
        """
        from nn_clustering.tracking.server.connection import connect, project_root, resolve_server
        from nn_clustering.tracking.server.ownership import own_folder
        from nn_clustering.tracking.writing.journal_place import journals_folder

        root = root or project_root(environ)
        own_folder(root)  # whose journals and cache it reads
        journals_folder(environ, root)  # a wrong one is refused before a server is started
        return cls(connect(resolve_server(environ, root)), root, environ)

    def close(self) -> None:
        """Close the connection."""
        self.database.client.close()

    def __enter__(self) -> RunStore:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def run(
        self,
        run_id: RunId,
        *,
        experiment: str | Sequence[str] | None = None,
        status: str | None = "COMPLETED",
    ) -> Run:
        """One run, checked to be what the caller needs.

        Args:
            run_id: The run's id, a number unless others gave it, or "latest": the newest of that
                experiment and status.
            experiment: Name of the experiment that it must be a run of, or names of which one
                must be; None for any.
            status: The status that it must have; None for any.

        Raises:
            RunNotFoundError: There is no such run, or it is another experiment's, or has
                another status.
        """
        return self._reader.run(run_id, experiment=experiment, status=status)

    def runs(self, run_ids: Sequence[RunId]) -> Runs:
        """Several runs, in the order in which they are named, read at once.

        Args:
            run_ids: The runs, whatever their status.

        Raises:
            RunNotFoundError: There is no such run.
        """
        return self._reader.runs(run_ids)

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
        return unfinished_run(
            self.database, self._reader, self._watch, run_id, experiment=experiment
        )

    def undelivered(self) -> dict[Any, UndeliveredRun]:
        """The runs whose processes have ended and left a journal here for `sync`."""
        return undelivered_runs(self.database, self.journal_root)

    def find(
        self,
        *,
        experiment: str | Sequence[str] | None = None,
        status: str | None = None,
        config: Mapping[str, Any] | None = None,
        tags: Sequence[str] = (),
        since: datetime | date | str | None = None,
        result: Mapping[str, Any] | None = None,
        limit: int | None = None,
    ) -> Runs:
        """All runs that match, newest first: by their numbers, whatever clocks say.

        A run whose id is no number comes where its start time puts it.

        Args:
            experiment: Name of the experiment, or names of several.
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
        return self._reader.find(
            experiment=experiment, status=status, config=config, tags=tags, since=since,
            result=result, limit=limit,
        )  # fmt: skip

    def count(self, **filters: Any) -> int:
        """How many runs match; the arguments are those of `find`, without `limit`.

        Raises:
            InvalidInputError: As `find`.
        """
        return self._reader.count(**filters)

    def experiments(self) -> list[str]:
        """Names of the experiments that have runs."""
        return self._reader.experiments()

    def compare(self, run_ids: Sequence[RunId]) -> DataFrame:
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
        return self._reader.compare(run_ids)

    def lineage(self, run_id: RunId) -> Lineage:
        """What a run read, and what read it, each with all that lies behind.

        Raises:
            RunNotFoundError: There is no such run, and never was.
        """
        if not is_id(run_id):
            self.run(run_id, status=None)  # says so
        lineage = read_lineage(self.database, run_id)
        if lineage.status == MISSING:
            self.run(run_id, status=None)  # says what is there instead
        return lineage

    def plan_deletion(
        self, run_ids: Sequence[RunId], *, with_dependents: bool = False
    ) -> list[RunId]:
        """The runs that `delete` would delete, in its order; arguments and errors are the same."""
        return self._editor.plan_deletion(run_ids, with_dependents=with_dependents)

    def delete(self, run_ids: Sequence[RunId], *, with_dependents: bool = False) -> list[RunId]:
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
        return self._editor.delete(run_ids, with_dependents=with_dependents)

    def plan_drop(
        self, run_ids: Sequence[RunId], artifacts: Sequence[str] = (), larger: int | None = None
    ) -> list[Drop]:
        """The artifacts that `drop_artifacts` would drop, and the bytes that each frees.

        Args:
            run_ids: The runs.
            artifacts: Patterns of their names, as in a shell (`*.npz`); empty for all.
            larger: Bytes that a file must have more than.

        Raises:
            InvalidInputError: Neither names nor a size are given.
            RunNotFoundError: There is no such run.
            TrackingError: A run has not ended.
        """
        return self._editor.plan_drop(run_ids, artifacts, larger)

    def drop_artifacts(self, plan: Sequence[Drop]) -> int:
        """Drop artifacts to free disk; the runs stay, and say what they had.

        Args:
            plan: From `plan_drop`.

        Returns:
            How many were there still.

        Raises:
            TrackingError: We may not write.
        """
        return self._editor.drop_artifacts(plan)

    def tag(self, run_id: RunId, *tags: str) -> None:
        """Give tags to a run.

        Raises:
            InvalidInputError: There is no tag, or it is no text.
            RunNotFoundError: There is no such run.
            TrackingError: We may not write.
        """
        self._editor.tag(run_id, tags)

    def untag(self, run_id: RunId, *tags: str) -> None:
        """Take tags from a run.

        Raises:
            InvalidInputError: There is no tag, or the run's config holds it.
            RunNotFoundError: There is no such run.
            TrackingError: We may not write.
        """
        self._editor.untag(run_id, tags)

    def note(self, run_id: RunId, text: str) -> None:
        """Append a line to a run's notes.

        Raises:
            InvalidInputError: The text is empty.
            RunNotFoundError: There is no such run.
            TrackingError: We may not write.
        """
        self._editor.note(run_id, text)

    def add_artifact(self, run_id: RunId, path: Path | str, name: str | None = None) -> None:
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
        path = Path(path)
        run = self.run(run_id, status=None)
        self._editor.add_artifact(run, path, path.name if name is None else name)

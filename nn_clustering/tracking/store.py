"""Read stored runs: find them, and get their artifacts and metrics."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nn_clustering.errors import DamagedArtifactError, InvalidInputError, RunNotFoundError
from nn_clustering.tracking._plain import to_plain

if TYPE_CHECKING:
    from pymongo.database import Database

LATEST = "latest"
LISTED = 5  # ids that a message names at most


@dataclass(frozen=True)
class Run:
    """One stored run.

    Attributes:
        id: The run's number.
        experiment: Name of the experiment that made it.
        status: RUNNING, COMPLETED, FAILED or INTERRUPTED.
        config: The whole configuration.
        result: What the run returned.
        info: What the run noted besides.
        start_time: When it started (UTC).
        artifacts: Names of the stored files, in the order in which they were added.
    """

    id: int
    experiment: str
    status: str
    config: Mapping[str, Any]
    result: Any
    info: Mapping[str, Any]
    start_time: datetime | None
    artifacts: tuple[str, ...]
    _files: Mapping[str, Any] = field(repr=False, compare=False)
    _database: Database = field(repr=False, compare=False)

    def artifact(self, name: str) -> bytes:
        """The content of a stored file, checked against the SHA-256 that was stored with it.

        Raises:
            RunNotFoundError: The run has no artifact of this name.
            DamagedArtifactError: The content is not what was stored.
        """
        import gridfs

        if name not in self._files:
            raise RunNotFoundError(
                f"run {self.id} ({self.experiment!r}) has no artifact {name!r}; expected one of: "
                f"{', '.join(self.artifacts) or 'none stored'}; is the run {self.status}?"
            )
        try:
            stored = gridfs.GridFS(self._database).get(self._files[name])
            content: bytes = stored.read()
        except (gridfs.errors.NoFile, gridfs.errors.CorruptGridFile):
            raise self._damaged(name, "parts of it are missing") from None
        expected = (stored.metadata or {}).get("sha256")
        if expected is not None and hashlib.sha256(content).hexdigest() != expected:
            raise self._damaged(name, "its SHA-256 differs from the one stored with it")
        return content

    def metric(self, name: str) -> tuple[list[int], list[float]]:
        """Steps and values of a metric, in the order in which they were logged.

        Raises:
            RunNotFoundError: The run has no metric of this name.
        """
        query = {"run_id": self.id, "name": name}
        found = list(self._database["metrics"].find(query).sort("_id", 1))
        if not found:
            names = sorted(self._database["metrics"].distinct("name", {"run_id": self.id}))
            raise RunNotFoundError(
                f"run {self.id} ({self.experiment!r}) has no metric {name!r}; expected one of: "
                f"{', '.join(names) or 'none logged'}"
            )
        steps = [step for document in found for step in document["steps"]]
        values = [value for document in found for value in document["values"]]
        return steps, values

    def _damaged(self, name: str, how: str) -> DamagedArtifactError:
        return DamagedArtifactError(
            f"artifact {name!r} of run {self.id} is damaged: {how}; repeat the run "
            f"(experiments/{self.experiment}.py) and use the new one"
        )


class RunStore:
    """The stored runs of one database."""

    def __init__(self, database: Database) -> None:
        """Read from a database that `connect` returned."""
        self.database = database

    @classmethod
    def open(cls, environ: Mapping[str, str] = os.environ, root: Path | None = None) -> RunStore:
        """The store on the server that the environment names, else on the embedded one.

        Raises:
            ServerUnavailableError: The server cannot be reached or started.
        """
        from nn_clustering.tracking.server import connect, resolve_server

        return cls(connect(resolve_server(environ, root)))

    def close(self) -> None:
        """Close the connection."""
        self.database.client.close()

    def __enter__(self) -> RunStore:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def run(
        self, run_id: int | str, *, experiment: str | None = None, status: str = "COMPLETED"
    ) -> Run:
        """One run, checked to be what the caller needs.

        Args:
            run_id: The run's number, or "latest": the newest of that experiment and status.
            experiment: Name of the experiment that it must be a run of; None for any.
            status: The status that it must have.

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
        document = self.database["runs"].find_one({"_id": run_id}, _FIELDS)
        if document is None:
            raise RunNotFoundError(
                f"there is no run {run_id}: expected a run's number or {LATEST!r}"
                + self._newest(experiment, status)
            )
        run = self._read(document)
        if experiment is not None and run.experiment != experiment:
            raise RunNotFoundError(
                f"run {run_id} is a {run.experiment!r} run; expected a {experiment!r} run"
                + self._newest(experiment, status)
            )
        if run.status != status:
            raise RunNotFoundError(
                f"run {run_id} is {run.status}; expected a run that is {status}"
                + self._newest(run.experiment, status)
            )
        return run

    def find(
        self,
        *,
        experiment: str | None = None,
        status: str | None = None,
        config: Mapping[str, Any] | None = None,
        limit: int | None = None,
    ) -> list[Run]:
        """All runs that match, newest first.

        Args:
            experiment: Name of the experiment.
            status: Status of the run.
            config: Values that configuration keys must have; keys of nested ones are dotted
                ("dataset.name").
            limit: Number of runs at most.

        Raises:
            InvalidInputError: `limit` is below 1.
        """
        if limit is not None and limit < 1:
            raise InvalidInputError(f"limit={limit}: expected at least 1, or None for all runs")
        query: dict[str, Any] = {
            f"config.{key}": value for key, value in to_plain(config or {}).items()
        }
        if experiment is not None:
            query["experiment.name"] = experiment
        if status is not None:
            query["status"] = status
        newest_first = [("start_time", -1), ("_id", -1)]
        found = self.database["runs"].find(query, _FIELDS).sort(newest_first).limit(limit or 0)
        return [self._read(document) for document in found]

    def _read(self, document: Mapping[str, Any]) -> Run:
        started = document.get("start_time")
        # Added twice under one name, the later file counts.
        files = {entry["name"]: entry["file_id"] for entry in document.get("artifacts") or ()}
        return Run(
            id=document["_id"],
            experiment=document.get("experiment", {}).get("name", ""),
            status=document.get("status", ""),
            config=document.get("config") or {},
            result=document.get("result"),
            info=document.get("info") or {},
            start_time=started.replace(tzinfo=timezone.utc) if started else None,
            artifacts=tuple(files),
            _files=files,
            _database=self.database,
        )

    def _newest(self, experiment: str | None, status: str) -> str:
        """The end of a message: the newest runs that would do, or how to make one."""
        runs = self.find(experiment=experiment, status=status, limit=LISTED)
        if not runs:
            return f"; {self._nothing_yet(experiment, status)}"
        whose = f"{experiment!r} runs" if experiment else "runs"
        return f"; the newest {status} {whose}: {', '.join(str(run.id) for run in runs)}"

    def _nothing_yet(self, experiment: str | None, status: str) -> str:
        whose = f"{experiment!r} run" if experiment else "run"
        script = f"experiments/{experiment}.py" if experiment else "an experiment"
        return (
            f"there is no {status} {whose} in database {self.database.name!r} yet; "
            f"run {script} first"
        )


# Captured output and sources can be large, and no reader here needs them.
_FIELDS = {
    "experiment.name": 1,
    "status": 1,
    "config": 1,
    "result": 1,
    "info": 1,
    "start_time": 1,
    "artifacts": 1,
}

"""Changing stored runs: tags, notes, files, and deleting them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unicodedata import category

from nn_clustering.tracking.errors import (
    InvalidInputError,
    ServerUnavailableError,
    TrackingError,
)
from nn_clustering.tracking.gridfs import add_artifact
from nn_clustering.tracking.run_ids import RunId, id_text
from nn_clustering.tracking.store.annotations import add_note, add_tags, remove_tags
from nn_clustering.tracking.store.deletion import delete_runs, plan_deletion
from nn_clustering.tracking.store.dropping import Drop, drop_artifacts, plan_drop
from nn_clustering.tracking.store.liveness import MAY_NOT_WRITE, Watch
from nn_clustering.tracking.store.run import Run

if TYPE_CHECKING:
    from pymongo.database import Database


class RunEditor:
    """Changes the runs of one database; arguments and errors are those of `RunStore`."""

    def __init__(self, database: Database, watch: Watch) -> None:
        """Change runs of this database; the watch says which ones live, and stay."""
        self._database = database
        self._watch = watch

    def tag(self, run_id: RunId, tags: tuple[str, ...]) -> None:
        """Give tags to a run."""
        with self._writing():
            add_tags(self._database, run_id, tags)

    def untag(self, run_id: RunId, tags: tuple[str, ...]) -> None:
        """Take tags from a run."""
        with self._writing():
            remove_tags(self._database, run_id, tags)

    def note(self, run_id: RunId, text: str) -> None:
        """Append a line to a run's notes."""
        with self._writing():
            add_note(self._database, run_id, text)

    def add_artifact(self, run: Run, path: Path, name: str) -> None:
        """Store a file with a run that there is already."""
        if not path.is_file():
            raise InvalidInputError(f"{path} is no file that can be read; expected one to store")
        if not _is_file_name(name):
            raise InvalidInputError(
                f"artifact {name!r}: expected a name as files have it, without '/', '\\' and "
                "control characters; give another (name=, --name)"
            )
        if name in run.artifacts:
            raise InvalidInputError(
                f"artifact {name!r} of run {id_text(run.id)}: expected a name that none of its "
                f"artifacts has ({', '.join(run.artifacts) or 'there are none'}); give another "
                "(name=, --name)"
            )
        try:
            with self._writing():
                add_artifact(self._database, run.id, path, name)
        except OSError as problem:
            raise InvalidInputError(
                f"{path} cannot be read ({problem.strerror}); expected a file to store"
            ) from None

    def plan_deletion(self, run_ids: Sequence[RunId], *, with_dependents: bool) -> list[RunId]:
        """The runs that `delete` would delete, in its order."""
        self._watch.look(at_once=True)
        return plan_deletion(self._database, run_ids, with_dependents=with_dependents)

    def delete(self, run_ids: Sequence[RunId], *, with_dependents: bool) -> list[RunId]:
        """Delete runs with all that belongs to them alone; returns them."""
        to_delete = self.plan_deletion(run_ids, with_dependents=with_dependents)
        with self._writing():
            delete_runs(self._database, to_delete)
        return to_delete

    def plan_drop(
        self, run_ids: Sequence[RunId], artifacts: Sequence[str], larger: int | None
    ) -> list[Drop]:
        """The artifacts that `drop_artifacts` would drop."""
        self._watch.look(at_once=True)
        return plan_drop(self._database, run_ids, artifacts, larger)

    def drop_artifacts(self, plan: Sequence[Drop]) -> int:
        """Drop artifacts; returns how many were there still."""
        with self._writing():
            return drop_artifacts(self._database, plan)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Say in our words that the server is away, or does not let us write."""
        import pymongo.errors

        try:
            yield
        except pymongo.errors.OperationFailure as problem:
            if problem.code != MAY_NOT_WRITE:
                raise
            reason = f"database {self._database.name!r} does not let this user write"
        except pymongo.errors.ConnectionFailure:
            raise ServerUnavailableError(
                f"the server of database {self._database.name!r} does not answer any more; "
                "expected one that runs: see `python -m nn_clustering.tracking status`, then try "
                "again"
            ) from None
        else:
            return
        raise TrackingError(f"{reason}; expected a user with the role readWrite: check MONGO_URL")


def _is_file_name(name: Any) -> bool:
    """Whether a file could have this name in any folder, so that it leads out of none."""
    return (
        isinstance(name, str)
        and name not in ("", ".", "..")
        # Control characters, and what no encoding can write.
        and not any(letter in "/\\" or category(letter) in ("Cc", "Cs") for letter in name)
    )

"""Where a stage's run stands, and what its experiment lends it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TextIO

from nn_clustering.tracking.errors import InvalidInputError
from nn_clustering.tracking.stages.threads import Threads
from nn_clustering.tracking.stages.validation import with_keys_of_part

if TYPE_CHECKING:
    from pymongo.database import Database

    from nn_clustering.tracking.run_ids import RunId
    from nn_clustering.tracking.stages.configs import ConfigFile
    from nn_clustering.tracking.store.run_store import RunStore


class FinishedRun(Protocol):
    """A run that has ended: Sacred's, or the stored one that is used in its place."""

    @property
    def _id(self) -> RunId | None: ...
    @property
    def config(self) -> Mapping[str, Any]:
        """The run's configuration."""

    @property
    def result(self) -> Any:
        """What the run returned."""

    @property
    def info(self) -> Mapping[str, Any]:
        """What the run noted besides."""

    @property
    def status(self) -> str:
        """COMPLETED, or why not."""


@dataclass(frozen=True)
class Surroundings:
    """What a run stands in: a program, or another run, or nothing but Python.

    Attributes:
        is_program: Whether it was started from the command line, not as a part of another run.
        command: That the program was started with, after the interpreter.
        run_id_file: Into which the program writes the id of its run, for whoever started it.
        expected_code: The code that the program shall refuse to run other code than.
        terminal: For progress bars, where there is one.
        uncaptured_output: Standard output and error as they were before Sacred captured them.
        database: That the run is tracked in, once that is known.
    """

    is_program: bool = False
    command: tuple[str, ...] = ()
    run_id_file: Path | None = None
    expected_code: str | None = None
    terminal: TextIO | None = None
    uncaptured_output: tuple[int, int] | None = None
    database: Database | None = None


class LentStore:
    """The stored runs, opened when somebody asks for them, closed at the end of a block."""

    def __init__(self, database: Database | None = None) -> None:
        """Begin closed.

        Args:
            database: Where the runs are; None for that of the server which would be used.
        """
        self._database = database
        self._store: RunStore | None = None

    def open(self) -> RunStore:
        """The stored runs.

        Raises:
            ServerUnavailableError: There is no server.
        """
        from nn_clustering.tracking.store.run_store import RunStore

        if self._store is None:
            self._store = RunStore.open() if self._database is None else RunStore(self._database)
        return self._store

    def __enter__(self) -> LentStore:
        return self

    def __exit__(self, *error: object) -> None:
        if self._store is not None and self._database is None:
            self._store.close()
        self._store = None


@dataclass(frozen=True)
class StageContext:
    """What an experiment lends its run.

    Attributes:
        surroundings: Where the run stands.
        store: The stored runs.
        threads: What the process computes with.
        defaults: Every config key with its default, nested.
        given: What the user typed to set config keys, by dotted key; empty for a part's run.
        config_files: The files that set the config.
    """

    surroundings: Surroundings = Surroundings()
    store: LentStore = field(default_factory=LentStore, repr=False)
    threads: Threads = field(default_factory=Threads, repr=False)
    defaults: Mapping[str, Any] = field(default_factory=dict)
    given: Mapping[str, str] = field(default_factory=dict)
    config_files: tuple[ConfigFile, ...] = ()

    @contextmanager
    def mistakes_of_part(self, part: str) -> Iterator[None]:
        """Within the block, what a part of the stage refuses is told in the keys of the whole.

        Args:
            part: Its name, under which the stage has its keys; others are let through as they are.

        Raises:
            InvalidInputError: The part refuses.
        """
        try:
            yield
        except InvalidInputError as mistake:
            if not isinstance(self.defaults.get(part), Mapping):
                raise
            told = with_keys_of_part(str(mistake), part, self.defaults[part])
            raise InvalidInputError(told) from mistake

"""What a worker is told of a cell, and what it tells of it: plain, so that no code travels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

# States of an outcome.
COMPLETED = "completed"
FAILED = "failed"
INTERRUPTED = "interrupted"
CRASHED = "crashed"
DECLINED = "declined"
# Why a worker declines a cell, or interrupts it.
WALLTIME = "walltime"
CLOSING = "closing"
SERVER = "server"
CANCELLED = "cancelled"
SIGNAL = "signal"
STORE = "store"
CODE = "code"
MACHINE = "machine"


@dataclass(frozen=True)
class Snapshot:
    """The code of a study, as its run has stored it.

    Attributes:
        run_id: The study's run.
        digest: SHA-256 of the names and contents of all files, once they are written out.
        start_folder: Where the study was started, as seen from the folder that the stored names of
            sources are relative to: cells are started in its image.
    """

    run_id: int
    digest: str
    start_folder: str = "."


@dataclass(frozen=True)
class CellOrder:
    """All that a worker needs to compute a cell.

    Attributes:
        name: The cell's, for what is said of it.
        stage: Name of the experiment.
        program: The stage's file, as the study's run names it among its sources
            (`experiments/train.py`).
        snapshot: The code that it runs.
        expected_code: What the stage has to have as its code, from `StageExperiment.expected_code`
            or `code_digest`; else it refuses.
        code: What `info.code` of its run will be, by which a completed or unfinished one is found.
        store: Of the runs, from `run_keys.store_id`.
        configs: Named configs of the stage, in their order.
        updates: Config keys on top of them, nested; seed, threads and the run that it reads too.
        config: The whole config, nested, by which a completed or unfinished run is found.
        n_threads: For libraries that count them when they are loaded; None leaves them alone.
        n_gpus: How many GPUs it is to have: from others that its worker may have they are hidden,
            so that what it computes on does not depend on where it goes.
        expected_seconds: For how long it will take; None where nobody knows.
        reuse: Whether runs that are stored already may stand for it, or be gone on with.
        reads_data: Whether it reads data by name, which may be other data than they were: only its
            stage can tell whether a completed run has read the same.
        max_resumed: How many times in a row an unfinished run may be gone on with, before the cell
            is begun anew.
    """

    name: str
    stage: str
    program: str
    snapshot: Snapshot
    expected_code: str
    code: str
    store: str
    configs: tuple[str, ...] = ()
    updates: Mapping[str, Any] = field(default_factory=dict)
    config: Mapping[str, Any] = field(default_factory=dict)
    n_threads: int | None = 1
    n_gpus: int = 0
    expected_seconds: float | None = None
    reuse: bool = True
    reads_data: bool = False
    max_resumed: int = 3

    def to_plain(self) -> dict[str, Any]:
        """Return it as JSON holds it."""
        return {**asdict(self), "configs": list(self.configs)}

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> CellOrder:
        """Read it back."""
        return cls(
            **{
                **plain,
                "snapshot": Snapshot(**plain["snapshot"]),
                "configs": tuple(plain["configs"]),
            }
        )


@dataclass(frozen=True)
class CellOutcome:
    """What became of a cell on a worker.

    - ``completed``: there is a completed run of it, `run_id`, made now or before (`was_there`).
    - ``failed``: its process ended with an `exit_status` other than 0, after a mistake (one line,
      `reason`) or an exception. The same happens again: it is not to be tried again.
    - ``interrupted``: its process has ended before its time, for the `cause`: ``cancelled`` (its
      task was), ``walltime`` (it nearly ran out), ``closing`` (the worker closes), ``signal``
      (somebody else asked it to), ``server`` (MongoDB went away). Another try goes on from what it
      had kept, where the stage can.
    - ``crashed``: a signal killed its process (`exit_status` is minus its number): out of memory,
      an abort of a library, kill -9. Another try may do better.
    - ``declined``: nothing was begun, for the `cause`: ``walltime`` (this worker's rest cannot hold
      it), ``closing`` (the worker is about to end), ``server`` (it reaches no MongoDB now),
      ``store`` (its runs go elsewhere), ``code`` (its Python or packages, or the stored code, are
      others), ``machine`` (its disk or memory), ``cancelled`` (nobody waits for it any more).
      Another worker may take it; after ``store`` and ``code`` this one never can.

    Attributes:
        name: The cell's.
        state: One of these.
        run_id: Its run: completed, failed or interrupted; None where there is none, or none known.
        seconds: For how long the process ran; of one that was there, for how long that did.
        was_there: Whether the completed run was there before.
        resumed: The unfinished run that it went on with; None where it began anew.
        exit_status: That of the process; negative where a signal ended it, None where none ran.
        cause: Why it was declined or interrupted.
        reason: What is to be said of it, in one line.
        output: The last lines that the process printed, without passwords.
        host: Name of the machine.
    """

    name: str
    state: str
    run_id: int | None = None
    seconds: float = 0.0
    was_there: bool = False
    resumed: int | None = None
    exit_status: int | None = None
    cause: str | None = None
    reason: str = ""
    output: str = ""
    host: str = ""

    def to_plain(self) -> dict[str, Any]:
        """Return it as JSON holds it."""
        return asdict(self)

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> CellOutcome:
        """Read it back."""
        return cls(**plain)

"""Computing a cell on a worker, in a process of its own."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pymongo.errors

from nn_clustering.datasets import dataset_folders
from nn_clustering.errors import InvalidInputError, NnClusteringError
from nn_clustering.studies._cell_orders import (
    CANCELLED,
    CLOSING,
    CODE,
    COMPLETED,
    CRASHED,
    DECLINED,
    FAILED,
    INTERRUPTED,
    MACHINE,
    SERVER,
    SIGNAL,
    STORE,
    WALLTIME,
    CellOrder,
    CellOutcome,
)
from nn_clustering.studies._cell_runs import RESUME, CellRuns, deliver, find_runs
from nn_clustering.studies._command_line import settings_of
from nn_clustering.studies._own_process import EndedProcess, run_process
from nn_clustering.studies._snapshot import WrittenSnapshot, written_snapshot
from nn_clustering.studies._stops import Stops
from nn_clustering.tracking import (
    RunStore,
    ServerUnavailableError,
    connect,
    project_root,
    resolve_server,
)
from nn_clustering.tracking.execution_keys import EXPECTED_CODE
from nn_clustering.tracking.passwords import mask_passwords
from nn_clustering.tracking.run_keys import store_id
from nn_clustering.tracking.stages.expected_code import NOT_EXPECTED
from nn_clustering.tracking.stages.lease import release_of_dead
from nn_clustering.tracking.stages.program import (
    INTERRUPTED as INTERRUPTED_STATUS,
    RUN_ID_VARIABLE,
    SERVER_AWAY,
)
from nn_clustering.tracking.store.stored_programs import program_arguments

if TYPE_CHECKING:
    from pymongo.database import Database

__all__ = ["CellOrder", "CellOutcome", "run_cell"]

# Between looks at a run that another process makes, and at a server that is away.
LOOK_SECONDS = 2.0
_ENDING_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
# Why a worker declines a cell after an error, by the first kind that this is of.
_CAUSES: Mapping[type[Exception], str] = {
    ServerUnavailableError: SERVER,
    pymongo.errors.PyMongoError: SERVER,
    InvalidInputError: STORE,  # the environment names none that can be used
    NnClusteringError: CODE,
    OSError: MACHINE,
}
_IN_WORDS = {
    WALLTIME: "the rest of the worker's time does not hold it",
    CLOSING: "its worker closes",
    CANCELLED: "it was cancelled",
}
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def run_cell(order: Mapping[str, Any]) -> dict[str, Any]:
    """Compute a cell, or find its completed run; what a Dask worker is asked to do.

    It ends the cell's process when its task is cancelled, the worker closes, or its walltime is
    nearly over. Called without a worker, it does all the same.

    Args:
        order: A :class:`CellOrder`, from its `to_plain`.

    Returns:
        A :class:`CellOutcome`, for its `from_plain`. Nothing is raised that the cell, the server
        or the store can bring about.
    """
    return _outcome(CellOrder.from_plain(order), Stops.of_this_task()).to_plain()


def _outcome(order: CellOrder, stops: Stops) -> CellOutcome:
    cause = stops.cause()
    if cause is None and not stops.hold(order.expected_seconds):
        cause = WALLTIME
    if cause is not None:
        return _declined(order, cause, f"{order.name} was not begun: {_IN_WORDS[cause]}")
    try:
        settings = settings_of(order.updates)
    except InvalidInputError as mistake:
        return CellOutcome(order.name, FAILED, reason=str(mistake), host=_host())
    try:
        return _outcome_in_store(order, stops, settings)
    except tuple(_CAUSES) as problem:
        cause = next(cause for kind, cause in _CAUSES.items() if isinstance(problem, kind))
        return _declined(order, cause, " ".join(mask_passwords(str(problem)).split()))


def _outcome_in_store(order: CellOrder, stops: Stops, settings: Sequence[str]) -> CellOutcome:
    """The outcome where the server and the machine do what they should."""
    with _connected() as database:
        if store_id(database) == order.store:
            return _Try(order, stops, settings, database).outcome()
        reason = (
            f"the runs of this worker go to another store, database {database.name!r}; expected "
            "that of the study: set MONGO_URL and MONGO_DB of the worker"
        )
        return _declined(order, STORE, reason)


@contextlib.contextmanager
def _connected() -> Iterator[Database]:
    database = connect(resolve_server())
    try:
        yield database
    finally:
        database.client.close()


def _declined(order: CellOrder, cause: str, reason: str) -> CellOutcome:
    return CellOutcome(order.name, DECLINED, cause=cause, reason=reason, host=_host())


def _host() -> str:
    return socket.gethostname()


@dataclass(frozen=True)
class _Try:
    """One try of a cell, on a worker whose store is the right one."""

    order: CellOrder
    stops: Stops
    settings: Sequence[str]
    database: Database

    @property
    def journal_root(self) -> Path:
        return RunStore(self.database).journal_root

    def outcome(self) -> CellOutcome:
        """What became of it."""
        found: CellRuns | CellOutcome = self._found()
        if isinstance(found, CellOutcome):
            return found
        written = written_snapshot(self.database, self.order.snapshot)
        outcome = self._computed(written, found.unfinished)
        if outcome.state == FAILED and outcome.resumed is not None and outcome.run_id is None:
            # It refuses to go on with that run.
            outcome = self._computed(written, None)
        return outcome

    def _found(self) -> CellRuns | CellOutcome:
        """What is stored of the cell, once no other process computes it."""
        while self.order.reuse:
            found = find_runs(self.database, self.order, self.journal_root)
            if found.completed is not None and not self.order.reads_data:
                return CellOutcome(
                    self.order.name,
                    COMPLETED,
                    run_id=found.completed.run_id,
                    seconds=found.completed.seconds or 0.0,
                    was_there=True,
                    host=_host(),
                )
            if found.running is None:
                return found
            cause = self.stops.cause()
            if cause is not None:
                return _declined(
                    self.order, cause, f"run {found.running} computes it; {_IN_WORDS[cause]}"
                )
            time.sleep(LOOK_SECONDS)
        return CellRuns()

    def _computed(self, written: WrittenSnapshot, unfinished: Any) -> CellOutcome:
        """Let a process compute it."""
        began = datetime.now(timezone.utc).replace(tzinfo=None)
        with tempfile.TemporaryDirectory(prefix="cell_", dir=self.stops.scratch) as place:
            run_id_file = Path(place, "run_id")
            ended = run_process(
                self._arguments(written, unfinished),
                written.start,
                self._environment(written, run_id_file),
                Path(place, "output"),
                self.stops.cause,
            )
            run_id = _read_id(run_id_file)
        if ended.status < 0:
            run_id = run_id or self._released(ended)
        outcome = CellOutcome(
            self.order.name,
            _state(ended, run_id),
            run_id=run_id,
            seconds=ended.seconds,
            resumed=unfinished,
            exit_status=ended.status,
            cause=_cause(ended),
            reason=_reason(ended),
            output=ended.output,
            host=_host(),
        )
        return self._seen_to(outcome, began)

    def _arguments(self, written: WrittenSnapshot, unfinished: Any) -> list[str]:
        program = program_arguments(written.program(self.order.program), written.base)
        resume = [] if unfinished is None else settings_of({RESUME: unfinished})
        return [*program, "with", *self.order.configs, *self.settings, *resume]

    def _environment(self, written: WrittenSnapshot, run_id_file: Path) -> dict[str, str]:
        n_threads = self.order.n_threads
        return {
            **os.environ,
            # Before all that is installed, which may be a checkout that somebody edits.
            "PYTHONPATH": os.pathsep.join(
                filter(None, [str(written.base), os.environ.get("PYTHONPATH")])
            ),
            **({} if n_threads is None else dict.fromkeys(_THREADS, str(n_threads))),
            **({} if self.order.n_gpus else {"CUDA_VISIBLE_DEVICES": "-1"}),
            # As this process has them, which are looked for beside its own code.
            "NN_CLUSTERING_HOME": str(project_root()),
            "NN_CLUSTERING_DATASETS": os.pathsep.join(
                str(folder.resolve()) for folder in dataset_folders()
            ),
            EXPECTED_CODE: self.order.expected_code,
            RUN_ID_VARIABLE: str(run_id_file),
        }

    def _seen_to(self, outcome: CellOutcome, began: datetime) -> CellOutcome:
        """The outcome by what is stored: a run may be completed that could not be delivered."""
        if outcome.state == COMPLETED:
            return replace(outcome, was_there=self._was_there(outcome.run_id, began))
        if outcome.state != FAILED:
            return outcome
        if NOT_EXPECTED in outcome.reason:
            return replace(outcome, state=DECLINED, cause=CODE)
        if outcome.run_id is None:
            if self._run_status(None) is _AWAY:
                return replace(outcome, state=DECLINED, cause=SERVER)
            return outcome
        return self._delivered(outcome)

    def _delivered(self, outcome: CellOutcome) -> CellOutcome:
        """The outcome once all of its run that is on this machine is in MongoDB."""
        was_away = False
        while (status := self._run_status(outcome.run_id)) is _AWAY:
            was_away = True
            cause = self.stops.cause()
            if cause is not None:
                return replace(outcome, state=INTERRUPTED, cause=cause)
            time.sleep(LOOK_SECONDS)
        if status == "COMPLETED":
            return replace(outcome, state=COMPLETED, reason="")
        return replace(outcome, state=INTERRUPTED, cause=SERVER) if was_away else outcome

    def _run_status(self, run_id: Any) -> Any:
        """The status of a run, with what it left here; `_AWAY` where MongoDB does not answer."""
        try:
            run = self.database["runs"].find_one({"_id": run_id}, {"tracking": 1})
            if run is not None:
                deliver(self.database, [run], self.journal_root)
            run = self.database["runs"].find_one({"_id": run_id}, {"status": 1})
        except pymongo.errors.PyMongoError:
            return _AWAY
        return None if run is None else run.get("status")

    def _released(self, ended: EndedProcess) -> Any:
        """The run of a process that was killed, whose lease nobody need wait for."""
        with contextlib.suppress(pymongo.errors.PyMongoError):
            return release_of_dead(self.database, ended.pid, ended.seconds + 1)
        return None

    def _was_there(self, run_id: Any, began: datetime) -> bool:
        """Whether a run is older than the process that named it, by the clock of this machine."""
        with contextlib.suppress(pymongo.errors.PyMongoError):
            run = self.database["runs"].find_one({"_id": run_id}, {"start_time": 1}) or {}
            started = run.get("start_time")
            return isinstance(started, datetime) and started < began - timedelta(seconds=1)
        return False


_AWAY = object()


def _state(ended: EndedProcess, run_id: Any) -> str:
    if ended.status == 0:
        return COMPLETED if run_id is not None else FAILED
    if ended.cause is not None or _was_asked(ended.status):
        return INTERRUPTED
    if ended.status == SERVER_AWAY:
        return DECLINED if run_id is None else INTERRUPTED
    return CRASHED if ended.status < 0 else FAILED


def _cause(ended: EndedProcess) -> str | None:
    if ended.status == 0:
        return None
    if ended.cause is None and ended.status == SERVER_AWAY:
        return SERVER
    return SIGNAL if ended.cause is None and _was_asked(ended.status) else ended.cause


def _was_asked(status: int) -> bool:
    """Whether a process ended as one that was asked to by a signal."""
    return status in (INTERRUPTED_STATUS, *(-number for number in _ENDING_SIGNALS))


def _reason(ended: EndedProcess) -> str:
    """The line that says most of an end: the stage's message, or the last that was printed."""
    if ended.status == 0:
        return ""
    if ended.cause is not None:
        return _IN_WORDS[ended.cause]
    if ended.status < 0:
        return f"killed by {_signal_name(-ended.status)}"
    lines = [line.strip() for line in ended.output.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("Error: ")]
    return next(reversed(errors or lines), f"it ended with exit status {ended.status}")


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _read_id(file: Path) -> int | None:
    try:
        return int(file.read_text())
    except (OSError, ValueError):
        return None

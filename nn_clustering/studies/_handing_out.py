"""Handing a study's cells to workers that are free and can hold them, until all have ended.

Dask itself would queue tasks on busy workers. Here they wait in this process until a worker is
free, so that none waits behind another, and a worker that dies makes suspect only what it computed.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import hashlib
import queue
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from nn_clustering.errors import in_one_line
from nn_clustering.studies._cell_orders import (
    CLOSING,
    CODE,
    COMPLETED,
    CRASHED,
    DECLINED,
    FAILED,
    INTERRUPTED,
    SERVER,
    STORE,
    CellOutcome,
)
from nn_clustering.studies._cell_process import run_cell
from nn_clustering.studies._cells import Cell
from nn_clustering.studies._pending_cells import PendingCell, PendingCells
from nn_clustering.studies._progress import Progress
from nn_clustering.studies._schedulers import (
    SchedulerUnavailableError,
    close_client,
    connect_client,
)
from nn_clustering.studies._stages import Needs
from nn_clustering.studies._stuck_cells import why_stuck
from nn_clustering.studies._workers import (
    QUESTION_SECONDS,
    WorkerFacts,
    Workers,
    ask,
    tasks_that_run,
    waiting_tasks,
)
from nn_clustering.tracking.printing import format_seconds

if TYPE_CHECKING:
    from distributed import Client, Future

# What a client raises whose scheduler is away.
_AWAY = (OSError, asyncio.TimeoutError, asyncio.CancelledError, concurrent.futures.CancelledError)
# What a worker has no more has ended, and Dask is about to say so; or else it never will.
_GONE_SECONDS = 3.0


@dataclass(frozen=True)
class Patience:
    """For how long what is away is waited for.

    Attributes:
        scheduler: For a scheduler that was there before, in seconds.
        ending: For cells that were asked to end.
        look: Between looks at who is there, while nothing happens.
    """

    scheduler: float = 600.0
    ending: float = 60.0
    look: float = 1.0


@dataclass(frozen=True)
class CarriedOut:
    """What became of cells, each under its name.

    Attributes:
        completed: Those that have a run.
        failed: Those that have none, after all attempts.
        not_run: Of those that were not begun, the name of the failed one that each rests on.
    """

    completed: Mapping[str, CellOutcome]
    failed: Mapping[str, CellOutcome]
    not_run: Mapping[str, str]


def carry_out(
    client: Client,
    cells: Sequence[Cell],
    order_of: Callable[[Cell, Any], Mapping[str, Any]],
    *,
    completed: Mapping[str, Any] | None = None,
    seconds_of: Callable[[Cell], float | None] = lambda cell: None,
    run: Callable[[Mapping[str, Any]], Mapping[str, Any]] = run_cell,
    max_attempts: int = 3,
    progress: Progress | None = None,
    patience: Patience = Patience(),
) -> CarriedOut:
    """Have cells computed, and wait for them.

    Ctrl-C asks those that run to end, and waits until they have; once more, it leaves at once.

    Args:
        client: From `workplace`.
        cells: Of a study, each after the one that it reads.
        order_of: Makes a plain `CellOrder` from a cell and the id of the run that it reads.
        completed: The ids of runs that there are already, by the names of cells.
        seconds_of: What a cell should take; None where nobody knows.
        run: What a worker calls with an order, and which returns a plain `CellOutcome`. Workers
            import it by its name.
        max_attempts: How many times a cell is begun whose worker or process dies, or which is
            interrupted. One that fails by itself is not tried again.
        progress: Is told what happens; None for lines alone.
        patience: For how long what is away is waited for.

    Raises:
        SchedulerUnavailableError: If the scheduler went away for good.
    """
    completed, progress = completed or {}, progress or Progress()
    to_do = [cell for cell in cells if cell.name not in completed]
    seconds = {cell.name: seconds_of(cell) for cell in to_do}
    handing_out = _HandingOut(
        client,
        PendingCells(to_do, completed),
        _Rules(order_of, seconds, run, max_attempts, patience),
        progress,
    )
    progress.start(to_do, seconds)
    try:
        handing_out.work()
    except KeyboardInterrupt as interrupt:
        handing_out.end_cells()
        raise interrupt from None  # whatever was waited for when it came
    finally:
        handing_out.close()
    return handing_out.result


@dataclass(frozen=True)
class _Rules:
    order_of: Callable[[Cell, Any], Mapping[str, Any]]
    seconds: Mapping[str, float | None]
    run: Callable[[Mapping[str, Any]], Mapping[str, Any]]
    max_attempts: int
    patience: Patience


@dataclass
class _Running:
    """A cell that a worker computes.

    Attributes:
        pending: It.
        worker: Who.
        future: Dask's.
        gone_since: Since when the worker has it no more, by the monotonic clock.
    """

    pending: PendingCell
    worker: WorkerFacts
    future: Future
    gone_since: float | None = None

    @property
    def cell(self) -> Cell:
        return self.pending.cell


@dataclass
class _Ended:
    completed: dict[str, CellOutcome] = field(default_factory=dict)
    failed: dict[str, CellOutcome] = field(default_factory=dict)
    not_run: dict[str, str] = field(default_factory=dict)


class _HandingOut:
    """Hands out cells until none is left."""

    def __init__(
        self, client: Client, pending: PendingCells, rules: _Rules, progress: Progress
    ) -> None:
        self._client = self._given_client = client
        self._address: str = client.scheduler.address
        self._pending, self._rules, self._progress = pending, rules, progress
        self._workers = Workers()
        self._running: dict[str, _Running] = {}
        self._events: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._ended = _Ended()
        self._told: set[str] = set()
        # Two studies on one scheduler, or a second attempt, must not be taken for the same task.
        self._token = uuid.uuid4().hex
        self._next_check = 0.0

    @property
    def result(self) -> CarriedOut:
        """What has become of the cells so far."""
        return CarriedOut(self._ended.completed, self._ended.failed, self._ended.not_run)

    def work(self) -> None:
        """Hand out, and wait, until every cell has ended."""
        while self._pending.n_left:
            self._make_orders()
            try:
                self._look()
                self._hand_out()
                self._take_in()
            except _AWAY as error:
                self._wait_for_scheduler(error)
            self._progress.show(len(self._running), self._workers.n_places)

    def end_cells(self) -> None:
        """Ask what runs to end, and wait until it has."""
        if not self._running:
            return
        n = len(self._running)
        runs = "the run that goes on" if n == 1 else f"the {n} runs that go on"
        self._progress.tell(
            f"asking {runs} to end, and to keep what there is (Ctrl-C again leaves at once); what "
            "is completed is stored, and the same command goes on from there"
        )
        addresses = sorted({running.worker.address for running in self._running.values()})
        keys = list(self._running)
        deadline = time.monotonic() + self._rules.patience.ending
        with contextlib.suppress(*_AWAY):
            self._client.cancel([running.future for running in self._running.values()])
            while time.monotonic() < deadline:
                found = ask(
                    self._client,
                    self._client._run,
                    tasks_that_run,
                    keys,
                    workers=addresses,
                    on_error="ignore",
                )
                if not any(found.values()):
                    return
                time.sleep(min(0.2, self._rules.patience.look))

    def close(self) -> None:
        """Leave a scheduler that was connected to anew, and the progress bar."""
        self._progress.close()
        if self._client is not self._given_client:
            close_client(self._client)

    @property
    def _is_ours(self) -> bool:
        return self._client.cluster is not None

    def _make_orders(self) -> None:
        """While workers are busy, so that none waits for it."""
        for pending in self._pending.ready[: max(1, self._workers.n_places)]:
            if pending.order is None:
                pending.order = self._rules.order_of(pending.cell, pending.parent_run)

    def _look(self) -> None:
        for line in self._workers.look(self._client):
            self._progress.tell(line)
        now = time.monotonic()
        for key, running in list(self._running.items()):
            address = running.worker.address
            if self._workers.has_task(address, key) or running.future.done():
                running.gone_since = None
            elif running.gone_since is None:
                running.gone_since = now
            elif now - running.gone_since < _GONE_SECONDS:
                continue
            elif address in self._workers:  # it takes nothing, as it closes, or is out of memory
                self._workers.let_rest(address)
                self._pending.put_back(self._forget(running))
            else:
                self._worker_died(running)
        self._make_room()

    def _make_room(self) -> None:
        """Take back what waits in a worker: another study was faster."""
        for address, tasks in self._workers.crowded().items():
            keys = [key for key in tasks if key in self._running]
            if not keys or len(tasks) == len(keys) == 1:
                continue
            found = ask(
                self._client,
                self._client._run,
                waiting_tasks,
                keys,
                workers=[address],
                on_error="ignore",
            )
            for key in found.get(address, ()):
                self._pending.put_back(self._forget(self._running[key]))

    def _hand_out(self) -> None:
        taken: dict[str, list[Needs]] = {}
        for running in self._running.values():
            taken.setdefault(running.worker.address, []).append(running.cell.needs)
        free = dict(self._workers.free(taken))
        # Those that need a GPU first, and the others to workers that have none.
        ready = sorted(self._pending.ready, key=lambda pending: -pending.cell.needs.gpu)
        for pending in ready if free else ():
            worker = self._choose(pending, free, taken)
            if worker is None:
                continue
            self._submit(pending, worker)
            taken.setdefault(worker.address, []).append(pending.cell.needs)
            free[worker] -= 1
            if not free[worker]:
                del free[worker]
            if not free:
                break
        if time.monotonic() > self._next_check:
            self._next_check = time.monotonic() + self._rules.patience.look
            self._look_for_stuck()

    def _choose(
        self,
        pending: PendingCell,
        free: Mapping[WorkerFacts, int],
        taken: Mapping[str, Sequence[Needs]],
    ) -> WorkerFacts | None:
        needs, expected = pending.cell.needs, self._rules.seconds[pending.cell.name]
        for worker in sorted(free, key=lambda worker: (worker.gpus, worker.memory_bytes)):
            there = taken.get(worker.address, ())
            together = Needs(
                needs.gpu + sum(other.gpu for other in there),
                needs.memory_mb + sum(other.memory_mb for other in there),
            )
            is_willing = worker.address not in pending.declined
            if is_willing and worker.is_large_enough(together) and worker.has_time(expected):
                return worker
        return None

    def _submit(self, pending: PendingCell, worker: WorkerFacts) -> None:
        if pending.order is None:
            pending.order = self._rules.order_of(pending.cell, pending.parent_run)
        key = self._key(pending.cell)
        future = self._client.submit(
            self._rules.run,
            pending.order,
            key=key,
            workers=[worker.address],
            allow_other_workers=False,
            pure=False,
        )
        self._pending.take(pending)
        self._running[key] = _Running(pending, worker, future)
        future.add_done_callback(lambda ended: self._events.put(ended.key))
        self._progress.begin(pending.cell)

    def _key(self, cell: Cell) -> str:
        """A name for a task that Dask's dashboard groups by what stands before the hyphen."""
        text = f"{self._token} {uuid.uuid4().hex} {cell.name}"
        return f"{cell.stage}-{hashlib.sha256(text.encode()).hexdigest()[:32]}"

    def _take_in(self) -> None:
        """Wait until a cell ends, or for a while; then see what became of those that have."""
        with contextlib.suppress(queue.Empty):
            key = self._events.get(timeout=self._rules.patience.look)
            while True:
                running = self._running.get(key)
                if running is not None:
                    self._end(running)
                key = self._events.get_nowait()

    def _end(self, running: _Running) -> None:
        from distributed import KilledWorker

        status = running.future.status
        if status == "pending":  # its result was lost with its worker, and Dask computes it again
            running.future.add_done_callback(lambda ended: self._events.put(ended.key))
        elif status == "finished":
            try:
                outcome = CellOutcome.from_plain(running.future.result(timeout=QUESTION_SECONDS))
            except (asyncio.TimeoutError, KilledWorker):
                self._worker_died(running)
                return
            self._settle(running, outcome)
        elif status == "error":
            error: Any = running.future.exception(timeout=QUESTION_SECONDS)
            if isinstance(error, KilledWorker):
                self._worker_died(running)
            else:
                reason = f"its worker {running.worker.name} could not run it: {in_one_line(error)}"
                self._settle(running, CellOutcome(running.cell.name, FAILED, reason=reason))
        else:  # nobody here has cancelled it
            if self._client.status != "running" or _is_connection_lost(running.future):
                raise ConnectionError("the connection is lost")
            reason = f"its task on {running.worker.name} was taken away"
            self._settle(running, CellOutcome(running.cell.name, CRASHED, reason=reason))

    def _worker_died(self, running: _Running) -> None:
        reason = f"its worker {running.worker.name} has died"
        outcome = CellOutcome(running.cell.name, CRASHED, reason=reason, host=running.worker.host)
        self._settle(running, outcome)

    def _settle(self, running: _Running, outcome: CellOutcome) -> None:
        pending = self._forget(running)
        if outcome.state == COMPLETED:
            self._ended.completed[pending.cell.name] = outcome
            self._pending.complete(pending.cell, outcome.run_id)
            self._progress.complete(pending.cell, outcome)
        elif outcome.state == DECLINED:
            self._note_declined(pending, running.worker, outcome)
            self._pending.put_back(pending)
        elif outcome.state in (CRASHED, INTERRUPTED):
            pending.n_attempts += 1
            if pending.n_attempts >= self._rules.max_attempts:
                self._give_up(pending.cell, outcome)
                return
            self._progress.again(
                pending.cell, outcome, pending.n_attempts, self._rules.max_attempts
            )
            self._pending.put_back(pending)
        else:
            self._give_up(pending.cell, outcome)

    def _forget(self, running: _Running) -> PendingCell:
        """Let a worker compute a cell no more, if it still does."""
        del self._running[running.future.key]
        if not running.future.done():
            running.future.cancel()
        self._progress.stop(running.cell)
        return running.pending

    def _note_declined(
        self, pending: PendingCell, worker: WorkerFacts, outcome: CellOutcome
    ) -> None:
        if outcome.cause in (STORE, CODE):
            self._workers.unfit[worker.address] = outcome.reason
            self._tell_once(f"worker {worker.name} is not used: {outcome.reason}")
            return
        if outcome.cause == SERVER:
            self._workers.let_rest(worker.address)
        else:
            pending.declined[worker.address] = outcome.reason
        if outcome.cause != CLOSING:
            self._tell_once(f"worker {worker.name}: {outcome.reason}")

    def _give_up(self, cell: Cell, outcome: CellOutcome) -> None:
        self._ended.failed[cell.name] = outcome
        self._progress.fail(cell, outcome)
        lost = self._pending.give_up(cell)
        for each in lost:
            self._ended.not_run[each.name] = cell.name
        self._progress.drop(lost, cell)

    def _look_for_stuck(self) -> None:
        """Give up, or say that it waits, what none of the workers can take."""
        is_whole = self._is_ours and len(self._workers) >= len(self._client.cluster.workers)
        for pending, reason in why_stuck(self._pending.ready, self._workers, self._rules.seconds):
            if is_whole:
                self._pending.take(pending)
                self._give_up(pending.cell, CellOutcome(pending.cell.name, FAILED, reason=reason))
            elif not self._is_ours:
                self._tell_once(f"{reason}: waiting for one that can ({self._address})")

    def _tell_once(self, line: str) -> None:
        if line not in self._told:
            self._told.add(line)
            self._progress.tell(line)

    def _wait_for_scheduler(self, error: BaseException) -> None:
        """Connect anew to a scheduler that is away, when it is there again.

        Raises:
            SchedulerUnavailableError: If it does not come back, or cannot.
        """
        way_on = "what is completed is stored, and the same command goes on from there"
        if self._is_ours:
            raise SchedulerUnavailableError(
                f"this study's own scheduler answers no more ({in_one_line(error)}): {way_on}"  # type: ignore[arg-type]
            ) from error
        patience = self._rules.patience.scheduler
        self._progress.tell(
            f"the scheduler {self._address} is away: waiting for it for up to "
            f"{format_seconds(patience)}, and then for what ran there once more"
        )
        for running in list(self._running.values()):
            self._pending.put_back(running.pending)
            self._progress.stop(running.cell)
        self._running.clear()
        self._workers.forget_all()
        self._told.clear()
        scheduler_file = self._client.scheduler_file
        close_client(self._client)
        deadline = time.monotonic() + patience
        while True:
            try:
                self._client = connect_client(self._address, scheduler_file)
                break
            except SchedulerUnavailableError as away:
                if time.monotonic() > deadline:
                    raise SchedulerUnavailableError(
                        f"the scheduler {self._address} has not come back: {way_on}"
                    ) from away
                time.sleep(self._rules.patience.look)
        self._address = self._client.scheduler.address
        self._progress.tell(f"the scheduler {self._address} is there again")


def _is_connection_lost(future: Future) -> bool:
    """Whether a cancelled task was lost with its scheduler, which may be there again already."""
    try:
        future.result(timeout=QUESTION_SECONDS)
    except _AWAY as error:
        return getattr(error, "reason", None) == "scheduler-connection-lost"
    return False

"""Let a worker end well: `dask worker --no-nanny --preload nn_clustering.studies.preload`.

By itself `dask worker` ends at once when it is asked to (SIGTERM, Ctrl-C), and its cell goes down
with it. With this it takes no more cells, lets the one that it has be interrupted, so that what was
logged is delivered, tells the scheduler what became of it, and then ends. So it does when its time
is nearly over, for the next worker to begin the sooner.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from nn_clustering.studies._walltime import INTERRUPT_BEFORE_SECONDS, remaining_seconds

if TYPE_CHECKING:
    from distributed import Worker

# A cell that does not end when it is asked to is killed before this.
ENDING_SECONDS = 45.0
# For whoever waits for a cell to fetch what became of it.
FETCHING_SECONDS = 10.0
LOOK_SECONDS = 0.1


async def dask_setup(worker: Worker) -> None:
    """Prepare a worker; Dask calls it in the worker's process."""
    loop = asyncio.get_running_loop()
    tasks = {asyncio.ensure_future(_end_in_time(worker))}  # the loop itself forgets tasks

    def end(number: int) -> None:
        # The second signal of a kind ends the process at once, as Dask has it.
        loop.remove_signal_handler(number)
        tasks.add(asyncio.ensure_future(_end_well(worker, signal.Signals(number).name)))

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, end, number)


async def _end_in_time(worker: Worker) -> None:
    while (remaining := remaining_seconds(worker, os.environ)) is not None:
        spare = remaining - INTERRUPT_BEFORE_SECONDS
        if spare <= 0:
            await _end_well(worker, "its time is nearly over")
            return
        await asyncio.sleep(spare)


async def _end_well(worker: Worker, reason: str) -> None:
    from distributed.core import Status

    if worker.status not in (Status.running, Status.paused, Status.init):
        return  # it ends already
    # By this its cell is told, and the scheduler, which hands it no more tasks.
    worker.status = Status.closing_gracefully
    await _until(lambda: worker.state.executing_count == 0, ENDING_SECONDS)
    await _until(lambda: not worker.state.tasks, FETCHING_SECONDS)
    await worker.close(timeout=LOOK_SECONDS, reason=reason)


async def _until(is_so: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not is_so() and time.monotonic() < deadline:
        await asyncio.sleep(LOOK_SECONDS)

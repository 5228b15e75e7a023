"""How long a worker may go on, and whether that holds a cell.

Two clocks can end a worker: Dask's (`dask worker --lifetime`) and Slurm's (`sbatch --time`). A cell
that runs when one is about to is interrupted a little before, so that it ends well and is resumed.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

# How long before its worker's end a cell is interrupted: it is to deliver what it logged.
INTERRUPT_BEFORE_SECONDS = 60.0
# What a cell of unknown cost is given at least: less goes by before a stage has begun.
LEAST_SECONDS = 60.0
# Costs are medians of stored runs: half of the runs took longer.
SLACK = 1.25
END_VARIABLE, START_VARIABLE = "SLURM_JOB_END_TIME", "SLURM_JOB_START_TIME"


def remaining_seconds(worker: Any | None, environ: Mapping[str, str]) -> float | None:
    """How long a worker may still run; None where nothing ends it.

    Args:
        worker: Dask's `Worker` of this process; None for none.
        environ: The environment of its process, in which Slurm says when the job ends.
    """
    now = time.time()
    ends = [_lifetime_end(worker), _moment(environ, END_VARIABLE)]
    return min((max(end - now, 0.0) for end in ends if end is not None), default=None)


def whole_seconds(worker: Any | None, environ: Mapping[str, str]) -> float | None:
    """How long a worker like this one may run from its start on; None where nothing ends it.

    Args:
        worker: As in `remaining_seconds`.
        environ: As in `remaining_seconds`.
    """
    start, end = _moment(environ, START_VARIABLE), _moment(environ, END_VARIABLE)
    job = None if start is None or end is None else max(end - start, 0.0)
    return min((each for each in (_lifetime(worker), job) if each is not None), default=None)


def holds(
    remaining: float | None,
    expected_seconds: float | None,
    margin: float = INTERRUPT_BEFORE_SECONDS,
    *,
    whole: float | None = None,
) -> bool:
    """Whether a worker shall take a cell.

    Args:
        remaining: From `remaining_seconds`, of the worker.
        expected_seconds: What the cell should cost; None where that is unknown, which is held
            unless nearly nothing remains.
        margin: How long before the end a cell is interrupted, in seconds.
        whole: From `whole_seconds`. A cell that not even a fresh worker would hold goes on from one
            to the next, and is taken by those that have half of their time left; None: such a
            cell is taken by none.
    """
    if remaining is None:
        return True
    needed = LEAST_SECONDS if expected_seconds is None else SLACK * expected_seconds
    usable, fresh = remaining - margin, None if whole is None else whole - margin
    if fresh is not None and needed > fresh:
        return usable > 0 and usable >= fresh / 2
    return usable >= needed


def _lifetime_end(worker: Any | None) -> float | None:
    """When Dask closes the worker, in seconds since the epoch."""
    lifetime = _lifetime(worker)
    return None if lifetime is None else _started(worker) + lifetime


def _lifetime(worker: Any | None) -> float | None:
    lifetime = getattr(worker, "lifetime", None)
    return float(lifetime) if lifetime else None


def _started(worker: Any) -> float:
    """When the worker was made.

    It does not say so; its monitor takes the first sample then, and forgets it after an hour or
    so. Then the start of its process stands for it, which comes a moment before.
    """
    monitor = worker.monitor
    samples = monitor.quantities["time"]
    if samples and (monitor.maxlen is None or monitor.count <= monitor.maxlen):
        return float(samples[0])
    return float(monitor.proc.create_time())


def _moment(environ: Mapping[str, str], name: str) -> float | None:
    """A moment in the environment, in seconds since the epoch; None where there is none."""
    try:
        return float(environ.get(name, ""))
    except ValueError:
        return None

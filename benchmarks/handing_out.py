"""What it costs to hand cells of a study to workers, beside others who run the same commands."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import distributed
import joblib

from nn_clustering.studies import Cell, Needs, Progress, carry_out, workplace

N_WORKERS = 2
# What a cell of the benchmark does: it keeps nobody busy, so that only the handing out is measured.
SECONDS = 1.0


@dataclass(frozen=True)
class Overhead:
    """Seconds for cells of a second each, on workers that take one at a time.

    Attributes:
        n_cells: Number of cells.
        seconds: By who handed them out.
        processor_seconds: Of the handing out process itself, by who did it.
    """

    n_cells: int
    seconds: Mapping[str, float]
    processor_seconds: Mapping[str, float]

    @property
    def ideal(self) -> float:
        """What it takes if handing out costs nothing."""
        return -(-self.n_cells // N_WORKERS) * SECONDS

    def __str__(self) -> str:
        """One line for each who handed them out."""
        lines = [
            f"  {name:<34}{seconds:8.2f} s, {seconds / self.ideal - 1:6.2%} over the ideal, "
            f"{self._milliseconds(seconds):6.1f} ms a cell and worker; processor time of the "
            f"study's process {1000 * self.processor_seconds[name] / self.n_cells:.1f} ms a cell"
            for name, seconds in self.seconds.items()
        ]
        return "\n".join(
            [
                f"handing out: {self.n_cells} cells of {SECONDS:g} s each, {N_WORKERS} workers, "
                f"ideally {self.ideal:g} s",
                *lines,
            ]
        )

    def _milliseconds(self, seconds: float) -> float:
        return 1000 * (seconds - self.ideal) * N_WORKERS / self.n_cells


def benchmark_handing_out(n_cells: int) -> Overhead:
    """Have the same commands run by a study's workers, by Dask alone and by joblib."""
    with workplace(n_workers=N_WORKERS, tell=_say_nothing) as client:
        measured = {
            "ours": _measured(lambda: _by_study(client, n_cells)),
            "Dask's client.map, same workers": _measured(lambda: _by_dask(client, n_cells)),
        }
    joblib.Parallel(N_WORKERS)(joblib.delayed(sleep)({}) for _ in range(N_WORKERS))  # starts them
    measured["joblib (loky)"] = _measured(
        lambda: joblib.Parallel(N_WORKERS)(joblib.delayed(sleep)({}) for _ in range(n_cells))
    )
    return Overhead(
        n_cells,
        {name: seconds for name, (seconds, _) in measured.items()},
        {name: seconds for name, (_, seconds) in measured.items()},
    )


def sleep(order: Mapping[str, Any]) -> dict[str, Any]:
    """Do as a worker does with a cell, whose process does nothing for a second."""
    subprocess.run(["sleep", str(SECONDS)], check=True)
    return {"name": order.get("name", ""), "state": "completed", "run_id": 1, "seconds": SECONDS}


def _by_study(client: distributed.Client, n_cells: int) -> None:
    cells = [
        Cell(f"cell {n}", "sleep", "sleep", (), {}, n, {}, needs=Needs(memory_mb=1))
        for n in range(n_cells)
    ]
    ended = carry_out(
        client,
        cells,
        lambda cell, parent_run: {"name": cell.name},
        run=sleep,
        progress=Progress(tell=_say_nothing),
    )
    assert len(ended.completed) == n_cells


def _by_dask(client: distributed.Client, n_cells: int) -> None:
    futures = client.map(sleep, [{"name": f"cell {n}"} for n in range(n_cells)], pure=False)
    assert len(client.gather(futures)) == n_cells


def _measured(work: Callable[[], object]) -> tuple[float, float]:
    """Seconds on the wall, and of this process' processor time."""
    began, used = time.perf_counter(), _used()
    work()
    return time.perf_counter() - began, _used() - used


def _used() -> float:
    times = os.times()
    return times.user + times.system


def _say_nothing(line: str) -> None:
    pass

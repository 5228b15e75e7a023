"""Timing of two ways to do the same work, in turn, so that a machine's moods hit both."""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import keras
import numpy as np


@dataclass(frozen=True)
class Comparison:
    """Seconds of our way and of the peer's, run by run."""

    name: str
    peer: str
    ours: tuple[float, ...]
    theirs: tuple[float, ...]
    note: str = ""

    @property
    def speedup(self) -> float:
        """Median over runs of the peer's time divided by ours."""
        pairs = zip(self.ours, self.theirs, strict=True)
        return statistics.median(theirs / ours for ours, theirs in pairs)

    def __str__(self) -> str:
        """One readable paragraph."""
        return (
            f"{self.name}\n"
            f"  ours   {statistics.median(self.ours):8.3f} s (median of {len(self.ours)}, "
            f"{min(self.ours):.3f} to {max(self.ours):.3f})\n"
            f"  peer   {statistics.median(self.theirs):8.3f} s (median of {len(self.theirs)}, "
            f"{min(self.theirs):.3f} to {max(self.theirs):.3f}): {self.peer}\n"
            f"  ratio  {self.speedup:8.2f} times faster, {1 / self.speedup:.2f} of the peer's time"
            + (f"\n  {self.note}" if self.note else "")
        )


def compare(
    name: str,
    peer: str,
    ours: Callable[[], object],
    theirs: Callable[[], object],
    *,
    runs: int,
    warm_up: bool = True,
) -> Comparison:
    """Time both ways in turn ``runs`` times, after one run of each that does not count."""
    if warm_up:
        ours()
        theirs()
    seconds: tuple[list[float], list[float]] = ([], [])
    for _ in range(runs):
        for measured, work in zip(seconds, (ours, theirs), strict=True):
            start = time.perf_counter()
            work()
            measured.append(time.perf_counter() - start)
    return Comparison(name, peer, tuple(seconds[0]), tuple(seconds[1]))


def operations_of(layer: keras.Layer) -> float:
    """Return the multiply-adds of an image's pass through a layer that has a kernel."""
    n_positions = np.prod(layer.output.shape[1:-1], dtype=np.int64)
    return float(layer.kernel.shape.num_elements() * n_positions)

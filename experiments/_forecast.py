"""How long a test will take: told once, where it is long."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tqdm import tqdm

# How long is worth a word, and how long is measured for it.
_LONG_SECONDS = 10
_MEASURED_SECONDS = 1
# The studies' number of random sub-clusters, for a first look.
_FEW_SHUFFLES = 19


class Forecast:
    """Says once how long a test will take, by the time that its first steps took, if that is long.

    The first steps of a layer wait for its function to be compiled, so that only what follows
    them is measured; what is said is of the terminal, and enters no result.
    """

    def __init__(self, n_steps: int, what: str, n_shuffles: int) -> None:
        """Begin.

        Args:
            n_steps: Number of steps in all, of whatever is counted.
            what: What they are taken for, as ``100 lesions``.
            n_shuffles: Number of random sub-clusters, which the time goes by.
        """
        self._n_steps, self._what, self._n_shuffles = n_steps, what, n_shuffles
        self._n_done = self._n_measured = 0
        self._since: float | None = None
        self._is_over = False

    def update(self, n_steps: int) -> str | None:
        """Take what was done since the last call; return what there is to say, once."""
        now = time.perf_counter()
        self._n_done += n_steps
        if self._is_over:
            return None
        if self._since is None:
            self._since = now
            return None
        self._n_measured += n_steps
        if now - self._since < _MEASURED_SECONDS:
            return None
        self._is_over = True
        seconds = (now - self._since) / self._n_measured * (self._n_steps - self._n_done)
        return self._in_words(seconds) if seconds >= _LONG_SECONDS else None

    def skip(self, n_steps: int) -> None:
        """Take what was known before."""
        self._n_done += n_steps

    def _in_words(self, seconds: float) -> str:
        words = f"some {seconds:.0f} s" if seconds < 120 else f"some {seconds / 60:.0f} minutes"
        told = f"{words} more for {self._what}"
        if self._n_shuffles <= _FEW_SHUFFLES:
            return told
        share = (_FEW_SHUFFLES + 1) / (self._n_shuffles + 1)
        return f"{told}; n_shuffles={_FEW_SHUFFLES} would take {share:.0%} of the time"


class ForecastBar:
    """A progress bar that a forecast is told above."""

    def __init__(self, bar: tqdm[Any], forecast: Forecast) -> None:
        self._bar, self._forecast = bar, forecast

    def update(self, n_steps: int) -> None:
        """Show that so many more steps are done."""
        self._bar.update(n_steps)
        told = self._forecast.update(n_steps)
        if told is not None:
            self._bar.clear()
            print(told, flush=True)

    def skip(self, n_steps: int) -> None:
        """Show steps as done that were known before."""
        self._bar.update(n_steps)
        self._forecast.skip(n_steps)

"""How much room journals may take on this machine, and how much they do."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Mapping
from pathlib import Path

from nn_clustering.tracking.errors import InvalidInputError, TrackingError
from nn_clustering.tracking.writing.disk import folder_bytes
from nn_clustering.tracking.writing.journal_reading import DAMAGED

DEFAULT_BOUND = 10 * 2**30
BOUND_VARIABLE = "NN_CLUSTERING_JOURNAL_MB"
MEASURE_SECONDS = 5.0  # between looks at how much the other journals take


class JournalFullError(TrackingError):
    """There is no room to write: the bound is reached, or the disk is full."""


def journal_bound(environ: Mapping[str, str] = os.environ) -> int:
    """The bytes that all journals of this machine's home may take together.

    Raises:
        InvalidInputError: NN_CLUSTERING_JOURNAL_MB is no positive number.
    """
    text = environ.get(BOUND_VARIABLE, "").strip()
    if not text:
        return DEFAULT_BOUND
    try:
        megabytes = float(text)
    except ValueError:
        megabytes = 0.0
    if not 0 < megabytes < 1e9:
        raise InvalidInputError(
            f"{BOUND_VARIABLE}={text}: expected the megabytes that journals may take, above 0; "
            f"unset it for {DEFAULT_BOUND // 2**20}"
        )
    return round(megabytes * 2**20)


class Room:
    """The room of one journal beside the others of its folder; one thread at a time may use it.

    Attributes:
        own_bytes: What this journal takes.
    """

    def __init__(self, folder: Path, bound: int) -> None:
        """Measure the room of the journal in `folder`; all beside it may take `bound` bytes."""
        self.own_bytes = folder_bytes([folder])
        self._folder = folder
        self._bound = bound
        self._others_bytes, self._measured = 0, float("-inf")

    @property
    def used(self) -> float:
        """Share of the bound that all journals of the folder take."""
        return self._measure() / self._bound

    def require(self, n_bytes: int) -> None:
        """Refuse to take more than there is room for.

        Raises:
            JournalFullError: There is no room for so many bytes.
        """
        if self._measure() + n_bytes > self._bound:
            raise JournalFullError(
                f"the journals in {self._folder.parent} have reached their bound of "
                f"{self._bound / 2**20:,.0f} MB ({BOUND_VARIABLE})"
            )

    def _measure(self) -> int:
        moment = time.monotonic()
        if moment - self._measured > MEASURE_SECONDS:
            self._others_bytes, self._measured = folder_bytes(self._others()), moment
        return self.own_bytes + self._others_bytes

    def _others(self) -> list[Path]:
        left_out = (self._folder.name, DAMAGED)
        try:
            return [path for path in self._folder.parent.iterdir() if path.name not in left_out]
        except OSError:  # the folder is gone: whoever writes there will say so
            return []


def no_room(folder: Path, problem: OSError) -> JournalFullError:
    """What to raise where the disk does not take a write to this journal."""
    advice = "was its folder removed, or its disk unmounted?"
    if problem.errno in (errno.ENOSPC, errno.EDQUOT):
        advice = (
            "free some space, or set NN_CLUSTERING_HOME or NN_CLUSTERING_JOURNAL to a folder that "
            "has some"
        )
    return JournalFullError(
        f"the journal {folder} cannot be written ({problem.strerror}); {advice}"
    )

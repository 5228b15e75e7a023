"""What ends a cell before its time: its task, its worker, or its worker's time."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from typing import Any

from nn_clustering.studies._cell_orders import CANCELLED, CLOSING, WALLTIME
from nn_clustering.studies._walltime import (
    INTERRUPT_BEFORE_SECONDS,
    holds,
    remaining_seconds,
    whole_seconds,
)

_OPEN = ("undefined", "created", "init", "starting", "running", "paused")
# Of a task whose result nobody waits for any more.
_CANCELLED = ("cancelled", "resumed", "released", "forgotten")


@dataclass(frozen=True)
class Stops:
    """Tells why a cell is to end.

    Attributes:
        worker: Dask's worker of this process; None where there is none.
        key: Of the task that the cell is.
    """

    worker: Any | None = None
    key: Any = None

    @classmethod
    def of_this_task(cls) -> Stops:
        """Return those of the task that this thread works on, if it does."""
        module = sys.modules.get("distributed.worker")
        if module is None:
            return cls()
        try:
            worker = module.get_worker()
        except ValueError:
            return cls()
        return cls(worker, getattr(module.thread_state, "key", None))

    @property
    def scratch(self) -> str | None:
        """A folder that is removed after the worker, even where it is killed; None without one."""
        return getattr(self.worker, "local_directory", None)

    def cause(self) -> str | None:
        """Why the cell is to end now; None where it may go on."""
        remaining = remaining_seconds(self.worker, os.environ)
        if remaining is not None and remaining < INTERRUPT_BEFORE_SECONDS:
            return WALLTIME
        if self.worker is None:
            return None
        if self.worker.status.value not in _OPEN:
            return CLOSING
        return CANCELLED if self._is_cancelled() else None

    def hold(self, expected_seconds: float | None) -> bool:
        """Whether the worker's remaining time holds a cell.

        Args:
            expected_seconds: What it should take; None where nobody knows.
        """
        remaining = remaining_seconds(self.worker, os.environ)
        whole = whole_seconds(self.worker, os.environ)
        return holds(remaining, expected_seconds, whole=whole)

    def _is_cancelled(self) -> bool:
        if self.key is None or self.worker is None:
            return False
        task = self.worker.state.tasks.get(self.key)
        return task is None or task.state in _CANCELLED

"""What lesions did, kept with the run some at a time, so that a test cut short can go on."""

from __future__ import annotations

import io
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from nn_clustering.tracking import Input, Run, StageRun

# Files of one test: few enough to be looked through, enough to lose little.
_N_FILES = 16


class MayGoOn(Protocol):
    """Inputs of a test that may go on with one cut short."""

    @property
    def unfinished(self) -> Input[Run] | None:
        """The run to go on with."""


class KeptScores:
    """Stores the scores of tasks with a run as files, and those that are left when it is closed.

    Attributes:
        known: Scores that another run has stored, by the number of the task.
        n_tasks: Number of tasks in all, known ones included.
    """

    def __init__(self, run: StageRun[MayGoOn], kind: str, n_tasks: int) -> None:
        """Begin with the scores of the run that this one goes on with, if there is one.

        Args:
            run: The run.
            kind: Which lesions they are of; part of the files' names.
            n_tasks: Number of tasks in all.
        """
        self._run, self._kind = run, kind
        self.n_tasks = n_tasks
        self._size = -(-n_tasks // _N_FILES)
        self._waiting: dict[int, NDArray[Any]] = {}
        self._n_files = 0
        unfinished = run.inputs.unfinished
        self.known = {} if unfinished is None else _stored_scores(unfinished.value, kind)
        if self.known:
            self._waiting = dict(self.known)
            self._store()

    def add(self, task: int, scores: NDArray[Any]) -> None:
        """Keep the scores of one more task."""
        self._waiting[task] = _compact(scores)
        if len(self._waiting) >= self._size:
            self._store()

    def __enter__(self) -> KeptScores:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Store what is left, after an error or an interruption too."""
        if self._waiting:
            self._store()

    def _store(self) -> None:
        content = io.BytesIO()
        arrays = {str(task): scores for task, scores in self._waiting.items()}
        np.savez_compressed(content, **arrays)  # type: ignore[arg-type]
        self._run.add_artifact(f"{self._kind}_scores_{self._n_files}.npz", content.getvalue())
        self._n_files += 1
        self._waiting = {}


def _compact(scores: NDArray[Any]) -> NDArray[Any]:
    """Return counts of images as the smallest signed integers, a quarter of their size mostly."""
    if scores.dtype.kind != "i" or not scores.size:
        return scores
    return scores.astype(np.min_scalar_type(-1 - int(scores.max())))


def _stored_scores(stored: Run, kind: str) -> dict[int, NDArray[Any]]:
    scores = {}
    for name in stored.artifacts:
        if name.startswith(f"{kind}_scores_"):
            with np.load(io.BytesIO(stored.artifact(name)), allow_pickle=False) as arrays:
                scores.update({int(task): arrays[task] for task in arrays.files})
    return scores

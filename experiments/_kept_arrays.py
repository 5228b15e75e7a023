"""What a test has computed, kept with the run some at a time, so that one cut short can go on."""

from __future__ import annotations

import io
from collections.abc import Mapping
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


class KeptArrays:
    """Stores the arrays of tasks with a run as files, and those that are left when it is closed.

    Attributes:
        known: Arrays by name that another run has stored, by the number of the task.
        n_tasks: Number of tasks in all, known ones included.
    """

    def __init__(self, run: StageRun[MayGoOn], kind: str, n_tasks: int) -> None:
        """Begin with the arrays of the run that this one goes on with, if there is one.

        Args:
            run: The run.
            kind: What the files' names begin with, before a number.
            n_tasks: Number of tasks in all.
        """
        self._run, self._kind = run, kind
        self.n_tasks = n_tasks
        self._size = -(-n_tasks // _N_FILES)
        self._waiting: dict[int, Mapping[str, NDArray[Any]]] = {}
        self._n_files = 0
        unfinished = run.inputs.unfinished
        self.known = {} if unfinished is None else _stored_arrays(unfinished.value, kind)
        if self.known:
            self._waiting = dict(self.known)
            self._store()

    def add(self, task: int, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Keep the arrays of one more task, by names without a dot."""
        self._waiting[task] = {name: _compact(array) for name, array in arrays.items()}
        if len(self._waiting) >= self._size:
            self._store()

    def tell(self, what: str) -> None:
        """Print how much of it another run has done, if this one goes on with one."""
        unfinished = self._run.inputs.unfinished
        if unfinished is not None:
            print(
                f"going on with run {unfinished.value.id} after {len(self.known)} of "
                f"{self.n_tasks} {what}"
            )

    def __enter__(self) -> KeptArrays:
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
        arrays = {
            f"{task}.{name}": array
            for task, of_task in self._waiting.items()
            for name, array in of_task.items()
        }
        np.savez_compressed(content, **arrays)  # type: ignore[arg-type]
        self._run.add_artifact(f"{self._kind}_{self._n_files}.npz", content.getvalue())
        self._n_files += 1
        self._waiting = {}


class KeptScores:
    """Arrays of tasks of which each has but one, its scores: see :class:`KeptArrays`."""

    def __init__(self, run: StageRun[MayGoOn], kind: str, n_tasks: int) -> None:
        self._arrays = KeptArrays(run, f"{kind}_scores", n_tasks)
        self.n_tasks = n_tasks
        self.known = {task: arrays[_SCORES] for task, arrays in self._arrays.known.items()}

    def add(self, task: int, scores: NDArray[Any]) -> None:
        """Keep the scores of one more task."""
        self._arrays.add(task, {_SCORES: scores})

    def tell(self, what: str) -> None:
        """Print how much of it another run has done, if this one goes on with one."""
        self._arrays.tell(what)

    def __enter__(self) -> KeptScores:
        return self

    def __exit__(self, *error: Any) -> None:
        """Store what is left, after an error or an interruption too."""
        self._arrays.__exit__(*error)


_SCORES = "scores"


def _compact(array: NDArray[Any]) -> NDArray[Any]:
    """Return counts of images as the smallest signed integers, a quarter of their size mostly."""
    if array.dtype.kind != "i" or not array.size:
        return array
    return array.astype(np.min_scalar_type(-1 - int(array.max())))


def _stored_arrays(stored: Run, kind: str) -> dict[int, dict[str, NDArray[Any]]]:
    found: dict[int, dict[str, NDArray[Any]]] = {}
    for name in stored.artifacts:
        if name.startswith(f"{kind}_") and name.endswith(".npz"):
            with np.load(io.BytesIO(stored.artifact(name)), allow_pickle=False) as arrays:
                for key in arrays.files:
                    task, _, array = key.partition(".")
                    # a task's number alone: how scores were stored when a task had nothing else
                    found.setdefault(int(task), {})[array or _SCORES] = arrays[key]
    return found

"""What a run tells of its data set, on the terminal and in its record."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nn_clustering import datasets
from nn_clustering.errors import InvalidInputError

if TYPE_CHECKING:
    from nn_clustering.datasets import Dataset
    from nn_clustering.tracking import StageRun

# Names of what was skipped that a terminal shows; the run's info has all.
_SHOWN = 5


def check_has_train_part(dataset: Dataset) -> None:
    """Check that there is something to train on.

    Raises:
        InvalidInputError: If there is nothing.
    """
    if not dataset.has_train_part:
        raise InvalidInputError(
            f"dataset.name={dataset.name!r} has no train part; expected one to train on"
        )


def tell(run: StageRun, dataset: Dataset) -> None:
    """Print and record what is to be known of data of one's own."""
    if not datasets.is_own(dataset.name):
        return
    run.sacred_run.info["dataset"] = {
        "task": dataset.task,
        "input_shape": list(dataset.input_shape),
        "n_outputs": dataset.n_outputs,
        "n_train": len(dataset.x_train),
        "n_test": len(dataset.x_test),
        "skipped": list(dataset.skipped),
        "notes": list(dataset.notes),
    }
    for note in (*dataset.notes, *([_of_skipped(dataset)] if dataset.skipped else [])):
        print(note)


def _of_skipped(dataset: Dataset) -> str:
    number = len(dataset.skipped)
    shown = ", ".join(dataset.skipped[:_SHOWN])
    others = f" and {number - _SHOWN} others" if number > _SHOWN else ""
    return f"{dataset.name}: {number} skipped that cannot be read ({shown}{others})"

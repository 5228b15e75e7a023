"""What a run tells of its data set, on the terminal and in its record."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from nn_clustering import datasets, networks
from nn_clustering.errors import InvalidInputError

if TYPE_CHECKING:
    from nn_clustering.datasets import Dataset, Outline
    from nn_clustering.tracking import StageRun

# Names of what was skipped that a terminal shows; the run's info has all.
_SHOWN = 5


def no_train_part(name: str) -> InvalidInputError:
    """The error for a data set that there is nothing of to train on."""
    return InvalidInputError(f"dataset.name={name!r} has no train part; expected one to train on")


def tokens_of(dataset: Dataset | Outline) -> networks.TokenInput | None:
    """Return what a network for a data set reads where that is tokens, else None."""
    if dataset.n_tokens is None:
        return None
    return networks.TokenInput(dataset.n_tokens, dataset.answers_positions)


def tell(run: StageRun, dataset: Dataset) -> None:
    """Print and record what is to be known of data of one's own and of tokens, in a run."""
    if dataset.vocabulary is None and not datasets.is_own(dataset.name):
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
    if dataset.vocabulary is not None:
        run.sacred_run.info["dataset"]["vocabulary"] = list(dataset.vocabulary)
    for note in (*dataset.notes, *([_of_skipped(dataset)] if dataset.skipped else [])):
        print(note)
    print(outputs_in_words(dataset))


def outputs_in_words(dataset: Dataset) -> str:
    """Return which output of a network each class or target belongs to."""
    if dataset.class_names == tuple(map(str, range(dataset.n_outputs))):
        return f"classes by their outputs: 0 to {dataset.n_outputs - 1}"
    lacking: set[int] = set()
    if dataset.task == "classification":
        lacking.update(np.setdiff1d(np.arange(dataset.n_outputs), dataset.y_test).tolist())
    named = [
        f"{position} {name if name.isalpha() or len(name) > 1 else repr(name)}"
        for position, name in enumerate(dataset.class_names)
        # an output that nobody has named, and that there is nothing of
        if position not in lacking or name != str(position)
    ]
    if len(named) > _SHOWN:
        named = [*named[: _SHOWN - 1], "...", named[-1]]
    listed = ", ".join(named)
    if dataset.task != "classification":
        return f"targets by their outputs: {listed}"
    named_ones = ((index, dataset.class_names[index]) for index in sorted(lacking))
    without = [name for index, name in named_ones if name != str(index)]
    if not without:
        return f"class names by their outputs: {listed}"
    return (
        f"class names by their outputs: {listed}; without test samples, and in no figure: "
        f"{_some(without)}"
    )


def _of_skipped(dataset: Dataset) -> str:
    skipped = dataset.skipped
    return f"{dataset.name}: {len(skipped)} skipped that cannot be read ({_some(skipped)})"


def _some(names: Sequence[str]) -> str:
    """Return the first of some names, and how many more there are."""
    rest = len(names) - _SHOWN
    more = f" and {rest} other{'s' * (rest > 1)}" if rest > 0 else ""
    return ", ".join(names[:_SHOWN]) + more

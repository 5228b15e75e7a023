"""Accuracy on the test samples by class, and by the groups that answers belong to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import keras
import numpy as np
import tensorflow as tf

from nn_clustering.datasets import NOT_ASKED, Dataset

if TYPE_CHECKING:
    from numpy.typing import NDArray

BY_CLASS = "class"
# Test samples that are answered at a time.
_BLOCK = 1000


@dataclass(frozen=True)
class Accuracy:
    """How many answers of a kind are right.

    Attributes:
        kind: "class", or the kind of a group: "task", "token class".
        name: Of the class or group.
        n_answers: Answers that are asked.
        accuracy: Share of them that are right.
    """

    kind: str
    name: str
    n_answers: int
    accuracy: float


def accuracies(network: keras.Model, dataset: Dataset) -> list[Accuracy]:
    """Return the accuracy on the test samples by class, and by group.

    Args:
        network: A model from samples to class probabilities, of the whole or at every position.
        dataset: A classification.

    Returns:
        Classes, and groups, of which answers are asked, in their order; none of a regression.
    """
    if dataset.task != "classification":
        return []
    y = dataset.y_test
    asked = y != NOT_ASKED
    right = (_predicted(network, dataset) == y)[asked]
    found = _by(BY_CLASS, dataset.class_names, y[asked], right)
    if dataset.groups is not None:
        groups = dataset.groups
        found += _by(groups.kind, groups.names, groups.test[asked], right)
    return found


def _predicted(network: keras.Model, dataset: Dataset) -> NDArray[np.integer]:
    @tf.function(reduce_retracing=True)  # type: ignore[untyped-decorator]
    def predict(x: tf.Tensor) -> tf.Tensor:
        return tf.argmax(network(x, training=False), axis=-1, output_type=tf.int32)

    starts = range(0, len(dataset.x_test), _BLOCK)
    blocks = (dataset.x_test[start : start + _BLOCK] for start in starts)
    return np.concatenate([predict(tf.constant(block)).numpy() for block in blocks])


def _by(
    kind: str, names: tuple[str, ...], numbers: NDArray[np.integer], right: NDArray[np.bool_]
) -> list[Accuracy]:
    """Return the accuracy of each of some kinds of answers; -1 is of none."""
    belongs = numbers >= 0
    counts, n_right = (
        np.bincount(numbers[belongs], weights=weights, minlength=len(names))
        for weights in (None, right[belongs].astype(float))
    )
    return [
        Accuracy(kind, names[index], int(counts[index]), float(n_right[index] / counts[index]))
        for index in np.flatnonzero(counts)
    ]

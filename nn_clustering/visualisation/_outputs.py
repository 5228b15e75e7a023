"""What a network's output says of classes, and how sure it is of one (methods H4)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from nn_clustering.networks.structure import Step, Walk, layer_kind

# What hands on the values that it reads.
_HANDING_ON = ("Identity", "Cast", "Flatten", "Reshape", "Dropout", "Squeeze")


@dataclass(frozen=True)
class ClassValues:
    """What a network says of classes.

    Attributes:
        tensor: Number of the tensor that holds it, a row a sample.
        kind: "logits", up to a number that all of a sample may share, or "probabilities".
    """

    tensor: int
    kind: str


def class_values(walk: Walk) -> ClassValues | None:
    """Return where the one output of a network says how sure it is of each class.

    That is what a softmax reads, where this is a row a sample: of a network that is sure, the
    probabilities themselves are rounded to 0 and 1, so that all such outputs would look alike.
    Logits are what is summed up by weights and passes no nonlinearity of units.

    Args:
        walk: Its steps, with one output.

    Returns:
        None if the output is neither, or not of two numbers or more a sample.
    """
    (tensor,) = walk.outputs
    shape = walk.shapes[tensor]
    if len(shape) != 2 or (shape[1] or 0) < 2:
        return None
    shown = tensor
    makers = {number: step for step in walk.steps for number in step.outputs}
    as_made = True
    while tensor in makers:
        step = makers[tensor]
        kind = layer_kind(step.operation)
        if kind.is_nonlinearity:
            is_softmax = kind.joins_units and as_made
            return _read_by_softmax(walk, step, shown) if is_softmax else None
        if kind.kernels or len(step.inputs) != 1:
            return ClassValues(shown, "logits")
        as_made &= _hands_on(step)
        tensor = step.inputs[0]
    return None


def _hands_on(step: Step) -> bool:
    operation = step.operation
    if isinstance(operation, keras.layers.Activation):
        operation = operation.activation
    if operation is keras.activations.linear:
        return True
    return type(operation).__name__ in _HANDING_ON


def _read_by_softmax(walk: Walk, step: Step, shown: int) -> ClassValues | None:
    if len(step.inputs) == 1 and walk.shapes[step.inputs[0]] == walk.shapes[shown]:
        return ClassValues(step.inputs[0], "logits")
    if walk.shapes[step.outputs[0]][-1] != walk.shapes[shown][-1]:
        return None  # several softmaxes side by side
    operation: Any = step.operation
    if isinstance(operation, keras.layers.Activation):
        operation = operation.activation
    name = getattr(operation, "__name__", type(operation).__name__)
    is_logarithm = name.lower().replace("_", "") == "logsoftmax"
    return ClassValues(shown, "logits" if is_logarithm else "probabilities")


def entropies(values: NDArray[np.floating], kind: str) -> NDArray[np.float64]:
    """Return the entropy of every output, by natural logarithms.

    Args:
        values: What it says of the classes, shape (samples, classes).
        kind: As of :class:`ClassValues`.

    Returns:
        Shape (samples,). Of logits it is exact however sure they are, down to differences of 700.
    """
    values = values.astype(np.float64)
    if kind == "probabilities":
        logarithms = np.log(values, where=values > 0, out=np.zeros_like(values))
        of_probabilities: NDArray[np.float64] = -(values * logarithms).sum(axis=1) + 0.0
        return of_probabilities
    below = values - values.max(axis=1, keepdims=True)
    others = np.exp(below)
    # the largest apart from the others, beside which it would swallow what they sum up to
    np.put_along_axis(others, below.argmax(axis=1)[:, None], 0.0, axis=1)
    rest = others.sum(axis=1)
    found: NDArray[np.float64] = np.log1p(rest) - (others * below).sum(axis=1) / (1 + rest)
    return found

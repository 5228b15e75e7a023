"""What a network's output says of classes, and how sure it is of one (methods H4)."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from nn_clustering.networks.structure import Step, Walk, layer_kind

# What hands on the values that it reads.
_HANDING_ON = ("Identity", "Cast", "Flatten", "Reshape", "Dropout", "Squeeze")


def output_kind(walk: Walk) -> str | None:
    """Return what the one output of a network is.

    Args:
        walk: Its steps, with one output.

    Returns:
        "probabilities", their "logarithms", or "logits": what is summed up by weights and passes no
        nonlinearity of units; None if it is neither, or not of two numbers or more a sample.
    """
    (tensor,) = walk.outputs
    shape = walk.shapes[tensor]
    if len(shape) != 2 or (shape[1] or 0) < 2:
        return None
    makers = {number: step for step in walk.steps for number in step.outputs}
    as_made = True
    while tensor in makers:
        step = makers[tensor]
        kind = layer_kind(step.operation)
        if kind.is_nonlinearity:
            return _of_softmax(step) if kind.joins_units and as_made else None
        if kind.kernels or len(step.inputs) != 1:
            return "logits"
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


def _of_softmax(step: Step) -> str:
    operation: Any = step.operation
    if isinstance(operation, keras.layers.Activation):
        operation = operation.activation
    name = getattr(operation, "__name__", type(operation).__name__)
    return "logarithms" if name.lower().replace("_", "") == "logsoftmax" else "probabilities"


def entropies(outputs: NDArray[np.floating], kind: str) -> NDArray[np.float64]:
    """Return the entropy of every output, by natural logarithms.

    Args:
        outputs: Shape (samples, classes).
        kind: As of :func:`output_kind`.

    Returns:
        Shape (samples,).
    """
    values = outputs.astype(np.float64)
    if kind != "probabilities":
        values = values - values.max(axis=1, keepdims=True)
        values = np.exp(values) / np.exp(values).sum(axis=1, keepdims=True)
    logarithms = np.log(values, where=values > 0, out=np.zeros_like(values))
    found: NDArray[np.float64] = -(values * logarithms).sum(axis=1) + 0.0
    return found

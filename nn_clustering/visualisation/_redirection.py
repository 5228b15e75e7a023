"""Gradients past rectified units that are silent, as lucid has them (methods H1)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import keras
import tensorflow as tf

from nn_clustering.networks.structure import Step, Walk

# Steps in which gradients are redirected.
REDIRECTED_STEPS = 16


@dataclass(frozen=True)
class _Rectifier:
    """Between what a rectified linear unit passes what it reads."""

    low: float
    high: float | None


def with_redirected_gradients(walk: Walk) -> Walk:
    """Return a network whose rectified linear units let gradients through where all are silent.

    What it computes is the same. Where of the gradient for an image nothing passes a step, since
    all its units are silent (or at their largest value), the gradient of a silent unit passes
    unless it pushes it lower (or higher).
    """
    return replace(walk, steps=tuple(map(_redirected, walk.steps)))


def _redirected(step: Step) -> Step:
    rectifier = _rectifier(step.operation)
    if rectifier is None:
        return step
    # element by element, so that images with several times need not be cut
    operation = _with_redirected_gradient(step.operation, rectifier)
    return replace(step, operation=operation, n_times=0)


def _rectifier(operation: Any) -> _Rectifier | None:
    """Return what a step rectifies; None of one that does not, or not to a constant."""
    if isinstance(operation, keras.layers.Activation):
        operation = operation.activation
    if type(operation) is keras.layers.ReLU:
        if operation.negative_slope:
            return None
        high = operation.max_value
        return _Rectifier(float(operation.threshold), None if high is None else float(high))
    if operation in (keras.activations.relu, keras.ops.relu, tf.nn.relu):
        return _Rectifier(0.0, None)
    if operation in (keras.activations.relu6, keras.ops.relu6, tf.nn.relu6):
        return _Rectifier(0.0, 6.0)
    if isinstance(operation, keras.Operation) and not isinstance(operation, keras.Layer):
        limits = {"Relu": _Rectifier(0.0, None), "Relu6": _Rectifier(0.0, 6.0)}
        return limits.get(type(operation).__name__)
    return None


def _with_redirected_gradient(operation: Any, rectifier: _Rectifier) -> Callable[..., tf.Tensor]:
    @tf.custom_gradient  # type: ignore[untyped-decorator]
    def rectified(x: tf.Tensor) -> tuple[tf.Tensor, Callable[[tf.Tensor], tf.Tensor]]:
        def gradient(upstream: tf.Tensor) -> tf.Tensor:
            return _gradient(x, upstream, rectifier)

        return operation(x), gradient

    return rectified  # type: ignore[no-any-return]


def _gradient(x: tf.Tensor, upstream: tf.Tensor, rectifier: _Rectifier) -> tf.Tensor:
    """Return the gradient of what is to become large."""
    zero = tf.zeros((), upstream.dtype)
    blocked = x <= rectifier.low
    farther = blocked & (upstream < 0)
    if rectifier.high is not None:
        above = x >= rectifier.high
        blocked |= above
        farther |= above & (upstream > 0)
    plain = tf.where(blocked, zero, upstream)
    positions = list(range(1, x.shape.rank))
    passes = tf.reduce_any(plain != 0, axis=positions, keepdims=True)
    return tf.where(passes, plain, tf.where(farther, zero, upstream))

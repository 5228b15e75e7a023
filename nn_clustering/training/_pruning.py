"""Magnitude pruning on the polynomial schedule of the studies (methods A9)."""

from dataclasses import dataclass

import keras
import numpy as np
import tensorflow as tf

from nn_clustering.errors import InvalidInputError


@dataclass(frozen=True)
class PruningSchedule:
    """How the share of zero weights of every kernel rises over the pruning phase.

    Attributes:
        initial_sparsity: Share of zeros from the first step on, in [0, 1).
        final_sparsity: Share of zeros at the end, in [initial_sparsity, 1).
        n_steps: Training steps of the whole phase.
        every_n_steps: Steps between two choices of the weights to keep.
        power: Exponent of the polynomial; 3 is what the studies used.

    Raises:
        InvalidInputError: If a value is out of its range.
    """

    initial_sparsity: float
    final_sparsity: float
    n_steps: int
    every_n_steps: int = 10
    power: float = 3.0

    def __post_init__(self) -> None:
        if not 0 <= self.initial_sparsity <= self.final_sparsity < 1:
            raise InvalidInputError(
                f"pruning from sparsity {self.initial_sparsity} to {self.final_sparsity}; expected "
                "0 <= initial_sparsity <= final_sparsity < 1"
            )
        for name in ("n_steps", "every_n_steps"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise InvalidInputError(
                    f"pruning.{name}={value!r}; expected an integer of 1 or more"
                )

    def sparsity(self, step: tf.Tensor | float) -> tf.Tensor:
        """Return the share of zeros wanted at a step counted from the start of the phase."""
        progress = tf.clip_by_value(tf.cast(step, tf.float32) / self.n_steps, 0.0, 1.0)
        fall = self.initial_sparsity - self.final_sparsity
        return self.final_sparsity + fall * (1 - progress) ** self.power


def prunable_kernels(network: keras.Model) -> list[keras.Variable]:
    """Return the kernels of all dense and convolutional layers, the output layer's included."""
    return [
        layer.kernel
        for layer in network._flatten_layers(include_self=False)
        if isinstance(layer, keras.layers.Dense) or "Conv" in type(layer).__name__
    ]


def magnitude_mask(kernel: tf.Tensor, sparsity: tf.Tensor | float) -> tf.Tensor:
    """Return 1 where a weight is kept, 0 where it is pruned.

    The round((1 - sparsity) * size) weights of largest magnitude are kept (more only if several
    have exactly the smallest kept magnitude).

    Args:
        kernel: Weights, float32 of any shape.
        sparsity: Share of the weights to prune, in [0, 1).

    Returns:
        Float32 of the kernel's shape.
    """
    n_kept = tf.cast(tf.round((1 - sparsity) * float(np.prod(kernel.shape))), tf.int32)
    # Non-negative floats order like their bit patterns, so that the smallest kept magnitude is
    # found exactly by bisection over 31 bits: a sort of a large kernel takes several times longer.
    magnitudes = tf.bitcast(tf.abs(kernel), tf.int32)
    threshold = tf.constant(0, tf.int32)
    for bit in range(30, -1, -1):
        candidate = threshold | (1 << bit)
        n_above = tf.reduce_sum(tf.cast(magnitudes >= candidate, tf.int32))
        threshold = tf.where(n_above >= n_kept, candidate, threshold)
    return tf.cast(magnitudes >= threshold, tf.float32)


def sparsity(network: keras.Model) -> float:
    """Return the share of exact zeros among all prunable weights."""
    kernels = [kernel.numpy() for kernel in prunable_kernels(network)]
    n_zeros = sum(int(np.count_nonzero(kernel == 0)) for kernel in kernels)
    return n_zeros / max(sum(kernel.size for kernel in kernels), 1)

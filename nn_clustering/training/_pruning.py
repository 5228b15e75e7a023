"""Magnitude pruning on the polynomial schedule of the studies (methods A9)."""

import keras
import numpy as np
import tensorflow as tf

from nn_clustering.networks.structure import kernels_of, layer_kind


def prunable_kernels(network: keras.Model) -> list[keras.Variable]:
    """Return the trainable kernels of all dense, convolutional and recurrent layers.

    Those of the output layer and of depthwise convolutions count, both of a separable one and of a
    recurrent layer, and all four of an attention layer. Biases, norms and embeddings do not.
    """
    layers = network._flatten_layers(include_self=False)
    kernels = [kernel for layer in layers if not _is_table(layer) for kernel in kernels_of(layer)]
    return [kernel for kernel in kernels if kernel.trainable]


def embeddings(network: keras.Model) -> list[keras.Variable]:
    """Return the trainable tables of all embeddings."""
    layers = network._flatten_layers(include_self=False)
    tables = [layer.embeddings for layer in layers if _is_table(layer)]
    return [table for table in tables if table.trainable]


def _is_table(layer: keras.Layer) -> bool:
    return isinstance(layer, keras.layers.Embedding)


def has_convolutions(network: keras.Model) -> bool:
    """Return whether a layer of the network convolves."""
    layers = network._flatten_layers(include_self=False)
    return any(layer_kind(layer).convolves for layer in layers)


def magnitude_mask(kernel: tf.Tensor, sparsity: tf.Tensor | float) -> tf.Tensor:
    """Return 1 where a weight is kept, 0 where it is pruned.

    The round((1 - sparsity) * size) weights of largest magnitude are kept (more only if several
    have exactly the smallest kept magnitude).

    Args:
        kernel: Weights, floats of any shape.
        sparsity: Share of the weights to prune, in [0, 1).

    Returns:
        Float32 of the kernel's shape.
    """
    n_kept = tf.cast(tf.round((1 - sparsity) * float(np.prod(kernel.shape))), tf.int32)
    # Non-negative floats order like their bit patterns.
    magnitudes = tf.bitcast(tf.abs(tf.cast(kernel, tf.float32)), tf.int32)
    threshold = _smallest_kept(magnitudes, n_kept)
    return tf.cast(magnitudes >= threshold, tf.float32)


def smallest_kept_magnitude(kernel: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
    """Return the smallest magnitude that a mask keeps, a float32 scalar; the largest if none."""
    magnitudes = tf.abs(tf.cast(kernel, tf.float32))
    return tf.reduce_min(tf.where(mask > 0, magnitudes, tf.reduce_max(magnitudes)))


def _smallest_kept(values: tf.Tensor, n_kept: tf.Tensor) -> tf.Tensor:
    """Return a number that ``n_kept`` of the values reach, the largest one if more must reach it.

    A search over the bits, two at a time: a sort of a large kernel takes many times longer.

    Args:
        values: Non-negative int32 of any shape.
        n_kept: How many are to be kept.
    """
    values = _in_columns(values)
    found, n_found, step = tf.constant(0), tf.size(values), tf.constant(1 << 29)
    # As soon as exactly n_kept values reach the number, its last bits do not matter.
    while step > 0 and n_found != n_kept:
        counts = _count_reaching(values, found, step)
        enough = counts >= n_kept
        n_found = tf.reduce_min(tf.where(enough, counts, n_found))
        found += step * tf.reduce_sum(tf.cast(enough, tf.int32))
        # Bits 30 and 29, 28 and 27, ..., 2 and 1, and then bit 0 alone.
        step = tf.where(step == 2, 1, step // 4)
    return found


def _count_reaching(columns: tf.Tensor, found: tf.Tensor, step: tf.Tensor) -> tf.Tensor:
    """Return how many values reach found + step, found + 2 step and found + 3 step."""
    # The three counts of a column share one integer, ten bits each: one pass over the values.
    packed = (
        tf.cast(columns >= found + step, tf.int32)
        + tf.cast(columns >= found + 2 * step, tf.int32) * (1 << 10)
        + tf.cast(columns >= found + 3 * step, tf.int32) * (1 << 20)
    )
    sums = tf.reduce_sum(packed, axis=1)
    parts = [sums % (1 << 10), sums // (1 << 10) % (1 << 10), sums // (1 << 20)]
    return tf.stack([tf.reduce_sum(part) for part in parts])


def _in_columns(values: tf.Tensor) -> tf.Tensor:
    """Return the values in columns of less than 1,024, filled up with -1.

    Processors add up many columns side by side faster than the numbers of a row.
    """
    n_columns, n_values = 256, int(np.prod(values.shape))
    n_rows = min(1023, -(-n_values // n_columns))
    n_blocks = -(-n_values // (n_columns * n_rows))
    missing = n_blocks * n_rows * n_columns - n_values
    filled = tf.pad(tf.reshape(values, [-1]), [[0, missing]], constant_values=-1)
    return tf.reshape(filled, [n_blocks, n_rows, n_columns])


def sparsity(network: keras.Model) -> float:
    """Return the share of exact zeros among all prunable weights."""
    kernels = [kernel.numpy() for kernel in prunable_kernels(network)]
    n_zeros = sum(int(np.count_nonzero(kernel == 0)) for kernel in kernels)
    return float(n_zeros / max(sum(kernel.size for kernel in kernels), 1))

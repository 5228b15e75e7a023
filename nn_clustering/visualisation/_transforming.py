"""Moving images at random before each step: one affine resampling, by each one's own seed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from nn_clustering.seeds import generator
from nn_clustering.visualisation._settings import Transformations

# Steps whose draws are made at once: those of a step hang on the seed and the step alone.
_STEPS_A_DRAW = 256


def drawn_moves(
    transformations: Transformations, seeds: Sequence[int], steps: range
) -> NDArray[np.float32]:
    """Return how images are moved before each of some steps.

    Args:
        transformations: How far at most.
        seeds: One for every image.
        steps: Neighbouring steps.

    Returns:
        Shape (steps, images, 2, 3): where in the image a pixel of the moved one is found, as a
        matrix that (row, column, 1), as seen from the centre, is multiplied by.
    """
    uniform = np.stack([_uniform(seed, steps) for seed in seeds], axis=1)
    scale = 1 + transformations.scaling * uniform[..., 0]
    angle = np.deg2rad(transformations.rotation) * uniform[..., 1]
    shift = transformations.jitter * uniform[..., 2:]
    cos, sin = np.cos(angle) / scale, np.sin(angle) / scale
    turned = np.stack([np.stack([cos, -sin], -1), np.stack([sin, cos], -1)], -2)
    return np.concatenate([turned, shift[..., None]], axis=-1).astype(np.float32)


def _uniform(seed: int, steps: range) -> NDArray[np.float64]:
    """Return four numbers from -1 to 1 for each of some steps, shape (steps, 4)."""
    first, last = steps[0] // _STEPS_A_DRAW, steps[-1] // _STEPS_A_DRAW
    blocks = [
        generator(seed, "moves", block).uniform(-1, 1, (_STEPS_A_DRAW, 4))
        for block in range(first, last + 1)
    ]
    start = steps[0] - first * _STEPS_A_DRAW
    return np.concatenate(blocks)[start : start + len(steps)]


def moved(images: tf.Tensor, moves: tf.Tensor) -> tf.Tensor:
    """Return images resampled, between pixels in proportion; beyond the edge as at it.

    Args:
        images: (images, height, width, channels), of a known size.
        moves: Of :func:`drawn_moves` for one step, (images, 2, 3).
    """
    height, width, channels = images.shape[1:]
    rows, columns = (np.arange(size) - (size - 1) / 2 for size in (height, width))
    grid = np.stack(np.broadcast_arrays(rows[:, None], columns, 1.0), -1).reshape(-1, 3)
    found = tf.matmul(grid.astype(np.float32)[None], moves, transpose_b=True)
    row = tf.clip_by_value(found[..., 0] + (height - 1) / 2, 0.0, height - 1.0)
    column = tf.clip_by_value(found[..., 1] + (width - 1) / 2, 0.0, width - 1.0)
    above, left = tf.floor(row), tf.floor(column)
    down, right = row - above, column - left
    first, start = tf.cast(above, tf.int32), tf.cast(left, tf.int32)
    last, stop = tf.minimum(first + 1, height - 1), tf.minimum(start + 1, width - 1)
    # the four pixels around every point, and how much of each it takes
    numbers = tf.stack(
        [first * width + start, first * width + stop, last * width + start, last * width + stop]
    )
    shares = tf.stack(
        [(1 - down) * (1 - right), (1 - down) * right, down * (1 - right), down * right]
    )
    of_image = tf.range(tf.shape(images)[0])[:, None] * (height * width)
    around = tf.gather(tf.reshape(images, (-1, channels)), numbers + of_image)
    found = tf.reduce_sum(around * shares[..., None], axis=0)
    return tf.reshape(found, (-1, height, width, channels))

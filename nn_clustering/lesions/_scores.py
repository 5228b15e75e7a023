"""Scores of a network's outputs, inside compiled passes.

What is asked of images is of shape (images, 2) or, of networks that answer at every position,
(images, positions, 2), of int32: the class, -1 where nothing is asked, and what a right answer
counts for, -1 for nothing.
"""

import numpy as np
import tensorflow as tf


class Margins:
    """By how much the right class is ahead, for a batch of images of one answer each."""

    def __init__(self, asked: tf.Tensor, n_classes: int, dtype: tf.DType) -> None:
        y = asked[:, 0]
        self._is_asked = tf.one_hot(y, n_classes, dtype=dtype)
        self._all_but_asked = tf.one_hot(y, n_classes, dtype.as_numpy_dtype(-np.inf), dtype=dtype)

    def of(self, outputs: tf.Tensor) -> tf.Tensor:
        """Return by how much the right class' output is larger than the largest other.

        As a share of the largest of all; NaN where that is no number.
        """
        outputs = tf.cast(outputs, self._is_asked.dtype)
        asked = tf.reduce_sum(outputs * self._is_asked, axis=1)
        others = tf.reduce_max(outputs + self._all_but_asked, axis=1)
        return (asked - others) / tf.reduce_max(tf.abs(outputs), axis=1)


def right_answers(outputs: tf.Tensor, asked: tf.Tensor) -> tf.Tensor:
    """Return which answers are right, the first of equal outputs being the answer.

    Args:
        outputs: Shape (..., classes).
        asked: Shape (..., 2).

    Returns:
        Shape (...); of no meaning where nothing is asked.
    """
    y = tf.maximum(asked[..., :1], 0)
    of_asked = tf.gather(outputs, y, batch_dims=y.shape.rank - 1)
    classes = tf.range(outputs.shape[-1])
    return tf.reduce_all(
        (outputs < of_asked) | (classes == y) | ((classes > y) & (outputs == of_asked)), axis=-1
    )


def scores_of(
    outputs: tf.Tensor, y: tf.Tensor, n_counts: int | None
) -> tuple[tf.Tensor, tf.Tensor]:
    """Return a network's scores, and whether an output, or an error, is no finite number.

    Args:
        outputs: What it puts out.
        y: What is asked of the images, or their targets.
        n_counts: By how many classes or groups right answers are counted; None where outputs are
            compared with targets.

    Returns:
        Right answers of each of what they count for, or errors of targets, of shape (scores,).
    """
    return _squared_errors(outputs, y) if n_counts is None else _right_counts(outputs, y, n_counts)


def _right_counts(
    outputs: tf.Tensor, asked: tf.Tensor, n_counts: int
) -> tuple[tf.Tensor, tf.Tensor]:
    """Return how many answers are right of each of what they count for.

    With that goes whether an output is NaN.
    """
    right = tf.cast(right_answers(outputs, asked), tf.int32)
    # what counts for -1 is left out
    return tf.math.unsorted_segment_sum(right, asked[..., 1], n_counts), tf.reduce_any(
        tf.math.is_nan(outputs)
    )


def _squared_errors(outputs: tf.Tensor, y: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Return the sum over images of each target's squared error, and whether one is not finite."""
    errors = tf.reduce_sum(tf.square(tf.cast(outputs, tf.float64) - y), axis=0)
    return errors, ~tf.reduce_all(tf.math.is_finite(errors))

"""Scores of a network's outputs, inside compiled passes."""

import numpy as np
import tensorflow as tf


class Classes:
    """The classes of a batch of images."""

    def __init__(self, y: tf.Tensor, n_classes: int, dtype: tf.DType) -> None:
        self._y, self._n_classes = y, n_classes
        self._is_asked = tf.one_hot(y, n_classes, dtype=dtype)
        self._all_but_asked = tf.one_hot(y, n_classes, dtype.as_numpy_dtype(-np.inf), dtype=dtype)

    def right(self, outputs: tf.Tensor) -> tf.Tensor:
        """Return which images are answered right, the first of equal outputs being the answer."""
        asked = tf.gather(outputs, self._y, batch_dims=1)[:, None]
        classes = tf.range(self._n_classes)[None]
        is_asked, is_later = classes == self._y[:, None], classes > self._y[:, None]
        return tf.reduce_all((outputs < asked) | is_asked | (is_later & (outputs == asked)), axis=1)

    def margins(self, outputs: tf.Tensor) -> tf.Tensor:
        """Return by how much the right class' output is larger than the largest other.

        As a share of the largest of all; NaN where that is no number.
        """
        outputs = tf.cast(outputs, self._is_asked.dtype)
        asked = tf.reduce_sum(outputs * self._is_asked, axis=1)
        others = tf.reduce_max(outputs + self._all_but_asked, axis=1)
        return (asked - others) / tf.reduce_max(tf.abs(outputs), axis=1)

    def counts(self, right: tf.Tensor) -> tf.Tensor:
        """Return how many images of each class are answered right."""
        return tf.math.unsorted_segment_sum(tf.cast(right, tf.int32), self._y, self._n_classes)


def class_counts(outputs: tf.Tensor, y: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Return how many images of each class are answered right, and whether an output is NaN."""
    classes = Classes(y, outputs.shape[1], outputs.dtype)
    return classes.counts(classes.right(outputs)), any_nan(outputs)


def squared_errors(outputs: tf.Tensor, y: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Return the sum over images of each target's squared error, and whether one is not finite."""
    errors = tf.reduce_sum(tf.square(tf.cast(outputs, tf.float64) - y), axis=0)
    return errors, ~tf.reduce_all(tf.math.is_finite(errors))


def any_nan(outputs: tf.Tensor) -> tf.Tensor:
    """Return whether any output is NaN."""
    return tf.reduce_any(tf.math.is_nan(outputs))

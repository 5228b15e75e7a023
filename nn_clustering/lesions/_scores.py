"""Scores of a network's outputs, inside compiled passes."""

import numpy as np
import tensorflow as tf

# An answer is taken for sure if the right class' output and the largest other differ by more than
# this share of the largest of all, far above what rounding makes of it.
_DOUBT = 1e-3


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

    def correct_and_certain(self, outputs: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Return which images are answered right, and of which that is beyond rounding."""
        outputs = tf.cast(outputs, self._is_asked.dtype)
        asked = tf.reduce_sum(outputs * self._is_asked, axis=1)
        others = tf.reduce_max(outputs + self._all_but_asked, axis=1)
        largest = tf.reduce_max(tf.abs(outputs), axis=1)
        # false of NaN too
        return asked > others, tf.abs(asked - others) > _DOUBT * largest

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

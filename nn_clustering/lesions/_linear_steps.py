"""What a linear layer makes of what it reads without some units, from what it makes of all.

W h with the units S silenced is W h - W_S h_S: where h is the same under all lesions, as many
products are left as units are silenced, or are not, whichever are fewer.
"""

from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from nn_clustering.lesions._reduced_layers import ReducedLayer, linear_map
from nn_clustering.networks.structure import Step, is_plain

# Rounding is relative to the larger of W h and W_S h_S: their difference is good for nothing where
# the squares of the silenced units, times those of their weights, add up to so many times the
# others'.
_DWARFS = 1e4
_DWARFS_IN_BFLOAT16 = 10.0


def is_linear(step: Step) -> bool:
    """Return whether a step is one that :class:`LinearStep` takes."""
    layer = step.operation
    return is_plain(layer) and not step.n_times and layer.compute_dtype in ("float32", "float64")


class LinearStep:
    """A linear step on a batch of images, inside a compiled pass."""

    def __init__(
        self,
        step: Step,
        read: tf.Tensor,
        made: tf.Tensor,
        fill: NDArray[np.float32] | None,
        reduced: ReducedLayer | None = None,
    ) -> None:
        """Take what the step reads and makes in the intact network.

        Args:
            step: A dense or convolutional layer, without its activation.
            read: What it reads.
            made: What it makes of it.
            fill: What silenced places are set to; None for 0.
            reduced: The layer in bfloat16, with the norm behind it; None to keep the precision.
        """
        self._layer, self._reduced = step.operation, reduced
        self.number, self.dtype = step.outputs[0], made.dtype
        self._made = self._normed(made)
        self._difference = read if fill is None else read - tf.cast(fill, read.dtype)
        self._kernel = (
            tf.convert_to_tensor(self._layer.kernel) if reduced is None else reduced.kernel
        )
        # what is made where all is silent; by the mean it may dwarf what is left
        self._of_nothing = (
            self._normed(self._layer(tf.zeros_like(read[:1]))) if fill is None else None
        )
        # rows are gathered several times faster than columns
        last = read.shape.rank - 1
        factors = tf.cast(self._difference, self._kernel.dtype)
        self._by_place = tf.transpose(factors, [last, *range(last)])

    def _normed(self, made: tf.Tensor) -> tf.Tensor:
        return made if self._reduced is None else self._reduced.normed(made)

    def under(self, silent: tf.Tensor) -> tf.Tensor:
        """Return what the step makes under a lesion.

        Args:
            silent: Which places of what it reads are silent, shape (places,).
        """
        if self._of_nothing is None:
            return self._made - self._of_places(tf.where(silent)[:, 0])
        return tf.cond(
            are_few(silent),
            lambda: self._made - self._of_places(tf.where(silent)[:, 0]),
            lambda: self._of_nothing + self._of_places(tf.where(~silent)[:, 0]),
        )

    def _of_places(self, places: tf.Tensor) -> tf.Tensor:
        """Return what some places add to what is made."""
        kernel = tf.gather(self._kernel, places, axis=-2)
        factors = tf.gather(self._by_place, places)
        last = factors.shape.rank - 1
        if last == 1:
            return tf.matmul(factors, kernel, transpose_a=True)
        return linear_map(self._layer, tf.transpose(factors, [*range(1, last + 1), 0]), kernel)

    def is_exact_under(self, silent: tf.Tensor) -> tf.Tensor:
        """Return for which images the difference is precise.

        Args:
            silent: Which places of what it reads are silent under each lesion, shape (lesions,
                places).

        Returns:
            Shape (lesions, images).
        """
        positions = list(range(1, self._difference.shape.rank - 1))
        squares = tf.reduce_sum(tf.square(self._difference), axis=positions)
        kernel = tf.convert_to_tensor(self._layer.kernel)
        others = [axis for axis in range(kernel.shape.rank) if axis != kernel.shape.rank - 2]
        squares *= tf.reduce_sum(tf.square(kernel), axis=others)
        of_silent = tf.matmul(tf.cast(silent, squares.dtype), squares, transpose_b=True)
        of_others = tf.reduce_sum(squares, axis=1) - of_silent
        # sums of what is left have no such difference
        dwarfs = _DWARFS if self._reduced is None else _DWARFS_IN_BFLOAT16
        return (of_silent <= dwarfs * of_others) | ~are_few(silent)[:, tf.newaxis]


def are_few(silent: Any) -> Any:
    """Return whether less than half of some places, on the last axis, are silent."""
    n_silent = tf.math.count_nonzero(silent, axis=-1, dtype=tf.int32)
    return 2 * n_silent < tf.shape(silent)[-1]

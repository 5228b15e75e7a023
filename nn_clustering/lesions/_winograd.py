"""Convolutions of 3 x 3 by Winograd's minimal filtering, with 4 products where there are 6.

Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks" (2016), F(2, 3), of rows: of any
four rows that are read two are made. The sums before and after take time that two dimensions would
not repay. What it makes differs from the plain sums by rounding.
"""

from collections.abc import Sequence

import keras
import tensorflow as tf

from nn_clustering.networks.structure import Step

# With fewer channels the sums before and after take longer than the products that are saved.
_MIN_CHANNELS = 128


def is_winograd(step: Step, shape: Sequence[int | None]) -> bool:
    """Return whether a plain step is one that :class:`WinogradConvolution` takes.

    Args:
        step: A dense or convolutional layer, without its activation.
        shape: Of what it reads.
    """
    layer = step.operation
    return (
        isinstance(layer, keras.layers.Conv2D)
        and layer.kernel_size == (3, 3)
        and layer.strides == layer.dilation_rate == (1, 1)
        and layer.data_format == "channels_last"
        and None not in shape[1:]
        and min(layer.kernel.shape[2:]) >= _MIN_CHANNELS
    )


class WinogradConvolution:
    """A convolution of 3 x 3, without its activation, whose weights do not change any more."""

    def __init__(self, layer: keras.layers.Conv2D) -> None:
        first, second, third = tf.split(tf.convert_to_tensor(layer.kernel), 3)
        outer = first + third
        self._kernels = (first, (outer + second) / 2, (outer - second) / 2, third)
        self._bias = layer.bias
        self._margin = 1 if layer.padding == "same" else 0

    def __call__(self, x: tf.Tensor, **settings: object) -> tf.Tensor:
        """Return what the layer makes of images, shape (images, rows, columns, channels)."""
        _, n_rows, n_columns, n_channels = x.shape
        n_made = n_rows + 2 * self._margin - 2
        n_pairs = -(-n_made // 2)
        margin = [self._margin, 2 * n_pairs + 2 - n_rows - self._margin]
        padded = tf.pad(x, [[0, 0], margin, [0, 0], [0, 0]])
        of_pairs = tf.reshape(padded, [-1, n_pairs + 1, 2, n_columns * n_channels])
        even, odd = of_pairs[:, :, 0], of_pairs[:, :, 1]
        first, second, third, fourth = even[:, :-1], odd[:, :-1], even[:, 1:], odd[:, 1:]
        sums = (first - third, second + third, third - second, second - fourth)
        a, b, c, d = (
            self._convolved(tf.reshape(rows, [-1, n_pairs, n_columns, n_channels]), kernel)
            for rows, kernel in zip(sums, self._kernels, strict=True)
        )
        pairs = tf.stack([a + b + c, b - c - d], axis=2)
        made = tf.reshape(pairs, [-1, 2 * n_pairs, *pairs.shape[3:]])[:, :n_made]
        return made if self._bias is None else made + self._bias

    def _convolved(self, rows: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
        columns = [self._margin] * 2
        return tf.nn.conv2d(rows, kernel, 1, [[0, 0], [0, 0], columns, [0, 0]])

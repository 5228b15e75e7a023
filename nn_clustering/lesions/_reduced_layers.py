"""Dense layers and convolutions in bfloat16."""

from typing import Any

import tensorflow as tf


class ReducedLayer:
    """A dense or convolutional layer in bfloat16, with a batch norm behind it or without."""

    def __init__(self, layer: Any, norm: Any = None) -> None:
        """Round the weights, the norm's already in them."""
        self.layer = layer
        self.scale: Any = 1.0
        self.shift: Any = 0.0
        if norm is not None:
            self.scale, self.shift = _scale_and_shift(norm)
        bias = 0.0 if layer.bias is None else tf.convert_to_tensor(layer.bias)
        has_bias = norm is not None or layer.bias is not None
        self.kernel = tf.cast(layer.kernel * self.scale, tf.bfloat16)
        self._bias = tf.cast(bias * self.scale + self.shift, tf.bfloat16) if has_bias else None

    def __call__(self, x: tf.Tensor, **_: Any) -> tf.Tensor:
        """Compute what layer and norm make."""
        made = linear_map(self.layer, tf.cast(x, tf.bfloat16), self.kernel)
        return made if self._bias is None else tf.nn.bias_add(made, self._bias)

    def normed(self, made: tf.Tensor) -> tf.Tensor:
        """Return what the norm makes of what the layer, in float32, makes."""
        return tf.cast(made * self.scale + self.shift, tf.bfloat16)


def linear_map(layer: Any, values: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
    """Return the products of values with a kernel, summed as a layer sums them, without bias."""
    if kernel.shape.rank == 2:
        return tf.tensordot(values, kernel, 1) if values.shape.rank > 2 else values @ kernel
    return tf.nn.convolution(
        values,
        kernel,
        strides=layer.strides,
        padding=layer.padding.upper(),
        dilations=layer.dilation_rate,
    )


def _scale_and_shift(norm: Any) -> tuple[tf.Tensor, tf.Tensor]:
    """Return what a batch norm multiplies by, and what it adds then."""
    scale = tf.math.rsqrt(tf.convert_to_tensor(norm.moving_variance) + norm.epsilon)
    scale = scale if norm.gamma is None else scale * norm.gamma
    shift = -scale * norm.moving_mean
    return scale, shift if norm.beta is None else shift + norm.beta

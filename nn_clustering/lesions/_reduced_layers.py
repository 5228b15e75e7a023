"""Layers in bfloat16."""

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf


class ReducedLayer:
    """A dense or convolutional layer, with the padding before it and the batch norm behind it."""

    def __init__(self, layer: Any, *, padding: Any = None, norm: Any = None) -> None:
        """Round the weights, the norm's already in them.

        Args:
            layer: The layer, whose activation is left out.
            padding: The layer that pads what it reads with zeros; None for no other.
            norm: The batch norm that reads what it makes; None for none.
        """
        self.layer = layer
        self._padding = None if padding is None else [[0, 0], *map(list, padding.padding), [0, 0]]
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
        made = linear_map(self.layer, tf.cast(x, tf.bfloat16), self.kernel, self._padding)
        return made if self._bias is None else tf.nn.bias_add(made, self._bias)

    def normed(self, made: tf.Tensor) -> tf.Tensor:
        """Return what the norm makes of what the layer, in float32, makes."""
        return tf.cast(made * self.scale + self.shift, tf.bfloat16)


def linear_map(layer: Any, values: tf.Tensor, kernel: tf.Tensor, padding: Any = None) -> tf.Tensor:
    """Return the products of values with a kernel, summed as a layer sums them, without bias.

    Args:
        layer: A dense or convolutional layer.
        values: What it reads.
        kernel: Its kernel, or rows of it.
        padding: Zeros around a map, before and after on every axis; None for the layer's own.
    """
    if kernel.shape.rank == 2:
        return values @ kernel
    if padding is not None:
        return tf.nn.conv2d(values, kernel, layer.strides, padding, dilations=layer.dilation_rate)
    return tf.nn.convolution(
        values,
        kernel,
        strides=layer.strides,
        padding=layer.padding.upper(),
        dilations=layer.dilation_rate,
    )


class ReducedNorm:
    """A batch norm over the last axis, by its moving statistics."""

    def __init__(self, norm: Any) -> None:
        """Take the statistics as they are."""
        self._scale, self._shift = _scale_and_shift(norm)

    def __call__(self, x: tf.Tensor, **_: Any) -> tf.Tensor:
        """Compute what it makes."""
        x = tf.cast(x, tf.bfloat16)
        if x.shape.rank != 4:
            return tf.cast(tf.cast(x, tf.float32) * self._scale + self._shift, tf.bfloat16)
        none = tf.zeros_like(self._scale)
        # one step with a ReLU behind it
        return tf.raw_ops.FusedBatchNormV3(
            x=x,
            scale=self._scale,
            offset=self._shift,
            mean=none,
            variance=none + (1.0 - _LEAST_VARIANCE),
            epsilon=_LEAST_VARIANCE,
            is_training=False,
        ).y


def in_bfloat16(value: tf.Tensor) -> tf.Tensor:
    """Return a tensor in bfloat16 if it is in float32."""
    return tf.cast(value, tf.bfloat16) if value.dtype == tf.float32 else value


class InDtype:
    """An operation on tensors, each cast before."""

    def __init__(self, operation: Callable[..., Any], dtype: tf.DType) -> None:
        """Take an operation that casts nothing."""
        self._operation, self._dtype = operation, dtype

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Compute what it makes."""
        args, kwargs = keras.tree.map_structure(self._cast, (args, kwargs))
        return self._operation(*args, **kwargs)

    def _cast(self, leaf: Any) -> Any:
        is_value = isinstance(leaf, tf.Tensor) and leaf.dtype in (tf.bfloat16, tf.float32)
        return tf.cast(leaf, self._dtype) if is_value else leaf


# GPUs take none smaller
_LEAST_VARIANCE = 1e-3


def _scale_and_shift(norm: Any) -> tuple[tf.Tensor, tf.Tensor]:
    """Return what a batch norm multiplies by, and what it adds then."""
    scale = tf.math.rsqrt(tf.convert_to_tensor(norm.moving_variance) + norm.epsilon)
    scale = scale if norm.gamma is None else scale * norm.gamma
    shift = -scale * norm.moving_mean
    return scale, shift if norm.beta is None else shift + norm.beta

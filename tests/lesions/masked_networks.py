"""Lesions by hand: networks rebuilt around layers that read, or make, less than they did."""

import keras
import numpy as np


class Reading(keras.layers.Layer):
    """Calls a layer on what it reads, with other values at some places of the last axis."""

    def __init__(self, inner, silent, fill):
        super().__init__(name=inner.name)
        self.inner, self.silent, self.fill = inner, silent, fill

    def call(self, x, mask=None):
        return self.inner(keras.ops.where(self.silent, keras.ops.cast(self.fill, x.dtype), x))


def silenced_for(network, readers, x=None):
    """The network (with the same weights) whose layers read silence at some places.

    ``readers`` holds, for the names of the layers that read silenced units, which places on the
    last axis of what they read are silent, and how many of them in a row are one position. Silence
    is 0, or the mean over images ``x`` if there are any.
    """

    def rebuilt(layer):
        if layer.name not in readers:
            return layer
        silent, n_channels = readers[layer.name]
        fill = 0.0 if x is None else mean_read(network, layer, n_channels, x)
        return Reading(layer, silent, fill)

    return keras.models.clone_model(network, clone_function=rebuilt)


def mean_read(network, layer, n_channels, x):
    """The mean over images and positions of what a layer reads."""
    read = keras.Model(network.inputs[0], layer.input)(x, training=False).numpy()
    means = read.reshape(-1, n_channels).mean(axis=0, dtype=np.float64)
    return np.tile(means, read.shape[-1] // n_channels).astype(np.float32)


def without_incoming_weights(network, makers):
    """A copy with zeros for some columns of kernels, and biases, by the names of the layers."""
    clone = keras.models.clone_model(network)
    clone.set_weights(network.get_weights())
    for name, silent in makers.items():
        layer = clone.get_layer(name)
        *depthwise, kernel, bias = (array.copy() for array in layer.get_weights())
        kernel[..., silent] = 0
        bias[silent] = 0
        layer.set_weights([*depthwise, kernel, bias])
    return clone


def scores(network, x, y):
    """Right answers by class of a classifier; sums of squared errors by target."""
    outputs = network(x, training=False).numpy()
    if y.ndim == 2:
        return ((outputs.astype(np.float64) - y) ** 2).sum(axis=0)
    return np.bincount(y[outputs.argmax(axis=1) == y], minlength=outputs.shape[1])

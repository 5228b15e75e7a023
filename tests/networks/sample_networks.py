"""Small networks, and short ways to set their weights, for the tests of graphs."""

import keras
import numpy as np
from keras import layers


def sequential(input_shape, *parts):
    return keras.Sequential([keras.Input(input_shape), *parts], name="net")


def named(graph):
    return [(layer.name, layer.n_units) for layer in graph.layers]


def block(graph, source, target):
    """The weights between two layers of a graph, by their names; None if there are none."""
    names = [layer.name for layer in graph.layers]
    pair = (names.index(source), names.index(target))
    found = [edges.weights for edges in graph.edges if (edges.source, edges.target) == pair]
    return found[0] if found else None


def set_kernel(layer, kernel):
    layer.kernel.assign(np.asarray(kernel, np.float32))


def weigh(network, name, kernel):
    """Set the kernel of a layer that reads one position: values by (input, unit)."""
    layer = network.get_layer(name)
    set_kernel(layer, np.reshape(kernel, layer.kernel.shape))


def set_batch_norm(layer, gamma, variance):
    """Gamma and variance; beta and mean are set too, to show that they do not count."""
    if layer.scale:
        layer.gamma.assign(gamma)
    layer.beta.assign(np.full(len(variance), 7.0))
    layer.moving_mean.assign(np.full(len(variance), -3.0))
    layer.moving_variance.assign(variance)


def conv(filters, name, **options):
    return layers.Conv2D(filters, (2, 3), padding="same", name=name, **options)


def pointwise(filters, name, **options):
    return layers.Conv2D(filters, 1, name=name, **options)


def dense(kernel, name, **options):
    """A dense layer with the weights to build it with."""
    kernel = np.asarray(kernel, np.float32)
    initial = keras.initializers.Constant(kernel)
    return layers.Dense(kernel.shape[1], name=name, kernel_initializer=initial, **options)


def residual():
    inputs = keras.Input((3,))
    first = layers.Dense(3, name="first")(inputs)
    second = layers.Dense(3, name="second")(first)
    return keras.Model(inputs, layers.Add(name="sum")([first, second]), name="net")


def branching():
    inputs = keras.Input((3,))
    first = layers.Dense(3, name="first")(inputs)
    left, right = layers.Dense(2, name="left")(first), layers.Dense(2, name="right")(first)
    return keras.Model(inputs, layers.Concatenate(name="both")([left, right]), name="net")


def shared():
    inputs, again = keras.Input((3,)), layers.Dense(3, name="again")
    return keras.Model(inputs, again(again(inputs)), name="net")


def shared_later():
    inputs, again = keras.Input((3,)), layers.Dense(3, name="again")
    return keras.Model(inputs, again(layers.ReLU(name="between")(again(inputs))), name="net")


def two_outputs():
    inputs = keras.Input((3,))
    left, right = layers.Dense(2, name="left"), layers.Dense(2, name="right")
    return keras.Model(inputs, [left(inputs), right(inputs)], name="net")


class Subclassed(keras.Model):
    """A network that computes by code of its own."""

    def __init__(self):
        super().__init__(name="net")
        self.dense = layers.Dense(2)

    def call(self, inputs):
        return self.dense(inputs)


SUBCLASSED_OR_UNBUILT = [
    (lambda: keras.Sequential([layers.Dense(2)], name="net"), "'net' is a Sequential without"),
    (Subclassed, "'net' is a Subclassed without known inputs"),
]

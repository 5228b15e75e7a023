"""Inputs for neurons and values of a transformer of patches; none for one of tokens."""

import keras
import numpy as np
import pytest
from keras import layers

from nn_clustering.errors import InvalidInputError
from nn_clustering.visualisation import Ascent, Bounds, InputOptimiser, Objective


def block(stream, activation):
    read = layers.LayerNormalization(name="norm_1")(stream)
    stream = stream + layers.MultiHeadAttention(2, 3, name="attention")(read, read)
    read = layers.LayerNormalization(name="norm_2")(stream)
    neurons = layers.Dense(8, name="neurons")(read)
    neurons = layers.Activation(activation, name="activation")(neurons)
    return stream + layers.Dense(6, name="out")(neurons)


def vit(activation):
    keras.utils.set_random_seed(0)
    image = keras.Input((8, 8, 1))
    patches = layers.Reshape((4, 6), name="patches")(layers.Conv2D(6, 4, 4)(image))
    pooled = layers.GlobalAveragePooling1D()(block(patches, activation))
    return keras.Model(image, layers.Dense(3, "softmax", name="output")(pooled), name="vit")


def answers(network, images):
    """The neurons and the values at every patch, by the layers themselves."""
    neurons = keras.Model(network.inputs[0], network.get_layer("activation").output)(images)
    read = keras.Model(network.inputs[0], network.get_layer("norm_1").output)(images)
    values = network.get_layer("attention")._value_dense(read)
    return {"neurons": neurons, "attention/value": np.reshape(values, (len(images), 4, 6))}


@pytest.mark.parametrize("activation", ["gelu", "relu"])
def test_units_are_measured_by_their_mean_over_patches(activation):
    network = vit(activation)
    start, end = (
        InputOptimiser(
            network,
            (8, 8, 1),
            bounds=Bounds(),
            objective=Objective("sum", "post"),
            ascent=Ascent(n_steps=n_steps),
        )
        for n_steps in (1, 12)
    )
    assert end.layers == {"attention/value": 6, "neurons": 8}
    for layer, n_units in end.layers.items():
        masks = np.arange(n_units) < np.array([[2], [4]])
        found = end.optimise(layer, masks, [0, 1])
        means = np.mean(answers(network, found.inputs)[layer], axis=1)
        np.testing.assert_allclose(found.scores, (means * masks).sum(axis=1), rtol=1e-4, atol=1e-6)
        assert (found.scores > start.optimise(layer, masks, [0, 1]).scores).all()


def test_networks_of_tokens_refused():
    tokens = keras.Input((5,), dtype="int32")
    stream = block(layers.Embedding(7, 6)(tokens), "gelu")
    network = keras.Model(tokens, layers.Dense(7)(stream), name="text")
    with pytest.raises(InvalidInputError, match="network 'text' reads tokens, between which"):
        InputOptimiser(network, (5,), bounds=Bounds(0, 6))

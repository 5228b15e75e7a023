"""Lesions of a network with several outputs, by the one that answers."""

import keras
import numpy as np
import pytest
from keras import layers

from nn_clustering.errors import InvalidInputError
from nn_clustering.graphs import graph_from_weights
from nn_clustering.lesions import LesionEngine, lesionable_layers


@pytest.fixture(scope="module")
def networks():
    """Two heads behind a common layer, each with a hidden layer; and the first head alone."""
    keras.utils.set_random_seed(0)
    inputs = keras.Input((6,))
    common = layers.Dense(5, "relu", name="common")(inputs)
    heads = [
        layers.Dense(size, name=name)(layers.Dense(4, "relu", name=f"{name}_hidden")(common))
        for name, size in (("digit", 3), ("odd", 2))
    ]
    return keras.Model(inputs, heads, name="two"), keras.Model(inputs, heads[0], name="one")


@pytest.fixture(scope="module")
def images():
    random = np.random.default_rng(0)
    return random.normal(size=(40, 6)).astype(np.float32), np.arange(40) % 2


@pytest.mark.parametrize("silence", ["output", "mean", "weights"])
def test_it_is_the_network_of_that_output(networks, images, silence):
    both, alone = networks
    engine = LesionEngine(both, *images, output="digit", silence=silence)
    expected = LesionEngine(alone, *images, silence=silence)
    assert dict(engine.layers) == dict(expected.layers) == {"common": 5, "digit_hidden": 4}
    assert engine.n_outputs == 3
    assert engine.intact().tolist() == expected.intact().tolist()
    for layer, n_units in expected.layers.items():
        lesions = {layer: np.eye(n_units, dtype=bool)}
        assert engine.lesioned(lesions).tolist() == expected.lesioned(lesions).tolist()


def test_layers_that_the_output_does_not_hang_on_are_left_out(networks, images):
    both, _ = networks
    of_graph = graph_from_weights(both).layers
    assert lesionable_layers(of_graph, both) == ("common", "digit_hidden", "odd_hidden")
    for output, own in (("digit", "digit_hidden"), (1, "odd_hidden")):
        engine = LesionEngine(both, *images, output=output)
        assert lesionable_layers(of_graph, engine) == ("common", own)
    with pytest.raises(InvalidInputError, match="no hidden layer of units 'digit_hidden'"):
        engine.lesioned({"digit_hidden": np.ones((1, 4), bool)})


def test_which_output_has_to_be_said(networks, images):
    with pytest.raises(InvalidInputError, match="has 2 outputs, digit"):
        LesionEngine(networks[0], *images)

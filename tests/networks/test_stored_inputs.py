"""What samples a network takes, read out of its file without Keras."""

import keras
import pytest
from keras import layers

from nn_clustering.networks import network_bytes, stored_sample_shape, takes_tokens


def sequential(shape):
    return keras.Sequential([keras.Input(shape), layers.Flatten(), layers.Dense(2)])


def functional(*shapes):
    inputs = [keras.Input(shape) for shape in shapes]
    merged = [
        layers.GlobalAveragePooling2D()(one) if len(one.shape) == 4 else one for one in inputs
    ]
    joined = layers.Concatenate()(merged) if len(merged) > 1 else merged[0]
    return keras.Model(inputs, layers.Dense(2)(joined))


@pytest.mark.parametrize(
    ("network", "shape"),
    [
        (sequential((9, 8, 3)), (9, 8, 3)),
        (sequential((16,)), (16,)),
        (functional((9, 8, 1)), (9, 8, 1)),
        (functional((None, None, 3)), (None, None, 3)),
        (functional((9, 8, 1), (5,)), (9, 8, 1)),
        (functional((9, 8, 1), (9, 8, 1)), None),
        (functional((5,), (5,)), None),
    ],
)
def test_shape_of_samples(network, shape):
    assert stored_sample_shape(network_bytes(network), "a network") == shape
    assert not takes_tokens(network_bytes(network), "a network")


def test_tokens_are_whole_numbers():
    tokens = keras.Input((7,), dtype="int32")
    network = keras.Model(tokens, layers.Embedding(3, 2)(tokens))
    assert takes_tokens(network_bytes(network), "a network")
    assert stored_sample_shape(network_bytes(network), "a network") == (7,)

"""Which sets of units something nonlinear stands behind."""

import keras
import pytest
from keras import layers, ops

from nn_clustering.networks.structure import Merged, Weighted, read_weights


def names_of_nonlinear(network):
    weights = read_weights(network)
    return {
        weights.channels[index].name
        for index in weights.nonlinear
        if isinstance(weights.channels[index], Weighted | Merged)
    }


def test_a_residual_network_has_nonlinear_neurons_and_a_linear_stream():
    inputs = keras.Input((5,))
    stream = layers.Dense(4, name="embedding")(inputs)
    for block in "ab":
        normed = layers.LayerNormalization()(stream)
        neurons = layers.Dense(6, activation="gelu", name=f"in_{block}")(normed)
        out = layers.Dropout(0.1)(layers.Dense(4, name=f"out_{block}")(neurons))
        stream = layers.Add(name=f"sum_{block}")([stream, out])
    outputs = layers.Dense(3, name="output")(layers.RMSNormalization()(stream))
    assert names_of_nonlinear(keras.Model(inputs, outputs)) == {"in_a", "in_b"}
    assert not read_weights(keras.Model(inputs, outputs)).nonlinear & {0}


def gate(made):
    return layers.Multiply(name="joined")([made, layers.Dense(4, name="other")(made)])


def norm(made):
    return made * ops.rsqrt(ops.mean(ops.square(made), axis=-1, keepdims=True) + 1e-6)


MADE_OF_A_DENSE_LAYER = {
    "norm": (norm, set()),
    "linear": (lambda made: ops.negative(made) * 2.0 + 1.0, set()),
    "average": (layers.GlobalAveragePooling1D(), set()),
    "extreme": (layers.GlobalMaxPooling1D(), {"made"}),
    "rectified": (lambda made: ops.maximum(made, 0.0), {"made"}),
    "absolute": (ops.abs, {"made"}),
    "gate": (gate, {"made", "other", "joined"}),
    "scaled, squashed": (lambda made: ops.tanh(made * 2.0), {"made"}),
    "side by side": (
        lambda made: ops.relu(layers.Concatenate()([made, layers.Dense(2, name="other")(made)])),
        {"made", "other"},
    ),
}


@pytest.mark.parametrize("name", MADE_OF_A_DENSE_LAYER)
def test_what_stands_behind_a_dense_layer(name):
    make, expected = MADE_OF_A_DENSE_LAYER[name]
    inputs = keras.Input((7, 5))
    made = make(layers.Dense(4, name="made")(inputs))
    assert names_of_nonlinear(keras.Model(inputs, layers.Dense(3, name="read")(made))) == expected

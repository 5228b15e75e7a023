"""Networks of mixed precision, brought back to float32 with the same weights."""

import keras
import numpy as np
import pytest

from nn_clustering.networks import build_network, in_float32, network_bytes, network_from_bytes

X = np.random.default_rng(0).uniform(size=(20, 8, 8, 1)).astype(np.float32)
SIZES = {"hidden_units": [6, 5], "conv_filters": [3, 2], "dropout": True, "seed": 1}


@pytest.mark.parametrize("kind", ["mlp", "cnn", "vgg"])
@pytest.mark.parametrize("precision", ["mixed_float16", "mixed_bfloat16"])
def test_equals_the_network_built_in_float32(kind, precision):
    mixed = build_network(kind, (8, 8, 1), 10, precision=precision, **SIZES)
    rng = np.random.default_rng(3)
    mixed.set_weights([array + rng.uniform(0, 0.5, array.shape) for array in mixed.get_weights()])
    mixed(X, training=True)  # dropout's state moves on
    full = build_network(kind, (8, 8, 1), 10, **SIZES)
    for variable, trained in zip(full.variables, mixed.variables, strict=True):
        variable.assign(trained)

    brought_back = in_float32(mixed)
    assert [layer.name for layer in brought_back.layers] == [layer.name for layer in mixed.layers]
    assert {layer.compute_dtype for layer in brought_back.layers} == {"float32"}
    np.testing.assert_array_equal(brought_back(X), full(X))
    np.testing.assert_array_equal(brought_back(X, training=True), full(X, training=True))
    assert not np.array_equal(mixed(X), full(X))  # lower precision it was
    stored = network_from_bytes(network_bytes(brought_back), "it")
    assert {layer.compute_dtype for layer in stored.layers} == {"float32"}


def test_float32_is_left_as_it_is():
    network = build_network("mlp", (8, 8, 1), 10, **SIZES)
    assert in_float32(network) is network


def test_functional_network_with_a_network_in_it():
    policy = "mixed_bfloat16"
    inner = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, dtype=policy)])
    inputs = keras.Input((4,))
    outputs = keras.layers.Add(dtype=policy)(
        [inner(inputs), keras.layers.Dense(3, dtype=policy)(inputs)]
    )
    network = keras.Model(inputs, keras.layers.Softmax(dtype="float32")(outputs))
    brought_back = in_float32(network)
    x = np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32)
    first, second = (
        next(layer for layer in part.layers if isinstance(layer, keras.layers.Dense))
        for part in (next(m for m in network.layers if isinstance(m, keras.Sequential)), network)
    )
    logits = sum(x @ dense.kernel.numpy() + dense.bias.numpy() for dense in (first, second))
    expected = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(brought_back(x), expected, rtol=1e-5)

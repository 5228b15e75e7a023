"""The studies' architectures: sizes by hand, and what the seed fixes."""

import numpy as np
import pytest

from nn_clustering.errors import InvalidInputError
from nn_clustering.networks import build_network

SMALL = {
    "hidden_units": [5, 4],
    "conv_filters": [3, 2],
    "dropout": False,
    "seed": 0,
}
STUDY = {
    "mlp": {"hidden_units": [256] * 4, "conv_filters": [64] * 3},
    "cnn": {"hidden_units": [128], "conv_filters": [64] * 3},
}


def build(kind="mlp", input_shape=(8, 8, 1), n_classes=10, **changes):
    return build_network(kind, input_shape, n_classes, **{**SMALL, **changes})


def described(network):
    """Name, activation or rate, and output shape of every layer."""
    return [
        (
            layer.name,
            getattr(getattr(layer, "activation", None), "__name__", getattr(layer, "rate", None)),
            layer.output.shape[1:],
        )
        for layer in network.layers
    ]


def test_mlp_of_the_studies():
    network = build("mlp", (28, 28, 1), **STUDY["mlp"])
    assert described(network) == [
        ("flatten", None, (784,)),
        ("dense_1", "relu", (256,)),
        ("dense_2", "relu", (256,)),
        ("dense_3", "relu", (256,)),
        ("dense_4", "relu", (256,)),
        ("output", "softmax", (10,)),
    ]
    by_hand = (784 * 256 + 256) + 3 * (256 * 256 + 256) + (256 * 10 + 10)
    assert network.count_params() == by_hand == 400_906


def test_cnn_of_the_studies():
    network = build("cnn", (28, 28, 1), **STUDY["cnn"])
    assert described(network) == [
        ("conv_1", "relu", (28, 28, 64)),
        ("conv_2", "relu", (28, 28, 64)),
        ("pool_2", None, (14, 14, 64)),
        ("conv_3", "relu", (14, 14, 64)),
        ("pool_3", None, (7, 7, 64)),
        ("flatten", None, (7 * 7 * 64,)),
        ("dense_1", "relu", (128,)),
        ("output", "softmax", (10,)),
    ]
    convolutions = (9 * 1 * 64 + 64) + 2 * (9 * 64 * 64 + 64)
    dense = (7 * 7 * 64 * 128 + 128) + (128 * 10 + 10)
    assert network.count_params() == convolutions + dense == 477_322


def test_dropout_of_the_mlp():
    network = build("mlp", dropout=True)
    assert [(name, rate) for name, rate, _ in described(network)] == [
        ("flatten", None),
        ("dense_1", "relu"),
        ("dropout_1", 0.5),
        ("dense_2", "relu"),
        ("dropout_2", 0.5),
        ("output", "softmax"),
    ]


def test_dropout_of_the_cnn():
    network = build("cnn", dropout=True, conv_filters=[3, 2, 2])
    assert [(name, rate) for name, rate, _ in described(network)] == [
        ("conv_1", "relu"),
        ("dropout_conv_1", 0.25),
        ("conv_2", "relu"),
        ("pool_2", None),
        ("dropout_conv_2", 0.25),
        ("conv_3", "relu"),
        ("pool_3", None),
        ("dropout_conv_3", 0.25),
        ("flatten", None),
        ("dense_1", "relu"),
        ("dropout_dense_1", 0.5),
        ("dense_2", "relu"),
        ("dropout_dense_2", 0.5),
        ("output", "softmax"),
    ]


@pytest.mark.parametrize("kind", ["mlp", "cnn"])
def test_initial_weights_are_glorot_uniform_and_biases_zero(kind):
    network = build(kind, (28, 28, 1), hidden_units=[100, 80], conv_filters=[20, 30])
    for layer in network.layers:
        if not layer.weights:
            continue
        kernel, bias = layer.get_weights()
        receptive_field = np.prod(kernel.shape[:-2])
        fan_in, fan_out = (receptive_field * size for size in kernel.shape[-2:])
        limit = np.sqrt(6 / (fan_in + fan_out))
        assert np.abs(kernel).max() <= limit
        # the standard deviation of a uniform variable, within five standard errors
        spread = limit / np.sqrt(3)
        assert kernel.std() == pytest.approx(spread, rel=5 * 0.45 / np.sqrt(kernel.size))
        assert not bias.any()


@pytest.mark.parametrize("kind", ["mlp", "cnn"])
def test_seed_fixes_the_weights(kind):
    weights = build(kind, seed=3).get_weights()
    again = build(kind, seed=3).get_weights()
    other = build(kind, seed=4).get_weights()
    for index, array in enumerate(weights):
        np.testing.assert_array_equal(array, again[index])
        if array.ndim > 1:  # biases are 0 for every seed
            assert not (array == other[index]).any()


def test_layers_of_one_shape_begin_differently():
    first, second = (build(hidden_units=[64, 64]).get_layer(f"dense_{i}") for i in (1, 2))
    assert first.kernel.shape == second.kernel.shape
    assert not np.isclose(first.kernel, second.kernel, rtol=1e-6).all()


def test_seed_fixes_the_dropout():
    x = np.ones((20, 8, 8, 1), np.float32)

    def output(seed):
        network = build(dropout=True, hidden_units=[50], seed=0)
        seeded = build(dropout=True, hidden_units=[50], seed=seed)
        masks = seeded.get_layer("dropout_1")(np.ones((20, 50), np.float32), training=True)
        return network(x, training=True).numpy(), masks.numpy()

    for first, again in zip(output(0), output(0), strict=True):
        np.testing.assert_array_equal(first, again)
    assert (output(0)[1] != output(1)[1]).any()


def test_smallest_images():
    assert build("cnn", (4, 4, 1), conv_filters=[2, 2, 2]).output_shape == (None, 10)
    with pytest.raises(InvalidInputError, match="expected at least 4 x 4") as refusal:
        build("cnn", (3, 8, 1), conv_filters=[2, 2, 2])
    assert "images of 3 x 8 pixels are too small for 2 poolings" in str(refusal.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kind": "vgg"}, "network.kind='vgg' is not a network; expected one of mlp, cnn"),
        ({"hidden_units": [5, 0]}, r"network.hidden_units=\[5, 0\]; expected a list"),
        ({"hidden_units": [-1]}, r"network.hidden_units=\[-1\]; expected a list"),
        ({"hidden_units": [2.5]}, r"network.hidden_units=\[2.5\]; expected a list"),
        ({"hidden_units": [True]}, r"network.hidden_units=\[True\]; expected a list"),
        ({"hidden_units": 256}, "network.hidden_units=256; expected a list"),
        ({"hidden_units": "256"}, "network.hidden_units='256'; expected a list"),
        ({"kind": "cnn", "conv_filters": [0]}, r"network.conv_filters=\[0\]; expected a list"),
    ],
)
def test_refuses(changes, message):
    with pytest.raises(InvalidInputError, match=message) as refusal:
        build(**changes)
    assert "\n" not in str(refusal.value)

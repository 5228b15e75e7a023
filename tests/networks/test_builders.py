"""The studies' architectures: sizes by hand, and what the seed fixes."""

from itertools import pairwise

import keras
import numpy as np
import pytest

from nn_clustering.errors import InvalidInputError
from nn_clustering.networks import build_network, check_network
from tests.programs import environment, run_python

SMALL = {
    "hidden_units": [5, 4],
    "conv_filters": [3, 2],
    "dropout": False,
    "seed": 0,
}
STUDY = {
    "mlp": {"hidden_units": [256] * 4, "conv_filters": [64] * 3},
    "cnn": {"hidden_units": [128], "conv_filters": [64] * 3},
    "vgg": {
        "hidden_units": [512] * 2,
        "conv_filters": [[64] * 2, [128] * 2, [256] * 3, [512] * 3, [512] * 3],
    },
}
# The first weights of dense_1 and conv_1 with seed 7, as they were when first stored.
PINNED_DENSE = [-0.117834568, 0.126961380, -0.0894931704, 0.168454468, 0.290225089]
PINNED_CONV = [0.0129076540, 0.256868362, 0.311918020]
KINDS = ("mlp", "cnn", "vgg")


def build(kind="mlp", input_shape=(8, 8, 1), n_outputs=10, **changes):
    return build_network(kind, input_shape, n_outputs, **{**SMALL, **changes})


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


def test_vgg_of_the_studies():
    network = build("vgg", (32, 32, 3), dropout=True, **STUDY["vgg"])
    layers = [layer.name for layer in network.layers]
    blocks = ([1, 2], [3, 4], [5, 6, 7], [8, 9, 10], [11, 12, 13])
    rates = {1: 0.3, 13: 0.5, **dict.fromkeys([3, 5, 6, 8, 9, 11, 12], 0.4)}
    by_hand = []
    for block in blocks:
        for index in block:
            by_hand.append(f"conv_{index}")
            by_hand += [f"pool_{index}"] if index == block[-1] else []
            by_hand.append(f"batch_norm_conv_{index}")
            by_hand += [f"dropout_conv_{index}"] if index in rates else []
    by_hand += ["flatten", "dense_1", "batch_norm_dense_1", "dropout_dense_1", "dense_2", "output"]
    assert layers == by_hand
    for index, rate in rates.items():
        assert network.get_layer(f"dropout_conv_{index}").rate == rate
    assert network.get_layer("dropout_dense_1").rate == 0.5
    assert network.get_layer("pool_13").output.shape == (None, 1, 1, 512)
    channels = [3, 64, 64, 128, 128, 256, 256, 256, *[512] * 6]
    convolutions = sum(9 * before * after + after for before, after in pairwise(channels))
    norms = 4 * (sum(channels[1:]) + 512)
    dense = 2 * (512 * 512 + 512) + (512 * 10 + 10)
    assert network.count_params() == convolutions + norms + dense


def test_vgg_of_other_sizes():
    network = build("vgg", (8, 9, 1), conv_filters=[3, [4, 5]], hidden_units=[6], dropout=True)
    assert described(network) == [
        ("conv_1", "relu", (8, 9, 3)),
        ("pool_1", None, (4, 4, 3)),
        ("batch_norm_conv_1", None, (4, 4, 3)),
        ("conv_2", "relu", (4, 4, 4)),
        ("batch_norm_conv_2", None, (4, 4, 4)),
        ("dropout_conv_2", 0.4, (4, 4, 4)),
        ("conv_3", "relu", (4, 4, 5)),
        ("pool_3", None, (2, 2, 5)),
        ("batch_norm_conv_3", None, (2, 2, 5)),
        ("dropout_conv_3", 0.5, (2, 2, 5)),
        ("flatten", None, (20,)),
        ("dense_1", "relu", (6,)),
        ("output", "softmax", (10,)),
    ]


@pytest.mark.parametrize("kind", KINDS)
def test_tanh_is_in_all_hidden_layers(kind):
    network = build(kind, activation="tanh")
    activations = [activation for _, activation, _ in described(network) if activation]
    assert set(activations[:-1]) == {"tanh"}
    assert activations[-1] == "softmax"


def test_regression_of_vectors():
    network = build("mlp", (2,), 512, task="regression", hidden_units=[256] * 4)
    assert described(network) == [
        *[(f"dense_{index}", "relu", (256,)) for index in range(1, 5)],
        ("output", "linear", (512,)),
    ]


@pytest.mark.parametrize("kind", KINDS)
def test_dropout_rate_replaces_all_rates(kind):
    network = build(kind, dropout=True, dropout_rate=0.2)
    rates = {layer.rate for layer in network.layers if "dropout" in layer.name}
    assert rates == {0.2}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("precision", ["mixed_float16", "mixed_bfloat16"])
def test_precision_is_the_layers_own(kind, precision):
    network = build(kind, precision=precision, dropout=True)
    computes_in = {layer.name: layer.compute_dtype for layer in network.layers}
    assert computes_in.pop("output") == "float32"
    assert set(computes_in.values()) == {precision.removeprefix("mixed_")}
    assert {weight.dtype for weight in network.weights} == {"float32"}
    assert network(np.ones((1, 8, 8, 1), np.float32)).dtype == "float32"
    assert keras.config.dtype_policy().name == "float32"
    full = build(kind, precision="float32", dropout=True)
    for array, same in zip(network.get_weights(), full.get_weights(), strict=True):
        np.testing.assert_array_equal(array, same)


def test_initial_weights_of_a_seed_stay_what_they_are():
    network = build("mlp", hidden_units=[5], seed=7)
    np.testing.assert_allclose(network.get_layer("dense_1").kernel[0], PINNED_DENSE, rtol=1e-6)
    network = build("cnn", conv_filters=[3], hidden_units=[5], seed=7)
    np.testing.assert_allclose(network.get_layer("conv_1").kernel[0, 0, 0], PINNED_CONV, rtol=1e-6)


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


@pytest.mark.parametrize("kind", KINDS)
def test_initial_weights_are_glorot_uniform_and_biases_zero(kind):
    network = build(kind, (28, 28, 1), hidden_units=[100, 80], conv_filters=[20, 30])
    for layer in network.layers:
        if not isinstance(layer, keras.layers.Dense | keras.layers.Conv2D):
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


@pytest.mark.parametrize("kind", KINDS)
def test_seed_fixes_the_weights(kind):
    weights = build(kind, seed=3).get_weights()
    again = build(kind, seed=3).get_weights()
    other = build(kind, seed=4).get_weights()
    for index, array in enumerate(weights):
        np.testing.assert_array_equal(array, again[index])
        if array.ndim > 1:  # biases and batch norm begin alike for every seed
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
    assert "images of 3 x 8 pixels are too small for 2 poolings of the cnn" in str(refusal.value)
    assert build("vgg", (4, 4, 1), conv_filters=[2, [2, 2]]).output_shape == (None, 10)
    with pytest.raises(InvalidInputError, match="too small for 2 poolings of the vgg"):
        build("vgg", (4, 3, 1), conv_filters=[2, [2, 2]])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"kind": "rnn"},
            "network.kind='rnn' is not a network; expected one of mlp, cnn, vgg, transformer, vit",
        ),
        ({"kind": "./net.py"}, "network.kind='./net.py' is not a network"),
        ({"activation": "elu"}, "network.activation='elu'; expected one of relu, tanh, gelu, silu"),
        ({"precision": "float16"}, "network.precision='float16'; expected one of float32, mixed_"),
        ({"task": "ranking"}, "task='ranking'; expected one of classification, regression"),
        ({"dropout": "yes"}, "network.dropout='yes'; expected True or False"),
        ({"dropout": True, "dropout_rate": 0}, "network.dropout_rate=0; expected 0 < dropout_rate"),
        ({"dropout": True, "dropout_rate": 1.0}, "network.dropout_rate=1.0; expected 0 < dropout"),
        ({"dropout_rate": 0.2}, "network.dropout_rate=0.2 with network.dropout=False"),
        ({"kind": "cnn", "input_shape": (2,)}, "kind=cnn takes images, and the inputs are vectors"),
        ({"kind": "vgg", "input_shape": (2,)}, "kind=vgg takes images, and the inputs are vectors"),
        ({"input_shape": (8, 8)}, r"input_shape=\(8, 8\); expected"),
        ({"input_shape": (8, 0, 1)}, r"input_shape=\(8, 0, 1\); expected"),
        ({"n_outputs": 1}, "n_outputs=1; expected 2 or more for a classification"),
        ({"n_outputs": 0, "task": "regression"}, "n_outputs=0; expected 1 or more"),
        (
            {"kind": "cnn", "conv_filters": [[3, 3]]},
            r"conv_filters=\[\[3, 3\]\]; expected a list of n",
        ),
        (
            {"kind": "cnn", "conv_filters": []},
            r"conv_filters=\[\]; expected one convolution or more",
        ),
        (
            {"kind": "vgg", "conv_filters": []},
            r"conv_filters=\[\]; expected one convolution or more",
        ),
        (
            {"kind": "vgg", "conv_filters": [[]]},
            r"conv_filters=\[\[\]\]; expected a list of blocks",
        ),
        ({"kind": "vgg", "conv_filters": [[3, 0]]}, r"\[\[3, 0\]\]; expected a list of blocks"),
        ({"kind": "vgg", "conv_filters": 3}, "conv_filters=3; expected a list of blocks"),
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
    settings = {"kind": "mlp", "input_shape": (8, 8, 1), "n_outputs": 10, **SMALL, **changes}
    del settings["seed"]
    with pytest.raises(InvalidInputError, match=message):
        check_network(**settings)


def test_checks_need_no_keras():
    code = """
import sys
from nn_clustering.networks import check_network, network_code, read_file
check_network("vgg", (8, 8, 3), 10, hidden_units=[4], conv_filters=[2, [2, 2]])
assert network_code("vgg") is None
assert not {"keras", "tensorflow"} & set(sys.modules)
"""
    finished = run_python(["-c", code], environment(None))
    assert finished.returncode == 0, finished.stderr

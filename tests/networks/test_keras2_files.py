"""Files of Keras 2 give the network that Keras 3 computes with the same weights."""

import keras
import numpy as np
import pytest
from keras import layers

from nn_clustering.errors import InvalidInputError
from nn_clustering.networks import network_from_bytes
from tests.networks import keras2_files
from tests.networks.keras2_files import arrays, functional, layer

X = np.random.default_rng(0).uniform(size=(5, 8, 8, 1)).astype(np.float32)
OF_AUTHOR = {"class_name": "lab>Orth", "config": {"factor": 0.1}}
CONVOLUTION = {
    "filters": 3,
    "kernel_size": [3, 3],
    "strides": [1, 1],
    "padding": "same",
    "data_format": "channels_last",
    "dilation_rate": [1, 1],
    "groups": 1,
    "activation": "relu",
    "use_bias": True,
    "kernel_initializer": {
        "class_name": "GlorotUniform",
        "config": {"seed": None, "dtype": "float32"},
    },
    "kernel_regularizer": OF_AUTHOR,
    "kernel_constraint": OF_AUTHOR,
}
WEIGHTS = {
    "conv": arrays((3, 3, 1, 3), (3,)),
    "deep": arrays((3, 3, 3, 1), (3,), seed=1),
    "norm": arrays((3,), (3,), (3,), (3,), seed=2),
    "out": arrays((3, 10), (10,), seed=3),
}


def branched(module=None):
    """A convolution, a depthwise one around which a shortcut leads, batch norm, pooling, dense."""
    last = {"units": 10, "activation": "softmax", "use_bias": True}
    depthwise = {key: value for key, value in CONVOLUTION.items() if key != "filters"}
    return functional(
        [
            layer(
                "InputLayer", "in", module=module, batch_input_shape=[None, 8, 8, 1], sparse=False,
                ragged=False,
            ),
            layer("Conv2D", "conv", ["in"], module=module, **CONVOLUTION),
            layer(
                "DepthwiseConv2D", "deep", ["conv"], module=module, depth_multiplier=1,
                depthwise_initializer={"class_name": "lab>Init", "config": {}}, **depthwise,
            ),
            layer(
                "BatchNormalization", "norm", ["deep"], module=module, axis=[3], momentum=0.99,
                epsilon=1e-3, center=True, scale=True,
            ),
            layer("Add", "sum", ["norm", "conv"], module=module),
            layer("ReLU", "bend", ["sum"], module=module, max_value=6.0, threshold=0.0),
            layer("GlobalAveragePooling2D", "pool", ["bend"], module=module, keepdims=False),
            layer("Dense", "out", ["pool"], module=module, **last),
        ],
        ["in"],
        ["out"],
    )  # fmt: skip


@pytest.fixture(scope="module")
def expected():
    inputs = keras.Input((8, 8, 1))
    first = layers.Conv2D(3, 3, padding="same", activation="relu")(inputs)
    deep = layers.DepthwiseConv2D(3, padding="same", activation="relu")(first)
    total = layers.Add()([layers.BatchNormalization()(deep), first])
    outputs = layers.Dense(10, "softmax")(
        layers.GlobalAveragePooling2D()(layers.ReLU(max_value=6.0)(total))
    )
    network = keras.Model(inputs, outputs)
    network.set_weights([array for arrays_of_one in WEIGHTS.values() for array in arrays_of_one])
    return np.asarray(network(X))


IN_ARCHIVE = dict(
    zip(
        ("conv2d", "depthwise_conv2d", "batch_normalization", "dense"),
        WEIGHTS.values(),
        strict=True,
    )
)


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(keras2_files.hdf5(branched(), WEIGHTS), id="hdf5"),
        pytest.param(keras2_files.hdf5(branched(), WEIGHTS, "2.2.4-tf"), id="hdf5 of TensorFlow 1"),
        pytest.param(keras2_files.archive(branched("keras.layers"), IN_ARCHIVE), id="keras"),
        pytest.param(keras2_files.archive(branched("tf_keras.layers"), IN_ARCHIVE), id="tf_keras"),
    ],
)
def test_branched_network(content, expected):
    network = network_from_bytes(content, "it")
    assert network.input_shape == (None, 8, 8, 1)
    assert network.output_shape == (None, 10)
    assert [one.name for one in network.layers] == [
        "in", "conv", "deep", "norm", "sum", "bend", "pool", "out",
    ]  # fmt: skip
    np.testing.assert_allclose(network(X), expected, rtol=1e-6)


POLICY = {"class_name": "Policy", "config": {"name": "float32"}}
DENSE = {"units": 2, "activation": "linear", "use_bias": True}


def sequential(*entries, as_list=False):
    """A sequential network; of the first years, a bare list of layers."""
    return {
        "class_name": "Sequential",
        "config": list(entries) if as_list else {"layers": list(entries)},
    }


def dense(name, n_units, **settings):
    return layer("Dense", name, **{**DENSE, "units": n_units, **settings})


@pytest.mark.parametrize("as_list", [False, True])
def test_sequential_network_whose_first_layer_knows_the_input(as_list):
    first = dense("first", 3, batch_input_shape=[None, 4], activation="relu")
    content = keras2_files.hdf5(
        sequential(first, dense("last", 2), as_list=as_list),
        weights := {"first": arrays((4, 3), (3,)), "last": arrays((3, 2), (2,))},
    )
    network, x = network_from_bytes(content, "it"), np.eye(4, dtype=np.float32)
    (kernel, bias), (last, last_bias) = weights.values()
    np.testing.assert_allclose(network(x), (kernel + bias) @ last + last_bias, rtol=1e-6)


def test_networks_in_networks_are_called_by_their_own_numbers():
    """Keras 2 counted a first call of a network where there was none."""
    inner = sequential(dense("inner_dense", 4, batch_input_shape=[None, 4]))
    content = keras2_files.hdf5(
        functional(
            [
                layer("InputLayer", "in", batch_input_shape=[None, 4]),
                {
                    **inner,
                    "name": "inner",
                    "inbound_nodes": [[["in", 0, 0, {}]], [["inner", 1, 0, {}]]],
                },
                layer("Dense", "last", [("inner", 2)], **DENSE),
            ],
            ["in"],
            ["last", ("inner", 2)],
        ),
        weights := {"inner": arrays((4, 4), (4,)), "last": arrays((4, 2), (2,))},
    )
    last, twice = network_from_bytes(content, "it")(np.eye(4, dtype=np.float32))
    (kernel, bias), (last_kernel, last_bias) = weights.values()
    expected = (kernel + bias) @ kernel + bias
    np.testing.assert_allclose(twice, expected, rtol=1e-6)
    np.testing.assert_allclose(last, expected @ last_kernel + last_bias, rtol=1e-6)


@pytest.mark.parametrize(
    ("entry", "x", "expected"),
    [
        (layer("LeakyReLU", "it", alpha=0.25), [-4.0, 4.0], [-1.0, 4.0]),
        (layer("ThresholdedReLU", "it", theta=1.0), [0.5, 2.0], [0.0, 2.0]),
        (layer("Activation", "it", activation="swish"), [0.0, 50.0], [0.0, 50.0]),
        (layer("Rescaling", "it", scale=0.5, offset=1.0), [2.0, 4.0], [2.0, 3.0]),
        (layer("SpatialDropout1D", "it", rate=0.5, seed=None), [[1.0, 2.0]], [[1.0, 2.0]]),
        (layer("RandomFlip", "it", mode="horizontal", seed=None), [[[1.0]]], [[[1.0]]]),
        (
            layer(
                "TimeDistributed", "it", layer=layer("Activation", "inner", activation="relu")
            ),
            [[-1.0, 2.0]],
            [[0.0, 2.0]],
        ),
        (
            layer("Dropout", "it", rate=0.5, dtype=POLICY),
            [1.0, 2.0],
            [1.0, 2.0],
        ),
    ],
)  # fmt: skip
def test_layers_whose_settings_have_other_names(entry, x, expected):
    x = np.array([x], np.float32)
    entry["config"]["batch_input_shape"] = [None, *x.shape[1:]]
    network = network_from_bytes(keras2_files.hdf5(sequential(entry), {}), "it")
    np.testing.assert_allclose(network(x)[0], expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (
            dense("bent", 2, activation="hard_sigmoid"),
            r"'bent' \(Dense\) has activation=hard_sigmoid, which is another one now",
        ),
        (layer("DepthwiseConv2D", "deep", kernel_size=3, groups=2), r"has groups=2, which Keras 3"),
        (
            layer("LocallyConnected1D", "local", filters=2),
            "'local'.* has no counterpart in Keras 3",
        ),
        (
            layer("TFOpLambda", "tf.add", function="math.add"),
            r"'tf.add' is an operation of TensorFlow \(math.add\).*rebuild it from Keras' layers",
        ),
        (
            layer("Lambda", "scale", function=["4wEAAAA=", None, None], function_type="lambda"),
            r"a layer 'scale' that is a Lambda, which is code: .*Rescaling\(1/255\)",
        ),
        (layer("lab>Gate", "gate", width=3), r"needs Gate \(lab>Gate\) of its layer 'gate'"),
        (layer("Gate", "gate", width=3), r"needs Gate of its layer 'gate'.*model_code=MODULE"),
    ],
)
def test_what_keras_3_cannot_compute_is_named(entry, message):
    content = keras2_files.hdf5(sequential(layer("InputLayer", "in"), entry), {})
    with pytest.raises(InvalidInputError, match=message) as refusal:
        network_from_bytes(content, "old.h5")
    assert str(refusal.value).startswith("old.h5 ")
    assert "save it again" not in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_weights_of_another_shape_are_refused():
    weights = {**WEIGHTS, "out": arrays((4, 10), (10,))}
    with pytest.raises(InvalidInputError, match="it is damaged: its weights do not fit its layers"):
        network_from_bytes(keras2_files.hdf5(branched(), weights), "it")


def test_keras_1_is_refused():
    content = keras2_files.hdf5(branched(), WEIGHTS, "1.2.2")
    with pytest.raises(
        InvalidInputError, match=r"by Keras 1\.2\.2, whose configs Keras 3 does not read"
    ):
        network_from_bytes(content, "it")

"""The table of what is known of kinds of layers, and that Keras has what it lists."""

from operator import attrgetter

import keras
import numpy as np
import pytest
from keras import layers

from nn_clustering.networks.structure import (
    LayerKind,
    is_homogeneous,
    is_plain,
    kernels_of,
    layer_kind,
)
from nn_clustering.networks.structure._layer_kinds import (
    ACTIVATION_KINDS,
    INNER_LAYER_KINDS,
    LAYER_KINDS,
    OPERATION_KINDS,
)

DIMENSIONS = (1, 2, 3)
SPATIAL_DROPOUT = [getattr(layers, f"SpatialDropout{n}D") for n in DIMENSIONS]
PADDING = [getattr(layers, f"ZeroPadding{n}D") for n in DIMENSIONS]
GLOBAL_POOLING = [
    getattr(layers, f"Global{how}Pooling{n}D") for how in ("Max", "Average") for n in DIMENSIONS
]
POOLING = [getattr(layers, f"{how}Pooling{n}D") for how in ("Max", "Average") for n in DIMENSIONS]


# That of newer versions of Keras.
RMS_NORMALIZATION = [getattr(layers, name) for name in ("RMSNormalization",) if name in dir(layers)]


def operation(function):
    """The operation that a function of ``keras.ops`` puts into a network."""
    return function(keras.Input((2,)))._keras_history.operation


def homogeneous_layers():
    """Those that keep units apart and are no activations, whatever their dimensions."""
    halved = [layer(2) for layer in POOLING]
    dropping = [layer(0.1) for layer in SPATIAL_DROPOUT]
    return [*halved, *dropping, *(layer() for layer in (*GLOBAL_POOLING, *PADDING))]


def built(layer, *shape):
    layer.build((None, *shape))
    return layer


@pytest.mark.parametrize(
    ("names", "place"), [(LAYER_KINDS, keras.layers), (ACTIVATION_KINDS, keras.activations)]
)
def test_keras_has_what_is_listed(names, place):
    """So that a name that is mistyped does not make a rule that nothing uses."""
    newer = {"RMSNormalization", "GroupQueryAttention", "ReversibleEmbedding"}
    adaptive = {name for name in names if name.startswith("Adaptive")}
    missing = {name for name in names if not hasattr(place, name)}
    assert missing <= newer | adaptive


def test_layer_is_read_or_refused_with_a_reason():
    for kinds in (LAYER_KINDS, INNER_LAYER_KINDS, OPERATION_KINDS, ACTIVATION_KINDS):
        for name, kind in kinds.items():
            ways = (kind.rule, kind.refusal, kind.wraps)
            assert sum(way is not None for way in ways) == 1, name


class Derived(layers.Dense):
    pass


class OwnLayer(layers.Layer):
    pass


def test_derived_class_is_of_the_kind_of_its_base():
    assert layer_kind(Derived(2)) is layer_kind(layers.Dense(2)) is LAYER_KINDS["Dense"]
    assert layer_kind(layers.ConvLSTM1D(2, 1)) is layer_kind(layers.RNN(layers.GRUCell(2)))
    assert layer_kind(OwnLayer()) == LayerKind() != layer_kind(layers.Dense(2))


@pytest.mark.parametrize(
    ("operation", "is_nonlinearity", "joins_units"),
    [
        (keras.activations.relu, True, False),
        (keras.activations.softmax, True, True),
        (keras.activations.linear, False, False),
        (lambda x: x**2, True, False),
        (layers.Activation("tanh"), True, False),
        (layers.Activation("linear"), False, False),
        (layers.Activation("log_softmax"), True, True),
        (layers.Softmax(), True, True),
        (layers.PReLU(), True, False),
        (operation(keras.ops.softmax), True, True),
        (operation(keras.ops.relu), True, False),
        (operation(keras.ops.tanh), True, False),
        (operation(keras.ops.abs), False, False),
        (layers.LayerNormalization(), False, True),
        (layers.UnitNormalization(), False, True),
        *((layer(), False, True) for layer in RMS_NORMALIZATION),
        (layers.BatchNormalization(), False, False),
        (layers.MaxPooling2D(), False, False),
        (layers.Dense(2), False, False),
    ],
)
def test_nonlinearities(operation, is_nonlinearity, joins_units):
    kind = layer_kind(operation)
    assert (kind.is_nonlinearity, kind.joins_units) == (is_nonlinearity, joins_units)


@pytest.mark.parametrize(
    ("layer", "expected"),
    [
        (layers.Dense(2, "relu"), True),
        (layers.Dense(2), True),
        (layers.Dense(2, "tanh"), False),
        (layers.Conv2D(2, 1, activation="leaky_relu"), True),
        (layers.ReLU(), True),
        (layers.ReLU(max_value=6), False),
        (layers.ReLU(threshold=1), False),
        (layers.LeakyReLU(), True),
        (layers.Activation("relu"), True),
        (layers.Activation("linear"), True),
        (layers.Activation("sigmoid"), False),
        (layers.Flatten(), True),
        (layers.Dropout(0.1), True),
        *((layer, True) for layer in homogeneous_layers()),
        (layers.GaussianNoise(0.1), False),
        (layers.SimpleRNN(2, "relu"), False),
        (layers.BatchNormalization(), False),
        (layers.ELU(), False),
        (layers.PReLU(), False),
        (layers.Softmax(), False),
        (layers.UnitNormalization(), False),
    ],
)
def test_homogeneous_layers(layer, expected):
    assert is_homogeneous(layer) is expected


@pytest.mark.parametrize(
    "layer",
    [
        layers.ReLU(),
        layers.LeakyReLU(),
        layers.Activation("linear"),
        layers.Flatten(),
        *homogeneous_layers(),
    ],
    ids=lambda layer: layer.name,
)
def test_homogeneous_layers_scale_with_their_units(layer):
    n_dimensions = int(digit) if (digit := type(layer).__name__[-2]).isdigit() else 2
    values = np.random.default_rng(0).normal(size=(2, *[4] * n_dimensions, 3)).astype("float32")
    factors = np.array([0.5, 2.0, 3.0], "float32")
    both = [keras.ops.convert_to_numpy(layer(given)) for given in (values, values * factors)]
    by_unit = [made.reshape(-1, 3) for made in both]
    assert np.abs(by_unit[0]).max() > 0
    np.testing.assert_allclose(by_unit[1], by_unit[0] * factors, rtol=1e-5)


@pytest.mark.parametrize(
    ("layer", "expected"),
    [
        (layers.Dense(2), True),
        (layers.Conv1D(2, 1), True),
        (layers.Conv2D(2, 1, padding="same"), True),
        (layers.Conv1D(2, 1, padding="causal"), False),
        (layers.Conv2D(2, 1, groups=2), False),
        (layers.Conv2DTranspose(2, 1), False),
        (layers.DepthwiseConv2D(1), False),
        (layers.Flatten(), False),
        (Derived(2), False),
    ],
)
def test_plain_layers(layer, expected):
    assert is_plain(layer) is expected


@pytest.mark.parametrize(
    ("layer", "shape", "names", "convolves"),
    [
        (layers.Dense(2), (3,), ["kernel"], False),
        (layers.EinsumDense("ab,bc->ac", 2), (3,), ["kernel"], False),
        (layers.Conv1D(2, 1), (4, 3), ["kernel"], True),
        (layers.Conv2D(2, 1), (4, 4, 3), ["kernel"], True),
        (layers.Conv3D(2, 1), (4, 4, 4, 3), ["kernel"], True),
        (layers.Conv2DTranspose(2, 1), (4, 4, 3), ["kernel"], True),
        (layers.Conv3DTranspose(2, 1), (4, 4, 4, 3), ["kernel"], True),
        (layers.DepthwiseConv1D(1), (4, 3), ["kernel"], True),
        (layers.SeparableConv2D(2, 1), (4, 4, 3), ["depthwise_kernel", "pointwise_kernel"], True),
        (layers.BatchNormalization(), (3,), [], False),
        (layers.LSTM(2), (4, 3), ["cell.kernel", "cell.recurrent_kernel"], False),
        (layers.Embedding(2, 3), (4,), ["embeddings"], False),
    ],
)
def test_kernels(layer, shape, names, convolves):
    kernels = kernels_of(built(layer, *shape))
    assert kernels == [attrgetter(name)(layer) for name in names]
    assert {id(kernel) for kernel in kernels} <= {id(weight) for weight in layer.weights}
    assert layer_kind(layer).convolves is convolves

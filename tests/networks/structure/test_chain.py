"""Networks that are plain chains of layers, and what is refused because it is none."""

import keras
import numpy as np
import pytest
from keras import layers

from nn_clustering.errors import InvalidInputError
from nn_clustering.networks.structure import chain_of_layers, find_weight_layers
from tests.networks.sample_networks import (
    SUBCLASSED_OR_UNBUILT,
    branching,
    conv,
    residual,
    sequential,
    set_batch_norm,
    set_kernel,
    shared,
    shared_later,
    two_outputs,
)


def test_weight_layers():
    network = sequential(
        (4, 4, 1),
        conv(2, "first"),
        layers.ReLU(),
        layers.MaxPooling2D(),
        layers.Flatten(),
        layers.Dropout(0.1),
        layers.Dense(3, name="dense"),
        layers.Activation("relu"),
    )
    found = [
        (layer.name, layer.position, layer.last_unitwise, layer.is_convolution, layer.n_units)
        for layer in find_weight_layers(network)
    ]
    assert found == [("first", 0, 2, True, 2), ("dense", 5, 6, False, 3)]


@pytest.mark.parametrize(
    "layer",
    [
        layers.Activation("linear"),
        layers.Activation("tanh"),
        layers.ReLU(),
        layers.LeakyReLU(),
        layers.ELU(),
        layers.Softmax(),
        layers.BatchNormalization(),
        layers.Dropout(0.1),
        layers.SpatialDropout2D(0.1),
        layers.GaussianNoise(0.1),
        layers.ZeroPadding2D(),
        layers.MaxPooling2D(),
        layers.AveragePooling2D(2),
        layers.GlobalMaxPooling2D(),
        layers.GlobalAveragePooling2D(),
    ],
    ids=lambda layer: layer.name,
)
def test_what_keeps_units_apart_is_read_with_them(layer):
    (found,) = find_weight_layers(sequential((4, 4, 1), conv(2, "first"), layer))
    assert (found.position, found.last_unitwise) == (0, 1)


def test_flatten_mixes_the_units_of_maps_only():
    dense = sequential((3,), layers.Dense(2), layers.Flatten(), layers.ReLU())
    maps = sequential((4, 4, 1), conv(2, "first"), layers.Flatten(), layers.ReLU())
    found = [find_weight_layers(network)[0].last_unitwise for network in (dense, maps)]
    assert found == [2, 0]


def test_factors_of_batch_norms_multiply():
    """2 / sqrt(0.25) times 3 / sqrt(4)."""
    norms = [layers.BatchNormalization(epsilon=0.0, name=name) for name in ("one", "other")]
    network = sequential((1,), layers.Dense(1), *norms)
    set_batch_norm(norms[0], [2.0], [0.25])
    set_batch_norm(norms[1], [3.0], [4.0])
    assert find_weight_layers(network)[0].scale == pytest.approx([6.0])


def two_inputs():
    """Of which one is read."""
    inputs = [keras.Input((2,)), keras.Input((2,))]
    return keras.Model(inputs, layers.Dense(1)(inputs[0]), name="net")


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (two_inputs, "network 'net' has 2 inputs and 1 outputs; expected one of each"),
        (residual, "layer 'sum' of network 'net' does not read the layer before it alone"),
        (branching, "layer 'right' of network 'net' does not read the layer before it alone"),
        (shared, "'net' does not put out what its last layer 'again' does"),
        (shared_later, "'net' does not put out what its last layer 'between' does"),
        (two_outputs, "network 'net' has 1 inputs and 2 outputs; expected one of each"),
        *SUBCLASSED_OR_UNBUILT,
    ],
)
def test_what_is_no_chain_is_refused(build, message):
    with pytest.raises(InvalidInputError, match=message):
        chain_of_layers(build())


def test_nested_network_refused():
    inner = keras.Sequential([keras.Input((3,)), layers.Dense(3)], name="inner")
    with pytest.raises(InvalidInputError, match="layer 'inner' of network 'net' is a network"):
        chain_of_layers(sequential((3,), inner, layers.Dense(2)))


@pytest.mark.parametrize(
    ("input_shape", "layer", "kind"),
    [
        ((4, 4, 2), layers.DepthwiseConv2D(3, name="odd"), "DepthwiseConv2D"),
        ((4, 4, 2), layers.SeparableConv2D(3, 3, name="odd"), "SeparableConv2D"),
        ((4, 4, 2), layers.Conv2DTranspose(3, 3, name="odd"), "Conv2DTranspose"),
        ((4, 4, 2), layers.PReLU(name="odd"), "PReLU"),
        ((4, 4, 2), layers.UpSampling2D(name="odd"), "UpSampling2D"),
        ((4, 2), layers.Conv1D(3, 3, name="odd"), "Conv1D"),
        ((4, 2), layers.MaxPooling1D(name="odd"), "MaxPooling1D"),
        ((4, 2), layers.LSTM(3, name="odd"), "LSTM"),
        ((4,), layers.LayerNormalization(name="odd"), "LayerNormalization"),
        ((4,), layers.Reshape((2, 2), name="odd"), "Reshape"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_unsupported_layers_refused_by_name(input_shape, layer, kind):
    with pytest.raises(InvalidInputError, match=f"layer 'odd' of network 'net' is a {kind},"):
        find_weight_layers(sequential(input_shape, layer))


class Derived(layers.Dense):
    pass


def test_layer_of_a_derived_class_refused():
    with pytest.raises(InvalidInputError, match="layer 'odd' of network 'net' is a Derived,"):
        find_weight_layers(sequential((4,), Derived(3, name="odd")))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_no_numbers_refused(value):
    network = sequential((1,), layers.Dense(1, name="bad"))
    set_kernel(network.get_layer("bad"), [[value]])
    with pytest.raises(InvalidInputError, match="layer 'bad' of network 'net' holds NaN or inf"):
        find_weight_layers(network)


def test_rescaling_between_units_refused():
    network = sequential((4,), layers.Dense(3), layers.Rescaling(2.0, name="odd"), layers.Dense(2))
    with pytest.raises(InvalidInputError, match="layer 'odd' of network 'net' is a Rescaling"):
        find_weight_layers(network)


def test_grouped_convolution_refused():
    network = sequential((4, 4, 2), conv(2, "first"), conv(2, "grouped", groups=2))
    with pytest.raises(InvalidInputError, match=r"layer 'grouped' .* is a grouped convolution"):
        find_weight_layers(network)


def test_batch_norm_of_another_axis_refused():
    network = sequential(
        (6, 5, 1), conv(2, "first"), conv(3, "second"), layers.BatchNormalization(1, name="norm")
    )
    with pytest.raises(InvalidInputError, match=r"'norm' normalises 6 values; .* layer 'second'"):
        find_weight_layers(network)

"""Flattening and other shapes."""

import keras
import numpy as np
import pytest
from keras import layers

from nn_clustering.errors import InvalidInputError
from nn_clustering.graphs import graph_from_weights, kernel_units
from nn_clustering.networks.structure import KERNEL_NORMS, read_weights
from tests.networks.sample_networks import (
    block,
    dense,
    named,
    pointwise,
    sequential,
    set_batch_norm,
    weigh,
)


def test_maps_flattened_twice_refused():
    network = sequential(
        (2, 2, 1),
        pointwise(3, "conv"),
        layers.Flatten(),
        layers.RepeatVector(2),
        layers.Flatten(name="again"),
        layers.Dense(2),
    )
    with pytest.raises(InvalidInputError, match=r"layer 'again' .* flattened already"):
        graph_from_weights(network)


def test_pixels_of_a_flattened_input_are_units_each_and_in_order():
    network = sequential((2, 1, 2), layers.Flatten(), dense([[1], [2], [3], [4]], "dense"))
    graph = graph_from_weights(network)
    assert named(graph) == [("input", 4), ("dense", 1)]
    assert graph.edges[0].weights.tolist() == [[1], [2], [3], [4]]


def test_input_that_becomes_an_image():
    network = sequential((4,), layers.Reshape((2, 2, 1)), pointwise(2, "a"), pointwise(1, "b"))
    assert named(graph_from_weights(network)) == [("a", 2), ("b", 1)]
    assert named(graph_from_weights(network, inputs=True))[0] == ("input", 1)


@pytest.mark.parametrize(
    "with_a_colour",
    [layers.Reshape((4, 5, 1)), lambda x: keras.ops.expand_dims(x, -1)],
    ids=["Reshape", "expand_dims"],
)
def test_grey_images_without_an_axis_of_colours(with_a_colour):
    inputs = keras.Input((4, 5))
    made = pointwise(1, "b")(pointwise(2, "a")(with_a_colour(inputs)))
    assert named(graph_from_weights(keras.Model(inputs, made))) == [("a", 2), ("b", 1)]


@pytest.mark.parametrize(
    "some", [lambda x: x[:, :10], lambda x: x[:, ::-1], lambda x: keras.ops.split(x, 2, axis=1)[0]]
)
def test_some_values_of_flattened_maps_refused(some):
    inputs = keras.Input((2, 2, 1))
    read = some(layers.Flatten()(pointwise(3, "conv")(inputs)))
    network = keras.Model(inputs, layers.Dense(2)(read))
    with pytest.raises(InvalidInputError, match="takes some values of flattened maps"):
        read_weights(network)


def readers_of_an_input_and_of_what_scales_it(scaling):
    inputs = keras.Input((4,))
    reads = {"raw": inputs, "scaled": scaling(inputs)}
    made = [
        dense(np.ones((4, 2)), name)(layers.Flatten()(layers.Reshape((2, 2))(read)))
        for name, read in reads.items()
    ]
    return keras.Model(inputs, made, name="net")


def test_factor_of_an_input_in_another_shape_is_its_readers():
    network = readers_of_an_input_and_of_what_scales_it(layers.Rescaling(1 / 4))
    graph = graph_from_weights(network)
    assert block(graph, "input", "raw").tolist() == [[1, 1]] * 4
    assert block(graph, "input", "scaled").tolist() == [[1 / 4, 1 / 4]] * 4


def test_factors_of_an_inputs_channels_refused_where_these_are_lost():
    scaling = layers.Normalization(mean=np.zeros(4), variance=np.array([1.0, 4, 9, 16]))
    with pytest.raises(InvalidInputError, match=r"layer '\w+' .* a factor for each channel"):
        read_weights(readers_of_an_input_and_of_what_scales_it(scaling))


def decoder(*between):
    """A dense layer's 12 values as 2 x 2 maps of 3 channels."""
    network = sequential(
        (2,),
        layers.Dense(12, name="spread"),
        *between,
        layers.Reshape((2, 2, 3), name="maps"),
        pointwise(1, "last"),
    )
    kernel = np.random.default_rng(0).normal(size=(2, 12))
    weigh(network, "spread", kernel)
    weigh(network, "last", [[1], [-2], [3]])
    return network, kernel.astype(np.float32).astype(float).reshape(2, 2, 2, 3)


@pytest.mark.parametrize("norm", ["l1", "frobenius", "spectral", "max_column_sum"])
def test_channels_of_a_decoders_maps_are_units(norm):
    """Of the weights into all positions of a channel the norm, as behind a flatten."""
    network, kernel = decoder()
    graph = graph_from_weights(network, inputs=True, kernel_norm=norm)
    assert named(graph) == [("input", 2), ("maps", 3), ("last", 1)]
    expected = KERNEL_NORMS[norm](np.abs(kernel).transpose(1, 2, 0, 3))
    assert block(graph, "input", "maps") == pytest.approx(expected, rel=1e-6)
    assert block(graph, "maps", "last").tolist() == [[1], [2], [3]]


def test_what_multiplies_a_decoders_values_multiplies_each_position():
    norm = layers.BatchNormalization(epsilon=0)
    network, kernel = decoder(norm, layers.ReLU())
    gamma = np.arange(1.0, 13) * np.resize([1, -1], 12)
    set_batch_norm(norm, gamma, np.ones(12))
    graph = graph_from_weights(network, inputs=True)
    expected = np.abs(kernel * gamma.reshape(2, 2, 3)).sum(axis=(1, 2))
    assert block(graph, "input", "maps") == pytest.approx(expected, rel=1e-6)


def test_decoders_maps_in_a_sum_and_flattened_again():
    """Each position of the sum's channels has the weights of its own values."""
    inputs = keras.Input((2,))
    random = np.random.default_rng(0)
    left, right, last = (random.normal(size=shape) for shape in [(2, 12), (2, 12), (12, 1)])
    maps = [
        layers.Reshape((2, 2, 3))(dense(kernel, name)(inputs))
        for kernel, name in [(left, "left"), (right, "right")]
    ]
    total = layers.Add(name="sum")(maps)
    network = keras.Model(inputs, dense(last, "last")(layers.Flatten()(total)))
    graph = graph_from_weights(network)
    assert named(graph) == [("input", 2), ("sum", 3), ("last", 1)]
    expected = np.abs(np.stack([left, right])).reshape(2, 2, 4, 3).sum(axis=(0, 2))
    assert block(graph, "input", "sum") == pytest.approx(expected, rel=1e-6)
    of_channels = np.abs(last).reshape(4, 3).sum(axis=0)[:, None]
    assert block(graph, "sum", "last") == pytest.approx(of_channels, rel=1e-6)


def test_maps_that_are_flattened_meet_others_position_by_position():
    """A sum behind the flatten has a unit for every value: one weight into each."""
    inputs = keras.Input((1,))
    left = layers.Flatten()(layers.Reshape((2, 2, 1))(dense([[1, 2, 3, 4]], "left")(inputs)))
    total = layers.Add(name="sum")([left, dense([[10, 20, 30, 40]], "right")(inputs)])
    graph = graph_from_weights(keras.Model(inputs, dense(np.ones((4, 1)), "last")(total)))
    assert block(graph, "input", "sum").tolist() == [[11, 22, 33, 44]]


def decoder_in_a_sum(shape, *between):
    """Values 1, 2, 3 ... in maps, flattened and added to ten times as much."""
    inputs = keras.Input((1,))
    values = np.arange(1, np.prod(shape) + 1)
    maps = layers.Reshape(shape)(dense([values], "left")(inputs))
    for layer in between:
        maps = layer(maps)
    left = layers.Flatten()(maps)
    right = dense([10 * np.arange(1, left.shape[1] + 1)], "right")(inputs)
    total = layers.Add(name="sum")([left, right])
    return keras.Model(inputs, dense(np.ones((left.shape[1], 1)), "last")(total), name="net")


def test_positions_stay_behind_what_changes_each_alone():
    network = decoder_in_a_sum((2, 2, 1), layers.Rescaling(2), layers.ReLU(), layers.PReLU())
    graph = graph_from_weights(network)
    assert block(graph, "input", "sum").tolist() == [[12, 24, 36, 48]]


@pytest.mark.parametrize(
    ("shape", "between"),
    [
        ((2, 2, 1), [layers.Permute((2, 1, 3))]),
        ((2, 2, 1), [layers.Permute((2, 1, 3)), layers.ReLU()]),
        ((2, 2, 1), [layers.ZeroPadding2D(((1, 0), (0, 0))), layers.Cropping2D(((0, 1), (0, 0)))]),
        ((2, 3, 1), [layers.Reshape((3, 2, 1))]),
        ((2, 2, 1), [layers.MaxPooling2D(2, 1, "same")]),
        ((2, 2, 1), [layers.DepthwiseConv2D(3, padding="same")]),
        ((2, 2, 1), [layers.RandomFlip(), layers.Resizing(2, 2)]),
        ((4, 1), [layers.MaxPooling1D(2)]),
        ((2, 2, 1), [lambda x: keras.ops.pad(x, ((0, 0), (1, 0), (0, 0), (0, 0)))]),
        ((2, 2, 1), [lambda x: layers.Add()([x, layers.Permute((2, 1, 3))(x)])]),
    ],
)
def test_maps_whose_positions_moved_meet_no_others_value_by_value(shape, between):
    with pytest.raises(InvalidInputError, match=r"layer 'sum' of network 'net' .* may have moved"):
        read_weights(decoder_in_a_sum(shape, *between))


def test_maps_of_a_merge_of_flattened_maps_refused():
    inputs = keras.Input((2, 2, 1))
    flat = layers.Flatten()(pointwise(1, "conv")(inputs))
    total = layers.Add()([flat, dense(np.ones((4, 4)), "dense")(flat)])
    again = layers.Reshape((2, 2, 1), name="again")(total)
    with pytest.raises(InvalidInputError, match=r"layer 'again' .* merge of flattened maps"):
        graph_from_weights(keras.Model(inputs, pointwise(1, "last")(again)))


def pooled_convolution():
    inputs = keras.Input((6, 6, 2))
    return inputs, layers.GlobalAveragePooling2D()(pointwise(4, "stem")(inputs))


def pooled_dense_layer():
    """As a convolution of size 1."""
    inputs = keras.Input((6, 2))
    return inputs, layers.GlobalAveragePooling1D()(layers.Dense(4, name="stem")(inputs))


def pooled_decoder():
    inputs = keras.Input((2,))
    maps = layers.Reshape((2, 2, 4))(layers.Dense(16, name="spread")(inputs))
    return inputs, layers.GlobalAveragePooling2D()(maps)


def decoder_pooled_to_one_position():
    inputs = keras.Input((2,))
    maps = layers.Reshape((2, 2, 4))(layers.Dense(16, name="spread")(inputs))
    return inputs, layers.Reshape((4,))(layers.MaxPooling2D(2)(maps))


def sum_of_pooled_maps():
    inputs, pooled = pooled_convolution()
    return inputs, layers.Add()([pooled, layers.Dense(4, name="beside")(pooled)])


AS_POSITIONS = {
    "Reshape": layers.Reshape((4, 1), name="again"),
    "Reshape to halves": layers.Reshape((2, 2), name="again"),
    "ExpandDims": lambda x: keras.ops.expand_dims(x, -1),
}


@pytest.mark.parametrize("as_positions", AS_POSITIONS)
@pytest.mark.parametrize(
    "pooled",
    [
        pooled_convolution,
        pooled_dense_layer,
        pooled_decoder,
        decoder_pooled_to_one_position,
        sum_of_pooled_maps,
    ],
)
def test_channels_of_maps_are_no_positions(pooled, as_positions):
    """As where a convolution runs along the channels to make a gate for each."""
    inputs, channels = pooled()
    positions = AS_POSITIONS[as_positions](channels)
    network = keras.Model(inputs, layers.Conv1D(1, 1, name="along")(positions))
    with pytest.raises(InvalidInputError, match=r"layer '\w+' .* of the channels of maps"):
        read_weights(network)


def test_autoencoders_maps_are_of_its_dense_layer():
    """A dense layer between makes values of what a convolution made."""
    network = sequential(
        (2, 2, 1),
        pointwise(3, "conv"),
        layers.GlobalAveragePooling2D(),
        layers.Dense(4, name="spread"),
        layers.Reshape((2, 2, 1), name="maps"),
        pointwise(1, "last"),
    )
    assert named(graph_from_weights(network, dense_layers=True))[-2:] == [("maps", 1), ("last", 1)]


def test_kernels_of_a_decoder_join_its_channels():
    network, _ = decoder()
    spread, last = kernel_units(read_weights(network), inputs=True)
    assert spread.columns.tolist() == [[2, 3, 4] * 4]
    assert last.rows.tolist() == [[2, 3, 4]]


def test_positions_in_another_order():
    network = sequential((2, 3, 1), pointwise(2, "a"), layers.Permute((2, 1, 3)), pointwise(1, "b"))
    weigh(network, "b", [[5], [-6]])
    assert graph_from_weights(network).edges[0].weights.tolist() == [[5], [6]]


@pytest.mark.parametrize("key", [0, slice(1, 3), (slice(None), None), (slice(None), Ellipsis)])
def test_positions_that_are_chosen_keep_their_channels(key):
    inputs = keras.Input((4, 2))
    made = dense([[1, 2, 3], [4, 5, 6]], "first")(inputs)
    entries = key if isinstance(key, tuple) else (slice(None), key)
    made = dense([[1], [2], [3]], "second")(made[entries])
    graph = graph_from_weights(keras.Model(inputs, made))
    assert named(graph) == [("input", 2), ("first", 3), ("second", 1)]
    assert graph.edges[1].weights.tolist() == [[1], [2], [3]]


@pytest.mark.parametrize("key", [(0,), (slice(0, 1),), (slice(None), slice(None), 1, None)])
def test_samples_or_single_channels_that_are_chosen_are_refused(key):
    inputs = keras.Input((4, 2))
    made = dense(np.ones((2, 3)), "first")(inputs)[key]
    network = keras.Model(inputs, dense(np.ones((made.shape[-1], 1)), "second")(made))
    with pytest.raises(InvalidInputError, match="expected positions, or a slice of channels"):
        graph_from_weights(network)

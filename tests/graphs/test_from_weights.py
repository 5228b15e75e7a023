"""Graphs of small Keras networks, by hand and beside what the networks compute."""

import keras
import numpy as np
import pytest
from keras import layers

from nn_clustering.errors import InvalidInputError
from nn_clustering.graphs import _edge_blocks, graph_from_weights
from tests.networks.sample_networks import (
    block,
    branching,
    conv,
    dense,
    named,
    pointwise,
    residual,
    sequential,
    set_batch_norm,
    set_kernel,
    two_outputs,
    weigh,
)


@pytest.mark.parametrize(
    ("options", "expected"),
    [({}, 11), ({"kernel_norm": "l1"}, 11), ({"kernel_norm": "max_column_sum"}, 6)],
)
def test_kernel_norm(options, expected):
    """Of [[1, -2, 0], [3, 4, -1]]: the sum of all, 11, or the column 2 + 4."""
    network = sequential((4, 4, 1), conv(1, "first"), conv(1, "second"))
    kernel = np.reshape([[1, -2, 0], [3, 4, -1]], (2, 3, 1, 1))
    set_kernel(network.get_layer("second"), kernel)
    assert graph_from_weights(network, **options).edges[0].weights.tolist() == [[expected]]


def test_unknown_kernel_norm_refused():
    with pytest.raises(InvalidInputError, match="kernel_norm='l2'; expected one of l1, frob"):
        graph_from_weights(sequential((4,), layers.Dense(2)), kernel_norm="l2")


def test_dense_network_has_input_and_output_units():
    network = sequential(
        (1, 2, 1),
        layers.Rescaling(1 / 255),
        layers.Flatten(),
        layers.Dense(3, "relu", name="hidden"),
        layers.Dropout(0.5),
        layers.Dense(2, "softmax", name="output"),
    )
    first, second = [[1, -2, 0], [0.5, 0, -4]], [[1, 0], [-8, 2], [0, -0.25]]
    set_kernel(network.get_layer("hidden"), first)
    set_kernel(network.get_layer("output"), second)
    network.get_layer("hidden").bias.assign([9.0, 9.0, 9.0])  # biases do not count
    graph = graph_from_weights(network)
    assert named(graph) == [("input", 2), ("hidden", 3), ("output", 2)]
    assert [(edges.source, edges.target) for edges in graph.edges] == [(0, 1), (1, 2)]
    assert graph.edges[0].weights.tolist() == np.abs(first).tolist()
    assert graph.edges[1].weights.tolist() == np.abs(second).tolist()
    assert graph.edges[0].weights.dtype == np.float64


def test_sizes_of_the_studies_mlp():
    """Methods C1: 1818 units before the isolated ones are removed."""
    hidden = [layers.Dense(256, "relu", name=f"dense_{index}") for index in range(4)]
    network = sequential((28, 28, 1), layers.Flatten(), *hidden, layers.Dense(10, name="output"))
    assert graph_from_weights(network).n_units == 1818


def test_functional_network():
    inputs = keras.Input((4,))
    outputs = layers.Dense(2, name="b")(layers.ReLU()(layers.Dense(3, name="a")(inputs)))
    assert named(graph_from_weights(keras.Model(inputs, outputs))) == [
        ("input", 4),
        ("a", 3),
        ("b", 2),
    ]


def test_convolutional_network_has_edges_between_convolutions_only():
    network = sequential(
        (8, 8, 3),
        conv(4, "first"),
        layers.ReLU(),
        layers.MaxPooling2D(),
        conv(5, "second"),
        layers.ZeroPadding2D(),
        conv(2, "third", strides=2),
        layers.Flatten(),
        layers.Dense(7, name="dense"),
        layers.Dense(3, name="output"),
    )
    graph = graph_from_weights(network, kernel_norm="frobenius")
    assert named(graph) == [("first", 4), ("second", 5), ("third", 2)]
    assert [(edges.source, edges.target) for edges in graph.edges] == [(0, 1), (1, 2)]
    for edges, name in zip(graph.edges, ("second", "third"), strict=True):
        kernel = keras.ops.convert_to_numpy(network.get_layer(name).kernel)
        expected = np.sqrt((kernel.astype(float) ** 2).sum(axis=(0, 1)))
        assert edges.weights == pytest.approx(expected, rel=1e-6)


def test_batch_norm_after_flattened_filters_does_not_count():
    network = sequential(
        (2, 2, 1),
        conv(2, "first"),
        conv(2, "second"),
        layers.Flatten(),
        layers.BatchNormalization(name="norm"),
        layers.Dense(2),
    )
    set_batch_norm(network.get_layer("norm"), np.full(8, 50.0), np.full(8, 1.0))
    graph = graph_from_weights(network)
    unfolded = graph_from_weights(network, fold_normalisation=False)
    assert np.array_equal(graph.edges[0].weights, unfolded.edges[0].weights)


def test_set_that_only_a_gate_left_out_reads_is_left_out():
    """With it, the weights of "stem" would count twice: into the stem and into the product."""
    inputs = keras.Input((4, 4, 1))
    before = pointwise(3, "before")(inputs)
    stem = pointwise(2, "stem")(before)
    gate = layers.Dense(2, "sigmoid", name="gate")(layers.GlobalAveragePooling2D()(stem))
    product = layers.Multiply(name="gated")([stem, layers.Reshape((1, 1, 2))(gate)])
    network = keras.Model(inputs, pointwise(1, "last")(product), name="net")
    weigh(network, "stem", [[1, 2], [3, 4], [5, 6]])
    graph = graph_from_weights(network)
    assert named(graph) == [("before", 3), ("gated", 2), ("last", 1)]
    assert block(graph, "before", "gated").tolist() == [[1, 2], [3, 4], [5, 6]]
    # the gate's weights read the stem's units, which are then units of the graph
    whole = graph_from_weights(network, dense_layers=True)
    assert named(whole) == [("before", 3), ("stem", 2), ("gated", 2), ("last", 1)]


@pytest.mark.parametrize(
    ("norm", "expected"),
    [("l1", 11), ("max_column_sum", 6), ("frobenius", 31**0.5)],
)
@pytest.mark.parametrize("n_values", [4_000_000, 1])
def test_dense_layer_behind_a_flatten_joins_channels(norm, expected, n_values, monkeypatch):
    """Of unit 0 the weights over positions are, for channel 1, [[1, -2, 0], [3, 4, -1]]."""
    monkeypatch.setattr(_edge_blocks, "VALUES_AT_A_TIME", n_values)
    network = sequential(
        (2, 3, 1), pointwise(2, "conv"), layers.Flatten(), layers.Dense(2, name="dense")
    )
    kernel = np.zeros((2, 3, 2, 2))
    kernel[:, :, 1, 0] = [[1, -2, 0], [3, 4, -1]]
    set_kernel(network.get_layer("dense"), kernel.reshape(12, 2))
    assert named(graph_from_weights(network, dense_layers=True)) == [("conv", 2), ("dense", 2)]
    found = graph_from_weights(network, dense_layers=True, kernel_norm=norm).edges[0].weights
    assert found == pytest.approx(np.array([[0, 0], [expected, 0]]))


def test_normalisation_behind_a_flatten_multiplies_position_by_position():
    """1 * |2| + 10 * |3|, and nothing of it in the weights into the channels."""
    network = sequential(
        (1, 2, 1),
        pointwise(1, "conv"),
        layers.Flatten(),
        layers.BatchNormalization(epsilon=0, name="norm"),
        layers.Dense(1, name="dense"),
    )
    weigh(network, "conv", [[5]])
    set_kernel(network.get_layer("dense"), [[2], [3]])
    set_batch_norm(network.get_layer("norm"), [1.0, -10.0], [1.0, 1.0])
    graph = graph_from_weights(network, dense_layers=True, inputs=True)
    assert [edges.weights.item() for edges in graph.edges] == [5, 32]


def test_norm_over_positions_is_that_of_the_signed_folded_weights():
    """[[1, 1], [1, -1]] has the singular values sqrt(2), unlike its absolute values."""
    network = sequential(
        (2, 2, 1),
        pointwise(1, "conv"),
        layers.Flatten(),
        layers.BatchNormalization(epsilon=0, name="norm"),
        layers.Dense(1, name="dense"),
    )
    set_kernel(network.get_layer("dense"), np.ones((4, 1)))
    set_batch_norm(network.get_layer("norm"), [1.0, 1.0, 1.0, -1.0], np.ones(4))
    graph = graph_from_weights(network, dense_layers=True, kernel_norm="spectral")
    assert graph.edges[0].weights.item() == pytest.approx(2**0.5)


def test_normalisation_of_flattened_maps_in_a_sum():
    """A negative gamma behind a flatten adds to the weights into the sum, and takes nothing off."""
    inputs = keras.Input((1, 2, 1))
    flat = layers.Flatten()(pointwise(1, "conv")(inputs))
    normal = layers.BatchNormalization(epsilon=0, name="norm")(flat)
    network = keras.Model(inputs, layers.Dense(1, name="dense")(layers.Add(name="sum")([normal])))
    weigh(network, "conv", [[5]])
    set_batch_norm(network.get_layer("norm"), [2.0, -3.0], np.ones(2))
    graph = graph_from_weights(network, dense_layers=True, inputs=True)
    assert block(graph, "input", "sum").tolist() == [[10, 15]]


def test_normalisation_that_one_of_two_readers_sees_is_that_readers():
    """The left layer reads the units times 2 and 3, the right one as they are."""
    inputs = keras.Input((1,))
    first = dense([[1, 1]], "first")(inputs)
    norm = layers.BatchNormalization(epsilon=0, name="norm")
    left, right = dense([[5], [7]], "left")(norm(first)), dense([[11], [13]], "right")(first)
    network = keras.Model(inputs, [left, right])
    set_batch_norm(norm, [2.0, -3.0], [1.0, 1.0])
    graph = graph_from_weights(network)
    assert block(graph, "input", "first").tolist() == [[1, 1]]
    assert block(graph, "first", "left").tolist() == [[10], [21]]
    assert block(graph, "first", "right").tolist() == [[11], [13]]


def test_normalisation_on_the_way_into_a_sum():
    """The branch counts times 4 and the shortcut as it is: 4 * 3, and 5."""
    inputs = keras.Input((1,))
    norm = layers.BatchNormalization(epsilon=0, name="norm")
    first = dense([[5]], "first")(inputs)
    total = layers.Add(name="sum")([first, norm(dense([[3]], "second")(first))])
    network = keras.Model(inputs, total)
    set_batch_norm(norm, [4.0], [1.0])
    graph = graph_from_weights(network)
    assert block(graph, "input", "sum").tolist() == [[5]]
    assert block(graph, "first", "sum").tolist() == [[12]]
    assert block(graph_from_weights(network, fold_normalisation=False), "first", "sum") == [[3]]


def test_nested_networks_are_opened_and_name_their_layers():
    inner = keras.Sequential([keras.Input((3,)), layers.Dense(2, name="a")], name="inner")
    outer = keras.Sequential([keras.Input((3,)), inner, layers.ReLU()], name="outer")
    network = sequential((3,), outer, layers.Dense(1, name="a"))
    assert named(graph_from_weights(network)) == [("input", 3), ("outer/inner/a", 2), ("a", 1)]


def test_layers_that_other_networks_use_too():
    inputs = keras.Input((2,))
    shared_layer = dense([[1, 2], [3, 4]], "shared")
    keras.Model(inputs, shared_layer(shared_layer(inputs)))
    network = sequential((2,), shared_layer, dense([[5], [6]], "last"))
    assert named(graph_from_weights(network)) == [("input", 2), ("shared", 2), ("last", 1)]


def test_several_inputs_and_outputs_have_their_own_names():
    left, right = keras.Input((2,), name="left"), keras.Input((1,), name="right")
    hidden = layers.Dense(2, name="hidden")(layers.Concatenate()([left, right]))
    outputs = [layers.Dense(1, name="one")(hidden), layers.Dense(3, name="other")(hidden)]
    graph = graph_from_weights(keras.Model([left, right], outputs))
    names = [("left", 2), ("right", 1), ("hidden", 2), ("one", 1), ("other", 3)]
    assert named(graph) == names


def cnn():
    return sequential(
        (2, 2, 3),
        pointwise(4, "first"),
        pointwise(5, "second"),
        layers.Flatten(),
        layers.Dense(6, name="dense"),
        layers.Dense(2, name="last"),
    )


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ({}, "first second"),
        ({"inputs": True}, "input first second"),
        ({"dense_layers": True}, "first second dense last"),
        ({"dense_layers": True, "outputs": False}, "first second dense"),
        ({"dense_layers": True, "inputs": True}, "input first second dense last"),
        ({"outputs": False}, "first second"),
    ],
)
def test_what_counts_in_a_network_with_convolutions(options, names):
    assert [name for name, _ in named(graph_from_weights(cnn(), **options))] == names.split()


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ({"inputs": False}, "a b c"),
        ({"outputs": False}, "input a b"),
        ({"inputs": False, "outputs": False}, "a b"),
    ],
)
def test_what_counts_in_a_network_without_convolutions(options, names):
    network = sequential((4,), *[layers.Dense(3, name=name) for name in "abc"])
    assert [name for name, _ in named(graph_from_weights(network, **options))] == names.split()


@pytest.mark.parametrize(
    ("build", "options", "message"),
    [
        (cnn, {"outputs": True}, "outputs=True for network 'net', but no .* units of 'last'"),
        (
            lambda: sequential((4,), layers.Dense(3), layers.Dense(2)),
            {"dense_layers": False},
            "has no weights between units with inputs=True, outputs=True, dense_layers=False",
        ),
        (
            lambda: sequential((4,), layers.Dense(3)),
            {"outputs": False},
            "has no weights between units with inputs=True, outputs=False",
        ),
    ],
)
def test_choices_that_leave_nothing_refused(build, options, message):
    with pytest.raises(InvalidInputError, match=message):
        graph_from_weights(build(), **options)


@pytest.mark.parametrize(
    ("build", "names"),
    [
        (residual, "input first sum"),
        (branching, "input first left right"),
        (two_outputs, "input left right"),
    ],
)
def test_branched_networks(build, names):
    assert [name for name, _ in named(graph_from_weights(build()))] == names.split()


def test_residual_network_of_keras():
    """Methods C4's ResNet-50: 16 sums, 32 layers inside the blocks, and the stem."""
    network = keras.applications.ResNet50(weights=None, input_shape=(32, 32, 3))
    graph = graph_from_weights(network)
    assert len(graph.layers) == 16 + 2 * 16 + 1
    assert graph.n_units == 64 + 3 * 384 + 4 * 768 + 6 * 1536 + 3 * 3072
    stages = [layer.name.partition("_")[0] for layer in graph.layers]
    assert stages == sorted(stages)
    assert not graph.isolated.any()


@pytest.mark.parametrize(
    "parts",
    [
        [layers.Flatten()],
        [layers.Rescaling(1 / 255), layers.ReLU()],
        [conv(3, "alone"), layers.Flatten(), layers.Dense(2), layers.Dense(2)],
    ],
    ids=["flatten", "no weights", "one convolution"],
)
def test_network_without_weights_between_units_refused(parts):
    with pytest.raises(InvalidInputError, match=r"'net' .* has no weights between units"):
        graph_from_weights(sequential((4, 4, 1), *parts))


def test_batch_norm_that_is_no_number_refused():
    network = sequential((2,), layers.Dense(2, name="dense"), layers.BatchNormalization())
    set_batch_norm(network.layers[-1], [1.0, 1.0], [1.0, np.nan])
    with pytest.raises(InvalidInputError, match=r"'input' to 'dense': the weights hold .*NaN"):
        graph_from_weights(network)


def test_layer_that_takes_the_name_of_the_inputs_refused():
    network = sequential((2,), layers.Dense(2, name="input"), layers.Dense(2))
    with pytest.raises(InvalidInputError, match="two layers of units are named 'input'"):
        graph_from_weights(network)

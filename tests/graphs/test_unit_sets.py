"""The sets of units of a network, and their use."""

import keras
from keras import layers

from nn_clustering.graphs import graph_of_weights, kernel_units, unit_sets, weight_readers
from nn_clustering.networks.structure import read_weights, walk_network
from tests.networks.sample_networks import (
    dense,
    named,
    pointwise,
    sequential,
    set_kernel,
    two_branches,
)


def test_unit_sets_and_readers():
    network = two_branches()
    walk, weights = walk_network(network), read_weights(network)
    made = {step.name: step.outputs[0] for step in walk.steps}
    sets = unit_sets(weights, inputs=True, dense_layers=True)
    assert [(units.name, units.n_units, units.tensor, units.arises_from) for units in sets] == [
        ("input", 2, walk.inputs[0], "input"),
        ("first", 2, made["first"], "convolution"),
        ("sum", 2, made["sum"], "merge"),
        ("dense", 3, made["dense"], "dense"),
    ]
    readers = weight_readers(weights, inputs=True, dense_layers=True)
    assert [(reader.name, reader.sources, reader.targets) for reader in readers] == [
        ("first", (0,), (1, 2)),
        ("grouped", (1,), (2,)),
        ("dense", (2,), (3,)),
    ]
    tensors = [reader.tensor for reader in readers]
    assert tensors == [walk.inputs[0], made["depthwise"], made["flat"]]
    (part,) = readers[2].parts
    assert part.rows.tolist() == [[[0, 1], [2, 3]]]  # one row of two positions
    assert part.units.tolist() == [0, 1]
    names = [units.name for units in unit_sets(weights)]
    assert names == [name for name, _ in named(graph_of_weights(weights))] == ["first", "sum"]


def test_flattened_input_arises_where_it_is_flat():
    network = sequential((2, 3), layers.Flatten(), layers.Dense(1))
    flat, _ = walk_network(network).steps
    assert unit_sets(read_weights(network))[0].tensor == flat.outputs[0]


def test_separable_convolution_reads_what_lies_before_its_depthwise_part():
    network = sequential(
        (1, 1, 1), pointwise(2, "first"), layers.SeparableConv2D(3, 1, depth_multiplier=2)
    )
    (reader,) = weight_readers(read_weights(network))
    assert reader.parts[0].units.tolist() == [0, 1]


def test_units_that_kernels_join():
    """Numbers in the graph of input 0, 1, first 2, 3, sum 4, 5 and dense 6, 7, 8."""
    weights = read_weights(two_branches())
    first, depthwise, grouped, last = kernel_units(weights, inputs=True, dense_layers=True)
    assert first.rows.tolist() == [[0, 1]]
    assert first.columns.tolist() == [[2, 3], [4, 5]]  # its own set, and the sum
    assert depthwise is None
    assert grouped.rows.tolist() == [[2], [3]]  # every group reads its own
    assert grouped.columns.tolist() == [[4, 5]]
    assert last.rows.tolist() == [[4, 5, 4, 5]]  # both positions
    assert last.columns.tolist() == [[6, 7, 8]]


def test_units_that_kernels_join_when_layers_are_left_out():
    first, _, grouped, last = kernel_units(read_weights(two_branches()))
    assert first is None
    assert (grouped.rows.tolist(), grouped.columns.tolist()) == ([[0], [1]], [[2, 3]])
    assert last is None


def test_units_of_a_concatenation_of_which_a_part_is_left_out():
    inputs = keras.Input((1, 1, 2))
    both = layers.Concatenate()([inputs, pointwise(1, "first")(inputs)])
    network = keras.Model(inputs, pointwise(1, "last")(both))
    _, last = kernel_units(read_weights(network))
    assert last.rows.tolist() == [[-1, -1, 0]]


def test_layer_that_leads_into_several_units_of_one_set():
    """A flattened map added to a flat one: a column leads into each of its positions."""
    inputs = keras.Input((1, 2, 1))
    stem = pointwise(1, "stem")(inputs)
    maps = layers.Flatten()(pointwise(1, "conv")(stem))
    flat = dense([[3, 5], [7, 9]], "dense")(layers.Flatten()(stem))
    total = layers.Add(name="sum")([maps, flat])
    network = keras.Model(inputs, dense([[1], [2]], "last")(total))
    set_kernel(network.get_layer("conv"), [[[[4]]]])
    weights = read_weights(network)
    graph = graph_of_weights(weights, dense_layers=True)
    assert named(graph) == [("stem", 1), ("sum", 2), ("last", 1)]
    # the weights of either position, 4, and the norms of (3, 7) and of (5, 9)
    assert graph.edges[0].weights.tolist() == [[4 + 10, 4 + 14]]
    _, conv, flat, last = kernel_units(weights, dense_layers=True)
    assert conv.columns.tolist() == [[1], [2]]
    assert (flat.rows.tolist(), flat.columns.tolist()) == ([[0, 0]], [[1, 2]])
    assert last.rows.tolist() == [[1, 2]]

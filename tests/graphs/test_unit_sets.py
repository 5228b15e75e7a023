"""The sets of units of a network, beside a naive second way to its graph, and their use."""

import keras
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
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

# What the next tensor of a random network is made by, and of which of the tensors before it.
KINDS = ["conv", "conv", "add", "average", "concatenate", "norm", "depthwise", "half"]
STEPS = st.lists(
    st.tuples(st.sampled_from(KINDS), st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=8
)


def linear_network(steps, seed):
    """A random network with positive weights and without biases or nonlinearities."""
    tensors = [keras.Input((1, 2, 2))]
    for kind, one, other in steps:
        x, y = tensors[one % len(tensors)], tensors[other % len(tensors)]
        tensors.append(step_of(kind, x, y))
    last = pointwise(3, "last", use_bias=False)(tensors[-1])
    flat = layers.Flatten()(layers.BatchNormalization(epsilon=0)(last))
    outputs = layers.Dense(2, use_bias=False, name="out")(flat)
    network = keras.Model(tensors[0], outputs)
    random = np.random.default_rng(seed)
    for variable in network.weights:
        if not variable.path.endswith(("beta", "moving_mean")):
            variable.assign(random.uniform(0.5, 2, variable.shape))
    return network


def step_of(kind, x, y):
    if kind in ("add", "average") and x.shape == y.shape:
        return (layers.Add() if kind == "add" else layers.Average())([x, y])
    if kind == "concatenate" and x.shape[-1] + y.shape[-1] <= 6:
        return layers.Concatenate()([x, y])
    if kind == "norm":
        return layers.BatchNormalization(epsilon=0)(x)
    if kind == "depthwise" and x.shape[-1] <= 3:
        return layers.DepthwiseConv2D(1, depth_multiplier=2, use_bias=False)(x)
    if kind == "half":
        return x / 2
    return layers.Conv2D(2, 1, use_bias=False)(x)


def naive_blocks(network, weights):
    """Return the weights between sets from what the network computes, by the sets' indices.

    A unit is set to 1 at all places. Every weight layer reads what comes of that without another
    weight layer between, and what these layers then make of it comes of that unit's weights. The
    factors between where a unit arises and where it is read are seen there.
    """
    walk = walk_network(network)
    options = {"inputs": True, "dense_layers": True}
    sets, readers = unit_sets(weights, **options), weight_readers(weights, **options)
    read_tensor = {reader.name: reader.tensor for reader in readers}
    # also of layers that lead into sums alone and have no set of their own
    made_by_weights = {s.outputs[0] for s in walk.steps if s.name in read_tensor}
    blocks, scales = {}, {}
    for source, units in enumerate(sets):
        zeros = {
            number: np.zeros([units.n_units, *walk.shapes[number][1:]], np.float32)
            for number in {*walk.inputs, *made_by_weights, *(each.tensor for each in sets)}
        }
        impulses = zeros[units.tensor].copy()
        for unit in range(units.n_units):
            impulses[unit, ..., unit] = 1
        read = walk.run(zeros | {units.tensor: impulses}, set(read_tensor.values()))
        scales[source] = common([np.asarray(tensor) for tensor in read.values()])
        made = walk.run(
            {walk.inputs[0]: zeros[walk.inputs[0]]},
            [target.tensor for target in sets],
            on_read=lambda step, number, value, read=read: (
                read[number] if step.name in read_tensor else value
            ),
        )
        for target, to in enumerate(sets):
            values = np.asarray(made[to.tensor]).reshape(units.n_units, -1, to.n_units)
            blocks[source, target] = values[:, 0]  # all places are alike
    return {
        (source, target): block * scales[target] / scales[source][:, None]
        for (source, target), block in blocks.items()
        if block.any()
    }


def common(tensors):
    """Return the one factor of every unit if all layers that read it see just that, else 1."""
    factors = []
    for unit in range(len(tensors[0])):
        seen = np.concatenate([tensor[unit].ravel() for tensor in tensors])
        seen = seen[seen != 0]
        if seen.size and np.ptp(seen) > 1e-5 * seen[0]:
            return np.ones(len(tensors[0]))
        factors.append(seen[0] if seen.size else 1.0)
    return np.array(factors)


@given(steps=STEPS, seed=st.integers(0, 2**16))
@settings(max_examples=25)
def test_beside_what_a_linear_network_computes(steps, seed):
    network = linear_network(steps, seed)
    weights = read_weights(network)
    graph = graph_of_weights(weights, inputs=True, dense_layers=True)
    expected = naive_blocks(network, weights)
    found = {(edges.source, edges.target): edges.weights for edges in graph.edges}
    assert found.keys() == expected.keys()
    for pair, block in expected.items():
        assert found[pair] == pytest.approx(block, rel=1e-4)


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

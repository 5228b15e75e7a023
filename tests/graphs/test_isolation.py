"""Which units are isolated: by hand, by a loop, whatever the unit of the weights."""

import io
from collections import defaultdict
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, strategies as st

from nn_clustering.errors import InvalidInputError
from nn_clustering.graphs import (
    Edges,
    Layer,
    UnitActivations,
    UnitGraph,
    commute_time_graph,
    graph_from_activations,
    normalise_units,
)
from tests.graphs.sample_graphs import layered, unit_graphs

# Unit 1 of the middle layer is dead: a penalty has driven its weights to 1e-19, not to 0.
DEAD = layered([[1, 1e-19, 2], [3, 2e-19, 1]], [[2, 1], [1e-19, 3e-19], [1, 1]])


def test_dead_unit_is_isolated():
    assert DEAD.isolated.tolist() == [False, False, False, True, False, False, False]
    assert DEAD.dead.tolist() == DEAD.isolated.tolist()
    connected = DEAD.without_isolated()
    assert [layer.n_units for layer in connected.layers] == [2, 2, 2]
    assert not connected.isolated.any()


def test_unit_without_any_weight_is_isolated_but_not_dead():
    graph = layered([[1, 0], [1, 0]])
    assert graph.isolated.tolist() == [False, False, False, True]
    assert not graph.dead.any()


def test_threshold_of_zero_leaves_every_weight():
    assert not replace(DEAD, isolated_below=0).isolated.any()
    assert replace(layered([[1, 0]]), isolated_below=0).isolated.tolist() == [False, False, True]


@pytest.mark.parametrize("scale", [1e-30, 1e-9, 1.0, 1e30])
def test_unit_of_the_weights_does_not_matter(scale):
    scaled = DEAD.with_weights([scale * block.weights for block in DEAD.edges])
    assert scaled.isolated.tolist() == DEAD.isolated.tolist()


def test_layers_have_scales_of_their_own():
    """A layer of small weights is not dead beside one of large ones."""
    graph = layered([[1, 2], [3, 1]], [[1e-12, 2e-12], [1e-12, 1e-12]])
    assert not graph.isolated.any()


def test_dead_branch_is_isolated_beside_one_that_lives():
    """A residual branch whose weights a penalty has driven to 1e-19 adds nothing to the stream."""
    layers = tuple(Layer(name, 2) for name in ("in", "branch", "sum", "out"))
    weights = np.array([[1.0, 2.0], [3.0, 1.0]])
    edges = (
        Edges(0, 1, 1e-19 * weights),
        Edges(1, 2, 1e-19 * weights),
        Edges(0, 2, weights),
        Edges(2, 3, weights),
    )
    graph = UnitGraph(layers, edges)
    assert np.flatnonzero(graph.isolated).tolist() == [2, 3]
    small = graph.with_weights([1e13 * edges[0].weights, 1e13 * edges[1].weights, weights, weights])
    assert not small.isolated.any()


def test_unit_that_is_fed_is_not_dead_though_nothing_reads_it():
    graph = layered([[1, 1]], [[1e-20, 1e-20], [1, 1]])
    assert not graph.isolated.any()


def test_share_is_that_of_the_mean():
    """Sums of 1e-3 and 1 + 1 - 1e-3 have the shares 1e-3 and 1.999 of their mean of 1."""
    graph = layered([[1e-3, 1.999]])
    assert replace(graph, isolated_below=0.9e-3).isolated.tolist() == [False, False, False]
    assert replace(graph, isolated_below=1.1e-3).isolated.tolist() == [False, True, False]


@pytest.mark.parametrize(("isolated_below", "expected"), [(0.45, [0]), (0.5, [0, 1])])
def test_mean_is_that_of_the_units_left(isolated_below, expected):
    """Of sums of 0.1, 0.3 and 1 the shares are 0.21, 0.64, 2.1; without the first 0.46, 1.5."""
    graph = replace(layered([[0.1], [0.3], [1]]), isolated_below=isolated_below)
    assert np.flatnonzero(graph.isolated).tolist() == expected


def test_unit_joined_to_dead_ones_alone_is_isolated():
    """Its one weight is 2.2e-6 of the mean of ten inputs, but 4.4e-7 of that of two units."""
    weights = np.zeros((10, 2))
    weights[0, 0], weights[1:, 1] = 2e-6, 1
    graph = replace(layered(weights), isolated_below=1e-6)
    assert np.flatnonzero(graph.isolated).tolist() == [0, 10]


@given(unit_graphs(), st.sampled_from([0, 1e-8, 0.1, 0.5]))
def test_loop_over_units(graph, isolated_below):
    graph = replace(graph, isolated_below=isolated_below)
    kept = set(range(graph.n_units))
    while True:
        shares = dict.fromkeys(kept, 0.0)
        sides = defaultdict(list)  # what leads into a layer, or out of it: by unit of the other end
        for block in graph.edges:
            turned = Edges(block.target, block.source, block.weights.T)
            both = [("into", block)] + ([] if block.is_within_layer else [("out of", turned)])
            for way, one in both:
                rows = range(graph.n_units)[graph.units(one.source)]
                columns = range(graph.n_units)[graph.units(one.target)]
                sums = {
                    row: sum(
                        one.weights[i, j] for j, column in enumerate(columns) if column in kept
                    )
                    for i, row in enumerate(rows)
                    if row in kept
                }
                sides["within" if one.is_within_layer else way, one.target].append(sums)
        for of_side in sides.values():
            total = sum(sum(sums.values()) for sums in of_side)
            for sums in of_side:
                for row, weight in sums.items():
                    if total:
                        shares[row] = max(shares[row], weight * len(sums) / total)
        left = {unit for unit in kept if shares[unit] > isolated_below}
        if left == kept:
            break
        kept = left
    assert np.flatnonzero(~graph.isolated).tolist() == sorted(kept)
    assert not graph.without_isolated().isolated.any()


def test_kept_in_the_file():
    graph = replace(DEAD, isolated_below=1e-3)
    assert UnitGraph.from_npz(graph.to_npz()).isolated_below == 1e-3


def test_file_of_a_former_version_has_no_dead_units():
    with np.load(io.BytesIO(DEAD.to_npz())) as arrays:
        former = {name: arrays[name] for name in arrays if name != "isolated_below"}
    content = io.BytesIO()
    np.savez(content, **former)
    assert not UnitGraph.from_npz(content.getvalue()).isolated.any()


@pytest.mark.parametrize("value", [-1e-9, 1.0, float("nan"), True, "some"])
def test_share_out_of_range_refused(value):
    with pytest.raises(InvalidInputError, match=r"isolated_below=.*expected a number from 0"):
        UnitGraph((Layer("a", 1),), (), value)


@pytest.mark.parametrize("transform", [normalise_units, commute_time_graph])
def test_dead_units_do_not_come_alive_by_a_transformation(transform):
    transformed = transform(DEAD)
    assert transformed.isolated.tolist() == DEAD.isolated.tolist()
    expected = transform(DEAD.with_dead_cut_off())
    for block, other in zip(transformed.edges, expected.edges, strict=True):
        assert np.array_equal(block.weights, other.weights)


def test_cut_off_weights():
    cut = DEAD.with_dead_cut_off()
    assert [block.weights.tolist() for block in cut.edges] == [
        [[1, 0, 2], [3, 0, 1]],
        [[2, 1], [0, 0], [1, 1]],
    ]
    assert cut.with_dead_cut_off() is cut


def activations_with_a_silent_unit():
    random = np.random.default_rng(0)
    values = random.normal(size=(50, 3)).astype(np.float32)
    values[:, 1] = 1e-19 * values[:, 0]
    return UnitActivations((Layer("a", 3),), (values,))


@pytest.mark.parametrize("correlation", ["spearman", "pearson", "kendall"])
def test_unit_that_hardly_answers_has_no_correlation(correlation):
    """By its ranks, or scaled, it would be the same as the unit that it is 1e-19 of."""
    activations = activations_with_a_silent_unit()
    graph = graph_from_activations(activations, correlation=correlation)
    assert graph.isolated.tolist() == [False, True, False]
    assert activations.silent(1e-8).tolist() == [False, True, False]
    assert not activations.silent(0).any()
    whole = graph_from_activations(activations, correlation=correlation, isolated_below=0)
    assert whole.edges[0].weights[0, 1] == pytest.approx(1)
    assert (graph.isolated_below, whole.isolated_below) == (1e-8, 0)


def test_spread_is_compared_with_the_mean_of_the_layer():
    """Of spreads in the ratio 10, 1, 1 the mean is 4; the second layer is compared with its own."""
    steps = np.array([-1, 0, 1], np.float32)[:, None]
    activations = UnitActivations(
        (Layer("a", 3), Layer("b", 1)), (steps * np.float32([10, 1, 1]), np.float32(1e-12) * steps)
    )
    assert activations.silent(0.2).tolist() == [False, False, False, False]
    assert activations.silent(0.3).tolist() == [False, True, True, False]

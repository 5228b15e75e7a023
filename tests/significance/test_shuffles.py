"""What a shuffle keeps, and that all that it can give is equally likely."""

from collections import Counter
from itertools import permutations

import numpy as np
import pytest
import scipy.stats
from hypothesis import assume, given, strategies as st

from nn_clustering.errors import InvalidInputError
from nn_clustering.graphs import Edges, Layer, UnitGraph
from nn_clustering.significance import METHODS, SHUFFLES, shuffle, shuffled_edges
from tests.graphs.sample_graphs import dense_adjacency, layered, mirrored, unit_graphs

SEEDS = st.integers(0, 2**32)
PERMUTING = ("layer", "layer_nonzero")
DRAWING = ("layer_nonzero_distribution", "layer_all_distribution")
# Every matrix on its own, whatever the graph.
OF_ANY_GRAPH = (*PERMUTING, *DRAWING)


def complete(sizes, dtype=np.float64):
    """A graph like one of activations: weights between and within all layers, some of them 0."""
    random = np.random.default_rng(0)
    pairs = [(a, b) for a in range(len(sizes)) for b in range(a, len(sizes))]
    blocks = []
    for a, b in pairs:
        weights = random.uniform(size=(sizes[a], sizes[b])).astype(dtype)
        weights[weights < 0.3] = 0
        blocks.append(Edges(a, b, mirrored(weights) if a == b else weights))
    layers = tuple(Layer(f"layer_{index}", size) for index, size in enumerate(sizes))
    return UnitGraph(layers, tuple(blocks))


def test_methods():
    assert set(SHUFFLES) == {*OF_ANY_GRAPH, "rewiring", "layer_strength", "all_edges"}
    assert set(METHODS) == {*SHUFFLES, "heads", "channels", "fresh_initialisation"}


@given(unit_graphs(), SEEDS, st.sampled_from(PERMUTING))
def test_every_matrix_keeps_its_weights(graph, seed, method):
    before = [block.weights.copy() for block in graph.edges]
    shuffled = shuffle(graph, method, np.random.default_rng(seed))
    assert shuffled.layers == graph.layers
    for block, original, weights in zip(shuffled.edges, graph.edges, before, strict=True):
        assert (block.source, block.target) == (original.source, original.target)
        assert block.weights.shape == weights.shape
        assert Counter(block.weights.ravel().tolist()) == Counter(weights.ravel().tolist())
        assert np.array_equal(original.weights, weights)  # the graph itself is left alone


@given(unit_graphs(), SEEDS, st.sampled_from(["layer_nonzero", "layer_nonzero_distribution"]))
def test_places_are_kept(graph, seed, method):
    shuffled = shuffle(graph, method, np.random.default_rng(seed))
    for block, original in zip(shuffled.edges, graph.edges, strict=True):
        assert np.array_equal(block.weights != 0, original.weights != 0)


def assert_uniform(outcomes, n_possible):
    counts = Counter(outcomes)
    assert len(counts) == n_possible
    assert scipy.stats.chisquare(list(counts.values())).pvalue > 0.01


def outcomes(graph, method, n_shuffles):
    """The weights of every shuffle, all matrices one after the other."""
    random = np.random.default_rng(0)
    return [
        tuple(
            weight
            for block in shuffle(graph, method, random).edges
            for weight in block.weights.ravel().tolist()
        )
        for _ in range(n_shuffles)
    ]


def test_layer_is_uniform_over_all_orders():
    found = outcomes(layered([[0, 1], [2, 3]]), "layer", 2400)
    assert set(found) == set(permutations([0.0, 1.0, 2.0, 3.0]))
    assert_uniform(found, 24)


def test_layer_is_uniform_where_zeros_prevail():
    """Two weights on six places: 30 arrangements."""
    found = outcomes(layered([[0, 1, 0], [0, 0, 2]]), "layer", 1800)
    assert set(found) == set(permutations([0.0, 0.0, 0.0, 0.0, 1.0, 2.0]))
    assert_uniform(found, 30)


def test_layer_nonzero_is_uniform_over_the_orders_of_the_nonzero():
    found = outcomes(layered([[0, 1, 0], [2, 0, 3]]), "layer_nonzero", 1200)
    assert set(found) == {(0, a, 0, b, 0, c) for a, b, c in permutations([1.0, 2.0, 3.0])}
    assert_uniform(found, 6)


@pytest.mark.parametrize("method", PERMUTING)
def test_matrices_are_shuffled_independently(method):
    found = outcomes(layered([[1, 2, 3]], [[4, 5], [6, 7], [8, 9]]), method, 500)
    firsts = [(outcome[0], outcome[3]) for outcome in found]
    table = [[firsts.count((a, b)) for b in range(4, 10)] for a in (1, 2, 3)]
    assert_uniform([first for first, _ in firsts], 3)
    assert_uniform([second for _, second in firsts], 6)
    assert scipy.stats.chi2_contingency(table).pvalue > 0.01


@given(unit_graphs(), SEEDS, st.sampled_from(OF_ANY_GRAPH))
def test_within_layers_the_matrix_stays_symmetric(graph, seed, method):
    """UnitGraph would refuse it else; the two halves are the same numbers, not nearly the same."""
    shuffled = shuffle(graph, method, np.random.default_rng(seed))
    adjacency = dense_adjacency(shuffled)
    assert np.array_equal(adjacency, adjacency.T)
    assert not adjacency.diagonal().any()
    assert np.array_equal(adjacency.sum(axis=0), shuffled.degrees) or np.allclose(
        adjacency.sum(axis=0), shuffled.degrees
    )


@pytest.mark.parametrize("n_units", [1, 2, 255, 256, 257, 600])
def test_large_layers_are_mirrored_strip_by_strip(n_units):
    """Against index arrays, on both sides of the size of a strip."""
    weights = mirrored(np.random.default_rng(0).uniform(size=(n_units, n_units)))
    graph = UnitGraph((Layer("alone", n_units),), (Edges(0, 0, weights),))
    (block,) = shuffle(graph, "layer", np.random.default_rng(1)).edges
    upper = np.triu_indices(n_units, 1)
    expected = np.zeros_like(weights)
    expected[upper] = np.random.default_rng(1).permutation(weights[upper])
    assert np.array_equal(block.weights, expected + expected.T)


@pytest.mark.parametrize("method", SHUFFLES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_type_of_the_weights_is_kept(method, dtype):
    graph = complete([6, 5], dtype)
    if method == "rewiring":
        graph = UnitGraph(graph.layers, tuple(b for b in graph.edges if not b.is_within_layer))
    shuffled = shuffle(graph, method, np.random.default_rng(0))
    assert {block.weights.dtype for block in shuffled.edges} == {np.dtype(dtype)}


def drawn(method, weights, n_shuffles=60):
    """Non-zero weights of many shuffles, together."""
    random = np.random.default_rng(0)
    graph = layered(weights)
    found = [shuffle(graph, method, random).edges[0].weights.ravel() for _ in range(n_shuffles)]
    return np.concatenate([values[values != 0] for values in found])


@pytest.mark.parametrize("method", DRAWING)
def test_kernel_density(method):
    """Its mean is that of the weights, its variance theirs and 0.01 squared; between them it is 0.

    0.5 and 0.56 are six bandwidths apart, so that the middle is three of them from either.
    """
    weights = np.zeros((40, 30))
    weights.flat[:900] = np.repeat([0.5, 0.56, 0.9], 300)
    found = drawn(method, weights)
    assert found.size == 60 * 900
    values = np.array([0.5, 0.56, 0.9])
    assert found.mean() == pytest.approx(values.mean(), abs=4 * values.std() / np.sqrt(found.size))
    near = found[np.abs(found - 0.9) < 0.1]
    assert near.size / found.size == pytest.approx(1 / 3, abs=0.01)
    assert near.std() == pytest.approx(0.01, rel=0.03)
    assert scipy.stats.kstest(near[:3000], scipy.stats.norm(0.9, 0.01).cdf).pvalue > 0.01


@pytest.mark.parametrize("signs", [(1, 1, 1, 1), (1, -1, 1, -1), (-1, -1, -1, 1)])
def test_signs_do_not_matter_to_the_kernel_density(signs):
    """What is drawn has the distribution of the absolute value of what signed weights would give.

    Weights around a bandwidth, of which many change their sign.
    """
    values = np.array([0.004, 0.01, 0.012, 0.03])
    signed = (values * signs)[np.random.default_rng(1).integers(4, size=20000)]
    signed = np.abs(signed + 0.01 * np.random.default_rng(2).standard_normal(20000))
    found = drawn("layer_nonzero_distribution", np.resize(values, (40, 10)), 50)
    assert scipy.stats.ks_2samp(found, signed).pvalue > 0.01


def test_kernel_density_of_no_weights():
    graph = layered(np.zeros((2, 3)), [[1.0], [0], [2]])
    for method in DRAWING:
        first, second = shuffle(graph, method, np.random.default_rng(0)).edges
        assert not first.weights.any()
        assert np.count_nonzero(second.weights) == 2


@given(st.lists(st.integers(1, 5), min_size=1, max_size=4), SEEDS)
def test_all_edges_keeps_the_weights_of_the_graph(sizes, seed):
    graph = complete(sizes)
    shuffled = shuffle(graph, "all_edges", np.random.default_rng(seed))
    assert shuffled.layers == graph.layers
    before, after = dense_adjacency(graph), dense_adjacency(shuffled)
    assert sorted(after[np.triu_indices(len(after), 1)]) == sorted(
        before[np.triu_indices(len(before), 1)]
    )
    assert np.array_equal(after, after.T)


def test_all_edges_is_uniform_over_all_orders():
    """Of the three pairs of a layer of two and a layer of one; the layer of one has none within."""
    graph = UnitGraph(
        (Layer("two", 2), Layer("one", 1)),
        (
            Edges(0, 0, np.array([[0.0, 1], [1, 0]])),
            Edges(0, 1, np.array([[2.0], [3]])),
        ),
    )
    random = np.random.default_rng(0)
    found = []
    for _ in range(1200):
        within, between = (block.weights for block in shuffle(graph, "all_edges", random).edges)
        found.append((within[0, 1], between[0, 0], between[1, 0]))
    assert set(found) == set(permutations([1.0, 2.0, 3.0]))
    assert_uniform(found, 6)


@pytest.mark.parametrize(
    ("graph", "message"),
    [
        (layered([[1, 2], [3, 4]]), "no weights between 'layer_0' and 'layer_0'"),
        (layered([[1.0]], [[2.0]]), "no weights between 'layer_0' and 'layer_2'.*method=layer"),
    ],
)
def test_all_edges_is_refused_where_not_all_units_could_be_joined(graph, message):
    with pytest.raises(InvalidInputError, match=message):
        shuffle(graph, "all_edges", np.random.default_rng(0))


@given(unit_graphs(), SEEDS, st.sampled_from(OF_ANY_GRAPH))
def test_null_model_has_no_isolated_units(graph, seed, method):
    """They are removed before (C5), and the layers keep their names and places."""
    assume(graph.degrees.any())
    null = shuffled_edges(graph, method)
    found = null.draw(np.random.default_rng(seed))
    assert [layer.name for layer in found.layers] == [layer.name for layer in graph.layers]
    assert found.n_units == (~graph.isolated).sum()
    expected = shuffle(graph.without_isolated(), method, np.random.default_rng(seed))
    for block, other in zip(found.edges, expected.edges, strict=True):
        assert np.array_equal(block.weights, other.weights)


def test_unknown_method_refused():
    graph = layered([[1]])
    with pytest.raises(InvalidInputError, match="method='rows'; expected one of layer, layer_non"):
        shuffle(graph, "rows", np.random.default_rng(0))

"""Graphs of activations by hand, and beside scipy's correlations of one pair at a time."""

import subprocess
import sys
from itertools import pairwise

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings, strategies as st
from hypothesis.extra import numpy as arrays

from nn_clustering.errors import InvalidInputError
from nn_clustering.graphs import (
    Layer,
    UnitActivations,
    _correlation_blocks,
    _from_activations,
    check_activation_settings,
    graph_from_activations,
)
from tests.graphs.sample_graphs import dense_adjacency

PEERS = {
    "spearman": scipy.stats.spearmanr,
    "pearson": scipy.stats.pearsonr,
    "kendall": scipy.stats.kendalltau,
}


def activations(*values):
    values = tuple(np.array(array, np.float32) for array in values)
    layers = tuple(Layer(f"layer_{i}", array.shape[1]) for i, array in enumerate(values))
    return UnitActivations(layers, values)


def pair_by_pair(values, correlation):
    n_units = values.shape[1]
    squared = np.zeros((n_units, n_units))
    for i in range(n_units):
        for j in set(range(n_units)) - {i}:
            if np.ptp(values[:, i]) and np.ptp(values[:, j]):
                squared[i, j] = PEERS[correlation](values[:, i], values[:, j]).statistic ** 2
    return squared


# Four samples of units a (1 2 3 4), b (1 2 4 3), c (7 7 7 7) and d (0 0 0 -9).
BY_HAND = [np.array([[1, 1], [2, 2], [3, 4], [4, 3]]), np.array([[7, 0], [7, 0], [7, 0], [7, -9]])]


@pytest.mark.parametrize(
    ("correlation", "a_b", "a_d", "b_d"),
    [
        # ranks of d are 3 3 3 1: of deviations (.5 .5 .5 -1.5) and norm^2 3, those of a 5
        ("spearman", 0.8**2, 3**2 / 15, 1 / 15),  # 4 samples: 1 - 6 * 2 / (4 * 15) = 0.8
        ("pearson", 0.8**2, 3**2 / 15, 1 / 15),  # d is -9 or not, so a straight line of its ranks
        # 5 of 6 pairs agree; of the 3 pairs that d does not tie, a is against all, b against 2
        ("kendall", (4 / 6) ** 2, 9 / (6 * 3), 1 / (6 * 3)),
    ],
)
def test_by_hand(correlation, a_b, a_d, b_d):
    graph = graph_from_activations(activations(*BY_HAND), correlation=correlation)
    expected = [[0, a_b, 0, a_d], [a_b, 0, 0, b_d], [0, 0, 0, 0], [a_d, b_d, 0, 0]]
    assert dense_adjacency(graph) == pytest.approx(np.array(expected), abs=1e-6)
    assert graph.isolated.tolist() == [False, False, True, False]
    assert graph.layers == (Layer("layer_0", 2), Layer("layer_1", 2))
    assert [(block.source, block.target) for block in graph.edges] == [(0, 0), (0, 1), (1, 1)]
    assert {block.weights.dtype for block in graph.edges} == {np.dtype("float32")}


VALUES = st.sampled_from([-3.0, -1.0, -0.0, 0.0, 0.0, 0.0, 0.5, 2.0])


@pytest.mark.parametrize("correlation", sorted(PEERS))
@settings(deadline=None, max_examples=30)
@given(arrays.arrays(np.float32, st.tuples(st.integers(3, 8), st.just(5)), elements=VALUES))
def test_beside_scipy_with_ties(correlation, values):
    graph = graph_from_activations(
        activations(values[:, :2], values[:, 2:]), correlation=correlation
    )
    expected = pair_by_pair(values, correlation)
    assert dense_adjacency(graph) == pytest.approx(expected, abs=2e-6)


@pytest.mark.parametrize("correlation", sorted(PEERS))
def test_in_blocks_as_at_once(correlation, monkeypatch):
    """More units and pairs of samples than are taken at once."""
    monkeypatch.setattr(_correlation_blocks, "_UNITS_AT_ONCE", 4)
    monkeypatch.setattr(_from_activations, "_PAIRS_AT_ONCE", 7)
    values = np.round(np.random.default_rng(0).normal(size=(20, 15)), 1).astype(np.float32)
    values[:, 5:] += values[:, :10]
    parts = [values[:, a:b] for a, b in pairwise([0, 9, 10, 15])]
    graph = graph_from_activations(activations(*parts), correlation=correlation)
    assert dense_adjacency(graph) == pytest.approx(pair_by_pair(values, correlation), abs=2e-6)


@pytest.mark.parametrize("correlation", sorted(PEERS))
def test_correlation_is_one_at_most(correlation):
    """Rounding would make more than 1 of a column's product with itself."""
    column = np.random.default_rng(1).normal(size=(300, 1))
    same = activations(np.hstack([column] * 20), column)
    for block in graph_from_activations(same, correlation=correlation).edges:
        weights = (
            block.weights[~np.eye(len(block.weights), dtype=bool)]
            if (block.is_within_layer)
            else block.weights
        )
        assert weights == pytest.approx(np.ones(weights.shape), abs=1e-5)
        assert (weights <= 1).all()


def test_ranks_do_not_change_with_a_monotone_function():
    values = np.random.default_rng(2).normal(size=(50, 6)).astype(np.float32)
    plain, bent = (graph_from_activations(activations(v)) for v in (values, values**3))
    assert np.array_equal(plain.edges[0].weights, bent.edges[0].weights)


def test_constant_unit_of_any_value_is_isolated():
    """Though the mean of many equal numbers need not be that number."""
    values = np.random.default_rng(3).normal(size=(1000, 3)).astype(np.float32)
    values[:, 1] = 0.1
    graph = graph_from_activations(activations(values), correlation="pearson")
    assert graph.isolated.tolist() == [False, True, False]


def test_kendall_of_too_much_refused(monkeypatch):
    monkeypatch.setattr(_from_activations, "_MOST_UNITS_TIMES_SAMPLES", 19)
    with pytest.raises(InvalidInputError, match=r"'kendall' of 5 units over 4 samples; .* 19 "):
        graph_from_activations(activations(np.zeros((4, 5))), correlation="kendall")


def test_unknown_correlation_refused():
    with pytest.raises(InvalidInputError, match="correlation='r2'; expected one of spearman, pea"):
        graph_from_activations(activations(np.zeros((4, 5))), correlation="r2")


@pytest.mark.parametrize(
    ("layers", "values", "message"),
    [
        ((), (), "activations of 0 layers for 0 layers"),
        ((Layer("a", 1),), (), "activations of 0 layers for 1 layers"),
        ((Layer("a", 2),), ((4, 3),), r"'a' of shape \(4, 3\); expected \(4, 2\)"),
        ((Layer("a", 2), Layer("b", 1)), ((4, 2), (5, 1)), r"'b' of shape \(5, 1\); exp.*\(4, 1\)"),
        ((Layer("a", 2),), ((2, 2),), "n_samples=2; expected 3 or more"),
    ],
)
def test_activations_that_do_not_fit_refused(layers, values, message):
    with pytest.raises(InvalidInputError, match=message):
        UnitActivations(layers, tuple(np.zeros(shape, np.float32) for shape in values))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_activations_that_are_no_numbers_refused(value):
    bad = np.zeros((4, 2))
    bad[3, 1] = value
    with pytest.raises(InvalidInputError, match="activations of layer 'layer_1' hold NaN or inf"):
        activations(np.zeros((4, 1)), bad)


GOOD = {"n_samples": 3, "position": "pre", "map_norm": "mean", "correlation": "kendall"}


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"n_samples": 2}, "n_samples=2; expected 3 or more"),
        ({"n_samples": 10.0}, "n_samples=10.0; expected a whole number, or None"),
        ({"n_samples": True}, "n_samples=True; expected a whole number"),
        ({"position": "after"}, "position='after'; expected one of post, pre"),
        ({"map_norm": "max"}, "map_norm='max'; expected one of l1, .*, mean"),
        ({"correlation": None}, "correlation=None; expected one of spearman, pearson, kendall"),
    ],
)
def test_settings_refused(setting, message):
    check_activation_settings(**GOOD)
    check_activation_settings(**GOOD | {"n_samples": None})
    with pytest.raises(InvalidInputError, match=message):
        check_activation_settings(**GOOD | setting)


def test_needs_no_tensorflow():
    program = (
        "import sys; from nn_clustering.graphs import graph_from_activations, commute_time_graph; "
        "sys.exit('keras' in sys.modules or 'tensorflow' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0

"""Weights in two bytes each."""

import io

import numpy as np
import pytest

from nn_clustering.errors import InvalidInputError
from nn_clustering.graphs import Edges, Layer, UnitGraph

random = np.random.default_rng(0)
WEIGHTS = (random.lognormal(0, 3, (700, 90)) * (random.random((700, 90)) < 0.9)).astype(np.float32)


def graph_of(*edges, sizes=(700, 90)):
    layers = tuple(Layer(f"layer_{index}", size) for index, size in enumerate(sizes))
    return UnitGraph(layers, edges)


@pytest.mark.parametrize("scale", [1e-20, 1e-3, 1, 100])
def test_weights_have_eleven_binary_digits_whatever_their_scale(scale):
    weights = WEIGHTS * np.float32(scale)
    edges = Edges.half(0, 1, weights)
    assert edges.stored.dtype == np.float16
    assert edges.stored.nbytes == weights.nbytes / 2
    np.testing.assert_allclose(edges.weights, weights, rtol=2.0**-11, atol=weights.max() * 2.0**-39)
    # below that share of the largest there is no number any more
    assert (edges.weights[weights > weights.max() * 2.0**-39] > 0).all()
    assert not edges.weights[weights == 0].any()
    as_numpy_has_them = edges.stored.astype(np.float64) * 2.0**-edges.exponent
    np.testing.assert_array_equal(edges.weights, as_numpy_has_them)


def test_weights_too_large_for_it_stay_as_they_are():
    edges = Edges.half(0, 1, WEIGHTS * np.float32(1e30))
    np.testing.assert_array_equal(edges.weights, WEIGHTS * np.float32(1e30))
    assert not edges.is_half


def test_tiles_and_sums_are_those_of_the_weights():
    edges = Edges.half(0, 1, WEIGHTS)
    found = np.zeros_like(WEIGHTS)
    for rows, weights in edges.tiles():
        found[rows] = weights
    np.testing.assert_array_equal(found, edges.weights)
    of_rows, of_columns = edges.sums
    np.testing.assert_allclose(of_rows, edges.weights.sum(1, dtype=float), rtol=1e-5)
    np.testing.assert_allclose(of_columns, edges.weights.sum(0, dtype=float), rtol=1e-5)


def test_a_graph_of_them_beside_one_in_single_precision():
    weights = WEIGHTS.copy()
    weights[3] = 0
    whole, half = graph_of(Edges(0, 1, weights)), graph_of(Edges.half(0, 1, weights))
    np.testing.assert_allclose(half.degrees, whole.degrees, rtol=1e-3)
    np.testing.assert_array_equal(half.isolated, whole.isolated)
    assert half.without_isolated().is_half
    assert half.without_isolated().n_units == whole.n_units - 1
    read = UnitGraph.from_npz(half.to_npz())
    np.testing.assert_array_equal(read.edges[0].weights, half.edges[0].weights)
    assert (read.is_half, UnitGraph.from_npz(whole.to_npz()).is_half) == (True, False)
    np.testing.assert_array_equal(read.degrees, half.degrees)


def test_products_are_stored_by_their_factors():
    """One matrix for all products that it is part of; what was no product as it is."""
    first, second = (random.standard_normal(shape, np.float32) for shape in ((60, 5), (40, 5)))
    into = random.standard_normal((5, 30), np.float32)
    alone = random.random((60, 40)).astype(np.float32)
    sizes = (60, 40, 30)
    graph = graph_of(
        Edges(0, 1, alone),
        Edges.half_of_product(0, 2, first, into),
        Edges.half_of_product(1, 2, second, into),
        sizes=sizes,
    )
    np.testing.assert_allclose(graph.edges[1].weights, np.abs(first @ into), rtol=2.0**-11)
    content = graph.to_npz()
    with np.load(io.BytesIO(content)) as arrays:
        assert arrays["products"].tolist() == [[-1, -1], [0, 1], [2, 1]]
        assert {name for name in arrays if name.startswith("factor")} == {
            "factor_0", "factor_1", "factor_2",
        }  # fmt: skip
    read = UnitGraph.from_npz(content)
    for one, other in zip(read.edges, graph.edges, strict=True):
        np.testing.assert_allclose(one.weights, other.weights, rtol=2.0**-10)
    kept = np.arange(60) < 20
    some = graph.edges[1].among(kept, np.ones(30, bool))
    left, right = some.factors
    np.testing.assert_allclose(some.weights, np.abs(left @ right), rtol=2.0**-10)


@pytest.mark.parametrize("wrong", [-1, np.inf, np.nan])
def test_wrong_weights_are_refused(wrong):
    stored = np.ones((2, 3), np.float16)
    stored[1, 1] = wrong
    with pytest.raises(InvalidInputError, match="negative, infinite or NaN"):
        graph_of(Edges(0, 1, stored), sizes=(2, 3))

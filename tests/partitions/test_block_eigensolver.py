"""Eigenvectors of graphs that take long to read, in blocks."""

from itertools import combinations

import numpy as np
import pytest

from nn_clustering.graphs import Edges, Layer, UnitGraph
from nn_clustering.partitions import leading_eigenvectors, ncut, spectral_clustering
from nn_clustering.partitions._block_eigensolver import block_eigenpairs


@pytest.mark.parametrize("tolerance", [1e-2, 1e-4])
def test_eigenpairs_beside_those_of_a_dense_problem(tolerance):
    random = np.random.default_rng(0)
    matrix = random.standard_normal((900, 900))
    matrix += matrix.T
    values, vectors = np.linalg.eigh(matrix)
    known = vectors[:, -1:].astype(np.float32)
    single = matrix.astype(np.float32)
    found, made = block_eigenpairs(lambda block: single @ block, known, 12, tolerance=tolerance)
    np.testing.assert_allclose(found, values[-2:-14:-1], rtol=tolerance)
    residuals = np.linalg.norm(single @ made - made * found, axis=0)
    assert (residuals <= 1.01 * tolerance * found).all()
    np.testing.assert_allclose(made.T @ made, np.eye(12), atol=1e-5)
    np.testing.assert_allclose(known.T @ made, 0, atol=1e-5)


def graphs(planted):
    """Return a graph of products of random weights, each layer with each later one, and in half."""
    random = np.random.default_rng(1)
    sizes = (150, 250, 350, 250)
    groups = [random.integers(4, size=size) for size in sizes]
    blocks = []
    for source, target in combinations(range(4), 2):
        made = random.standard_normal((sizes[source], 8)) @ random.standard_normal(
            (8, sizes[target])
        )
        together = groups[source][:, None] == groups[target]
        blocks.append((source, target, np.abs(made * (1 + planted * together)).astype(np.float32)))
    layers = tuple(Layer(f"layer_{index}", size) for index, size in enumerate(sizes))
    whole = UnitGraph(layers, tuple(Edges(*block) for block in blocks))
    return whole, UnitGraph(layers, tuple(Edges.half(*block) for block in blocks))


@pytest.mark.parametrize(("planted", "tolerance"), [(0, 1e-3), (2, 1e-5)])
def test_ncut_in_half_precision_beside_the_exact_one(planted, tolerance):
    """With four clusters; and without, where k-means starts themselves differ by more."""
    whole, half = graphs(planted)
    exact = spectral_clustering(whole, 4, seed=0, n_init=10)
    found = spectral_clustering(half, 4, seed=0, n_init=10)
    assert found.ncut == pytest.approx(exact.ncut, rel=tolerance)
    # of the same clusters it differs by what the weights were rounded by
    labels = exact.partition.labels
    assert ncut(half, labels) == pytest.approx(ncut(whole, labels), rel=1e-5)
    np.testing.assert_allclose(
        leading_eigenvectors(half, 4)[0], leading_eigenvectors(whole, 4)[0], rtol=3e-3
    )


def test_result_is_the_same_every_time():
    _, half = graphs(2)
    first, second = (leading_eigenvectors(half, 5)[1] for _ in range(2))
    np.testing.assert_array_equal(first, second)

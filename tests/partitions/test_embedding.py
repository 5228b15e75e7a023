"""Leading eigenvectors beside scipy's of the dense matrix."""

from itertools import pairwise

import numpy as np
import pytest
import scipy.linalg
from hypothesis import assume, given, settings, strategies as st

from nn_clustering.graphs import Edges, Layer, UnitGraph
from nn_clustering.partitions import leading_eigenvectors, spectral_embedding
from tests.graphs.sample_graphs import (
    dense_adjacency,
    layered,
    mirrored,
    random_layered,
    unit_graphs,
    with_shortcut,
)


def normalised(graph):
    """D^-1/2 A D^-1/2."""
    adjacency = graph.adjacency().toarray().astype(float)
    degrees = adjacency.sum(axis=1)
    return adjacency / np.sqrt(degrees)[:, None] / np.sqrt(degrees)


def assert_leading_eigenvectors(graph, n_vectors, tolerance=1e-6, of_vectors=None):
    """Orthonormal, and eigenvectors of the largest eigenvalues: all there is to be."""
    matrix = normalised(graph)
    n_values = min(n_vectors + 1, graph.n_units)
    expected = scipy.linalg.eigvalsh(matrix)[::-1][:n_values]
    values, vectors = leading_eigenvectors(graph, n_vectors)
    assert np.allclose(values, expected, atol=tolerance)
    assert vectors.shape == (graph.n_units, n_vectors)
    assert np.allclose(vectors.T @ vectors, np.eye(n_vectors), atol=of_vectors or tolerance)
    assert np.abs(matrix @ vectors - vectors * values[:n_vectors]).max() < (of_vectors or tolerance)


def within_layer(weights):
    return UnitGraph((Layer("units", len(weights)),), (Edges(0, 0, mirrored(weights)),))


@given(unit_graphs(), st.data())
@settings(max_examples=150, deadline=None)
def test_any_small_graph(graph, data):
    graph = graph.without_isolated()
    assume(graph.n_units > 0)
    assert np.allclose(graph.adjacency().toarray(), dense_adjacency(graph))
    assert_leading_eigenvectors(graph, data.draw(st.integers(1, graph.n_units)))


@st.composite
def larger_graphs(draw):
    """Above the size up to which the eigenproblem is solved densely."""
    random = np.random.default_rng(draw(st.integers(0, 1000)))
    keep = draw(st.sampled_from([1, 0.3, 0.004]))
    precision = draw(st.sampled_from([np.float32, np.float64]))

    sizes = draw(st.sampled_from([(350, 320), (330, 2, 5), (120, 330, 210), (60,) * 11]))
    layers = tuple(Layer(f"layer_{index}", size) for index, size in enumerate(sizes))
    extra = draw(st.lists(st.sampled_from([(0, 0), (0, 2), (1, 1)]), unique=True, max_size=2))
    pairs = [*pairwise(range(len(sizes))), *(pair for pair in extra if max(pair) < len(sizes))]

    def edges(source, target):
        shape = sizes[source], sizes[target]
        weights = random.uniform(size=shape) * (random.uniform(size=shape) < keep)
        weights *= 10.0 ** draw(st.sampled_from([0, -9, 6]))
        weights = mirrored(weights) if source == target else weights
        return Edges(source, target, weights.astype(precision))

    return UnitGraph(layers, tuple(edges(*pair) for pair in pairs))


@given(larger_graphs(), st.integers(2, 30))
@settings(max_examples=20, deadline=None)
def test_any_larger_graph(graph, n_vectors):
    graph = graph.without_isolated()
    assume(graph.n_units >= n_vectors)
    assert_leading_eigenvectors(graph, n_vectors, tolerance=1e-4, of_vectors=2e-4)


def test_product_of_the_weights_of_a_large_bipartite_graph():
    """Both sides are above the size up to which the product of the matrices is built."""
    graph = random_layered([1040, 1030], seed=3, keep=0.02).without_isolated()
    assert_leading_eigenvectors(graph, 4, tolerance=1e-5)


@pytest.mark.parametrize("shortcut", [False, True])
def test_embedding_spans_scipys_space(shortcut):
    graph = random_layered([12, 9, 7, 4], seed=1)
    if shortcut:
        graph = with_shortcut(graph, 2)
    assert (graph.two_colouring() is None) == shortcut
    values, vectors = (found[..., ::-1] for found in scipy.linalg.eigh(normalised(graph)))
    for n_components in range(1, 8):
        if values[n_components - 1] - values[n_components] < 1e-6:
            continue  # the space of so many eigenvectors is not determined
        ours = spectral_embedding(graph, n_components) * np.sqrt(graph.degrees)[:, None]
        theirs = vectors[:, :n_components]
        assert np.allclose(ours @ ours.T, theirs @ theirs.T, atol=1e-9), n_components


@pytest.mark.parametrize("sizes", [[12, 9, 7, 4], [400, 350, 20]])
def test_first_component_is_constant(sizes):
    embedding = spectral_embedding(random_layered(sizes, seed=1), 3)
    assert np.ptp(embedding[:, 0]) < 1e-12
    assert np.ptp(embedding[:, 1]) > 0.001


def test_more_components_than_units_on_the_small_side():
    graph = random_layered([30, 3], seed=0)
    for n_components in (3, 4, 5):
        assert_leading_eigenvectors(graph, n_components)


def test_as_many_eigenvalues_as_the_small_side_has():
    """After the singular values comes 0, or where both sides are equal the last one, negative."""
    for sizes in ([9, 3], [3, 3]):
        graph = random_layered(sizes, seed=0)
        assert leading_eigenvectors(graph, 3)[0].shape == (4,)
        assert_leading_eigenvectors(graph, 3)


@pytest.mark.parametrize("n_units", [9, 350, 1030])
def test_rank_below_the_number_of_components(n_units):
    """Rank 2, so from the third on the eigenvalues of the adjacency are 0."""
    random = np.random.default_rng(0)
    weights = random.uniform(size=(n_units, 2)) @ random.uniform(size=(2, n_units - 3))
    assert_leading_eigenvectors(layered(weights), 5)


def test_complete_graph():
    """All eigenvalues but the first are -1 / (n - 1): below 0, and all alike."""
    graph = within_layer(np.ones((320, 320)))
    assert_leading_eigenvectors(graph, 5, tolerance=1e-5)
    assert leading_eigenvectors(graph, 5)[0][1:] == pytest.approx([-1 / 319] * 5, abs=1e-6)


def blocks(n_blocks, width, random=None):
    """The same block, or one drawn for each, several times along the diagonal."""
    weights = np.zeros((n_blocks * width,) * 2)
    block = np.random.default_rng(1).uniform(size=(width, width))
    for start in range(0, len(weights), width):
        if random is not None:
            block = random.uniform(size=(width, width))
        weights[start : start + width, start : start + width] = block
    return weights


@pytest.mark.parametrize("scale", [1, 1e-30, 1e200])
@pytest.mark.parametrize("alike", [False, True])
def test_components(alike, scale):
    """An eigenvalue of 1 for each component, and if they are alike every further one too."""
    random = None if alike else np.random.default_rng(0)
    graph = layered(scale * blocks(4, 90, random))
    for n_vectors in (2, 4, 9):
        assert_leading_eigenvectors(graph, n_vectors, tolerance=1e-5, of_vectors=1e-3)
    vectors = leading_eigenvectors(graph, 4)[1]
    component = np.tile(np.arange(360) // 90, 2)
    expected = np.sqrt(graph.degrees)[:, None] * (component[:, None] == np.arange(4))
    expected /= np.linalg.norm(expected, axis=0)
    assert np.allclose(vectors @ (vectors.T @ expected), expected, atol=1e-9)


def test_layer_without_units():
    """It would start, on its side, where the next layer does, and both are joined to others."""
    layers = (Layer("gone", 0), Layer("a", 1), Layer("b", 3), Layer("c", 1))
    edges = (
        Edges(0, 1, np.ones((0, 1))),
        Edges(1, 2, np.ones((1, 3))),
        Edges(2, 3, np.ones((3, 1))),
        Edges(3, 0, np.ones((1, 0))),
    )
    for n_vectors in (1, 2, 3):
        assert_leading_eigenvectors(UnitGraph(layers, edges), n_vectors)


def test_many_components_of_a_small_graph():
    """Of so many equal eigenvalues LAPACK returns none when it is asked for two."""
    random = np.random.default_rng(276)
    weights = random.uniform(size=(350, 320)) * (random.uniform(size=(350, 320)) < 0.004)
    assert_leading_eigenvectors(layered(weights).without_isolated(), 2)


@pytest.mark.parametrize("graph", [layered(np.ones((400, 350))), random_layered([400, 350], 0)])
def test_every_digit_is_repeated(graph):
    one, other = (leading_eigenvectors(graph, 5)[1] for _ in range(2))
    assert one.tobytes() == other.tobytes()

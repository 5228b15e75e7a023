"""Spectral clustering beside numpy's eigenvectors, scikit-learn and planted partitions."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sklearn.cluster import SpectralClustering
from sklearn.metrics import adjusted_rand_score

from nn_clustering.errors import InvalidInputError
from nn_clustering.graphs import Edges, UnitGraph
from nn_clustering.partitions import ncut, spectral_embedding, spectral_partition
from tests.graphs.sample_graphs import (
    dense_adjacency,
    layered,
    planted,
    random_layered,
    unit_graphs,
)


def normalised_laplacian(graph):
    """I - D^-1/2 A D^-1/2."""
    adjacency = dense_adjacency(graph)
    degrees = adjacency.sum(axis=1)
    return np.eye(len(adjacency)) - adjacency / np.sqrt(np.outer(degrees, degrees))


def orthonormal_part(graph, n_components):
    return spectral_embedding(graph, n_components) * np.sqrt(graph.degrees)[:, None]


def assert_smallest_eigenvectors(graph, n_components):
    """Orthonormal, and eigenvectors of the smallest eigenvalues: all there is to be."""
    laplacian = normalised_laplacian(graph)
    values = np.linalg.eigvalsh(laplacian)[:n_components]
    vectors = orthonormal_part(graph, n_components)
    assert vectors.shape == (graph.n_units, n_components)
    assert np.allclose(vectors.T @ vectors, np.eye(n_components), atol=1e-6)
    assert np.allclose(laplacian @ vectors, vectors * values, atol=1e-6)


def with_shortcut(graph, seed):
    """The same graph with edges from its first layer to its third: no longer bipartite."""
    shape = graph.layers[0].n_units, graph.layers[2].n_units
    extra = Edges(0, 2, np.random.default_rng(seed).uniform(size=shape))
    return UnitGraph(graph.layers, (*graph.edges, extra))


@given(unit_graphs(), st.data())
@settings(max_examples=150)
def test_embedding_of_any_graph(graph, data):
    graph = graph.without_isolated()
    assume(graph.n_units > 0)
    assert_smallest_eigenvectors(graph, data.draw(st.integers(1, graph.n_units)))


@pytest.mark.parametrize("shortcut", [False, True])
def test_embedding_spans_numpys_space(shortcut):
    graph = random_layered([12, 9, 7, 4], seed=1)
    if shortcut:
        graph = with_shortcut(graph, 2)
    assert (graph.two_colouring() is None) == shortcut
    values, vectors = np.linalg.eigh(normalised_laplacian(graph))
    for n_components in range(1, 8):
        if values[n_components] - values[n_components - 1] < 1e-6:
            continue  # the space of so many eigenvectors is not determined
        ours, numpys = orthonormal_part(graph, n_components), vectors[:, :n_components]
        assert np.allclose(ours @ ours.T, numpys @ numpys.T, atol=1e-9), n_components


def test_first_component_is_constant():
    embedding = spectral_embedding(random_layered([12, 9, 7, 4], seed=1), 3)
    assert np.ptp(embedding[:, 0]) < 1e-12
    assert np.ptp(embedding[:, 1]) > 0.01


def test_more_components_than_units_on_the_small_side():
    graph = random_layered([30, 3], seed=0)
    for n_components in (3, 4, 5):
        assert_smallest_eigenvectors(graph, n_components)
    partition = spectral_partition(graph, 5, seed=0)
    assert set(partition.labels.tolist()) == set(range(5))


def test_rank_below_the_number_of_components():
    """Rank 2, so from the third on the eigenvalues of the adjacency are 0."""
    random = np.random.default_rng(0)
    graph = layered(random.uniform(size=(9, 2)) @ random.uniform(size=(2, 6)))
    assert_smallest_eigenvectors(graph, 5)


def test_embedding_by_iteration():
    """Both sides are above the size up to which the eigenproblem is solved densely."""
    graph = random_layered([620, 610], seed=3, keep=0.05).without_isolated()
    assert_smallest_eigenvectors(graph, 4)


def test_disconnected_graph_by_iteration():
    """An eigenvalue of 1 for each component, all to be found although they are equal."""
    random = np.random.default_rng(0)
    weights = np.zeros((660, 660))
    for start in range(0, 660, 110):
        weights[start : start + 110, start : start + 110] = random.uniform(size=(110, 110))
    graph = layered(weights)
    vectors = orthonormal_part(graph, 6)
    degrees = graph.degrees
    component = np.tile(np.arange(660) // 110, 2)
    expected = np.sqrt(degrees)[:, None] * (component[:, None] == np.arange(6))
    expected /= np.linalg.norm(expected, axis=0)
    assert np.allclose(vectors @ (vectors.T @ expected), expected, atol=1e-9)


@pytest.mark.parametrize("shortcut", [False, True])
def test_disconnected_graph(shortcut):
    graph, truth = planted([12, 9, 6], 3, seed=0, between=0)
    if shortcut:
        within = truth[:12, None] == truth[21:]
        graph = UnitGraph(graph.layers, (*graph.edges, Edges(0, 2, within.astype(float))))
    partition = spectral_partition(graph, 3, seed=0)
    assert adjusted_rand_score(truth, partition.labels) == 1
    assert ncut(graph, partition.labels) == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("select", ["ncut", "inertia"])
@pytest.mark.parametrize(("n_clusters", "seed"), [(2, 0), (4, 1), (6, 2)])
def test_planted_partition_is_recovered(n_clusters, seed, select):
    graph, truth = planted([60, 40, 40, 12], n_clusters, seed)
    partition = spectral_partition(graph, n_clusters, seed=seed, select=select)
    assert adjusted_rand_score(truth, partition.labels) == 1
    assert partition.layers == graph.layers


def scikit_learn(graph, n_clusters):
    peer = SpectralClustering(n_clusters, affinity="precomputed", n_init=25, random_state=0)
    return peer.fit_predict(dense_adjacency(graph))


@pytest.mark.parametrize("select", ["ncut", "inertia"])
@pytest.mark.parametrize("shortcut", [False, True])
def test_agrees_with_scikit_learn_on_planted_partitions(shortcut, select):
    graph, _ = planted([30, 24, 24, 10], 4, seed=5, between=0.2)
    if shortcut:
        graph = with_shortcut(graph, 6)
    ours = spectral_partition(graph, 4, seed=0, select=select).labels
    assert adjusted_rand_score(scikit_learn(graph, 4), ours) == 1


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_as_low_an_ncut_as_scikit_learn(seed):
    graph = random_layered([100, 64, 64, 10], seed, keep=0.3)
    ours = ncut(graph, spectral_partition(graph, 6, seed=seed).labels)
    peers = ncut(graph, scikit_learn(graph, 6))
    assert peers >= 0.99 * ours
    assert ours >= 0.9 * peers  # no lower than is plausible either


def test_isolated_units_have_no_cluster():
    graph, truth = planted([20, 16, 12], 3, seed=2)
    first, second = (block.weights.copy() for block in graph.edges)
    first[[4, 7]] = 0  # units 4 and 7 of the first layer
    first[:, 5] = second[5] = 0  # unit 5 of the second, number 25
    isolated = [4, 7, 25]
    labels = spectral_partition(graph.with_weights([first, second]), 3, seed=0).labels
    assert np.flatnonzero(labels == -1).tolist() == isolated
    others = np.setdiff1d(np.arange(48), isolated)
    assert adjusted_rand_score(truth[others], labels[others]) == 1


def test_as_many_clusters_as_units():
    graph = random_layered([3, 2], seed=0)
    assert sorted(spectral_partition(graph, 5, seed=0).labels.tolist()) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("select", ["ncut", "inertia"])
def test_seed_fixes_every_label(select):
    graph = random_layered([50, 40, 10], seed=0)
    first, again, other = (
        spectral_partition(graph, 8, seed=seed, n_init=2, select=select).labels
        for seed in (0, 0, 1)
    )
    assert first.tobytes() == again.tobytes()
    assert first.tobytes() != other.tobytes()


def test_more_starts_never_raise_the_ncut():
    graph = random_layered([50, 40, 10], seed=0)
    values = [
        ncut(graph, spectral_partition(graph, 8, seed=0, n_init=n).labels) for n in range(1, 9)
    ]
    assert values == sorted(values, reverse=True)
    assert values[-1] < values[0]


def inertia(embedding, labels):
    """Sum of squared distances to the means of the clusters."""
    return sum(
        ((embedding[labels == label] - embedding[labels == label].mean(axis=0)) ** 2).sum()
        for label in np.unique(labels)
    )


def test_select():
    """Each way to select is the better one by its own measure."""
    graph = random_layered([50, 40, 10], seed=0)
    embedding = spectral_embedding(graph, 4)
    by_ncut, by_inertia = (
        spectral_partition(graph, 4, seed=0, n_init=20, select=select).labels
        for select in ("ncut", "inertia")
    )
    assert ncut(graph, by_ncut) < ncut(graph, by_inertia)
    assert inertia(embedding, by_inertia) < inertia(embedding, by_ncut)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"n_clusters": 1}, "n_clusters=1; expected an integer of 2 or more"),
        ({"n_clusters": 0}, "n_clusters=0"),
        ({"n_clusters": -3}, "n_clusters=-3"),
        ({"n_clusters": True}, "n_clusters=True"),
        ({"n_clusters": 2.0}, "n_clusters=2.0"),
        ({"n_clusters": "2"}, "n_clusters='2'"),
        ({"n_clusters": 5}, "n_clusters=5; expected 2 to 4, the number of units that have edges"),
        ({"n_init": 0}, "n_init=0; expected an integer of 1 or more"),
        ({"n_init": True}, "n_init=True"),
        ({"select": "lowest"}, "select='lowest'; expected ncut or inertia"),
        ({"seed": -1}, "seed=-1"),
    ],
)
def test_refused(changes, message):
    graph = layered([[1, 2, 0], [3, 4, 0]])  # five units, one of them isolated
    with pytest.raises(InvalidInputError, match=message):
        spectral_partition(graph, **{"n_clusters": 2, "seed": 0, **changes})

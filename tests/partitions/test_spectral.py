"""Spectral clustering beside scikit-learn and planted partitions."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import scipy.linalg
from sklearn.cluster import SpectralClustering
from sklearn.metrics import adjusted_rand_score
from threadpoolctl import threadpool_limits

from nn_clustering.errors import InvalidInputError
from nn_clustering.graphs import Edges, Layer, UnitGraph
from nn_clustering.partitions import (
    ncut,
    spectral_clustering,
    spectral_embedding,
    spectral_partition,
)
from nn_clustering.partitions._spectral import _lowest_of_fullest
from tests.graphs.sample_graphs import (
    dense_adjacency,
    layered,
    mirrored,
    planted,
    random_layered,
    with_shortcut,
)


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


@pytest.mark.parametrize("precision", [np.float32, np.float64])
def test_planted_partition_of_activations(precision):
    """One full matrix of edges within a layer, as squared correlations give it."""
    random = np.random.default_rng(0)
    truth = np.arange(400) % 5
    weights = random.uniform(0.01, 0.1, (400, 400)) + 0.3 * (truth[:, None] == truth)
    within = Edges(0, 0, mirrored(weights).astype(precision))
    graph = UnitGraph((Layer("units", 400),), (within,))
    assert adjusted_rand_score(truth, spectral_partition(graph, 5, seed=0).labels) == 1


def test_many_clusters():
    graph, truth = planted([300, 300, 200], 100, 0, between=0.005)
    assert adjusted_rand_score(truth, spectral_partition(graph, 100, seed=0).labels) == 1


def test_more_clusters_than_components():
    """Two clusters are the components; the third cuts the one that falls apart most easily."""
    random = np.random.default_rng(0)
    weights = scipy.linalg.block_diag(
        random.uniform(0.5, 1, (20, 15)),
        scipy.linalg.block_diag(*random.uniform(0.5, 1, (2, 12, 10))) + 0.01,
    )
    weights[:20, 15:] = weights[20:, :15] = 0
    truth = np.repeat([0, 1, 2, 0, 1, 2], [20, 12, 12, 15, 10, 10])
    found = spectral_clustering(layered(weights), 3, seed=0)
    assert adjusted_rand_score(truth, found.partition.labels) == 1
    assert found.eigenvalues[:2] == pytest.approx([0, 0], abs=1e-9)
    assert 0.01 < found.eigenvalues[2] < 0.1 < found.eigenvalues[3]
    # fewer clusters than components cut nothing
    two = spectral_clustering(layered(scipy.linalg.block_diag(*np.ones((5, 2, 3)))), 2, seed=0)
    assert two.ncut == pytest.approx(0, abs=1e-6)
    assert sorted(set(two.partition.labels.tolist())) == [0, 1]


def scikit_learn(graph, n_clusters, assign_labels="kmeans"):
    peer = SpectralClustering(
        n_clusters,
        affinity="precomputed",
        n_init=25,
        random_state=0,
        assign_labels=assign_labels,
    )
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


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_cluster_qr_is_scikit_learns(seed):
    graph = random_layered([60, 40, 10], seed, keep=0.3).without_isolated()
    ours = spectral_clustering(graph, 5, seed=0, assign_labels="cluster_qr")
    theirs = scikit_learn(graph, 5, "cluster_qr")
    assert adjusted_rand_score(theirs, ours.partition.labels) == 1
    assert ours.start_ncuts.tolist() == [ours.ncut]
    assert ours.ncut == pytest.approx(ncut(graph, theirs))


def test_as_low_an_inertia_as_scikit_learn():
    """Among 25 random starts each, on average over seeds."""
    graph = random_layered([100, 64, 64, 10], 3)
    embedding = spectral_embedding(graph, 12)
    ours = [
        inertia(
            embedding,
            spectral_partition(graph, 12, seed=seed, n_init=25, select="inertia").labels,
        )
        for seed in range(5)
    ]
    assert np.mean(ours) <= 1.005 * inertia(embedding, scikit_learn(graph, 12))


def test_spread_over_starts():
    graph = random_layered([50, 40, 10], seed=0)
    found = spectral_clustering(graph, 8, seed=0, n_init=6)
    assert found.start_ncuts.shape == (6,)
    assert found.ncut == found.start_ncuts.min() < found.start_ncuts.max()
    assert found.ncut == pytest.approx(ncut(graph, found.partition.labels))
    by_inertia = spectral_clustering(graph, 8, seed=0, n_init=6, select="inertia")
    assert by_inertia.ncut == pytest.approx(ncut(graph, by_inertia.partition.labels))
    assert by_inertia.ncut in by_inertia.start_ncuts


def test_eigenvalues_of_the_laplacian():
    graph = random_layered([30, 20, 10], seed=0)
    adjacency = dense_adjacency(graph)
    expected = scipy.linalg.eigvalsh(np.diag(graph.degrees) - adjacency, np.diag(graph.degrees))
    found = spectral_clustering(graph, 6, seed=0).eigenvalues
    assert found == pytest.approx(expected[:7], abs=1e-9)


def digits(graph, n_clusters=4):
    found = spectral_clustering(graph, n_clusters, seed=0)
    values = (found.partition.labels, found.start_ncuts, found.eigenvalues)
    return b"".join(value.tobytes() for value in values)


def test_same_digits_whatever_the_number_of_threads():
    graph = random_layered([330, 310, 20], seed=0)
    n_clusters = [4, 16, 6, 12, 8]  # which take their time, so that one ends while another runs
    with threadpool_limits(1):
        alone = [digits(graph, n) for n in n_clusters]
    with threadpool_limits(2):
        assert [digits(graph, n) for n in n_clusters] == alone
        with ThreadPoolExecutor(2) as side_by_side:
            found = list(side_by_side.map(digits, [graph] * 5, n_clusters))
    # compared one by one: pytest would spell out every byte
    assert [here == there for here, there in zip(found, alone, strict=True)] == [True] * 5


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
        spectral_partition(graph, 8, seed=seed, n_init=6, select=select).labels
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
        ({"assign_labels": "kmean"}, "assign_labels='kmean'; expected kmeans or cluster_qr"),
        ({"seed": -1}, "seed=-1"),
    ],
)
def test_refused(changes, message):
    graph = layered([[1, 2, 0], [3, 4, 0]])  # five units, one of them isolated
    with pytest.raises(InvalidInputError, match=message):
        spectral_partition(graph, **{"n_clusters": 2, "seed": 0, **changes})


@pytest.mark.parametrize("graph", [layered(np.zeros((3, 2))), UnitGraph((Layer("units", 5),), ())])
def test_graph_without_edges_is_refused(graph):
    with pytest.raises(InvalidInputError, match="a graph of 5 units without any edge"):
        spectral_partition(graph, 2, seed=0)


def test_start_that_leaves_clusters_empty_is_not_kept():
    """Its n-cut is lower because it is that of fewer clusters."""
    starts = np.array([[0, 0, 1, 1, 2, 2], [0, 0, 0, 1, 1, 1], [0, 1, 1, 2, 2, 2]], np.int32)
    assert _lowest_of_fullest(np.array([1.5, 0.5, 1.25]), starts) == 2

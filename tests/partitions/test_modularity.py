"""Modularity by hand and by networkx; Leiden and Louvain on planted partitions."""

import networkx
import numpy as np
import pytest
from hypothesis import assume, given, strategies as st
from sklearn.metrics import adjusted_rand_score

from nn_clustering.errors import InvalidInputError
from nn_clustering.partitions import make_partition, modularity
from tests.graphs.sample_graphs import (
    as_networkx,
    dense_adjacency,
    layered,
    planted,
    random_layered,
    unit_graphs,
)


def test_two_components_by_hand():
    """Edges of 2 and 3: the clusters' shares of all degrees are 4/10 and 6/10."""
    graph = layered([[2, 0], [0, 3]])
    components = np.array([0, 1, 0, 1])
    assert modularity(graph, components) == pytest.approx(1 - 0.4**2 - 0.6**2)
    assert modularity(graph, components, resolution=2.5) == pytest.approx(1 - 2.5 * 0.52)
    assert modularity(graph, np.zeros(4, int)) == pytest.approx(0)
    # the two layers: nothing is within, and each has half of all degrees
    assert modularity(graph, np.array([0, 0, 1, 1])) == pytest.approx(-0.5)


@st.composite
def labelled_graphs(draw):
    graph = draw(unit_graphs())
    assume(dense_adjacency(graph).any())
    labels = draw(st.lists(st.integers(0, 3), min_size=graph.n_units, max_size=graph.n_units))
    isolated = ~dense_adjacency(graph).any(axis=1)
    return graph, np.where(isolated, -1, labels)


@given(labelled_graphs(), st.sampled_from([0.3, 1.0, 2.0]))
def test_networkx(case, resolution):
    graph, labels = case
    peer = as_networkx(graph)
    communities = [set(np.flatnonzero(labels == label).tolist()) for label in range(-1, 4)]
    expected = networkx.community.modularity(peer, communities, resolution=resolution)
    assert modularity(graph, labels, resolution=resolution) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("method", ["leiden", "louvain"])
@pytest.mark.parametrize(("n_clusters", "seed"), [(2, 0), (4, 1), (6, 2)])
def test_planted_partition_is_recovered(method, n_clusters, seed):
    """Their number is found too: the one that is handed over does not count."""
    graph, truth = planted([60, 40, 40, 12], n_clusters, seed)
    partition = make_partition(graph, method, 3, seed=seed)
    assert adjusted_rand_score(truth, partition.labels) == 1
    assert partition.n_clusters == n_clusters
    assert partition.cluster_sizes() == sorted(partition.cluster_sizes(), reverse=True)


@pytest.mark.parametrize("method", ["leiden", "louvain"])
def test_modularity_is_as_high_as_networkx_finds(method):
    graph = random_layered([40, 30, 10], seed=0, keep=0.2)
    found = make_partition(graph, method, 2, seed=0)
    kept = graph.without_isolated()
    peers = networkx.community.louvain_communities(as_networkx(kept), seed=0)
    best = networkx.community.modularity(as_networkx(kept), peers)
    assert modularity(graph, found.labels) > 0.98 * best


@pytest.mark.parametrize("method", ["leiden", "louvain"])
def test_larger_resolution_makes_more_clusters(method):
    graph = random_layered([40, 30, 10], seed=0, keep=0.3)
    numbers = [
        make_partition(graph, method, 2, seed=0, resolution=resolution).n_clusters
        for resolution in (0.01, 1.0, 3.0)
    ]
    assert numbers[0] == 1
    assert numbers[0] < numbers[1] < numbers[2]


@pytest.mark.parametrize("method", ["leiden", "louvain"])
def test_more_starts_never_lower_the_modularity(method):
    graphs = [random_layered([60, 50, 30, 10], seed, keep=0.1) for seed in range(5)]
    one, four = (
        [modularity(g, make_partition(g, method, 2, seed=0, n_init=n).labels) for g in graphs]
        for n in (1, 4)
    )
    assert all(np.greater_equal(four, one))
    assert max(np.subtract(four, one)) > 0


@pytest.mark.parametrize("method", ["leiden", "louvain"])
def test_isolated_units_have_no_cluster(method):
    graph = layered([[2, 0, 0], [0, 3, 0], [0, 0, 0]])
    labels = make_partition(graph, method, 2, seed=0).labels
    assert np.flatnonzero(labels == -1).tolist() == [2, 5]
    assert labels[0] == labels[3] != labels[1] == labels[4]


def test_labels_that_do_not_fit_are_refused():
    graph = layered([[2, 0], [0, 3]])
    with pytest.raises(InvalidInputError, match=r"shape \(3,\); expected one for each of 4"):
        modularity(graph, np.zeros(3, int))
    with pytest.raises(InvalidInputError, match="a unit that has edges is in no cluster"):
        modularity(graph, np.array([0, 1, 0, -1]))
    with pytest.raises(InvalidInputError, match="without edges has no modularity"):
        modularity(layered(np.zeros((2, 2))), np.full(4, -1))

"""N-cuts and eigenvalues over k, beside numpy's eigenvalues and each clustering alone."""

import numpy as np
import pytest
from hypothesis import assume, given, settings

from nn_clustering.errors import InvalidInputError
from nn_clustering.partitions import (
    ClusterNumbers,
    cluster_numbers,
    in_out_ratio,
    ncut,
    spectral_partition,
)
from tests.graphs.sample_graphs import (
    dense_adjacency,
    layered,
    planted,
    random_layered,
    unit_graphs,
)


def laplacian_eigenvalues(graph):
    """All eigenvalues of I - D^-1/2 A D^-1/2, ascending."""
    adjacency = dense_adjacency(graph)
    degrees = adjacency.sum(axis=1)
    return np.linalg.eigvalsh(
        np.eye(len(adjacency)) - adjacency / np.sqrt(np.outer(degrees, degrees))
    )


def test_figures_by_hand():
    found = ClusterNumbers((2, 3), np.array([1.0, 2.4]), np.array([0, 0.1, 0.15, 0.9]))
    assert found.ncuts_per_cluster.tolist() == pytest.approx([0.5, 0.8])
    assert found.eigengaps.tolist() == pytest.approx([0.05, 0.75])
    assert found.suggested == 3
    table = found.table()
    assert table["n_clusters"].tolist() == [2, 3]
    assert table["ncut"].tolist() == [1.0, 2.4]
    assert table["ncut_per_cluster"].tolist() == pytest.approx([0.5, 0.8])
    # (1 - 0.5) / (2 * 0.5) and (1 - 0.8) / (2 * 0.8)
    assert table["in_out_ratio"].tolist() == pytest.approx([0.5, 0.125])
    assert table["eigenvalue"].tolist() == [0.1, 0.15]
    assert table["eigengap"].tolist() == pytest.approx([0.05, 0.75])


@given(unit_graphs())
@settings(max_examples=40)
def test_eigenvalues_of_any_graph(graph):
    graph = graph.without_isolated()
    assume(graph.n_units > 2)
    expected = laplacian_eigenvalues(graph)
    found = cluster_numbers(graph, [2], seed=0, n_init=1).eigenvalues
    assert found.tolist() == pytest.approx(expected[:3].tolist(), abs=1e-7)
    # as many clusters as units: there is no eigenvalue above, and so no gap
    found = cluster_numbers(graph, [graph.n_units], seed=0, n_init=1)
    assert found.eigenvalues.tolist() == pytest.approx(expected.tolist(), abs=1e-7)
    assert np.isnan(found.eigengaps).all()
    assert found.suggested is None


def test_every_number_is_clustered_as_alone():
    graph = random_layered([20, 16, 10], seed=0)
    calls = []
    found = cluster_numbers(
        graph, [2, 4, 7], seed=3, n_init=2, on_clustering=lambda k, value: calls.append((k, value))
    )
    for k, value in zip(found.ks, found.ncuts, strict=True):
        alone = spectral_partition(graph, k, seed=3, n_init=2)
        assert value == pytest.approx(ncut(graph, alone.labels), rel=1e-12)
        assert in_out_ratio(value, k) > 0
    assert calls == list(zip(found.ks, found.ncuts.tolist(), strict=True))


@pytest.mark.parametrize("n_clusters", [3, 5])
def test_planted_number_is_suggested(n_clusters):
    graph, _ = planted([40, 30, 20], n_clusters, seed=0)
    found = cluster_numbers(graph, range(2, 9), seed=0, n_init=1)
    assert found.suggested == n_clusters


def test_isolated_units_do_not_count():
    graph = planted([12, 9], 3, seed=0)[0]
    padded = layered(np.pad(graph.edges[0].weights, ((0, 3), (0, 2))))
    one, other = (cluster_numbers(g, [2, 3], seed=0) for g in (graph, padded))
    assert one.ncuts.tolist() == pytest.approx(other.ncuts.tolist())
    assert one.eigenvalues.tolist() == pytest.approx(other.eigenvalues.tolist(), abs=1e-9)


@pytest.mark.parametrize(
    ("ks", "message"),
    [
        ([], r"ks=\[\]; expected numbers of clusters, ascending"),
        ([3, 2], r"ks=\[3, 2\]"),
        ([2, 2], r"ks=\[2, 2\]"),
        ([1, 2], "n_clusters=1; expected an integer of 2"),
        ([2, 2.5], "n_clusters=2.5"),
        ([2, 6], "6 clusters; expected at most 5, the number of units that have edges"),
    ],
)
def test_refused(ks, message):
    graph = layered([[1, 2, 0], [3, 4, 0], [5, 6, 0]])
    with pytest.raises(InvalidInputError, match=message):
        cluster_numbers(graph, ks, seed=0)

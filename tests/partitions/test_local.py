"""Local clustering: the graphs by hand, planted partitions layer by layer, the rule for k."""

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score

from nn_clustering.errors import InvalidInputError
from nn_clustering.graphs import Edges, Layer, UnitGraph
from nn_clustering.partitions import Partition, local_partition, ncut, spectral_partition
from nn_clustering.partitions._local import local_centres, local_graph
from nn_clustering.seeds import integer_seed
from tests.graphs.sample_graphs import layered, mirrored, planted, random_layered

CHAIN = random_layered([9, 8, 7, 6, 5], seed=0)


def part_of(graph, layers):
    """A graph of some consecutive layers of a chain, made anew from its matrices."""
    return layered(*[graph.edges[index].weights for index in layers[:-1]])


def whole_of(graph, n_clusters, seed=0):
    return spectral_partition(graph, n_clusters, seed=seed)


def test_chain_is_clustered_in_runs_of_three_layers():
    """Methods F1: middle layers by the matrices at both sides, ends by the end graphs."""
    counts = [4, 3, 2, 4, 3]
    dealt = [np.arange(layer.n_units) % k for layer, k in zip(CHAIN.layers, counts, strict=True)]
    whole = Partition(CHAIN.layers, np.concatenate(dealt).astype(np.int32), 4)
    found = local_partition(CHAIN, whole, seed=5)
    assert local_centres(CHAIN) == (1, 1, 2, 3, 3)
    labels = [labels for _, labels in found.partition.by_layer()]
    for middle in (1, 2, 3):
        run = part_of(CHAIN, [middle - 1, middle, middle + 1])
        seed = integer_seed(5, "local clustering", middle)
        peer = spectral_partition(run, counts[middle], seed=seed)
        parts = [of_layer for _, of_layer in peer.by_layer()]
        assert adjusted_rand_score(parts[1], labels[middle]) == 1
        assert found.ncuts[middle] == pytest.approx(ncut(run, peer.labels))
        assert found.n_clusters[middle] == counts[middle]
        if middle == 1:
            assert adjusted_rand_score(parts[0], labels[0]) == 1
            assert found.ncuts[0] == found.ncuts[1]
        if middle == 3:
            assert adjusted_rand_score(parts[2], labels[4]) == 1
            assert found.ncuts[4] == found.ncuts[3]
    assert found.mean_ncut == pytest.approx(np.mean(found.ncuts))


def test_ends_of_a_chain_by_their_own_graphs():
    """Methods F3."""
    assert local_centres(CHAIN, ends="own") == (0, 1, 2, 3, 4)
    found = local_partition(CHAIN, whole_of(CHAIN, 3), seed=5, n_clusters_of_layer=3, ends="own")
    peer = spectral_partition(
        part_of(CHAIN, [0, 1]), 3, seed=integer_seed(5, "local clustering", 0)
    )
    assert found.ncuts[0] == pytest.approx(ncut(part_of(CHAIN, [0, 1]), peer.labels))
    with pytest.raises(InvalidInputError, match="ends='both'; expected one of neighbour, own"):
        local_centres(CHAIN, ends="both")


def test_graph_around_a_layer_of_a_chain_is_the_run_of_three():
    around = local_graph(CHAIN, 2)
    run = part_of(CHAIN, [1, 2, 3])
    assert around.without_isolated().edges[0].weights.tolist() == run.edges[0].weights.tolist()
    assert around.without_isolated().edges[1].weights.tolist() == run.edges[1].weights.tolist()
    assert len(around.edges) == 2
    assert np.flatnonzero(~around.isolated).tolist() == list(range(9, 30))


def test_graph_around_a_layer_with_shortcuts():
    """Methods F3: every layer that it reads or is read by; layers 0 and 2 are joined too."""
    shortcut = Edges(0, 2, np.ones((9, 7)))
    graph = UnitGraph(CHAIN.layers, (*CHAIN.edges, shortcut))
    assert local_centres(graph) == (0, 1, 2, 3, 4)
    neighbours = {
        layer: {(block.source, block.target) for block in local_graph(graph, layer).edges}
        for layer in range(5)
    }
    assert neighbours == {
        0: {(0, 1), (0, 2)},
        1: {(0, 1), (1, 2)},
        2: {(1, 2), (2, 3), (0, 2)},
        3: {(2, 3), (3, 4)},
        4: {(3, 4)},
    }


def test_small_chains():
    """Of three layers there is one graph; of two each layer is the middle of its own."""
    assert local_centres(random_layered([3, 4, 2], seed=0)) == (1, 1, 1)
    assert local_centres(random_layered([3, 4], seed=0)) == (0, 1)


def activation_graph(seed=0):
    """Clusters planted within each of two layers, which the edges between them contradict."""
    random = np.random.default_rng(seed)
    truth = [random.permutation(np.arange(12) % 3), random.permutation(np.arange(10) % 2)]
    within = [mirrored(np.where(labels[:, None] == labels, 0.9, 0.05)) for labels in truth]
    layers = (Layer("one", 12), Layer("other", 10))
    between = Edges(0, 1, random.uniform(0.5, 1, (12, 10)))
    return UnitGraph(layers, (Edges(0, 0, within[0]), Edges(1, 1, within[1]), between)), truth


def test_activations_are_clustered_layer_by_layer():
    """Methods F2, with a number of clusters for each layer."""
    graph, truth = activation_graph()
    whole = Partition(graph.layers, np.concatenate(truth).astype(np.int32), 3)
    found = local_partition(graph, whole, seed=0)
    assert found.n_clusters == (3, 2)
    # clusters bear the names of the global ones
    assert found.partition.labels.tolist() == whole.labels.tolist()
    for index, value in enumerate(found.ncuts):
        alone = UnitGraph((graph.layers[index],), (Edges(0, 0, graph.edges[index].weights),))
        assert value == pytest.approx(ncut(alone, truth[index]))


@pytest.mark.parametrize("n_clusters", [2, 3])
def test_planted_partition_is_recovered_in_every_layer(n_clusters):
    graph, truth = planted([30, 24, 18, 12], n_clusters, seed=1)
    whole = whole_of(graph, n_clusters)
    found = local_partition(graph, whole, seed=0)
    assert found.n_clusters == (n_clusters,) * 4
    assert adjusted_rand_score(truth, found.partition.labels) == 1
    assert found.partition.labels.tolist() == whole.labels.tolist()


def test_given_numbers_of_clusters():
    whole = whole_of(CHAIN, 3)
    assert local_partition(CHAIN, whole, seed=0, n_clusters_of_layer=4).n_clusters == (4,) * 5
    found = local_partition(CHAIN, whole, seed=0, n_clusters_of_layer=[1, 2, 3, 4, 5])
    # the first and the last layer take their labels from their neighbours' graphs
    assert found.n_clusters == (2, 2, 3, 4, 4)
    assert found.partition.n_clusters == 5
    one = local_partition(CHAIN, whole, seed=0, n_clusters_of_layer=1)
    assert one.ncuts == (0,) * 5
    # no graph has more clusters than units
    assert local_partition(CHAIN, whole, seed=0, n_clusters_of_layer=99).n_clusters == (
        *(9 + 8 + 7,) * 2, 8 + 7 + 6, *(7 + 6 + 5,) * 2,
    )  # fmt: skip


def test_layer_that_reads_itself_is_clustered_with_what_lies_around_it():
    """As recurrent layers of a chain do; its ends take their neighbours' labels."""
    layers = (Layer("one", 3), Layer("two", 4), Layer("three", 2))
    within = mirrored(np.ones((4, 4)))
    edges = (Edges(0, 1, np.ones((3, 4))), Edges(1, 1, within), Edges(1, 2, np.ones((4, 2))))
    graph = UnitGraph(layers, edges)
    assert local_centres(graph) == (1, 1, 1)
    assert local_graph(graph, 1).edges == edges
    assert [block.target for block in local_graph(graph, 0).edges] == [1]


def test_units_without_edges_around_their_layer_have_no_cluster():
    """Unit 0 of the first layer, and the whole third layer, have none among their own layer."""
    within = mirrored(np.ones((4, 4)))
    within[0] = within[:, 0] = 0
    layers = (Layer("one", 4), Layer("two", 2), Layer("three", 1))
    edges = (
        Edges(0, 0, within),
        Edges(1, 1, mirrored(np.ones((2, 2)))),
        Edges(0, 1, np.ones((4, 2))),
        Edges(0, 2, np.ones((4, 1))),
        Edges(1, 2, np.zeros((2, 1))),
        Edges(2, 2, np.zeros((1, 1))),
    )
    graph = UnitGraph(layers, edges)
    whole = Partition(layers, np.array([0, 1, 1, 1, 0, 0, 1], np.int32), 2)
    found = local_partition(graph, whole, seed=0)
    assert (found.partition.labels == -1).tolist() == [True, *[False] * 5, True]
    assert found.n_clusters == (2, 1, 0)
    assert np.isnan(found.ncuts).tolist() == [False, False, True]
    assert found.mean_ncut == pytest.approx(np.mean(found.ncuts[:2]))


def test_no_layer_has_edges():
    graph = layered(np.zeros((2, 2)), np.zeros((2, 2)))
    found = local_partition(graph, Partition(graph.layers, np.full(6, -1, np.int32), 2), seed=0)
    assert (found.partition.labels == -1).all()
    assert np.isnan(found.mean_ncut)


def test_seed_fixes_every_label():
    graph = random_layered([20, 16, 12, 8], seed=2)
    whole = whole_of(graph, 4)
    labels = [
        local_partition(graph, whole, seed=seed, select="inertia", n_init=1).partition.labels
        for seed in (0, 0, 1)
    ]
    assert labels[0].tolist() == labels[1].tolist()
    assert labels[0].tolist() != labels[2].tolist()


@pytest.mark.parametrize("given", [0, True, [1, 2], [1, 2, 3, 4, 0], [1, 2, 3, 4, "5"]])
def test_wrong_numbers_of_clusters_are_refused(given):
    with pytest.raises(InvalidInputError, match="n_clusters_of_layer="):
        local_partition(CHAIN, whole_of(CHAIN, 3), seed=0, n_clusters_of_layer=given)


def test_partition_of_another_graph_is_refused():
    with pytest.raises(InvalidInputError, match="other layers than the graph"):
        local_partition(CHAIN, whole_of(part_of(CHAIN, [0, 1, 2]), 2), seed=0)

"""Graphs of the ImageNet networks under both rules, edge by edge beside a second way to them.

The ImageNet networks have random weights; trained ones are those that packages ship.
"""

import numpy as np
import pytest

from nn_clustering.graphs import graph_from_weights, graph_of_weights
from nn_clustering.networks.structure import read_weights
from nn_clustering.partitions import spectral_clustering
from nn_clustering.seeds import generator
from nn_clustering.significance import shuffle
from tests.graphs.layer_graph_probe import LayerGraph, at_random, built
from tests.networks import package_networks

SIZES = {  # sets of units and blocks of edges
    "resnet18": {"one_set": (17, 28), "copied": (21, 37)},
    "inceptionv3": {"one_set": (94, 225), "copied": (231, 555)},
    "mobilenetv2": {"one_set": (35, 50), "copied": (35, 50)},
    "densenet121": {"one_set": (120, 638), "copied": (655, 1911)},
    "emotion_classifier": {"one_set": (11, 14), "copied": (15, 21)},
    "face_detector": {"one_set": (4, 3), "copied": (4, 3)},
}
PUBLISHED = {
    "n_clusters": 12, "seed": 0, "n_init": 100, "select": "inertia", "volume_constant": 1e-8,
}  # fmt: skip


@pytest.fixture(scope="module", params=SIZES)
def network(request):
    if request.param == "resnet18":
        pytest.importorskip("classification_models")
    if hasattr(package_networks, request.param):
        found = getattr(package_networks, request.param)()
    else:
        found = at_random(built(request.param), seed=2)
    return request.param, read_weights(found), LayerGraph(found, "max_column_sum")


@pytest.mark.parametrize("residual", ["one_set", "copied"])
def test_every_edge_beside_weights_carried_along_the_layers(network, residual):
    name, weights, layer_graph = network
    graph = graph_of_weights(weights, kernel_norm="max_column_sum", residual=residual)
    assert (len(graph.layers), len(graph.edges)) == SIZES[name][residual]
    expected = getattr(layer_graph, residual)()
    found = {
        (graph.layers[edges.source].name, graph.layers[edges.target].name): edges.weights
        for edges in graph.edges
    }
    assert found.keys() == expected.keys()
    for pair, block in expected.items():
        np.testing.assert_allclose(found[pair], block, rtol=1e-4, err_msg=str(pair))


def test_trained_vgg16_beside_the_published_one():
    """The published one has an n-cut of 7.800, its shuffles 8.213; this one is tuned for edges."""
    network = package_networks.edge_detector()
    graph = graph_from_weights(network, kernel_norm="max_column_sum", residual="copied")
    assert [layer.n_units for layer in graph.layers] == [
        64, 64, 128, 128, 256, 256, 256, 512, 512, 512, 512, 512, 512,
    ]  # fmt: skip
    shuffled = [shuffle(graph, "layer", generator(0, "shuffle", index)) for index in range(2)]
    own, *others = (spectral_clustering(one, **PUBLISHED).ncut for one in (graph, *shuffled))
    assert own == pytest.approx(7.800, abs=0.1)
    assert others == pytest.approx([8.213, 8.213], abs=0.1)
    # in a chain the rules agree
    as_it_arises = graph_from_weights(network, kernel_norm="max_column_sum")
    for one, other in zip(graph.edges, as_it_arises.edges, strict=True):
        assert np.array_equal(one.weights, other.weights)

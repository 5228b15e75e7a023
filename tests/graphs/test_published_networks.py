"""Graphs of the ImageNet networks under both rules, edge by edge beside a second way to them."""

import numpy as np
import pytest

from nn_clustering.graphs import graph_of_weights
from nn_clustering.networks.structure import read_weights
from tests.graphs.layer_graph_probe import LayerGraph, at_random, built

SIZES = {  # sets of units and blocks of edges
    "resnet18": {"one_set": (17, 28), "copied": (21, 37)},
    "inceptionv3": {"one_set": (94, 225), "copied": (231, 555)},
    "mobilenetv2": {"one_set": (35, 50), "copied": (35, 50)},
    "densenet121": {"one_set": (120, 638), "copied": (655, 1911)},
}


@pytest.fixture(scope="module", params=SIZES)
def network(request):
    if request.param == "resnet18":
        pytest.importorskip("classification_models")
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

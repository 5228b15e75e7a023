"""Factors that are known."""

from keras import layers

from nn_clustering.graphs import graph_from_weights
from tests.networks.sample_networks import (
    dense,
    sequential,
)


def test_what_scales_all_units_alike_between_layers_counts():
    network = sequential((1,), dense([[3]], "a"), layers.Rescaling(-2.0), dense([[5]], "b"))
    assert [edges.weights.item() for edges in graph_from_weights(network).edges] == [6, 5]

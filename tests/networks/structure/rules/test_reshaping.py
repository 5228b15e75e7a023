"""Flattening and other shapes."""

import pytest
from keras import layers

from nn_clustering.errors import InvalidInputError
from nn_clustering.graphs import graph_from_weights
from tests.networks.sample_networks import (
    dense,
    named,
    pointwise,
    sequential,
)


def test_maps_flattened_twice_refused():
    network = sequential(
        (2, 2, 1),
        pointwise(3, "conv"),
        layers.Flatten(),
        layers.RepeatVector(2),
        layers.Flatten(name="again"),
        layers.Dense(2),
    )
    with pytest.raises(InvalidInputError, match=r"layer 'again' .* flattened already"):
        graph_from_weights(network)


def test_pixels_of_a_flattened_input_are_units_each_and_in_order():
    network = sequential((2, 1, 2), layers.Flatten(), dense([[1], [2], [3], [4]], "dense"))
    graph = graph_from_weights(network)
    assert named(graph) == [("input", 4), ("dense", 1)]
    assert graph.edges[0].weights.tolist() == [[1], [2], [3], [4]]


def test_input_that_becomes_an_image():
    network = sequential((4,), layers.Reshape((2, 2, 1)), pointwise(2, "a"), pointwise(1, "b"))
    assert named(graph_from_weights(network)) == [("a", 2), ("b", 1)]
    assert named(graph_from_weights(network, inputs=True))[0] == ("input", 1)

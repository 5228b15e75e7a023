"""The weights of a network as arrays."""

import pickle

import numpy as np
import pytest
from keras import layers

from nn_clustering.errors import InvalidInputError
from nn_clustering.graphs import graph_of_weights
from nn_clustering.networks.structure import read_weights
from tests.networks.sample_networks import sequential, two_branches


def test_kernels_in_order():
    weights = read_weights(two_branches())
    assert weights.kernel_layers == ("first", "depthwise", "grouped", "dense")
    shapes = [(1, 1, 2, 2), (1, 1, 2, 1), (1, 1, 1, 2), (4, 3)]
    assert [kernel.shape for kernel in weights.kernels] == shapes
    assert all(kernel.dtype == np.float32 for kernel in weights.kernels)


def test_other_kernels():
    """As if the network had them; its own stay."""
    weights, other = read_weights(two_branches()), two_branches()
    exchanged = weights.with_kernels(read_weights(other).kernels)
    for found, expected in zip(
        graph_of_weights(exchanged, dense_layers=True).edges,
        graph_of_weights(read_weights(other), dense_layers=True).edges,
        strict=True,
    ):
        assert np.array_equal(found.weights, expected.weights)
    assert weights.kernels is not exchanged.kernels


def test_kernels_that_do_not_fit_refused():
    weights = read_weights(sequential((2,), layers.Dense(3)))
    with pytest.raises(
        InvalidInputError, match=r"1 kernels of shapes \[\(3, 2\)\] .* expected 1 of"
    ):
        weights.with_kernels([np.ones((3, 2))])
    with pytest.raises(InvalidInputError, match="0 kernels of shapes"):
        weights.with_kernels([])


def test_to_another_process_and_back():
    weights = read_weights(two_branches())
    copy = pickle.loads(pickle.dumps(weights))  # noqa: S301
    for found, expected in zip(
        graph_of_weights(copy).edges, graph_of_weights(weights).edges, strict=True
    ):
        assert np.array_equal(found.weights, expected.weights)

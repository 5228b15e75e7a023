"""How large a network is, told before it is built."""

import numpy as np
import pytest

from nn_clustering.errors import InvalidInputError
from nn_clustering.networks import build_network, check_network, most_units
from nn_clustering.networks._network_settings import _kernel_sizes

SIZES = [
    ("mlp", (8, 8, 1), [16, 8], [4]),
    ("mlp", (5,), [], [4]),
    ("cnn", (8, 8, 3), [16], [4, 6, 5]),
    ("cnn", (9, 9, 1), [], [4, 6]),
    ("vgg", (9, 9, 3), [16], [[4, 6], [5]]),
    ("vgg", (8, 8, 1), [7], [4, [5, 6]]),
]


@pytest.mark.parametrize(("kind", "input_shape", "hidden_units", "conv_filters"), SIZES)
def test_sizes_are_those_of_the_built_network(kind, input_shape, hidden_units, conv_filters):
    network = build_network(
        kind, input_shape, 3, seed=0, hidden_units=hidden_units, conv_filters=conv_filters
    )
    kernels = [layer.kernel for layer in network.layers if hasattr(layer, "kernel")]
    told = list(_kernel_sizes(kind, input_shape, 3, hidden_units, conv_filters))
    assert told == [int(np.prod(kernel.shape)) for kernel in kernels]
    n_units = sum(kernel.shape[-1] for kernel in kernels) + int(np.prod(input_shape))
    most = most_units(kind, input_shape, 3, hidden_units=hidden_units, conv_filters=conv_filters)
    assert most == n_units


def test_nobody_knows_how_large_a_network_of_ones_own_is():
    assert most_units("my.net", (5,), 3, hidden_units=[4], conv_filters=[4]) is None


@pytest.mark.parametrize(
    ("kind", "sizes"),
    [
        ("mlp", {"hidden_units": [10**8, 10**8], "conv_filters": []}),
        ("cnn", {"hidden_units": [], "conv_filters": [10**7, 10**7]}),
    ],
)
def test_network_that_no_memory_holds_is_refused_before_it_is_built(kind, sizes):
    with pytest.raises(InvalidInputError, match=r"weights take .*B of memory.*this machine has"):
        check_network(kind, (8, 8, 1), 10, **sizes)

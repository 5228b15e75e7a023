"""Shuffles of raw kernels: what moves, what stays, and that the graph is made of them again."""

from collections import Counter
from functools import partial

import keras
import numpy as np
import pytest

from nn_clustering.errors import InvalidInputError
from nn_clustering.graphs import graph_from_weights, graph_of_weights
from nn_clustering.networks.structure import KERNEL_NORMS, read_weights
from nn_clustering.partitions import spectral_partition
from nn_clustering.significance import shuffled_edges, shuffled_kernels, shuffled_ncuts


def convolutional(*, filters=(4, 5, 6), groups=1, seed=0):
    """An image network of three convolutions, batch norm behind the second, and a dense layer."""
    network = keras.Sequential(
        [
            keras.Input((9, 9, 1)),
            keras.layers.Conv2D(filters[0], 3, name="first"),
            keras.layers.Conv2D(filters[1], 3, name="second", groups=groups),
            keras.layers.BatchNormalization(name="norm"),
            keras.layers.Conv2D(filters[2], 2, name="third"),
            keras.layers.Flatten(),
            keras.layers.Dense(3, name="out"),
        ]
    )
    random = np.random.default_rng(seed)
    for layer in network.layers:
        layer.set_weights([random.uniform(0.1, 1, w.shape) for w in layer.get_weights()])
    return network


def entries_of(weights):
    return Counter(np.asarray(weights).ravel().tolist())


def drawn(null, seed):
    """The kernels that a null model draws, and their graph."""
    return null.kernels(np.random.default_rng(seed)), null.draw(np.random.default_rng(seed))


@pytest.mark.parametrize("method", ["layer", "layer_nonzero"])
def test_weights_of_each_kernel_are_permuted(method):
    """All positions together; the image's kernels and the dense layer's are not in the graph."""
    weights = read_weights(convolutional())
    null = shuffled_kernels(weights, method, {"kernel_norm": "spectral"})
    kernels, graph = drawn(null, 0)
    for kernel, original, moves in zip(
        kernels, weights.kernels, (False, True, True, False), strict=True
    ):
        assert entries_of(kernel) == entries_of(original)
        assert np.array_equal(kernel, original) != moves
        assert kernel.dtype == original.dtype
    # not only the order of whole 2-D kernels has changed
    assert entries_of(kernels[1].sum(axis=(0, 1))) != entries_of(
        weights.kernels[1].sum(axis=(0, 1))
    )
    expected = KERNEL_NORMS["spectral"](kernels[2].astype(float))
    assert graph.edges[1].weights == pytest.approx(expected, rel=1e-6)


def test_normalisation_is_folded_in_after_the_shuffle():
    network = convolutional()
    gamma, _, _, variance = network.get_layer("norm").get_weights()
    scale = gamma / np.sqrt(variance + network.get_layer("norm").epsilon)
    settings = {"kernel_norm": "l1", "fold_normalisation": True}
    null = shuffled_kernels(read_weights(network), "layer", settings)
    block = null.draw(np.random.default_rng(0)).edges[0].weights
    total = np.abs(network.get_layer("second").get_weights()[0]).sum()
    assert (block / scale).sum() == pytest.approx(total, rel=1e-5)
    original = graph_from_weights(network).edges[0].weights
    assert not np.allclose(block.sum(), original.sum(), rtol=1e-3)


def test_dense_kernels_are_matrices():
    """Without convolutions a kernel's weights are the edges: both null models are the same one."""
    network = keras.Sequential(
        [keras.Input((6,)), keras.layers.Dense(5, name="a"), keras.layers.Dense(4, name="b")]
    )
    by_kernels = shuffled_kernels(read_weights(network), "layer", {})
    by_edges = shuffled_edges(graph_from_weights(network), "layer")
    one, other = (null.draw(np.random.default_rng(3)) for null in (by_kernels, by_edges))
    for block, expected in zip(one.edges, other.edges, strict=True):
        assert np.array_equal(block.weights, expected.weights)


def test_weights_of_isolated_units_stay():
    """Two filters of the second convolution have no weights left; they get none."""
    network = convolutional()
    second, third = (network.get_layer(name) for name in ("second", "third"))
    for layer, zeroed in ((second, np.s_[..., [1, 3]]), (third, np.s_[..., [1, 3], :])):
        kernel, bias = layer.get_weights()
        kernel[zeroed] = 0
        layer.set_weights([kernel, bias])
    weights = read_weights(network)
    assert graph_of_weights(weights).isolated.sum() == 2
    null = shuffled_kernels(weights, "layer", {})
    for seed in range(3):
        kernels, graph = drawn(null, seed)
        assert np.array_equal(graph.isolated, graph_of_weights(weights).isolated)
        assert not kernels[1][..., [1, 3]].any()
        assert not kernels[2][:, :, [1, 3]].any()
        assert entries_of(kernels[1]) == entries_of(weights.kernels[1])
        assert entries_of(kernels[2]) == entries_of(weights.kernels[2])


@pytest.mark.parametrize("reconnect", [False, True])
def test_reconnect_last_layer(reconnect):
    network = convolutional()
    third = network.get_layer("third")
    kernel, bias = third.get_weights()
    kernel[..., :2] = 0
    third.set_weights([kernel, bias])
    null = shuffled_kernels(read_weights(network), "layer", {}, reconnect_last_layer=reconnect)
    found = null.draw(np.random.default_rng(0)).isolated.sum()
    assert found == (0 if reconnect else 2)


def test_grouped_kernels_keep_their_groups():
    """A filter reads its own half of the channels; one isolated channel is in the first half."""
    network = convolutional(filters=(4, 6, 3), groups=2)
    second = network.get_layer("second")
    kernel, bias = second.get_weights()
    assert kernel.shape == (3, 3, 2, 6)
    kernel[:, :, 1, :3] = 0  # channel 1, which the filters 0 to 2 read
    second.set_weights([kernel, bias])
    weights = read_weights(network)
    assert np.flatnonzero(graph_of_weights(weights).isolated).tolist() == [1]
    null = shuffled_kernels(weights, "layer", {})
    assert null.movable[1].tolist() == [[True] * 6, [False] * 3 + [True] * 3]
    kernels, graph = drawn(null, 0)
    assert not kernels[1][:, :, 1, :3].any()
    assert entries_of(kernels[1]) == entries_of(kernel)
    assert np.flatnonzero(graph.isolated).tolist() == [1]


def test_kernel_density_of_signed_weights():
    """Weights of both signs keep theirs: they are not made positive before the norm is taken."""
    network = convolutional(filters=(8, 8, 8))
    kernel, bias = network.get_layer("second").get_weights()
    kernel = np.where(np.random.default_rng(1).uniform(size=kernel.shape) < 0.5, -0.5, 0.5)
    network.get_layer("second").set_weights([kernel, bias])
    null = shuffled_kernels(read_weights(network), "layer_nonzero_distribution", {})
    found = null.kernels(np.random.default_rng(0))[1]
    assert (found < 0).mean() == pytest.approx(0.5, abs=0.08)
    assert np.abs(found).mean() == pytest.approx(0.5, abs=0.002)
    assert np.abs(found).std() == pytest.approx(0.01, rel=0.15)


def test_worker_processes_give_the_same():
    null = shuffled_kernels(read_weights(convolutional()), "layer", {"kernel_norm": "frobenius"})
    cluster = partial(spectral_partition, n_clusters=3)
    one, two = (
        list(shuffled_ncuts(null, cluster, range(4), seed=1, n_workers=n_workers))
        for n_workers in (1, 2)
    )
    assert one == two
    assert len(set(one)) == 4


@pytest.mark.parametrize("method", ["rewiring", "all_edges", "fresh_initialisation", "rows"])
def test_refused(method):
    with pytest.raises(InvalidInputError, match=f"{method}.*expected"):
        shuffled_kernels(read_weights(convolutional()), method, {})

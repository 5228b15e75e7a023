"""Values of attention permuted, as heads and by channel: what moves, and what stays."""

from dataclasses import replace

import numpy as np
import pytest

from nn_clustering.errors import InvalidInputError
from nn_clustering.graphs import graph_of_weights
from nn_clustering.networks.structure import InputValues, NetworkWeights, Weighted, read_weights
from nn_clustering.significance import permuted_values
from tests.graphs.plain_transformer import DESIGNS, HEAD as CHANNELS_OF_A_HEAD, build

N_STREAM, N_HEADS, HEAD, N_NEURONS = 5, 4, 3, 7


def attention_weights(*, n_heads=N_HEADS, isolated=(), blocks=2):
    """Blocks of attention and a dense layer without a stream, so that each kernel is a matrix.

    Each block: values, what reads them, neurons. ``isolated`` are value channels of the first
    block that have no weights.
    """
    random = np.random.default_rng(0)
    channels = [InputValues("input", 0, N_STREAM)]
    kernels, names = [], []
    for block in range(blocks):
        shapes = {
            f"block_{block}/value": (N_STREAM, N_HEADS * HEAD),
            f"block_{block}/output": (N_HEADS * HEAD, N_STREAM),
        }
        for name, shape in shapes.items():
            number = len(channels)
            heads = n_heads if name.endswith("value") else None
            kernels.append(random.uniform(0.1, 1, shape))
            names.append(name)
            channels.append(
                Weighted(name, number, number - 1, number - 1, len(kernels) - 1, n_heads=heads)
            )
    kernels[0][:, list(isolated)] = 0
    kernels[1][list(isolated)] = 0
    return NetworkWeights(
        "attentive", tuple(channels), (len(channels) - 1,), tuple(names), tuple(kernels)
    )


def orders(weights, method, seed, index=0, settings=None):
    """Which column of a value kernel came to each place, of shape (heads, channels)."""
    null = permuted_values(weights, method, settings or {})
    drawn = null.kernels(np.random.default_rng(seed))[index]
    original = weights.kernels[index]
    places = [np.flatnonzero((original == column[:, None]).all(axis=0)) for column in drawn.T]
    return np.array([place[0] for place in places]).reshape(N_HEADS, -1)


def test_heads_move_as_wholes():
    weights = attention_weights()
    seen = set()
    for seed in range(40):
        order = orders(weights, "heads", seed)
        heads = order[:, 0] // HEAD
        np.testing.assert_array_equal(order, heads[:, None] * HEAD + np.arange(HEAD))
        assert sorted(heads) == list(range(N_HEADS))
        seen.add(tuple(heads))
    assert len(seen) > 15  # of 24


def test_channels_move_over_all_heads():
    weights = attention_weights()
    order = orders(weights, "channels", 0)
    assert sorted(order.ravel()) == list(range(N_HEADS * HEAD))
    assert len({tuple(row // HEAD) for row in order}) == N_HEADS
    assert any(len(set(row // HEAD)) > 1 for row in order)


@pytest.mark.parametrize("method", ["heads", "channels"])
def test_only_values_move_and_each_layer_apart(method):
    weights = attention_weights()
    null = permuted_values(weights, method, {})
    drawn = null.kernels(np.random.default_rng(3))
    for index, (kernel, original) in enumerate(zip(drawn, weights.kernels, strict=True)):
        assert np.array_equal(kernel, original) == (index in (1, 3))
    first, second = (orders(weights, method, 3, index) for index in (0, 2))
    assert not np.array_equal(first, second)


@pytest.mark.parametrize("method", ["heads", "channels"])
def test_the_graph_is_made_of_them_again(method):
    weights = attention_weights()
    null = permuted_values(weights, method, {"outputs": False})
    order = orders(weights, method, 5, settings={"outputs": False}).ravel()
    graph = null.draw(np.random.default_rng(5))
    own = graph_of_weights(weights, outputs=False)
    assert [layer.name for layer in graph.layers] == [layer.name for layer in own.layers]
    into, out_of = graph.edges[:2]
    np.testing.assert_array_equal(into.weights, own.edges[0].weights[:, order])
    np.testing.assert_array_equal(out_of.weights, own.edges[1].weights)


def test_an_isolated_channel_stays():
    """Channel 4 is in the second head, which stays with it where heads move."""
    weights = attention_weights(isolated=[4])
    for seed in range(5):
        by_channel, by_head = (orders(weights, method, seed) for method in ("channels", "heads"))
        assert by_channel.ravel()[4] == 4
        assert by_head[1].tolist() == [3, 4, 5]
    graph = permuted_values(weights, "channels", {}).draw(np.random.default_rng(0))
    assert np.array_equal(graph.isolated, graph_of_weights(weights).isolated)
    assert graph.isolated.sum() == 1


def test_heads_of_grouped_queries_are_those_of_values():
    """Without inputs nothing leads into the values of the first block, which stay."""
    (design,) = (one for one in DESIGNS if one.n_value_heads == 2)
    weights = read_weights(build(design))
    for settings, moved in (({}, [1]), ({"inputs": True}, [0, 1]), ({"residual": "units"}, [0, 1])):
        null = permuted_values(weights, "heads", settings)
        names = [weights.kernel_layers[kernel] for kernel in null.movable]
        assert names == [f"block_{block}_attention/value" for block in moved]
        assert all(channels.shape == (2, CHANNELS_OF_A_HEAD) for channels in null.movable.values())


@pytest.mark.parametrize(
    ("weights", "method", "settings", "message"),
    [
        (attention_weights(), "layer", {}, "method='layer'; expected one of heads, channels"),
        (attention_weights(n_heads=None), "heads", {}, "no attention; .*method=layer"),
        (
            replace(attention_weights(n_heads=None), has_attention=True), "heads", {},
            "no attention whose values a layer makes for them alone; .*method=layer",
        ),
        (attention_weights(n_heads=1), "heads", {}, "one head of values.*method=channels"),
        (
            attention_weights(blocks=1), "heads", {"inputs": False},
            "no unit of the graph leads into .*graph.inputs=True, or with graph.residual=units",
        ),
        (
            attention_weights(isolated=[1, 4, 7], blocks=1), "heads", {},
            "isolated channels in all its heads but one.*method=layer",
        ),
    ],
)  # fmt: skip
def test_refused(weights, method, settings, message):
    with pytest.raises(InvalidInputError, match=message):
        permuted_values(weights, method, settings)

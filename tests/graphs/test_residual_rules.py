"""Streams that several layers read: as one set of units, or left out (methods C4)."""

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers, ops

from nn_clustering.errors import InvalidInputError
from nn_clustering.graphs import (
    CONTRACTED,
    by_residual_rule,
    graph_from_weights,
    graph_of_weights,
    kernel_units,
    unit_layers,
)
from nn_clustering.networks.structure import read_weights

WIDTH = 4


def randomised(network, seed=0):
    random = np.random.default_rng(seed)
    network.set_weights([random.normal(size=weights.shape) for weights in network.get_weights()])
    return network


def block(stream, name, n_neurons, norm=layers.RMSNormalization):
    normed = norm(name=f"norm_{name}")(stream)
    neurons = layers.Dense(n_neurons, activation="gelu", name=f"in_{name}")(normed)
    written = layers.Dense(WIDTH, name=f"out_{name}")(neurons)
    return layers.Add(name=f"sum_{name}")([stream, written])


@pytest.fixture(scope="module")
def network():
    """Three blocks on an embedding that is a product of two kernels, and an output."""
    inputs = keras.Input((5,))
    stream = layers.Dense(WIDTH, name="projection")(layers.Dense(3, name="embedding")(inputs))
    for name, n_neurons in zip("abc", (6, 7, 8), strict=True):
        stream = block(stream, name, n_neurons)
    last = layers.RMSNormalization(name="norm")(stream)
    return randomised(keras.Model(inputs, layers.Dense(3, name="output")(last)))


def edges(network, **settings):
    graph = graph_from_weights(network, **settings)
    names = [layer.name for layer in graph.layers]
    return {(names[b.source], names[b.target]): b.weights for b in graph.edges}


def by_paths(network, source, target):
    """Return |sum over paths| of products of weights from one layer's units to another's."""
    kernel = {
        layer.name: np.array(layer.kernel)
        for layer in network.layers
        if layer.weights and isinstance(layer, layers.Dense)
    }
    written = {"input": ["embedding", "projection"]} | {f"in_{n}": [f"out_{n}"] for n in "abc"}
    gamma = {f"in_{n}": f"norm_{n}" for n in "abc"} | {"output": "norm"}
    scale = np.array(network.get_layer(gamma[target]).scale)
    ways = [kernel[name] for name in written[source]] + [np.diag(scale), kernel[target]]
    found = np.zeros((ways[0].shape[0], ways[-1].shape[1]))
    sizes = [*(len(way) for way in ways), ways[-1].shape[1]]
    for places in itertools.product(*map(range, sizes)):
        steps = zip(ways, itertools.pairwise(places), strict=True)
        found[places[0], places[-1]] += np.prod([way[step] for way, step in steps])
    return np.abs(found)


def test_contracted_edges_beside_a_loop_over_paths(network):
    found = edges(network, residual="contracted", inputs=True)
    order = ["input", "in_a", "in_b", "in_c", "output"]
    assert set(found) == set(itertools.combinations(order, 2))
    for pair, weights in found.items():
        np.testing.assert_allclose(weights, by_paths(network, *pair), rtol=2e-6, atol=1e-6)
    fewer = edges(network, residual="contracted", inputs=False, outputs=False)
    assert set(fewer) == set(itertools.combinations(order[1:4], 2))
    np.testing.assert_array_equal(fewer["in_a", "in_c"], found["in_a", "in_c"])


@pytest.mark.parametrize(
    ("most_in_single", "precision", "digits"), [(2**28, np.float32, 20), (0, np.float16, 10)]
)
def test_large_contracted_graphs_have_fewer_digits(
    network, monkeypatch, most_in_single, precision, digits
):
    expected = edges(network, residual="contracted", inputs=True)
    module = "nn_clustering.graphs._contracted_edges"
    monkeypatch.setattr(f"{module}.MOST_IN_DOUBLE", 0)
    monkeypatch.setattr(f"{module}.MOST_IN_SINGLE", most_in_single)
    graph = graph_from_weights(network, residual="contracted", inputs=True)
    assert {block.stored.dtype for block in graph.edges} == {np.dtype(precision)}
    assert any(block.factors for block in graph.edges) == (most_in_single == 0)
    found = edges(network, residual="contracted", inputs=True)
    assert found.keys() == expected.keys()
    for pair, weights in expected.items():
        atol = weights.max() * 2.0**-20
        np.testing.assert_allclose(found[pair], weights, rtol=2.0**-digits, atol=atol)


def test_contracted_edges_are_derivatives_with_frozen_divisors(network):
    """What a neuron's value adds to another's sum, the neurons between held still."""
    found = edges(network, residual="contracted", inputs=True)
    get = network.get_layer

    def sums(x, neurons):
        stream = get("projection")(get("embedding")(x))
        into = {}
        for name in "abc":
            normed = stream * get(f"norm_{name}").scale
            into[f"in_{name}"] = normed @ get(f"in_{name}").kernel
            stream = stream + get(f"out_{name}")(neurons[f"in_{name}"])
        into["output"] = (stream * get("norm").scale) @ get("output").kernel
        return into

    random = np.random.default_rng(1)
    x = tf.constant(random.normal(size=(1, 5)), tf.float32)
    sizes = {"in_a": 6, "in_b": 7, "in_c": 8}
    neurons = {
        name: tf.constant(random.normal(size=(1, n)), tf.float32) for name, n in sizes.items()
    }
    with tf.GradientTape(persistent=True) as tape:
        tape.watch([x, *neurons.values()])
        made = sums(x, neurons)
    for (source, target), weights in found.items():
        slopes = tape.jacobian(made[target], x if source == "input" else neurons[source])
        np.testing.assert_allclose(weights, np.abs(slopes[0, :, 0]).T, rtol=1e-4, atol=1e-5)


def test_a_stream_is_one_set_that_each_layer_joins_once(network):
    graph = graph_from_weights(network, residual="units", inputs=True)
    names = " ".join(layer.name for layer in graph.layers)
    assert names == "input embedding projection in_a in_b in_c output"
    found = edges(network, residual="units", inputs=True)
    for name in "abc":
        read, written = (
            np.array(network.get_layer(f"{way}_{name}").kernel) for way in ("in", "out")
        )
        gamma = np.array(network.get_layer(f"norm_{name}").scale)
        both = np.abs(gamma[:, None] * read) + np.abs(written).T
        np.testing.assert_allclose(found["projection", f"in_{name}"], both, rtol=1e-6)
    assert graph.two_colouring() is not None


def test_a_layer_within_a_stream_joins_its_units_among_themselves():
    inputs = keras.Input((3,))
    stream = layers.Dense(WIDTH, name="stream")(inputs)
    stream = layers.Add()([stream, layers.Dense(WIDTH, name="mixed")(stream)])
    network = randomised(keras.Model(inputs, layers.Dense(2, name="output")(stream)))
    mixed = np.abs(np.array(network.get_layer("mixed").kernel))
    expected = mixed + mixed.T
    np.fill_diagonal(expected, 0)
    np.testing.assert_allclose(edges(network, residual="units")["stream", "stream"], expected)
    # without anything nonlinear all that is left is the way from the inputs to the outputs
    (found,) = edges(network, residual="contracted").values()
    kernel = {layer.name: np.array(layer.kernel) for layer in network.layers if layer.weights}
    whole = kernel["stream"] @ (np.eye(WIDTH) + kernel["mixed"]) @ kernel["output"]
    np.testing.assert_allclose(found, np.abs(whole), rtol=1e-5, atol=1e-6)


def test_signs_are_of_the_sum_over_ways():
    """A neuron that is added and taken away again leads nowhere."""
    inputs = keras.Input((3,))
    neurons = layers.Dense(5, activation="relu", name="neurons")(inputs)
    once = layers.Dense(WIDTH, name="once")(neurons)
    away = layers.Subtract(name="nothing")([once, ops.negative(ops.negative(once))])
    outputs = layers.Dense(2, name="output")(layers.Add()([away, layers.Dense(WIDTH)(inputs)]))
    network = randomised(keras.Model(inputs, outputs))
    assert not edges(network, residual="contracted")["neurons", "output"].any()


@pytest.mark.parametrize(
    "reversed_",
    [
        lambda x: ops.subtract(ops.ones(WIDTH), x),
        lambda x: ops.subtract(ops.zeros_like(x), x),
        lambda x: ops.subtract(ops.mean(x, axis=-1, keepdims=True), x),
    ],
    ids=["tensor", "constants", "mean"],
)
def test_what_is_taken_from_constants_has_the_other_sign(reversed_):
    inputs = keras.Input((3,))
    once = layers.Dense(WIDTH)(layers.Dense(5, activation="relu", name="neurons")(inputs))
    nothing = layers.Add(name="nothing")([once, reversed_(once)])
    outputs = layers.Dense(2, name="output")(layers.Add()([nothing, layers.Dense(WIDTH)(inputs)]))
    found = edges(randomised(keras.Model(inputs, outputs)), residual="contracted")
    assert not found["neurons", "output"].any()


def test_factors_of_a_gate_are_added_by_their_absolute_values():
    inputs = keras.Input((3,))
    stream = layers.Dense(WIDTH, name="embedding")(inputs)
    gate = layers.Dense(6, activation="silu", name="gate")(stream)
    gated = layers.Multiply(name="gated")([gate, layers.Dense(6, name="up")(stream)])
    stream = layers.Add(name="sum")([stream, layers.Dense(WIDTH, name="down")(gated)])
    network = randomised(keras.Model(inputs, layers.Dense(2, name="output")(stream)))
    found = edges(network, residual="contracted")
    kernel = {layer.name: np.array(layer.kernel) for layer in network.layers if layer.weights}
    expected = sum(np.abs(kernel["embedding"] @ kernel[name]) for name in ("gate", "up"))
    np.testing.assert_allclose(found["input", "gated"], expected, rtol=1e-5)
    through = np.abs(kernel["down"] @ kernel["output"])
    np.testing.assert_allclose(found["gated", "output"], through, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kernel_norm", ["l1", "frobenius", "spectral"])
def test_patches_that_are_written_into_a_stream(kernel_norm):
    """The norm over a patch's positions is taken of the products of each with what reads them."""
    inputs = keras.Input((4, 6, 3))
    patches = layers.Conv2D(WIDTH, 2, 2, name="patches")(inputs)
    stream = layers.Reshape((6, WIDTH))(patches)
    stream = block(stream, "a", 5, norm=layers.LayerNormalization)
    network = randomised(keras.Model(inputs, layers.Dense(2, name="output")(stream)))
    found = edges(network, residual="contracted", inputs=True, kernel_norm=kernel_norm)
    gamma = np.array(network.get_layer("norm_a").gamma)
    read = gamma[:, None] * np.array(network.get_layer("in_a").kernel)
    products = np.array(network.get_layer("patches").kernel) @ read
    order = {"l1": lambda m: np.abs(m).sum(), "frobenius": np.linalg.norm,
             "spectral": lambda m: np.linalg.norm(m, 2)}[kernel_norm]  # fmt: skip
    expected = [[order(products[:, :, row, column]) for column in range(5)] for row in range(3)]
    np.testing.assert_allclose(found["input", "in_a"], expected, rtol=1e-5)


def test_two_kernels_of_several_positions_are_refused_by_name():
    inputs = keras.Input((8, 8, 2))
    made = layers.Conv2D(3, 3, name="second")(layers.Conv2D(3, 3, name="first")(inputs))
    network = keras.Model(inputs, layers.Conv2D(2, 1)(ops.relu(made)))
    with pytest.raises(InvalidInputError, match="layer 'first' and one behind it"):
        graph_from_weights(network, residual="contracted", inputs=True)


def test_neurons_are_lesioned_as_where_streams_are_sets(network):
    weights = read_weights(network)
    for of_weights in (False, True):
        whole = unit_layers(weights, of_weights=of_weights, residual="one_set")
        found = unit_layers(weights, of_weights=of_weights, residual="contracted")
        assert list(found.hidden) == ["in_a", "in_b", "in_c"]
        for name, places in found.places.items():
            for one, other in zip(places, whole.places[name], strict=True):
                assert one.cut == other.cut
                np.testing.assert_array_equal(one.units, other.units)
    streams = unit_layers(weights, residual="units")
    read_by = [places.reader for places in streams.places["projection"]]
    assert read_by == ["in_a", "in_b", "in_c", "output"]


def test_units_that_kernels_join_through_a_stream(network):
    weights = by_residual_rule(read_weights(network), "contracted")
    joined = dict(zip(weights.kernel_layers, kernel_units(weights, inputs=False), strict=True))
    assert joined["embedding"] is None
    np.testing.assert_array_equal(joined["out_a"].rows, [np.arange(6)])
    # by one way for each later point of the stream that leads on to neurons or outputs
    np.testing.assert_array_equal(joined["out_a"].columns, np.full((3, WIDTH), CONTRACTED))
    np.testing.assert_array_equal(joined["in_b"].rows, np.full((1, WIDTH), CONTRACTED))
    np.testing.assert_array_equal(joined["in_b"].columns, [np.arange(6, 13)])
    # nothing leads into the first neurons but the inputs
    np.testing.assert_array_equal(joined["in_a"].rows, np.full((1, WIDTH), -1))


def test_the_rule_of_a_network_without_attention_is_one_set(network):
    weights = read_weights(network)
    own, one_set = graph_of_weights(weights), graph_of_weights(weights, residual="one_set")
    assert own.layers == one_set.layers
    with pytest.raises(InvalidInputError, match="residual='all'; expected one of one_set"):
        graph_of_weights(weights, residual="all")


@pytest.fixture(scope="module")
def transformer():
    """One block of attention and neurons on embedded tokens and positions, with tokens put out."""
    tokens = keras.Input((6,), dtype="int32")
    places = ops.cumsum(ops.ones_like(tokens), axis=1) - 1
    stream = layers.Embedding(11, WIDTH, name="tokens")(tokens)
    stream = layers.Add()([stream, layers.Embedding(6, WIDTH, name="places")(places)])
    normed = layers.LayerNormalization(name="norm_heads")(stream)
    mixed = layers.MultiHeadAttention(2, 3, name="attention")(normed, normed)
    stream = block(layers.Add()([stream, mixed]), "a", 5, norm=layers.LayerNormalization)
    last = layers.LayerNormalization(name="norm")(stream)
    return randomised(keras.Model(tokens, layers.Dense(11, name="output")(last)))


def test_a_transformer_is_its_neurons_and_values(transformer):
    weights = read_weights(transformer)
    graph = graph_of_weights(weights)
    assert [(layer.name, layer.n_units) for layer in graph.layers] == [
        ("attention/value", 6),
        ("in_a", 5),
    ]
    kernel = dict(zip(weights.kernel_layers, weights.kernels, strict=True))
    gamma = np.array(transformer.get_layer("norm_a").gamma)
    joined = kernel["attention/attention_output"] @ (gamma[:, None] * kernel["in_a"])
    np.testing.assert_allclose(graph.edges[0].weights, np.abs(joined), rtol=2e-6)
    assert graph.layers == graph_of_weights(weights, residual="contracted").layers


def test_tokens_read_and_put_out_are_units_if_asked_for(transformer):
    found = edges(transformer, inputs=True, outputs=True)
    order = ["input", "attention/value", "in_a", "output"]
    assert set(found) == set(itertools.combinations(order, 2))
    embedded = np.array(transformer.get_layer("tokens").embeddings)
    gamma = np.array(transformer.get_layer("norm").gamma)
    put_out = np.array(transformer.get_layer("output").kernel)
    through = np.abs(embedded @ (gamma[:, None] * put_out))
    np.testing.assert_allclose(found["input", "output"], through, rtol=1e-5, atol=1e-6)
    streams = graph_from_weights(transformer, residual="units")
    names = [layer.name for layer in streams.layers]
    assert names == ["tokens", "attention/value", "in_a"]
    assert {(block.source, block.target) for block in streams.edges} == {(0, 1), (0, 2)}


def test_products_that_memory_cannot_hold_are_refused():
    tokens = keras.Input((6,), dtype="int32")
    stream = layers.Embedding(400_000, 2, name="tokens")(tokens)
    mixed = layers.MultiHeadAttention(1, 1, name="attention")(stream, stream)
    total = layers.Add()([stream, mixed])
    network = keras.Model(tokens, layers.Dense(400_000, name="output")(total))
    assert len(graph_from_weights(network, inputs=True).layers) == 2
    told = "the 400,000 units of 'input' to the 400,000 of 'output'; leave out tokens"
    with pytest.raises(InvalidInputError, match=told):
        graph_from_weights(network, inputs=True, outputs=True)

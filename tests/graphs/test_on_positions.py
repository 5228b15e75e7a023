"""Activations and sensitivities of transformers, beside what plain Keras computes by hand."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers, ops

from nn_clustering.errors import InvalidInputError
from nn_clustering.graphs import (
    count_active_units,
    count_differentiable_units,
    gather_activations,
    graph_from_activations,
    graph_from_gradients,
    graph_from_weights,
    unit_activations,
)

N_TOKENS, LENGTH, CHANNELS, NEURONS = 5, 4, 6, 7
FOUR = (
    *("block_0_attention/value", "block_0_mlp_in"),
    *("block_1_attention/value", "block_1_mlp_in"),
)


def of_blocks(stream):
    for block in range(2):
        name = f"block_{block}"
        read = layers.LayerNormalization(name=f"{name}_norm_1")(stream)
        attention = layers.MultiHeadAttention(2, 3, name=f"{name}_attention")
        stream = stream + attention(read, read, use_causal_mask=True)
        read = layers.LayerNormalization(name=f"{name}_norm_2")(stream)
        neurons = layers.Dense(NEURONS, "gelu", name=f"{name}_mlp_in")(read)
        stream = stream + layers.Dense(CHANNELS, name=f"{name}_mlp_out")(neurons)
    return stream


@pytest.fixture(scope="module")
def transformer():
    tokens = keras.Input((LENGTH,), dtype="int32", name="tokens")
    positions = ops.cumsum(ops.ones_like(tokens), axis=1) - 1
    stream = layers.Embedding(N_TOKENS, CHANNELS, name="embedding")(tokens)
    stream = stream + layers.Embedding(LENGTH, CHANNELS, name="positions")(positions)
    outputs = layers.Dense(3, "softmax", name="output")(of_blocks(stream))
    network = keras.Model(tokens, outputs, name="net")
    random = np.random.default_rng(1)
    for weight in network.weights:
        weight.assign(random.uniform(-1, 1, weight.shape))
    return network


def tokens(n=6):
    return np.random.default_rng(0).integers(0, N_TOKENS, (n, LENGTH)).astype("int32")


def blocks(graph):
    names = [layer.name for layer in graph.layers]
    return {(names[b.source], names[b.target]): np.asarray(b.weights) for b in graph.edges}


class ByHand:
    """A forward pass with the patterns of attention, the values and the neurons in hand."""

    def __init__(self, network, x):
        self.network = network
        self.embedding = network.get_layer("embedding")
        self.held = {}
        positions = np.broadcast_to(np.arange(LENGTH), x.shape)
        self.positions = network.get_layer("positions")(positions)
        self.patterns = {}
        self.outputs = self.run(tf.one_hot(x, N_TOKENS), {})

    def run(self, one_hot, given, until=None):
        stream = one_hot @ self.embedding.embeddings + self.positions
        for block in range(2):
            stream = stream + self.attention(block, stream, given)
            if until == f"block_{block}_attention/value":
                return self.held[until]
            read = self.network.get_layer(f"block_{block}_norm_2")(stream)
            name = f"block_{block}_mlp_in"
            made = self.network.get_layer(name)(read)
            self.held[name] = made
            if until == name:
                return made
            stream = stream + self.network.get_layer(f"block_{block}_mlp_out")(
                given.get(name, made)
            )
        return self.network.get_layer("output")(stream)

    def attention(self, block, stream, given):
        read = self.network.get_layer(f"block_{block}_norm_1")(stream)
        layer, name = self.network.get_layer(f"block_{block}_attention"), f"block_{block}_attention"
        if block not in self.patterns:
            queries, keys = layer._query_dense(read), layer._key_dense(read)
            scores = tf.einsum("bqhc,bkhc->bhqk", queries, keys) / np.sqrt(3)
            hidden = np.triu(np.full((LENGTH, LENGTH), -1e9, np.float32), 1)
            self.patterns[block] = tf.nn.softmax(scores + hidden)
        values = layer._value_dense(read)
        flat = tf.reshape(values, (-1, LENGTH, CHANNELS))
        self.held[f"{name}/value"] = flat
        flat = given.get(f"{name}/value", flat)
        values = tf.reshape(flat, (-1, LENGTH, 2, 3))
        return layer._output_dense(tf.einsum("bhqk,bkhc->bqhc", self.patterns[block], values))


def jacobian(function, value):
    """The mean over samples and positions of |d (sum over positions of function) / d value|."""
    with tf.GradientTape() as tape:
        tape.watch(value)
        made = tf.reduce_sum(function(value), axis=1)
    return np.abs(tape.batch_jacobian(made, value)).mean(axis=(0, 2)).T


PAIRS = (
    ("input", "block_1_mlp_in"),
    ("block_0_attention/value", "block_1_mlp_in"),
    ("block_0_mlp_in", "block_1_attention/value"),
    ("block_1_attention/value", "block_1_mlp_in"),
)


@pytest.fixture(scope="module")
def hand(transformer):
    return ByHand(transformer, tokens())


def test_forward_by_hand(transformer, hand):
    np.testing.assert_allclose(hand.outputs, transformer(tokens()), rtol=1e-4, atol=1e-6)


def test_every_position_is_a_sample(transformer, hand):
    found = unit_activations(transformer, tokens())
    assert [layer.name for layer in found.layers] == list(FOUR)
    assert found.n_samples == 6 * LENGTH
    for layer, values in zip(found.layers, found.values, strict=True):
        expected = np.reshape(hand.held[layer.name], (6 * LENGTH, -1))
        np.testing.assert_allclose(values, expected, rtol=1e-4, atol=1e-5)
    correlations = np.corrcoef(found.values[0][:, 2], found.values[1][:, 3])[0, 1]
    graph = graph_from_activations(
        gather_activations(transformer, tokens(), correlation="pearson", memory_mb=1e-3),
        correlation="pearson",
    )
    block = blocks(graph)["block_0_attention/value", "block_0_mlp_in"]
    assert block[2, 3] == pytest.approx(correlations**2, rel=1e-4)


def test_streams_are_sets_if_asked_for(transformer):
    graph = graph_from_weights(transformer, residual="one_set")
    found = unit_activations(transformer, tokens(), residual="one_set")
    assert (
        set(FOUR) < {layer.name for layer in found.layers} <= {layer.name for layer in graph.layers}
    )
    read = transformer.get_layer("block_1_norm_1").input
    stream = keras.Model(transformer.inputs[0], read)
    names = [layer.name for layer in found.layers]
    values = found.values[names.index("block_1_attention/value") - 1]
    np.testing.assert_allclose(values, np.reshape(stream(tokens()), (-1, CHANNELS)), atol=1e-5)


def test_sensitivities_by_hand(transformer, hand):
    """Along streams and norms, with patterns, other neurons and other values held constant."""
    graph = graph_from_gradients(transformer, tokens(), inputs=True)
    expected_graph = graph_from_weights(transformer, inputs=True)
    assert graph.layers == expected_graph.layers
    found = blocks(graph)
    assert set(found) == set(blocks(expected_graph))
    held = {name: hand.held[name] for name in FOUR}
    one_hot = tf.one_hot(tokens(), N_TOKENS)
    for source, target in PAIRS:
        constant = {name: value for name, value in held.items() if name not in (source, target)}

        def made(value, source=source, target=target, constant=constant):
            if source == "input":
                return hand.run(value, constant, until=target)
            return hand.run(one_hot, {**constant, source: value}, until=target)

        expected = jacobian(made, one_hot if source == "input" else held[source])
        np.testing.assert_allclose(
            found[source, target], expected, rtol=1e-3, atol=1e-5, err_msg=f"{source} {target}"
        )


def test_tokens_are_units_of_embeddings():
    """The derivative of what an embedding makes of a token is its row, of every token."""
    inputs = keras.Input((LENGTH,), dtype="int32")
    embedding = layers.Embedding(N_TOKENS, CHANNELS, name="embedding")
    network = keras.Model(inputs, layers.Dense(2, name="output")(embedding(inputs)), name="net")
    found = blocks(graph_from_gradients(network, tokens()))
    np.testing.assert_allclose(found["input", "embedding"], np.abs(embedding.embeddings), rtol=1e-5)
    kernel = network.get_layer("output").kernel
    np.testing.assert_allclose(found["embedding", "output"], np.abs(kernel), rtol=1e-5)


def attending(changed):
    """A head on tokens, which are changed before they are looked up for queries and for values."""
    inputs = keras.Input((LENGTH,), dtype="int32", name="tokens")
    embedding = layers.Embedding(N_TOKENS, CHANNELS, name="embedding")
    stream, read = map(embedding, changed(inputs))
    attention = layers.MultiHeadAttention(1, 2, name="attention")(stream, read)
    network = keras.Model(inputs, layers.Dense(2, name="output")(stream + attention))
    random = np.random.default_rng(0)
    network.set_weights([random.normal(size=weight.shape) for weight in network.weights])
    return network


def test_tokens_of_another_type_are_the_units_too():
    plain, changed = (
        blocks(graph_from_gradients(attending(change), tokens(), inputs=True))
        for change in (lambda x: (x, x), lambda x: (ops.cast(x, "int64"),) * 2)
    )
    assert plain["input", "attention/value"].all()
    np.testing.assert_array_equal(
        changed["input", "attention/value"], plain["input", "attention/value"]
    )


def test_derivatives_by_tokens_that_are_looked_up_in_two_ways_refused():
    network = attending(lambda x: (x[:, :2], x))
    with pytest.raises(InvalidInputError, match="looks up tokens of 'input' as they are and as"):
        graph_from_gradients(network, tokens(), inputs=True)


def test_what_answers_once_answers_the_same_at_all_positions():
    """The last block answers at the last position alone, as in networks of modular addition."""
    inputs = keras.Input((3,), dtype="int32")
    stream = layers.Embedding(5, 4, name="embedding")(inputs)
    attention = layers.MultiHeadAttention(2, 2, name="attention")
    last = layers.Cropping1D((2, 0))(stream)
    stream = last + attention(last, stream)
    neurons = layers.Dense(6, "relu", name="neurons")(stream)
    network = keras.Model(inputs, layers.Dense(2)(layers.Flatten()(neurons)), name="net")
    x = tokens(4)[:, :3]
    values, answers = unit_activations(network, x).values
    assert values.shape == (12, 4)
    expected = np.repeat(keras.Model(inputs, neurons)(x)[:, 0], 3, axis=0)
    np.testing.assert_allclose(answers, expected, rtol=1e-5)


def vit(patch=layers.Conv2D, options=(4, 4)):
    image = keras.Input((8, 8, 1))
    patches = layers.Reshape((4, CHANNELS))(patch(CHANNELS, *options, name="patches")(image))
    pooled = layers.GlobalAveragePooling1D()(of_blocks(patches))
    return keras.Model(image, layers.Dense(3, "softmax")(pooled), name="vit")


def test_patches_are_samples_though_a_convolution_makes_them():
    network = vit()
    x = np.random.default_rng(0).random((5, 8, 8, 1)).astype("float32")
    found = unit_activations(network, x)
    assert [layer.name for layer in found.layers] == list(FOUR)
    neurons = keras.Model(network.inputs[0], network.get_layer("block_1_mlp_in").output)(x)
    np.testing.assert_allclose(found.values[-1], np.reshape(neurons, (20, -1)), rtol=1e-5)
    before = unit_activations(network, x, position="pre").values[-1]
    after = ops.gelu(before, approximate=False)
    np.testing.assert_allclose(after, found.values[-1], rtol=1e-4, atol=1e-6)
    assert count_active_units(network, x, correlation="pearson") == 2 * (CHANNELS + NEURONS)
    assert count_differentiable_units(network, x) == 2 * (CHANNELS + NEURONS)
    assert graph_from_gradients(network, x).layers == graph_from_weights(network).layers


@pytest.mark.parametrize("residual", ["units", "copied"])
@pytest.mark.parametrize("make", [unit_activations, graph_from_gradients])
def test_sets_without_values_of_their_own_refused(transformer, make, residual):
    with pytest.raises(InvalidInputError, match=f"residual='{residual}' with values of units"):
        make(transformer, tokens(), residual=residual)

"""Attention as others write it: which channels of which heads the output reads."""

import keras
import numpy as np
import pytest
from keras import layers, ops

from nn_clustering.errors import InvalidInputError
from nn_clustering.graphs import graph_from_weights
from nn_clustering.networks.structure import read_weights, walk_network
from tests.networks.sample_networks import block


class InGroups(layers.Layer):
    """Grouped queries turned by angles, with a padding mask, by einsums (as Llama's)."""

    def build(self, x_shape, present_shape):
        def projection(equation, shape_of, name):
            layer = layers.EinsumDense(equation, shape_of, name=name)
            layer.build((None, None, 8) if name != "output" else (None, None, 4, 2))
            return layer

        self.query = projection("bqm,muh->bquh", (None, 4, 2), "query")
        self.key = projection("bkm,mvh->bkvh", (None, 2, 2), "key")
        self.value = projection("bkm,mvh->bkvh", (None, 2, 2), "value")
        self.last = projection("bquh,uhm->bqm", (None, 8), "output")
        self.dropout, self.softmax = layers.Dropout(0.1), layers.Softmax()

    def turned(self, x):
        first, second = ops.split(x, 2, axis=-1)
        angles = ops.arange(ops.shape(x)[1], dtype="float32")[None, :, None, None]
        return ops.concatenate(
            [first * ops.cos(angles) - second, second * ops.sin(angles) + first], axis=-1
        )

    def call(self, x, present, training=False):
        key = ops.repeat(self.turned(self.key(x)), 2, axis=2)
        scores = ops.einsum("bquh,bkuh->buqk", self.turned(self.query(x)), key)
        pattern = self.softmax(scores / 2.0, present[:, None, None, :])
        value = ops.repeat(self.value(x), 2, axis=2)
        made = self.dropout(ops.einsum("buqk,bkuh->bquh", pattern, value), training=training)
        return self.last(made)


class ByProducts(layers.Layer):
    """Heads moved before the positions and back, by matrix products (as PyTorch's)."""

    def build(self, shape):
        self.all, self.last = layers.Dense(24), layers.Dense(8)
        self.all.build(shape)
        self.last.build(shape)

    def parted(self, x):
        return ops.transpose(ops.reshape(x, (-1, ops.shape(x)[1], 4, 2)), (0, 2, 1, 3))

    def made_for_heads(self, x):
        return ops.split(self.all(x), 3, axis=-1)

    def call(self, x):
        query, key, value = map(self.parted, self.made_for_heads(x))
        scores = ops.matmul(query, ops.transpose(key, (0, 1, 3, 2)))
        made = ops.matmul(ops.softmax(scores, axis=-1), value)
        made = ops.reshape(ops.transpose(made, (0, 2, 1, 3)), (-1, ops.shape(x)[1], 8))
        return self.last(made)


class OfThreeLayers(ByProducts):
    """The same with a layer each for queries, keys and values."""

    def build(self, shape):
        self.query, self.key, self.value = (layers.Dense(8) for _ in range(3))
        self.last = layers.Dense(8)
        for layer in (self.query, self.key, self.value, self.last):
            layer.build(shape)

    def made_for_heads(self, x):
        return self.query(x), self.key(x), self.value(x)


class ByEinsums(OfThreeLayers):
    """The same with heads that an einsum moves before the positions, values named first."""

    def call(self, x):
        shape = (-1, ops.shape(x)[1], 4, 2)
        query, key, value = (ops.reshape(one, shape) for one in self.made_for_heads(x))
        pattern = ops.softmax(ops.einsum("bqhc,bkhc->bhqk", query, key), axis=-1)
        made = ops.transpose(ops.einsum("bkhc,bhqk->bhqc", value, pattern), (0, 2, 1, 3))
        return self.last(ops.reshape(made, (-1, ops.shape(x)[1], 8)))


class WithClassToken(layers.Layer):
    """A learnt token before those that are read, and positions added to all (as a ViT's)."""

    def build(self, shape):
        self.token = self.add_weight(shape=(1, 1, shape[-1]), name="token")
        self.place = self.add_weight(shape=(1, shape[1] + 1, shape[-1]), name="place")

    def call(self, x):
        tokens = ops.tile(self.token, (ops.shape(x)[0], 1, 1))
        return ops.add(ops.concatenate([tokens, x], axis=1), self.place)


def check_walk(network, *values):
    walk = walk_network(network)
    given = {
        number: ops.convert_to_tensor(value)
        for number, value in zip(walk.inputs, values, strict=True)
    }
    found = walk.run(given, walk.outputs)[walk.outputs[0]]
    expected = network(list(values) if len(values) > 1 else values[0])
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def sequence():
    return np.random.default_rng(0).normal(size=(3, 5, 8)).astype("float32")


def test_key_value_heads_are_read_by_all_queries_of_their_group():
    inputs, mask = keras.Input((5, 8), name="x"), keras.Input((5,), dtype="bool", name="mask")
    attention = InGroups(name="attention")
    network = keras.Model([inputs, mask], attention(inputs, mask), name="net")
    check_walk(network, sequence(), np.array([[True] * 4 + [False]] * 3))
    graph = graph_from_weights(network, inputs=True, outputs=True, residual="one_set")
    assert [(layer.name, layer.n_units) for layer in graph.layers] == [
        ("x", 8),
        ("attention/value", 4),
        ("attention/output", 8),
    ]
    output = np.abs(ops.convert_to_numpy(attention.last.kernel))  # of 4 heads, 2 channels
    expected = np.array(
        [output[0, c] + output[1, c] for c in range(2)]
        + [output[2, c] + output[3, c] for c in range(2)]
    )
    np.testing.assert_allclose(block(graph, "attention/value", "attention/output"), expected, 1e-5)


def test_values_are_the_last_third_of_a_fused_projection():
    inputs = keras.Input((5, 8))
    attention = ByProducts(name="attention")
    network = keras.Model(inputs, attention(inputs), name="net")
    check_walk(network, sequence())
    graph = graph_from_weights(network, inputs=True, outputs=True, residual="one_set")
    fused = block(graph, "attention/all", "attention/last")
    expected = np.zeros((24, 8))
    expected[16:] = np.abs(ops.convert_to_numpy(attention.last.kernel))
    np.testing.assert_allclose(fused, expected, 1e-5)
    # queries and keys, which stand before them, have no edges at all
    into = block(graph, "input", "attention/all")
    kernel = np.abs(ops.convert_to_numpy(attention.all.kernel))
    np.testing.assert_allclose(into[:, 16:], kernel[:, 16:], 1e-6)
    is_query_or_key = np.arange(8 + 24 + 8)[:, None] // 8 == [1, 2]
    np.testing.assert_array_equal(graph.isolated, is_query_or_key.any(axis=1))


@pytest.mark.parametrize("kind", [OfThreeLayers, ByEinsums])
def test_a_dense_layer_that_makes_values_knows_their_heads(kind):
    inputs = keras.Input((5, 8))
    attention = kind(name="attention")
    network = keras.Model(inputs, attention(inputs))
    check_walk(network, sequence())
    weights = read_weights(network)
    heads = {layer.name: layer.n_heads for layer in weights.weight_layers.values()}
    assert heads == {"attention/value": 4, "attention/last": None}
    graph = graph_from_weights(network, outputs=True, residual="one_set")
    kernel = np.abs(ops.convert_to_numpy(attention.last.kernel))
    np.testing.assert_allclose(block(graph, "attention/value", "attention/last"), kernel, 1e-6)


def test_a_class_token_adds_no_units():
    inputs = keras.Input((5, 8))
    x = WithClassToken(name="tokens")(layers.Dense(8, name="patches")(inputs))
    network = keras.Model(inputs, layers.Dense(2, name="output")(x[:, 0]), name="net")
    check_walk(network, sequence())
    assert [layer.name for layer in graph_from_weights(network).layers] == [
        "input",
        "patches",
        "output",
    ]


def refused(build, reason):
    inputs = keras.Input((5, 8))
    with pytest.raises(InvalidInputError, match=reason):
        read_weights(keras.Model(inputs, build(layers.Dense(8, name="first")(inputs)), name="net"))


@pytest.mark.parametrize(
    ("build", "reason"),
    [
        # the units of one tensor times those of another, added to the stream
        (
            lambda x: layers.Dense(5, name="wide")(x) + ops.einsum("bqc,bkc->bqk", x, x),
            "'einsum.* is a Einsum, which makes the pattern of an attention",
        ),
        (lambda x: ops.einsum("bqc,bqd->bcd", x, x), "'einsum.*expected queries times keys"),
        (lambda x: layers.Dense(2)(ops.mean(x, axis=-1, keepdims=True)), "over the axes"),
        (lambda x: ops.reshape(x, (-1, 5, 4, 2))[:, :, 0], "'get_item.* reads channels of heads"),
        (lambda x: layers.Dense(3)(ops.reshape(x, (-1, 5, 4, 2))), "reads channels of heads"),
        (lambda x: x[..., 0], "'get_item.*expected positions, or a slice of channels"),
        (lambda x: ops.concatenate([x, 2 * x], axis=1), "along axis 1"),
        (lambda x: layers.Embedding(8, 2)(x[..., 0]), "'get_item"),
    ],
)
def test_what_is_no_attention_is_refused(build, reason):
    refused(build, reason)


@pytest.mark.parametrize(
    ("sliced", "places"),
    [
        (lambda x: x[:, 1:6:2], [1, 3, 5]),
        (lambda x: x[..., ::-1], [5, 4, 3, 2, 1, 0]),
        (lambda x: ops.split(x, [1, 4], axis=-1)[1], [1, 2, 3]),
    ],
)
def test_slices_of_channels_are_read_as_such(sliced, places):
    """Also of those that a norm scales; weights into the others join nothing."""
    inputs = keras.Input((8,))
    x = layers.Dense(6, name="first")(inputs)
    norm = layers.LayerNormalization()
    scaled = sliced(norm(x))
    network = keras.Model(inputs, layers.Dense(2, name="last")(scaled), name="net")
    norm.gamma.assign([1.0, -2, 3, 4, 5, 6])
    graph = graph_from_weights(network)
    read, kernel = (
        np.abs(ops.convert_to_numpy(network.get_layer(name).kernel)) for name in ("first", "last")
    )
    into, out_of = np.zeros((8, 6)), np.zeros((6, 2))
    into[:, places] = (read * np.arange(1, 7))[:, places]
    out_of[places] = kernel
    np.testing.assert_allclose(block(graph, "input", "first"), into, 1e-6)
    np.testing.assert_allclose(block(graph, "first", "last"), out_of, 1e-6)

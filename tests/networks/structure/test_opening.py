"""Attention, and layers with code of their own, as steps of what they call."""

import keras
import numpy as np
import pytest
from keras import layers, ops

from nn_clustering.networks.structure import read_weights, walk_network


class Block(layers.Layer):
    """A block as people write them: attention and a gated MLP, with a norm of its own."""

    def __init__(self, **options):
        super().__init__(**options)
        self._attention = layers.MultiHeadAttention(2, 3)
        self.gate = layers.Dense(6, activation="silu")
        self.up, self.down = layers.Dense(6), layers.Dense(4, name="down")

    def build(self, shape):
        self.scale = self.add_weight(shape=(shape[-1],), initializer="ones", name="scale")
        self._attention.build(shape, shape)
        for layer in (self.gate, self.up):
            layer.build(shape)
        self.down.build((*shape[:-1], 6))

    def normed(self, x):
        return x * ops.rsqrt(ops.mean(ops.square(x), axis=-1, keepdims=True) + 1e-6) * self.scale

    def call(self, x, training=False):
        x = x + self._attention(self.normed(x), self.normed(x), use_causal_mask=True)
        x = ops.reshape(x, ops.shape(x))  # code that asks for all sizes
        h = self.normed(x)
        return x + self.down(self.gate(h) * self.up(h))


class Fixed(layers.Layer):
    """Code that cannot be followed: it makes values of what it reads."""

    def call(self, x):
        return ops.convert_to_tensor(np.zeros(ops.shape(x)[1:], np.float32)) + 0 * x[:1]


def of_blocks(length=5):
    inputs = keras.Input((length,), dtype="int32", name="tokens")
    x = layers.Embedding(7, 4, name="embedding")(inputs)
    x = Block(name="block")(x)
    return keras.Model(inputs, layers.Dense(3, name="output")(x), name="net")


def tokens(n=3, length=5):
    return np.random.default_rng(0).integers(0, 7, (n, length))


def walked(network, x, sample_shape=None):
    walk = walk_network(network, sample_shape)
    found = walk.run({walk.inputs[0]: ops.convert_to_tensor(x, "int32")}, walk.outputs)
    return walk, ops.convert_to_numpy(found[walk.outputs[0]])


@pytest.mark.parametrize(("length", "sample_shape"), [(5, None), (None, (5,))])
def test_opened_code_computes_what_the_layer_does(length, sample_shape):
    network, x = of_blocks(length), tokens()
    network.get_layer("block").scale.assign([1.0, -2.0, 0.5, 3.0])
    walk, found = walked(network, x, sample_shape)
    np.testing.assert_allclose(found, ops.convert_to_numpy(network(x)), rtol=1e-5, atol=1e-6)
    names = [step.name for step in walk.steps]
    assert {"block/attention/value", "block/gate", "block/up", "block/down"} <= set(names)
    assert len(set(names)) == len(names)


def test_names_inside_do_not_hang_on_what_was_built_before():
    of_blocks()
    first, second = (
        [step.name for step in walk_network(of_blocks()).steps if "block/" in step.name]
        for _ in range(2)
    )
    assert first == second


def test_opening_leaves_the_layers_as_they_were():
    network = of_blocks(None)
    block = network.get_layer("block")
    every = [*network.layers, block.gate, block._attention, block.down]
    before = [(list(one._inbound_nodes), list(one._outbound_nodes)) for one in every]
    walk_network(network)
    assert [(one._inbound_nodes, one._outbound_nodes) for one in every] == before
    assert block.output is network.get_layer("output").input


def test_weights_inside_join_units():
    weights = read_weights(of_blocks())
    assert weights.has_attention
    assert weights.kernel_layers == (
        *("embedding", "block/attention/value", "block/attention/attention_output"),
        *("block/gate", "block/up", "block/down", "output"),
    )


def test_code_that_makes_values_is_not_followed():
    inputs = keras.Input((3,))
    network = keras.Model(inputs, layers.Dense(2)(Fixed(name="fixed")(layers.Dense(3)(inputs))))
    assert [step.name for step in walk_network(network).steps if "fixed" in step.name] == ["fixed"]


class Forgetful(layers.Layer):
    """Code that does something else on symbolic tensors than on values."""

    def call(self, x):
        return x if isinstance(x, keras.KerasTensor) else 2 * x


def test_what_was_followed_is_compared_with_what_the_layer_does():
    inputs = keras.Input((3,))
    network = keras.Model(inputs, Forgetful(name="odd")(inputs))
    assert [step.name for step in walk_network(network).steps] == ["odd"]


ATTENTIONS = {
    "many": lambda: layers.MultiHeadAttention(2, 3, value_dim=4, name="attention"),
    "without bias": lambda: layers.MultiHeadAttention(2, 3, use_bias=False, name="attention"),
    "unfused": lambda: layers.MultiHeadAttention(2, 3, flash_attention=False, name="attention"),
    "in groups": lambda: layers.GroupQueryAttention(3, 4, 2, name="attention"),
}


@pytest.mark.parametrize("build", ATTENTIONS.values(), ids=ATTENTIONS)
@pytest.mark.parametrize("scores", [False, True])
def test_values_are_units_that_the_output_reads(build, scores):
    inputs = keras.Input((5, 6))
    attention = build()
    made = attention(inputs, inputs, return_attention_scores=scores)
    network = keras.Model(inputs, made[0] if scores else made, name="net")
    weights = read_weights(network)
    value, output = weights.weight_layers.values()
    assert (value.name, output.name) == ("attention/value", "attention/attention_output")
    kernel = ops.convert_to_numpy(attention._value_dense.kernel)
    n_heads = kernel.shape[1]
    assert value.n_heads == n_heads
    assert output.n_heads is None
    np.testing.assert_array_equal(weights.kernels[0], kernel.reshape(6, -1))
    expected = ops.convert_to_numpy(attention._output_dense.kernel)
    np.testing.assert_array_equal(weights.kernels[1], expected.reshape(-1, 6))
    x = np.random.default_rng(0).normal(size=(2, 5, 6)).astype("float32")
    walk = walk_network(network)
    found = walk.run({walk.inputs[0]: ops.convert_to_tensor(x)}, walk.outputs)[walk.outputs[0]]
    np.testing.assert_allclose(found, network(x), rtol=1e-5, atol=1e-6)


def test_open_length_has_the_units_of_a_known_one():
    channels = [
        [str(one) for one in read_weights(of_blocks(length)).channels] for length in (5, None)
    ]
    assert channels[0] == channels[1]

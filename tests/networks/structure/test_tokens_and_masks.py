"""Networks of tokens that would be misread, refused by the layer's name."""

import keras
import numpy as np
import pytest
from keras import layers, ops

from nn_clustering.errors import InvalidInputError
from nn_clustering.networks.structure import read_weights, walk_network


def of_tokens(body, dtype="int32"):
    inputs = keras.Input((5,), dtype=dtype, name="tokens")
    return keras.Model(inputs, layers.Dense(3, name="output")(body(inputs)), name="net")


def embedded(x, **options):
    return layers.Embedding(7, 4, name="embedding", **options)(x)


def attended(x):
    return layers.MultiHeadAttention(2, 3, name="attention")(x, x)


def beside_a_dense_layer(x):
    read = layers.Dense(4, name="dense")(ops.cast(x, "float32"))
    return layers.GlobalAveragePooling1D()(embedded(x)) + read


class Attending(layers.Layer):
    """Code that passes what goes with its input on to what it calls."""

    def __init__(self, **options):
        super().__init__(**options)
        self.supports_masking = True
        self.inner = layers.MultiHeadAttention(2, 3)

    def build(self, shape):
        self.inner.build(shape, shape)

    def call(self, x):
        return self.inner(x, x)


class Masked(layers.Layer):
    """Code that says which positions count, of which what it calls knows nothing."""

    def __init__(self, **options):
        super().__init__(**options)
        self.inner = layers.Embedding(7, 4)

    def build(self, shape):
        self.inner.build(shape)

    def call(self, x):
        return self.inner(x)

    def compute_mask(self, x, mask=None):
        return ops.not_equal(x, 0)


def over_time(x):
    inner = keras.Input((5, 4))
    network = keras.Model(inner, attended(inner))
    return layers.TimeDistributed(network, name="time")(layers.Reshape((1, 5, 4))(embedded(x)))


REFUSED = {
    "a mask": (lambda x: attended(embedded(x, mask_zero=True)), "'attention'.* with a mask that"),
    "a mask of code": (
        lambda x: Attending(name="code")(embedded(x, mask_zero=True)),
        "'code'.* with a mask that",
    ),
    "a mask that code makes": (
        lambda x: layers.GlobalAveragePooling1D()(Masked(name="code")(x)),
        "'code'.* with a mask that",
    ),
    "dense": (beside_a_dense_layer, "'dense' .* reads numbers of tokens as values"),
    "one more": (lambda x: embedded(x) + layers.Embedding(7, 4)(x + 1), "'add.*' .*as values"),
    "time": (over_time, "'time/attention'.* inside a TimeDistributed layer"),
    "gate": (
        lambda x: layers.MultiHeadAttention(2, 3, use_gate=True, name="attention")(
            *[embedded(x)] * 2
        ),
        "'attention/multiply' .*channels of heads, on two axes",
    ),
}


@pytest.mark.parametrize(("body", "message"), REFUSED.values(), ids=REFUSED)
def test_refused(body, message):
    with pytest.raises(InvalidInputError, match=message):
        read_weights(of_tokens(body))


def test_masks_stay_where_only_pooling_reads_them():
    network = of_tokens(lambda x: layers.GlobalAveragePooling1D()(embedded(x, mask_zero=True)))
    x = ops.convert_to_tensor(np.array([[1, 2, 0, 0, 3]], "int32"))
    walk = walk_network(network)
    found = walk.run({walk.inputs[0]: x}, walk.outputs)[walk.outputs[0]]
    np.testing.assert_allclose(found, network(x), rtol=1e-6)
    assert read_weights(network).kernel_layers == ("embedding", "output")


def test_nonlinearities_spelt_out_are_read():
    """GPT-2's, of powers; what the product makes are the neurons."""
    network = of_tokens(lambda x: (h := layers.Dense(4)(embedded(x))) * (1 + ops.tanh(h**3)))
    weights = read_weights(network)
    assert len(weights.kernels) == 3
    assert weights.outputs[0] - 1 in weights.nonlinear  # the product


def test_embedding_in_whole_numbers_refused():
    network = of_tokens(lambda x: layers.GlobalAveragePooling1D()(embedded(x)))
    network.get_layer("embedding").quantize("int8")
    with pytest.raises(InvalidInputError, match=r"layer 'embedding' .* quantised to int8"):
        read_weights(network)

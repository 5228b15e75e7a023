"""Networks whose weights cannot be read, refused by the layer's name."""

import keras
import numpy as np
import pytest
from keras import layers

from nn_clustering.errors import InvalidInputError
from nn_clustering.graphs import graph_from_weights
from nn_clustering.networks.structure import read_weights
from tests.networks.sample_networks import (
    SUBCLASSED_OR_UNBUILT,
    block,
    pointwise,
    sequential,
    shared,
    shared_later,
)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        *SUBCLASSED_OR_UNBUILT,
    ],
)
def test_what_has_no_graph_is_refused(build, message):
    with pytest.raises(InvalidInputError, match=message):
        read_weights(build())


@pytest.mark.parametrize("build", [shared, shared_later])
def test_a_layer_that_is_used_twice_makes_units_each_time(build):
    network = build()
    graph = graph_from_weights(network)
    weights = np.abs(network.get_layer("again").get_weights()[0])
    assert [layer.name for layer in graph.layers] == ["input", "again", "again:2"]
    np.testing.assert_allclose(block(graph, "input", "again"), weights)
    np.testing.assert_allclose(block(graph, "again", "again:2"), weights)


class OwnCode(layers.Dense):
    def call(self, inputs):
        return super().call(inputs)[:, ::-1]


class OwnConvolution(layers.Conv2D):
    """A method that Keras' own ``call`` leans on."""

    def convolution_op(self, inputs, kernel):
        return super().convolution_op(inputs, kernel)[..., ::-1]


class OwnFlip(layers.RandomFlip):
    def transform_images(self, images, transformation, training=True):
        return images[..., ::-1]


class OwnBeginning(layers.Dense):
    """What says how the layer is made changes nothing of what it computes."""

    def __init__(self, units=2, **options):
        super().__init__(units, **options)

    def get_config(self):
        return super().get_config()

    def in_words(self):
        return "a method of its own"


class WithoutWeights(layers.Layer):
    def call(self, inputs):
        return inputs if isinstance(inputs, keras.KerasTensor) else inputs[..., ::-1]


@pytest.mark.parametrize(
    ("input_shape", "layer", "reason"),
    [
        ((4, 2), layers.RNN(layers.GRUCell(3), name="odd"), "RNN, which is recurrent by cells"),
        ((4,), layers.Embedding(3, 2, name="odd"), "Embedding, which looks up what is no input"),
        ((4,), layers.Lambda(lambda x: x, name="odd"), "Lambda, whose code cannot be read"),
        ((4, 2), layers.Permute((2, 1), name="odd"), "Permute, which moves the channels"),
        ((4, 2), layers.Reshape((2, 4), name="odd"), r"Reshape, which makes \(None, 2, 4\)"),
        (
            (4, 2),
            layers.EinsumDense("abc,bd->adc", (3, 2), name="odd"),
            "EinsumDense, with the equation 'abc",
        ),
        ((4, 4, 4, 1), layers.Conv3D(2, 1, name="odd"), "Conv3D, whose kernels have three dim"),
        ((4, 4, 2), layers.Conv2D(2, 1, data_format="channels_first", name="odd"), "first axis"),
        ((4,), OwnCode(3, name="odd"), "OwnCode, which has weights"),
        ((4, 4, 2), OwnConvolution(2, 1, name="odd"), "OwnConvolution, which has weights"),
        ((4, 4, 2), OwnFlip(name="odd"), "OwnFlip, of which it is not known"),
        ((4,), WithoutWeights(name="odd"), "WithoutWeights, of which it is not known"),
    ],
    ids=lambda value: "",
)
def test_layers_without_a_place_in_the_graph_refused_by_name(input_shape, layer, reason):
    first = pointwise(2, "conv") if len(input_shape) == 3 else layers.Dense(input_shape[-1])
    with pytest.raises(InvalidInputError, match=rf"layer 'odd' of network 'net' is a .*{reason}"):
        read_weights(sequential(input_shape, first, layer))


def test_derived_layer_that_computes_as_its_base_is_read():
    network = sequential((4,), layers.Dense(3), OwnBeginning(name="own"))
    assert read_weights(network).kernel_layers[1] == "own"


@pytest.mark.parametrize(
    ("operation", "reason"),
    [
        (lambda x: keras.ops.transpose(x, (0, 2, 1)), "Transpose, which moves the channels"),
        (lambda x: keras.ops.mean(x, axis=-1, keepdims=True), r"Mean, over the axes \[-1\]"),
        (lambda x: keras.ops.max(x, (0, 1), keepdims=True), r"Max, over the axes \(0, 1\)"),
        (lambda x: keras.ops.pad(x, ((0, 0), (0, 0), (0, 1))), r"Pad, which makes \(None, 2, 3\)"),
        (lambda x: 1 / x, "Divide, which divides by channels"),
        (lambda x: keras.ops.ones(2) / x, "Divide, which divides by channels"),
        (lambda x: x * np.ones((2, 2), np.float32), "Multiply, with 4 factors for 2 channels"),
        (lambda x: x * np.ones((2, 1), np.float32), "Multiply, with 2 factors for 2 channels"),
        (lambda x: keras.ops.matmul(x, x), "Matmul, which sums products of the units"),
        (lambda x: keras.ops.matmul(x, np.ones((2, 2))), "Matmul, with weights of its own"),
        (keras.ops.erf, "Erf, of which it is not known"),
    ],
)
def test_operations_without_a_place_in_the_graph_refused(operation, reason):
    inputs = keras.Input((2, 2))
    outputs = operation(layers.Dense(2)(inputs))
    with pytest.raises(InvalidInputError, match=f"of network 'net' is a (True)?{reason}"):
        read_weights(keras.Model(inputs, outputs, name="net"))


@pytest.mark.parametrize(
    "layer",
    [
        layers.Conv2D(2, 1, name="odd"),
        layers.Conv2DTranspose(2, 1, name="odd"),
        layers.SeparableConv2D(2, 1, name="odd"),
        layers.DepthwiseConv2D(1, name="odd"),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_convolution_of_flattened_maps_refused(layer):
    network = sequential(
        (2, 2, 1),
        pointwise(3, "conv"),
        layers.Flatten(),
        layers.BatchNormalization(),
        layers.Reshape((1, 1, 12)),
        layer,
        layers.Flatten(),
        layers.Dense(2),
    )
    with pytest.raises(InvalidInputError, match=r"layer 'odd' .* reads flattened maps"):
        read_weights(network)


def test_input_of_unknown_width_refused():
    inputs = keras.Input((None,), name="x")
    outputs = keras.ops.sum(inputs, axis=1)
    with pytest.raises(
        InvalidInputError, match=r"input 'x' of network 'net' has the shape \(None,"
    ):
        read_weights(keras.Model(inputs, outputs, name="net"))

"""Dense layers on maps are convolutions of size 1; those behind a flatten are left out of a CNN."""

import keras
import numpy as np
import pytest
from keras import layers
from keras.src.applications import convnext, inception_resnet_v2

from nn_clustering.graphs import graph_from_weights, unit_activations
from tests.networks.sample_networks import block, conv, dense, named, pointwise, sequential, weigh


def mixing_block(x):
    """Of ConvNeXt: depthwise, normalised, two dense layers on the map, added to what it reads."""
    y = layers.DepthwiseConv2D(3, padding="same")(x)
    y = layers.LayerNormalization()(y)
    y = layers.Dense(32, "gelu", name="expand")(y)
    return layers.Add(name="sum")([x, layers.Dense(8, name="shrink")(y)])


def with_head(x, head):
    return keras.Model(x[0], layers.Dense(3, name="output")(head(x[1])), name="net")


def mixing_network(head):
    inputs = keras.Input((8, 8, 3))
    x = mixing_block(conv(8, "first")(inputs))
    return with_head((inputs, conv(6, "last")(x)), head)


@pytest.mark.parametrize(
    "head",
    [
        layers.Flatten(),
        layers.GlobalAveragePooling2D(),
        layers.GlobalMaxPooling2D(keepdims=True),
        lambda x: keras.ops.mean(x, (1, 2)),
        lambda x: layers.Flatten()(layers.GlobalAveragePooling2D(keepdims=True)(x)),
        lambda x: layers.Dense(5, name="hidden")(layers.GlobalAveragePooling2D()(x)),
        lambda x: layers.Concatenate()([layers.Flatten()(x), layers.GlobalMaxPooling2D()(x)]),
    ],
)
def test_dense_layers_on_a_map_are_kept_and_the_head_is_left_out(head):
    graph = graph_from_weights(mixing_network(head))
    assert named(graph) == [("first", 8), ("expand", 32), ("sum", 8), ("last", 6)]
    assert graph.n_units == 54


def test_left_out_layers_are_so_when_that_is_asked_for_too():
    network = mixing_network(layers.Flatten())
    default = graph_from_weights(network)
    asked = graph_from_weights(network, dense_layers=False)
    assert named(asked) == named(default)
    assert ("output", 3) in named(graph_from_weights(network, dense_layers=True))


def test_weights_of_a_dense_layer_on_a_map_are_those_of_a_convolution_of_size_1():
    kernel = [[1, -2], [3, 4], [-5, 6]]
    graphs = []
    for layer in (pointwise(2, "mix"), layers.Dense(2, name="mix")):
        network = sequential((4, 4, 1), pointwise(3, "first"), layer, pointwise(1, "last"))
        weigh(network, "mix", kernel)
        weigh(network, "last", [[7], [8]])
        graphs.append(graph_from_weights(network))
    assert graphs[0].layers == graphs[1].layers
    assert block(graphs[1], "first", "mix").tolist() == np.abs(kernel).tolist()
    for one, other in zip(*(graph.edges for graph in graphs), strict=True):
        assert one.weights.tolist() == other.weights.tolist()


def test_what_spreads_over_positions_again_is_a_map_once_more():
    """A gate's dense layer reads means; the one behind the product reads a map."""
    inputs = keras.Input((4, 4, 1))
    stem = pointwise(3, "stem")(inputs)
    gate = layers.Dense(3, "sigmoid", name="gate")(
        layers.GlobalAveragePooling2D(keepdims=True)(stem)
    )
    mixed = layers.Dense(2, name="mixed")(layers.Multiply(name="gated")([stem, gate]))
    pooled = layers.UpSampling2D(4)(layers.GlobalAveragePooling2D(keepdims=True)(mixed))
    both = layers.Concatenate()([mixed, layers.Dense(2, name="context")(pooled)])
    network = keras.Model(inputs, pointwise(1, "last")(both))
    graph = graph_from_weights(network)
    assert named(graph) == [("gated", 3), ("mixed", 2), ("context", 2), ("last", 1)]


def test_dense_layer_on_another_input_is_of_the_network():
    """It lies behind neither a flatten nor a pooling."""
    image, numbers = keras.Input((4, 4, 1), name="image"), keras.Input((5,), name="numbers")
    maps = pointwise(3, "maps")(image)
    scale = layers.Dense(3, name="scale")(layers.Dense(4, name="read")(numbers))
    gated = layers.Multiply(name="gated")([maps, layers.Reshape((1, 1, 3))(scale)])
    network = keras.Model([image, numbers], pointwise(2, "last")(gated))
    assert named(graph_from_weights(network)) == [("read", 4), ("gated", 3), ("last", 2)]


@pytest.mark.parametrize("inner", [layers.Flatten, layers.GlobalAveragePooling2D])
def test_flatten_at_each_time_is_one(inner):
    network = sequential(
        (5, 4, 4, 1),
        layers.TimeDistributed(pointwise(3, "a"), name="first"),
        layers.TimeDistributed(pointwise(2, "b"), name="second"),
        layers.TimeDistributed(inner()),
        layers.TimeDistributed(layers.Dense(6), name="head"),
        layers.GlobalAveragePooling1D(),
        layers.Dense(3, name="output"),
    )
    assert named(graph_from_weights(network)) == [("first", 3), ("second", 2)]


def of_frames(pool, *mixing):
    """Maps at each of 6 times, pooled, mixed, and convolved over time."""
    inputs = keras.Input((6, 4, 4, 1))
    x = layers.TimeDistributed(pointwise(3, "conv"), name="frames")(inputs)
    for layer in (pool, *mixing):
        x = layer(x)
    return keras.Model(inputs, layers.Conv1D(2, 3, name="last")(layers.Conv1D(4, 3, name="t")(x)))


@pytest.mark.parametrize(
    "pool",
    [layers.TimeDistributed(layers.GlobalAveragePooling2D()), lambda x: keras.ops.mean(x, (2, 3))],
)
@pytest.mark.parametrize(
    "mixing",
    [
        [layers.Dense(5, name="mix")],
        [layers.ReLU(), layers.Dense(5, name="mix")],
        [layers.Conv1D(5, 1, name="mix")],
    ],
)
def test_dense_layer_on_what_is_pooled_at_each_time_is_on_a_map_over_time(pool, mixing):
    graph = graph_from_weights(of_frames(pool, *mixing))
    assert named(graph) == [("frames", 3), ("mix", 5), ("t", 4), ("last", 2)]


@pytest.mark.parametrize("head", [layers.Dense(6, name="mix"), layers.Conv1D(6, 1, name="mix")])
def test_what_weights_read_over_time_is_a_map_at_each_time_too(head):
    second = layers.TimeDistributed(layers.Dense(5), name="second")
    graph = graph_from_weights(
        of_frames(layers.TimeDistributed(layers.GlobalAveragePooling2D()), head, second)
    )
    assert named(graph)[1:3] == [("mix", 6), ("second", 5)]


def test_layers_between_leave_a_head_at_each_time_one():
    network = sequential(
        (5, 4, 4, 1),
        layers.TimeDistributed(pointwise(3, "a"), name="first"),
        layers.TimeDistributed(pointwise(2, "b"), name="second"),
        layers.TimeDistributed(layers.GlobalAveragePooling2D()),
        layers.ReLU(),
        layers.TimeDistributed(layers.Dense(6), name="head"),
    )
    assert named(graph_from_weights(network)) == [("first", 3), ("second", 2)]


def test_dense_layers_on_sequences_without_convolutions_are_as_before():
    network = sequential((5, 4), layers.Dense(3, name="a"), layers.Dense(2, name="b"))
    assert named(graph_from_weights(network)) == [("input", 4), ("a", 3), ("b", 2)]


def test_activations_are_of_the_same_units():
    network = mixing_network(layers.GlobalAveragePooling2D())
    found = unit_activations(network, np.random.default_rng(0).random((4, 8, 8, 3), np.float32))
    assert [layer.name for layer in found.layers] == ["first", "expand", "sum", "last"]


def test_networks_of_keras_that_scale_their_residuals():
    """A small ConvNeXt, and a block of Inception-ResNet: its sum leads on times 0.25."""
    network = convnext.ConvNeXt(
        depths=[1, 1, 1, 1],
        projection_dims=[4, 6, 8, 10],
        drop_path_rate=0.1,
        layer_scale_init_value=0.5,
        weights=None,
        input_shape=(32, 32, 3),
        classes=3,
        name="small",
    )
    names = {layer.n_units for layer in graph_from_weights(network).layers}
    assert names == {4, 6, 8, 10, 16, 24, 32, 40}
    inputs = keras.Input((8, 8, 320))
    x = inception_resnet_v2.inception_resnet_block(inputs, 0.25, "block35", 1)
    whole = graph_from_weights(keras.Model(inputs, x))
    (total,) = [layer for layer in whole.layers if layer.n_units == 320]
    assert total.name.startswith("custom_scale")


def test_residual_times_its_factor():
    inputs = keras.Input((1,))
    first = dense([[3]], "first")(inputs)
    scaled = inception_resnet_v2.CustomScaleLayer(-0.5, name="sum")
    network = keras.Model(inputs, scaled([first, dense([[4]], "second")(first)]))
    graph = graph_from_weights(network)
    assert block(graph, "input", "sum").tolist() == [[3]]
    assert block(graph, "first", "sum").tolist() == [[2]]


def test_single_positions_are_multiplied_before_a_copied_set_as_without_copies():
    """By a normalisation behind a flatten, whose factors are not those of whole channels."""
    norm = layers.BatchNormalization()
    network = sequential(
        (4, 4, 1),
        conv(3, "first"),
        layers.Flatten(),
        norm,
        layers.Dense(5, name="hidden"),
        layers.Dense(2, name="output"),
    )
    random = np.random.default_rng(0)
    norm.set_weights([random.uniform(0.5, 2, weights.shape) for weights in norm.get_weights()])
    one_set = graph_from_weights(network, dense_layers=True)
    copied = graph_from_weights(network, dense_layers=True, residual="copied")
    expected = block(one_set, "first", "hidden")
    assert block(copied, "hidden/inputs", "output/inputs") == pytest.approx(expected)
    norm.set_weights([np.ones(weights.shape) for weights in norm.get_weights()])
    plain = graph_from_weights(network, dense_layers=True, residual="copied")
    assert block(plain, "hidden/inputs", "output/inputs") != pytest.approx(expected)

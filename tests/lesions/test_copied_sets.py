"""Lesions of copied sets, beside the network with the slices of one reader's kernel at 0."""

import keras
import numpy as np
import pytest
from keras import layers

from nn_clustering.errors import InvalidInputError
from nn_clustering.graphs import graph_from_weights
from nn_clustering.lesions import LesionEngine, lesionable_layers

WIDTH = 4


def conv(name, **options):
    return layers.Conv2D(WIDTH, 3, padding="same", name=name, bias_initializer="normal", **options)


@pytest.fixture(scope="module")
def network():
    """A stream that four layers read, one of them beside something else, and two heads' worth."""
    keras.utils.set_random_seed(3)
    inputs = keras.Input((6, 6, 1))
    stem = conv("stem", activation="relu")(inputs)
    branch = layers.BatchNormalization(name="norm")(conv("branch")(stem))
    stream = layers.ReLU(name="relu")(layers.Add(name="sum")([stem, branch]))
    beside = layers.Concatenate(name="both")([conv("left")(stream), stream])
    separable = layers.SeparableConv2D(WIDTH, 2, padding="same", name="separable")
    total = layers.Add(name="total")([conv("right")(beside), separable(stream), stream])
    outputs = layers.Dense(3, name="output")(layers.Flatten()(total))
    return keras.Model(inputs, outputs, name="net")


@pytest.fixture(scope="module")
def images():
    random = np.random.default_rng(4)
    x = random.normal(size=(80, 6, 6, 1)).astype(np.float32)
    return x, random.integers(0, 3, len(x))


# By set: the reader, the kernel that reads, and where in what it reads the set begins.
SETS = {
    "branch/inputs": ("branch", 0),
    "left/inputs": ("left", 0),
    "right/inputs/left": ("right", 0),
    "right/inputs/sum": ("right", WIDTH),
    "separable/inputs": ("separable", 0),
    "output/inputs": ("output", 0),
}


@pytest.mark.parametrize("name", SETS)
def test_one_reader_alone_reads_silence(network, images, name):
    x, y = images
    engine = LesionEngine(network, x, y, residual="copied")
    assert dict(engine.layers) == dict.fromkeys(SETS, WIDTH)
    silenced = np.array([[True, False, True, False], [False, True, True, True]])
    reader, first = SETS[name]
    for lesion, found in zip(silenced, engine.lesioned({name: silenced}), strict=True):
        lesioned = keras.models.clone_model(network)
        lesioned.set_weights(network.get_weights())
        layer = lesioned.get_layer(reader)
        kernel, *others = layer.get_weights()
        if kernel.ndim == 2:  # a dense layer behind a flatten: all positions of a channel
            kernel.reshape(-1, WIDTH, 3)[:, lesion] = 0
        else:
            kernel[:, :, first + np.flatnonzero(lesion)] = 0
        layer.set_weights([kernel, *others])
        right = y[np.asarray(lesioned(x)).argmax(axis=1) == y]
        assert found.tolist() == np.bincount(right, minlength=3).tolist()


def test_layers_of_the_graph_are_found(network):
    graph = graph_from_weights(network, residual="copied")
    names = tuple(layer.name for layer in graph.layers)
    assert set(names) == set(SETS)
    assert lesionable_layers(graph.layers, network, residual="copied") == names
    with pytest.raises(InvalidInputError, match=r"layer 'branch/inputs' of 4 units, .* no such"):
        lesionable_layers(graph.layers, network)


def test_incoming_weights_of_one_copy_refused(network, images):
    with pytest.raises(InvalidInputError, match="silence='weights' with residual='copied'"):
        LesionEngine(network, *images, silence="weights", residual="copied")

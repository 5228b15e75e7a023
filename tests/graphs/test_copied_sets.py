"""A set of units for what each weight layer reads (methods C4), by hand."""

import keras
import numpy as np
import pytest
from keras import layers

from nn_clustering.graphs import graph_from_weights
from tests.networks.sample_networks import block, named


def conv(n_filters, name, size=3):
    return layers.Conv2D(n_filters, size, padding="same", use_bias=False, name=name)


@pytest.fixture(scope="module")
def network():
    """Two convolutions read one sum, each scaled otherwise; one reads both, and one of them twice.

    Its weights are random, and of either sign.
    """
    inputs = keras.Input((6, 6, 3))
    stem = layers.ReLU()(layers.BatchNormalization(name="norm")(conv(4, "stem")(inputs)))
    stream = layers.Add()([stem, conv(4, "branch")(stem)])
    left = conv(5, "left")(layers.BatchNormalization(name="norm of left")(stream))
    right = conv(3, "right")(layers.DepthwiseConv2D(3, name="depthwise", use_bias=False)(stream))
    left = layers.Cropping2D(1)(left)
    again = layers.BatchNormalization(name="norm of again")(right)
    both = conv(6, "both", size=1)(layers.Concatenate()([left, right, again]))
    outputs = layers.Dense(2, name="output")(layers.GlobalAveragePooling2D()(both))
    network = keras.Model(inputs, outputs)
    random = np.random.default_rng(0)
    for weights in network.weights:
        low = 0.5 if "variance" in weights.path else -2
        weights.assign(random.uniform(low, 2, weights.shape))
    return network


def norms(network, name):
    """L1 norms of the kernels, (inputs, filters)."""
    return np.abs(network.get_layer(name).get_weights()[0].astype(float)).sum(axis=(0, 1))


def factors(network, name):
    norm = network.get_layer(name)
    gamma, _, _, variance = norm.get_weights()
    return np.abs(gamma / np.sqrt(variance.astype(float) + norm.epsilon))


def test_every_way_from_a_set_to_the_next(network):
    graph = graph_from_weights(network, residual="copied", inputs=True)
    assert named(graph) == [
        ("stem/inputs", 3),
        ("branch/inputs", 4),
        ("left/inputs", 4),
        ("right/inputs", 4),
        ("both/inputs/left", 5),
        ("both/inputs/right", 3),
        ("both/inputs/right:2", 3),
        ("output/inputs", 6),
    ]
    k = {name: norms(network, name) for name in ("stem", "branch", "left", "right", "both")}
    depthwise = norms(network, "depthwise")[:, 0]
    stem = k["stem"] * factors(network, "norm")
    of_left, of_again = factors(network, "norm of left"), factors(network, "norm of again")
    expected = {
        ("stem/inputs", "branch/inputs"): stem,
        ("stem/inputs", "left/inputs"): stem * of_left,
        ("stem/inputs", "right/inputs"): stem * depthwise,
        ("branch/inputs", "left/inputs"): k["branch"] * of_left,
        ("branch/inputs", "right/inputs"): k["branch"] * depthwise,
        ("left/inputs", "both/inputs/left"): k["left"],
        ("right/inputs", "both/inputs/right"): k["right"],
        ("right/inputs", "both/inputs/right:2"): k["right"] * of_again,
        ("both/inputs/left", "output/inputs"): k["both"][:5],
        ("both/inputs/right", "output/inputs"): k["both"][5:8],
        ("both/inputs/right:2", "output/inputs"): k["both"][8:],
    }
    assert len(graph.edges) == len(expected)
    for (source, target), weights in expected.items():
        assert block(graph, source, target) == pytest.approx(weights, rel=1e-6)


def test_without_the_image(network):
    whole = graph_from_weights(network, residual="copied", inputs=True)
    graph = graph_from_weights(network, residual="copied")
    assert named(graph) == named(whole)[1:]
    assert len(graph.edges) == len(whole.edges) - 3

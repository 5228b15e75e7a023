"""Gradients pass silent units where nothing else passes."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from nn_clustering.networks.structure import walk_network
from nn_clustering.visualisation import Ascent, Bounds, InputOptimiser
from nn_clustering.visualisation._redirection import with_redirected_gradients

# images: one with a unit that answers, one all silent, one with a unit at 0
READ = np.array([[1.0, -1, -2], [-3, -1, -2], [0, -1, -2]], np.float32)
UPSTREAM = np.array([[2.0, 3, -4], [2, 3, -4], [-5, 3, -4]], np.float32)
REDIRECTED = np.array([[2.0, 0, 0], [2, 3, 0], [0, 3, 0]], np.float32)


def gradient(layer, read, upstream):
    inputs = keras.Input(read.shape[1:])
    walk = walk_network(keras.Model(inputs, layer(inputs)))
    redirected = with_redirected_gradients(walk)
    x = tf.constant(read)
    with tf.GradientTape() as tape:
        tape.watch(x)
        (made,) = redirected.run({0: x}, walk.outputs).values()
    (expected,) = walk.run({0: x}, walk.outputs).values()
    np.testing.assert_array_equal(made, expected)
    return tape.gradient(made, x, output_gradients=tf.constant(upstream)).numpy()


@pytest.mark.parametrize(
    "layer",
    [
        layers.ReLU(),
        layers.Activation("relu"),
        layers.Activation("relu6"),
        layers.TimeDistributed(layers.ReLU()),
        keras.ops.relu,
    ],
    ids=["layer", "activation", "bounded", "wrapped", "operation"],
)
def test_where_all_units_of_an_image_are_silent(layer):
    if isinstance(layer, layers.TimeDistributed):  # the image has all times
        read, upstream = (np.reshape(x, (3, 3, 1)) for x in (READ, UPSTREAM))
        np.testing.assert_array_equal(gradient(layer, read, upstream)[..., 0], REDIRECTED)
    else:
        np.testing.assert_array_equal(gradient(layer, READ, UPSTREAM), REDIRECTED)


def test_a_bounded_unit_is_not_pushed_farther_on_either_side():
    read = np.array([[7, 7, -1], [2, 7, -1]], np.float32)
    upstream = np.array([[1, -1, 1], [1, -1, 1]], np.float32)
    expected = [[0, -1, 1], [1, 0, 0]]
    for bounded in (layers.ReLU(6.0), layers.Activation("relu6"), keras.ops.relu6):
        np.testing.assert_array_equal(gradient(bounded, read, upstream), expected)
    # below its threshold a unit is silent
    read[1] = [2, 1, -1]
    np.testing.assert_array_equal(
        gradient(layers.ReLU(threshold=3.0), read, upstream), [[1, -1, 0], [1, 0, 1]]
    )


def test_units_that_leak_are_left_alone():
    leaking = layers.ReLU(negative_slope=0.5)
    np.testing.assert_array_equal(
        gradient(leaking, READ, UPSTREAM), UPSTREAM * np.where(READ > 0, 1, 0.5)
    )


@pytest.mark.parametrize("n_steps", [10, 20])
def test_a_silent_unit_wakes_in_the_first_steps_or_never(n_steps):
    """A unit that is silent by so much that it takes about 15 steps."""
    reads = layers.Dense(1, activation="relu", name="unit")
    network = keras.Sequential([keras.Input((4,)), reads, layers.Dense(2)])
    rises = 1 / (1 + np.exp(-0.05 * 13))
    reads.set_weights([np.full((4, 1), 0.25, np.float32), np.float32([-rises])])

    def score(**settings):
        optimiser = InputOptimiser(network, (4,), bounds=Bounds(), ascent=Ascent(**settings))
        return optimiser.optimise("unit", np.ones((1, 1), bool), [0]).scores[0]

    assert (score(n_steps=n_steps) > 0) == (n_steps > 13)
    assert score(n_steps=n_steps, redirect_relu=False) == 0
    # only in the first 16 steps
    reads.set_weights([np.full((4, 1), 0.25, np.float32), np.float32([-0.8])])
    assert score(n_steps=60) == 0

"""What is read as units' values are those of a plain Keras submodel."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from nn_clustering.graphs import graph_from_weights, unit_activations
from nn_clustering.networks.structure import UnitPlaces
from nn_clustering.visualisation import Bounds, InputOptimiser, Objective
from nn_clustering.visualisation._unit_values import spatial_means

WIDTH = 4


def conv(name, **options):
    return layers.Conv2D(WIDTH, 3, padding="same", name=name, bias_initializer="normal", **options)


def norm(name):
    return layers.BatchNormalization(
        name=name, beta_initializer="normal", gamma_initializer="uniform"
    )


def relu(name):
    return layers.ReLU(name=name)


@pytest.fixture(scope="module")
def network():
    """As VGG has it, a residual sum, a concatenation, one with its nonlinearity behind it."""
    keras.utils.set_random_seed(3)
    inputs = keras.Input((6, 6, 1))
    stem = relu("stem_relu")(conv("stem")(inputs))
    stem = norm("stem_norm")(layers.MaxPooling2D(name="pool")(stem))
    branch = norm("branch_norm")(conv("branch")(stem))
    stream = relu("sum_relu")(layers.Add(name="sum")([stem, branch]))
    left = relu("left_relu")(conv("left")(stream))
    beside = layers.Concatenate(name="both")([left, stream])
    right = conv("right")(beside)
    dense_block = relu("later_relu")(norm("later_norm")(layers.Concatenate()([right, beside])))
    last = relu("last_relu")(conv("last")(dense_block))
    flat = layers.Flatten(name="flat")(norm("last_norm")(last))
    hidden = relu("hidden_relu")(layers.Dense(5, name="hidden")(flat))
    return keras.Model(inputs, layers.Dense(3, name="output")(hidden), name="net")


# By layer of units: what makes their values before and after the nonlinearity, and which channels.
ONE_SET = {
    "stem": ("stem", "stem_relu", slice(None)),
    "sum": ("sum", "sum_relu", slice(None)),
    "left": ("left", "left_relu", slice(None)),
    "right": ("right", "right", slice(None)),
    "last": ("last", "last_relu", slice(None)),
    "hidden": ("hidden", "hidden_relu", slice(None)),
}
COPIED = {
    "branch/inputs": ("stem", "stem_relu", slice(None)),
    "left/inputs": ("sum", "sum_relu", slice(None)),
    "right/inputs/left": ("left", "left_relu", slice(None)),
    "right/inputs/sum": ("sum", "sum_relu", slice(None)),
    "last/inputs/right": ("later_norm", "later_relu", slice(0, 4)),
    "last/inputs/left": ("later_norm", "later_relu", slice(4, 8)),
    "last/inputs/sum": ("later_norm", "later_relu", slice(8, 12)),
    "hidden/inputs": ("last", "last_relu", slice(None)),
    "output/inputs": ("hidden", "hidden_relu", slice(None)),
}


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(4).normal(size=(5, 6, 6, 1)).astype(np.float32)


def plain_means(network, made_by, images):
    maps = keras.Model(network.input, network.get_layer(made_by).output)(images).numpy()
    return maps.reshape(len(maps), -1, maps.shape[-1]).mean(axis=1)


@pytest.mark.parametrize("position", ["pre", "post"])
@pytest.mark.parametrize(("residual", "sets"), [("one_set", ONE_SET), ("copied", COPIED)])
def test_values_are_those_of_submodels(network, images, residual, sets, position):
    optimiser = InputOptimiser(
        network,
        (6, 6, 1),
        bounds=Bounds(),
        objective=Objective(position=position),
        residual=residual,
    )
    assert dict(optimiser.layers) == {
        name: 5 if name in ("hidden", "output/inputs") else WIDTH for name in sets
    }
    graph = graph_from_weights(network, residual=residual, dense_layers=True)
    assert set(optimiser.among(graph.layers)) == set(sets)
    ((rows, found),) = optimiser.values(list(sets), images)
    assert rows == slice(0, 5)
    for name, (before, behind, channels) in sets.items():
        made_by = behind if position == "post" else before
        expected = plain_means(network, made_by, images)[:, channels]
        np.testing.assert_allclose(found[name], expected, rtol=1e-4, atol=1e-5, err_msg=name)
        if name in ("sum", "last/inputs/left", "hidden/inputs"):
            of_sets = np.tri(len(images), optimiser.layers[name], dtype=bool)
            measured = optimiser.measured(name, images, of_sets)
            answers = plain_means(network, behind, images)[:, channels]
            np.testing.assert_allclose(
                measured.scores, (expected * of_sets).sum(axis=1), rtol=1e-4, atol=1e-5
            )
            spreads = [values[units].std() for values, units in zip(answers, of_sets, strict=True)]
            np.testing.assert_allclose(measured.dispersions, spreads, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("position", ["pre", "post"])
def test_values_are_those_of_activation_graphs(network, images, position):
    active = unit_activations(network, images, position=position, map_norm="mean")
    optimiser = InputOptimiser(
        network, (6, 6, 1), bounds=Bounds(), objective=Objective(position=position)
    )
    names = optimiser.among(active.layers)
    assert names == tuple(layer.name for layer in active.layers)
    ((_, found),) = optimiser.values(names, images)
    for name, values in zip(names, active.values, strict=True):
        np.testing.assert_allclose(found[name], values, rtol=1e-4, atol=1e-5)


def test_maps_that_a_reshape_makes_have_passed_their_nonlinearity():
    keras.utils.set_random_seed(0)
    inputs = keras.Input((3,))
    flat = relu("relu")(layers.Dense(2 * 2 * WIDTH, name="dense")(inputs))
    maps = layers.Reshape((2, 2, WIDTH), name="maps")(flat)
    network = keras.Model(inputs, layers.Flatten()(conv("conv")(maps)))
    x = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)
    for position, made_by in (("pre", "dense"), ("post", "relu")):
        optimiser = InputOptimiser(
            network, (3,), bounds=Bounds(), objective=Objective(position=position)
        )
        ((_, found),) = optimiser.values(["maps"], x)
        flat = keras.Model(inputs, network.get_layer(made_by).output)(x).numpy()
        expected = flat.reshape(4, 4, WIDTH).mean(axis=1)
        np.testing.assert_allclose(found["maps"], expected, rtol=1e-4, atol=1e-6)


def test_units_may_stand_at_any_places():
    maps = np.random.default_rng(0).normal(size=(2, 3, 2, 4)).astype(np.float32)
    means = maps.mean(axis=(1, 2))
    for rows in ([[0, 1, 2, 3]], [[1, 2]], [[3, 0, 2]], [[0, 3], [2, 1]]):
        found = spatial_means(UnitPlaces(0, np.array(rows)), tf.constant(maps))
        np.testing.assert_allclose(found, means[:, rows].mean(axis=1), atol=1e-6)

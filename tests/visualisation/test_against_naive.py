"""Inputs optimised in batches beside those optimised one at a time the plain way."""

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from nn_clustering.networks import ChannelMap, channel_map
from nn_clustering.visualisation import (
    Ascent,
    Bounds,
    InputOptimiser,
    Objective,
    Parametrisation,
    Transformations,
    reduced,
)
from nn_clustering.visualisation._transforming import drawn_moves, moved
from tests.visualisation import sample_networks
from tests.visualisation.naive import MIXTURE, SHIFT, Naive, top_samples

# Where the units of layers are that have no activation of their own.
PLACES = {
    "conv_1": ("norm_1", "relu_1"),
    "conv_0": ("norm_1", "relu_1"),
    "sum_1": ("norm_2", "relu_2"),
    "sum_2": ("sum_2", "last_relu"),
}
SETS = ([0, 2, 3], [1])


@functools.cache
def network(kind):
    return getattr(sample_networks, kind)()


def masks_of(sets, n_units):
    return np.array([np.isin(np.arange(n_units), units) for units in sets])


def start_of(optimiser, seed):
    """The numbers that an input starts from, as the plain way has them."""
    numbers = optimiser._parametrised.start(seed).astype(float)
    shape = optimiser.sample_shape
    if len(shape) < 3 or numbers.shape[1] == np.prod(shape[:2]):
        return numbers.T.reshape(shape)
    real, imaginary = np.split(numbers.transpose(2, 1, 0), 2)
    return real + 1j * imaginary


def map_of(style, shape):
    if style == "mixture":
        return ChannelMap(MIXTURE, SHIFT)
    return None if style is None else channel_map(style, shape)


def moved_by(transformations, seed, step, pixels):
    """Pixels as they are seen in a step; how that is done is tested apart."""
    if not transformations.any:
        return pixels
    moves = drawn_moves(transformations, [seed], range(step, step + 1))[0]
    return tf.cast(moved(tf.cast(pixels[None], tf.float32), moves)[0], tf.float64)


def check(network, layer, objective, *, basis=None, n_steps=5, sets=SETS, **options):
    """Compare inputs and all that is said of them, and return them."""
    shape = options.pop("sample_shape", network.input_shape[1:])
    style, bounds = options.pop("style", None), options.pop("bounds", (0, 1))
    redirect, places = options.pop("redirect", True), options.pop("places", PLACES)
    decorrelate = options.pop("decorrelate", len(shape) == 3 and shape[-1] == 3)
    optimiser = InputOptimiser(
        network,
        shape,
        bounds=Bounds(*bounds),
        channel_map=map_of(style, shape),
        objective=Objective(*objective),
        parametrisation=Parametrisation(basis, None if decorrelate else False),
        ascent=Ascent(n_steps, redirect_relu=redirect),
        **options,
    )
    transformations = options.get("transformations", Transformations())
    found = optimiser.optimise(layer, masks_of(sets, optimiser.layers[layer]), range(len(sets)))
    naive = Naive(network, shape, places, style=style, bounds=bounds)
    for index, units in enumerate(sets):
        expected = naive.optimise(
            layer,
            units,
            start_of(optimiser, index),
            n_steps=n_steps,
            reduction=objective[0],
            position=objective[1],
            decorrelate=decorrelate,
            redirect=redirect,
            moved=functools.partial(moved_by, transformations, index),
        )
        np.testing.assert_allclose(found.inputs[index], expected.input, atol=2e-5)
        assert found.scores[index] == pytest.approx(expected.score, rel=1e-4, abs=1e-5)
        assert found.dispersions[index] == pytest.approx(expected.dispersion, rel=1e-4, abs=1e-5)
        if optimiser.measures_entropy:
            assert found.entropies[index] == pytest.approx(expected.entropy, rel=1e-4, abs=1e-5)
    return found


@pytest.mark.parametrize(
    ("objective", "basis"),
    [
        (("sum", "post"), "fourier"),
        (("sum", "pre"), "pixels"),
        (("absolute", "pre"), "fourier"),
        (("absolute", "post"), "pixels"),
        (("mean", "pre"), "fourier"),
        (("mean", "post"), "pixels"),
    ],
)
def test_dense_networks(objective, basis):
    check(network("mlp"), "dense_2", objective, basis=basis)


@pytest.mark.parametrize(
    ("layer", "objective", "basis"),
    [
        ("conv_1", ("absolute", "post"), "pixels"),
        ("conv_1", ("mean", "pre"), "fourier"),
        ("conv_2", ("absolute", "pre"), "fourier"),
        ("conv_2", ("sum", "post"), "pixels"),
        ("dense_1", ("mean", "post"), "fourier"),
    ],
)
def test_convolutions_norms_and_pooling(layer, objective, basis):
    check(network("cnn"), layer, objective, basis=basis)


@pytest.mark.parametrize(
    ("layer", "objective", "basis", "decorrelate"),
    [
        ("conv_0", ("sum", "post"), "fourier", True),
        ("sum_1", ("absolute", "pre"), "fourier", True),
        ("sum_2", ("sum", "post"), "pixels", True),
        ("sum_2", ("sum", "pre"), "fourier", False),
    ],
)
def test_residual_networks_in_colour(layer, objective, basis, decorrelate):
    found = check(network("residual"), layer, objective, basis=basis, decorrelate=decorrelate)
    assert found.entropies is not None


@pytest.mark.parametrize("style", ["none", "caffe", "torch", "mixture"])
def test_what_networks_read_of_pixels(style):
    check(network("residual"), "conv_2a", ("absolute", "pre"), style=style, n_steps=3)


def test_images_that_are_moved_before_each_step():
    transformations = Transformations(jitter=1, scaling=0.1, rotation=10)
    check(network("cnn"), "conv_2", ("sum", "pre"), transformations=transformations)


def test_bounds_and_samples_that_are_no_images():
    dense = sample_networks.mlp((11,))
    low, high = np.linspace(-3, 0, 11), np.linspace(1, 9, 11)
    found = check(dense, "dense_1", ("sum", "post"), bounds=(low, high))
    assert (found.inputs >= low).all()
    assert (found.inputs <= high).all()
    check(network("mlp"), "dense_1", ("sum", "post"), bounds=(-1, 3))


def test_samples_of_another_shape_than_the_network_reads():
    flat = sample_networks.mlp((48,))
    check(flat, "dense_1", ("sum", "post"), sample_shape=(4, 4, 3))


def silent_network(conv_bias, dense_bias):
    keras.utils.set_random_seed(3)
    made = keras.Sequential(
        [
            keras.Input((5, 5, 1)),
            layers.Conv2D(6, 3, activation="relu", name="conv_1"),
            layers.Flatten(),
            layers.Dense(6, name="dense_1"),
            layers.Activation("relu", name="relu_1"),
            layers.Dense(3, "softmax", name="output"),
        ]
    )
    made.get_layer("conv_1").bias.assign(np.full(6, conv_bias, np.float32))
    made.get_layer("dense_1").bias.assign(dense_bias)
    return made


@pytest.mark.parametrize(
    ("conv_bias", "dense_bias", "sets", "n_steps"),
    [
        # the sum of the first two never sounds, beside others that do from the start
        (1, [-20, -20, -0.5, 1, 1, 1], ([0, 1], [0, 3], [3, 4], [2]), 20),
        # the second layer sounds, whose weights are of both signs; the first never, or only later
        (-4, [1] * 6, ([0, 1], [2, 3]), 18),
        (-0.4, [1] * 6, ([0, 1], [2, 3]), 18),
    ],
)
def test_gradients_through_silent_units(conv_bias, dense_bias, sets, n_steps):
    made = silent_network(conv_bias, dense_bias)
    objective = ("sum", "post")
    places = {"dense_1": ("dense_1", "relu_1")}
    redirected = check(made, "dense_1", objective, n_steps=n_steps, sets=sets, places=places)
    plain = check(
        made, "dense_1", objective, n_steps=n_steps, sets=sets, places=places, redirect=False
    )
    moved = np.abs(redirected.inputs - plain.inputs).max(axis=(1, 2, 3)) > 0.1
    assert moved[0]
    # what is left alone starts and stays at random numbers that are hardly more than nothing
    assert np.abs(plain.inputs[0] - 0.5).max() < 0.1


def test_samples_that_move_units_most():
    made = network("cnn")
    random = np.random.default_rng(0)
    x, labels = random.uniform(size=(12, 9, 8, 1)), random.integers(3, size=12)
    optimiser = InputOptimiser(
        made, (9, 8, 1), bounds=Bounds(0, 1), objective=Objective("absolute", "pre")
    )
    naive = Naive(made, (9, 8, 1), PLACES)
    parts = list(optimiser.values(["conv_1", "dense_1"], x.astype(np.float32)))
    for layer in ("conv_1", "dense_1"):
        values = np.concatenate([of_layers[layer] for _, of_layers in parts])
        profiles = [naive.profile(layer, sample, "pre") for sample in x]
        np.testing.assert_allclose(values, profiles, rtol=1e-4, atol=1e-5)
        masks = masks_of(SETS, optimiser.layers[layer])
        scores = reduced(values, masks, "absolute")
        for index, units in enumerate(SETS):
            best, expected, _ = top_samples(
                naive, layer, units, x, labels, 4, reduction="absolute", position="pre"
            )
            assert np.argsort(-scores[:, index])[:4].tolist() == best
            np.testing.assert_allclose(scores[best, index], expected, rtol=1e-4)
        given = optimiser.measured(layer, x[: len(SETS)], masks)
        for index, units in enumerate(SETS):
            answer = naive.measured(layer, x[index], units, reduction="absolute", position="pre")
            assert given.scores[index] == pytest.approx(answer.score, rel=1e-4)
            assert given.entropies[index] == pytest.approx(answer.entropy, rel=1e-4)
            assert given.dispersions[index] == pytest.approx(answer.dispersion, rel=1e-4)

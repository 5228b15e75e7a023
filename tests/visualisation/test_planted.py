"""Networks whose units compute known things: the inputs must show exactly these."""

import keras
import numpy as np
import pytest
import yaml
from keras import layers

from nn_clustering.graphs import Layer
from nn_clustering.networks import channel_map, preprocessing
from nn_clustering.partitions import Partition
from nn_clustering.visualisation import (
    Ascent,
    Bounds,
    InputOptimiser,
    Parametrisation,
    visualisation_test,
)
from tests.programs import PROJECT

# The named config that promises the optimum.
PIXELS = yaml.safe_load((PROJECT / "configs/visualise/pixels.yaml").read_text())
SIDE = 12
DOWN, ACROSS = np.mgrid[:SIDE, :SIDE] - (SIDE - 1) / 2
TEMPLATES = {
    "disc": np.hypot(DOWN, ACROSS) < 4.4,
    "cross": (abs(DOWN) < 1.6) | (abs(ACROSS) < 1.6),
    "ring": abs(np.hypot(DOWN, ACROSS) - 3.6) < 1.3,
    "frame": np.maximum(abs(DOWN), abs(ACROSS)) > 3.6,
}
# Adam moves all waves alike, which shifts them: made of waves, these have softer edges
OTHERS = {"left half": ACROSS < 0, "stripes": (DOWN // 2) % 2 > 0}


def signs(template):
    return np.where(template, 1.0, -1.0)


def correlation(a, b):
    return np.corrcoef(np.ravel(a), np.ravel(b))[0, 1]


def network_of(shape, hidden, *, kernel, bias):
    """One layer of known units between an input and answers that do not matter."""
    keras.utils.set_random_seed(0)
    flat = [layers.Flatten()]
    before, behind = ([], flat) if isinstance(hidden, layers.Conv2D) else (flat, [])
    output = layers.Dense(3, "softmax", name="output")
    made = keras.Sequential([keras.Input(shape), *before, hidden, *behind, output])
    hidden.set_weights([kernel, np.broadcast_to(bias, kernel.shape[-1])])
    return made


def each_unit(network, basis, n_steps=128):
    """One input for every unit of the hidden layer."""
    optimiser = InputOptimiser(
        network,
        network.input_shape[1:],
        bounds=Bounds(0, 1),
        parametrisation=Parametrisation(basis),
        ascent=Ascent(n_steps),
    )
    n_units = optimiser.layers["hidden"]
    return optimiser.optimise("hidden", np.eye(n_units, dtype=bool), range(n_units))


@pytest.mark.parametrize(
    ("basis", "templates"),
    [("fourier", TEMPLATES), ("pixels", TEMPLATES | OTHERS)],
)
def test_dense_units_show_their_templates(basis, templates):
    """Also units that are silent until an image has something of the template."""
    kernel = np.stack([signs(template).ravel() for template in templates.values()], axis=-1)
    bias = -2 - 0.5 * kernel.sum(axis=0)
    hidden = layers.Dense(len(templates), "relu", name="hidden")
    made = network_of((SIDE, SIDE, 1), hidden, kernel=kernel, bias=bias)
    found = each_unit(made, basis)
    for image, template in zip(found.inputs, templates.values(), strict=True):
        assert correlation(image, template) > 0.9


@pytest.mark.parametrize(("basis", "inverted"), [("fourier", []), ("pixels", [2])])
def test_dense_units_show_their_templates_in_colour(basis, inverted):
    shape = np.repeat(TEMPLATES["disc"][..., None], 3, axis=-1)
    shape[..., inverted] = ~shape[..., inverted]
    kernel = signs(shape).reshape(-1, 1)
    hidden = layers.Dense(1, "relu", name="hidden")
    made = network_of((SIDE, SIDE, 3), hidden, kernel=kernel, bias=1 - 0.5 * kernel.sum())
    image = each_unit(made, basis, n_steps=256).inputs[0]
    assert correlation(image, shape) > 0.9


def test_filters_tile_images_with_their_kernels():
    """Where they see every place once."""
    tiles = np.stack([TEMPLATES["disc"][:6, :6], TEMPLATES["cross"][3:9, 3:9]], axis=-1)
    hidden = layers.Conv2D(2, 6, strides=6, activation="relu", name="hidden")
    kernel = signs(tiles)
    bias = 1 - 0.5 * kernel.sum(axis=(0, 1))
    made = network_of((18, 18, 1), hidden, kernel=kernel[:, :, None], bias=bias)
    found = each_unit(made, "pixels")
    for unit, image in enumerate(found.inputs):
        assert correlation(image, np.tile(tiles[..., unit], (3, 3))) > 0.9


@pytest.mark.parametrize("basis", ["fourier", "pixels"])
def test_filters_that_see_all_places_show_their_kernels_somewhere(basis):
    tile = np.array([[1, 1, 0, 0]] * 4, bool)
    hidden = layers.Conv2D(1, 4, activation="relu", name="hidden")
    made = network_of((15, 15, 1), hidden, kernel=signs(tile)[..., None, None], bias=0)
    image = each_unit(made, basis).inputs[0, ..., 0]
    places = [image[i : i + 4, j : j + 4] for i in range(12) for j in range(12)]
    assert max(correlation(place, tile) for place in places) > 0.9


PLANTED = ("disc", "frame")


def planted(random):
    """A network with units that share a template, six of each of two, and twelve of none."""
    shared = [signs(TEMPLATES[name]).ravel() for name in PLANTED]
    groups = [np.repeat(template[:, None], 6, axis=1) for template in shared]
    own = random.normal(0, 0.5, (SIDE * SIDE, 24))
    kernel = np.concatenate([*groups, np.zeros((SIDE * SIDE, 12))], axis=1) + own
    kernel /= np.linalg.norm(kernel, axis=0)
    hidden = layers.Dense(24, "relu", name="hidden")
    bias = -0.5 * kernel.sum(axis=0)
    return network_of((SIDE, SIDE, 1), hidden, kernel=kernel, bias=bias)


def test_planted_sub_clusters_score_more_than_any_random_ones_and_random_ones_do_not():
    random = np.random.default_rng(0)
    made = planted(random)
    optimiser = InputOptimiser(made, (SIDE, SIDE, 1), bounds=Bounds(), ascent=Ascent(96))
    labels = np.repeat([0, 1, 2, 3], 6).astype(np.int32)

    def tested(labels, seed):
        partition = Partition((Layer("hidden", 24),), labels, 4)
        return visualisation_test(optimiser, partition, ["hidden"], n_shuffles=19, seed=seed)

    test = tested(labels, 0)
    assert test.score.p_values[:2].tolist() == [1 / 20, 1 / 20]
    assert test.dispersion.p_values[:2].tolist() == [1 / 20, 1 / 20]
    assert (test.score.p_values[2:] > 1 / 20).all()
    assert (test.score.effects[:2] > 1.1).all()
    for sub, image in zip(test.sub_clusters[:2], test.inputs[:2, 0], strict=True):
        assert correlation(image, TEMPLATES[PLANTED[sub.label]]) > 0.9
    by_chance = [tested(random.permutation(labels), seed).score for seed in (1, 2)]
    p_values = np.concatenate([measure.p_values for measure in by_chance])
    assert (p_values == 1 / 20).sum() <= 1
    assert (p_values > 0.5).any()
    assert all(measure.joint_p > 0.05 for measure in by_chance)


def optimum(sample_shape, reads, weights, bias, low, high):
    """The largest and the least value of a linear unit, for inputs between bounds."""
    bounds = [np.broadcast_to(bound, sample_shape) for bound in (low, high)]
    at_low = reads(bounds[0][None].astype(np.float32))[0].ravel() @ weights + bias
    gains = []
    for place in np.ndindex(*sample_shape):
        raised = bounds[0].astype(np.float32)
        raised[place] = bounds[1][place]
        gains.append(reads(raised[None])[0].ravel() @ weights + bias - at_low)
    gains = np.array(gains)
    return at_low + gains[gains > 0].sum(), at_low + gains[gains < 0].sum()


@pytest.mark.parametrize(
    ("sample_shape", "style", "low", "high"),
    [
        ((8, 7, 1), None, 0, 1),
        ((5, 5, 3), "torch", 0, 1),
        ((9,), None, np.linspace(-5, 0.5, 9), np.linspace(-1, 3, 9)),
    ],
)
def test_linear_units_reach_their_optimum_in_pixels(sample_shape, style, low, high):
    random = np.random.default_rng(1)
    n_values = int(np.prod(sample_shape))
    kernel = random.normal(size=(n_values, 3))
    hidden = layers.Dense(3, name="hidden")
    made = network_of(sample_shape, hidden, kernel=kernel, bias=np.array([0.5, -1, 2]))
    optimiser = InputOptimiser(
        made,
        sample_shape,
        bounds=Bounds(low, high),
        channel_map=None if style is None else channel_map(style, sample_shape),
        parametrisation=Parametrisation(**PIXELS["image"]),
        ascent=Ascent(**PIXELS["ascent"]),
    )
    masks = np.array([[1, 0, 0], [0, 1, 0], [1, 1, 1]], bool)
    found = optimiser.optimise("hidden", masks, [0, 1, 2])

    def reads(x):
        return x if style is None else preprocessing(style, sample_shape)(x * 255)

    for units, score in zip(masks, found.scores, strict=True):
        weights, bias = kernel[:, units].sum(axis=1), np.array([0.5, -1, 2])[units].sum()
        best, least = optimum(sample_shape, reads, weights, bias, low, high)
        assert best - 0.01 * (best - least) < score <= best
        if sample_shape[-1] == 1:
            assert score > 0.99 * best
            assert best == pytest.approx(weights[weights > 0].sum() + bias, rel=1e-5)

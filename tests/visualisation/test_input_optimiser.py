"""Inputs that are optimised are the best there are, the same by the same seed, and bounded."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from nn_clustering.errors import InvalidInputError
from nn_clustering.networks import channel_map
from nn_clustering.visualisation import (
    Ascent,
    Bounds,
    InputOptimiser,
    Objective,
    Parametrisation,
    Transformations,
    _ascent,
    reduced,
)

PIXELS = Parametrisation(basis="pixels", decorrelate=False)


@pytest.fixture(scope="module")
def network():
    keras.utils.set_random_seed(1)
    return keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            layers.Conv2D(6, 3, activation="relu", name="conv"),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dense(5, activation="relu", name="dense"),
            layers.Dense(3, activation="softmax", name="output"),
        ],
        name="net",
    )


def optimiser(network, **settings):
    settings = {"bounds": Bounds(), "ascent": Ascent(n_steps=20), **settings}
    return InputOptimiser(network, (8, 8, 3), **settings)


def sets(n_inputs, n_units, seed=0):
    masks = np.random.default_rng(seed).random((n_inputs, n_units)) < 0.5
    masks[:, 0] = True
    return masks


@pytest.mark.parametrize("style", [None, "caffe"])
def test_a_linear_unit_in_pixels_ends_at_the_analytic_optimum(style):
    shape, random = (5, 5, 3), np.random.default_rng(0)
    unit = layers.Dense(2, name="unit")
    linear = keras.Sequential(
        [keras.Input(shape), layers.Flatten(), unit, layers.Dense(3, name="output")]
    )
    weights = random.normal(size=(75, 2)).astype(np.float32)
    unit.set_weights([weights, np.float32([0.3, -2])])
    colours = channel_map(style, shape)
    found = InputOptimiser(
        linear,
        shape,
        bounds=Bounds(0.1, 0.9),
        channel_map=colours,
        parametrisation=PIXELS,
        ascent=Ascent(learning_rate=0.2),
    ).optimise("unit", np.array([[True, False], [True, True]]), [3, 4])
    for units, score, image in zip(([0], [0, 1]), found.scores, found.inputs, strict=True):
        total = weights[:, units].sum(axis=1).reshape(-1, 3)
        best = np.where((total @ colours.matrix.T) > 0, 0.9, 0.1)
        optimum = ((best @ colours.matrix + colours.offset) * total).sum()
        optimum += np.sum(np.float32([0.3, -2])[units])
        assert score == pytest.approx(optimum, rel=0.01)
        np.testing.assert_allclose(image.reshape(-1, 3), best, atol=0.01)


@pytest.mark.parametrize("settings", [{}, {"transformations": Transformations(1, 0.1, 10)}])
def test_the_same_seeds_give_the_same_bits(network, settings):
    masks, seeds = sets(6, 6), [5, 1, 2, 3, 4, 5]
    first, again = (optimiser(network, **settings).optimise("conv", masks, seeds) for _ in range(2))
    for name in ("inputs", "scores", "entropies", "dispersions"):
        np.testing.assert_array_equal(getattr(first, name), getattr(again, name))
    # an input is its seed's and its set's, beside whichever others it is optimised
    alone = optimiser(network, **settings).optimise("conv", masks[1:3], seeds[1:3])
    np.testing.assert_allclose(alone.inputs, first.inputs[1:3], atol=1e-3)
    assert np.abs(first.inputs[1] - first.inputs[2]).max() > 0.01


def test_results_do_not_hang_on_how_many_steps_a_call_takes(network, monkeypatch):
    """That hangs on how fast the machine is at the moment."""
    made = optimiser(network, transformations=Transformations(1, 0.1, 10))
    found = []
    for most in (1, 5, 256):
        monkeypatch.setattr(_ascent, "_SECONDS_A_CALL", 1e9)
        monkeypatch.setattr(_ascent, "_MOST_STEPS_A_CALL", most)
        found.append(made.optimise("conv", sets(2, 6), [5, 1]).inputs)
    np.testing.assert_array_equal(found[1], found[0])
    np.testing.assert_array_equal(found[2], found[0])


@pytest.mark.parametrize(
    ("reduction", "position"), [("sum", "post"), ("absolute", "pre"), ("mean", "pre")]
)
def test_what_is_said_of_inputs_is_what_the_network_answers(network, reduction, position):
    masks, counted = sets(4, 6), []
    found = optimiser(network, objective=Objective(reduction, position)).optimise(
        "conv", masks, range(4), on_progress=counted.append
    )
    assert sum(counted) == 4 * 20
    assert found.inputs.dtype == np.float32
    assert 0 <= found.inputs.min() <= found.inputs.max() <= 1
    conv = network.get_layer("conv")
    before = keras.ops.conv(found.inputs, conv.kernel, padding="valid") + conv.bias
    values = np.maximum(before, 0) if position == "post" else np.asarray(before)
    every = reduced(values.mean(axis=(1, 2)), masks, reduction)
    np.testing.assert_allclose(found.scores, np.diagonal(every), rtol=1e-5)
    spreads = [
        maps.mean(axis=(0, 1))[units].std()
        for maps, units in zip(np.maximum(before, 0), masks, strict=True)
    ]
    np.testing.assert_allclose(found.dispersions, spreads, rtol=1e-4)
    shares = network(found.inputs).numpy()
    np.testing.assert_allclose(found.entropies, -(shares * np.log(shares)).sum(1), rtol=1e-4)
    start = optimiser(network, objective=Objective(reduction, position), ascent=Ascent(1, 1e-9))
    assert (found.scores > start.optimise("conv", masks, range(4)).scores).all()


def test_networks_in_half_precision_are_optimised_in_float32():
    """The gradient of a mean over so many positions is 0 in float16."""
    keras.utils.set_random_seed(0)
    parts = [
        layers.Rescaling(1e-3),
        layers.Conv2D(2, 1, name="conv"),
        layers.Flatten(),
        layers.Dense(2, name="output"),
    ]
    full = keras.Sequential([keras.Input((64, 64, 1)), *parts])
    half = keras.Sequential.from_config(full.get_config())
    for layer in half.layers:
        layer.dtype_policy = keras.DTypePolicy("mixed_float16")
    half.set_weights(full.get_weights())
    found = [
        InputOptimiser(
            network, (64, 64, 1), bounds=Bounds(), parametrisation=PIXELS, ascent=Ascent(3)
        ).optimise("conv", np.ones((1, 2), bool), [0])
        for network in (full, half)
    ]
    np.testing.assert_allclose(found[0].inputs, found[1].inputs, atol=1e-5)


def test_what_has_no_gradient_is_refused():
    inputs = keras.Input((4,))
    units = layers.Dense(2, name="unit")(keras.ops.stop_gradient(inputs))
    optimiser = InputOptimiser(keras.Model(inputs, layers.Dense(2)(units)), (4,), bounds=Bounds())
    with pytest.raises(InvalidInputError, match="has no gradient"):
        optimiser.optimise("unit", np.ones((1, 2), bool), [0])


def test_the_output_that_is_named_is_measured():
    inputs = keras.Input((4,))
    hidden = layers.Dense(2, name="unit")(inputs)
    heads = [layers.Dense(3, name=name, bias_initializer="normal")(hidden) for name in "ab"]
    network = keras.Model(inputs, heads)
    given = np.random.default_rng(0).random((1, 4)).astype(np.float32)
    for name, index in (("a", 0), ("b", 1)):
        optimiser = InputOptimiser(network, (4,), bounds=Bounds(), output=name)
        shares = keras.ops.softmax(network(given)[index]).numpy()
        found = optimiser.measured("unit", given, np.ones((1, 2), bool))
        np.testing.assert_allclose(found.entropies, -(shares * np.log(shares)).sum(1), rtol=1e-5)


def test_reductions_by_hand():
    values, masks = np.array([[1.0, -2, 4]]), np.array([[True, True, False], [False, True, True]])
    assert reduced(values, masks, "sum").tolist() == [[-1, 2]]
    assert reduced(values, masks, "absolute").tolist() == [[3, 6]]
    assert reduced(values, masks, "mean").tolist() == [[-0.5, 1]]
    with pytest.raises(InvalidInputError, match="reduction='most'; expected one of sum"):
        reduced(values, masks, "most")


def test_inputs_are_what_the_network_reads():
    flat = keras.Sequential([keras.Input((48,)), layers.Dense(2, name="unit"), layers.Dense(3)])
    found = InputOptimiser(
        flat, (4, 4, 3), bounds=Bounds(), channel_map=channel_map("tf", (4, 4, 3))
    )
    images = np.random.default_rng(0).random((2, 4, 4, 3)).astype(np.float32)
    read = found.as_read(images)
    np.testing.assert_allclose(read, images.reshape(2, 48) * 2 - 1, atol=1e-6)
    ((_, values),) = found.values(["unit"], read)
    np.testing.assert_allclose(values["unit"], flat.layers[0](read), atol=1e-5)
    measured = found.measured("unit", images, np.eye(2, dtype=bool))
    np.testing.assert_allclose(measured.scores, np.diagonal(values["unit"]), rtol=1e-5)


def test_samples_are_read_in_batches_that_fit(network):
    class Counted:
        shape, dtype = (70, 8, 8, 3), np.dtype(np.float32)
        read = ()

        def __len__(self):
            return 70

        def __getitem__(self, rows):
            self.read = (*self.read, rows)
            return samples[rows]

    samples = np.random.default_rng(0).random((70, 8, 8, 3)).astype(np.float32)
    x, whole = Counted(), dict(optimiser(network).values(["conv", "dense"], samples).__next__()[1])
    parts = list(optimiser(network, memory_mb=0.1).values(["conv", "dense"], x))
    assert len(parts) > 2
    assert x.read == tuple(rows for rows, _ in parts)
    for layer, values in whole.items():
        found = np.concatenate([part[layer] for _, part in parts])
        np.testing.assert_allclose(found, values, atol=1e-5)


def test_the_batch_is_bounded_by_memory_and_by_what_is_asked_alone(network):
    sizes = [optimiser(network, memory_mb=mb).batch_size("dense") for mb in (0.5, 1, 2)]
    assert 0 < sizes[0] < sizes[1] < sizes[2]
    assert optimiser(network, memory_mb=1).batch_size("conv") >= sizes[1]
    moves = optimiser(network, memory_mb=1, transformations=Transformations(jitter=1))
    assert moves.batch_size("dense") < sizes[1]
    with pytest.raises(InvalidInputError, match=r"memory_mb=0.001 .* expected 1 or more"):
        optimiser(network, memory_mb=0.001)
    small = optimiser(network, memory_mb=0.5)
    with pytest.raises(InvalidInputError, match=rf"expected as many, {sizes[0]} at most"):
        small.optimise("dense", sets(sizes[0] + 1, 5), range(sizes[0] + 1))
    # what is measured is cut
    images = np.random.default_rng(0).random((2 * sizes[0] + 1, 8, 8, 3))
    masks = sets(len(images), 5)
    np.testing.assert_allclose(
        small.measured("dense", images, masks).scores,
        optimiser(network).measured("dense", images, masks).scores,
        rtol=1e-5,
    )


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"channel_map": channel_map(None, (4, 4, 1))}, "expected 3 channels"),
        ({"task": "ranking"}, "task='ranking'"),
        ({"entropy": "yes"}, "entropy='yes'"),
        ({"memory_mb": -1}, "memory_mb=-1"),
        ({"residual": "none"}, "residual='none'"),
        ({"output": 3}, "no such output"),
        ({"transformations": Transformations(jitter=8)}, "jitter=8 with images of 8 x 8 pixels"),
    ],
)
def test_what_does_not_fit_is_refused(network, settings, message):
    with pytest.raises(InvalidInputError, match=message):
        optimiser(network, **settings)


def test_leaky_units_print_no_error_of_the_remapper(capfd):
    leaky = keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            layers.Conv2D(6, 3),
            layers.LeakyReLU(),
            layers.MaxPooling2D(),
            layers.Conv2D(4, 3, name="conv"),
            layers.LeakyReLU(negative_slope=0.1),
            layers.GlobalAveragePooling2D(),
            layers.Dense(3),
        ]
    )
    optimiser(leaky).optimise("conv", sets(3, 4), range(3))
    assert "remapper failed" not in capfd.readouterr().err
    assert tf.config.optimizer.get_experimental_options().get("remapping", True)


def test_samples_that_do_not_fit_are_refused(network):
    with pytest.raises(InvalidInputError, match="takes inputs of shape"):
        InputOptimiser(network, (9, 9, 3), bounds=Bounds())
    flat = keras.Sequential([keras.Input((4,)), layers.Dense(2), layers.Dense(3)])
    with pytest.raises(InvalidInputError, match="expected images"):
        InputOptimiser(flat, (4,), bounds=Bounds(), transformations=Transformations(jitter=1))
    with pytest.raises(InvalidInputError, match=r"samples of shape \(8, 8, 1\)"):
        next(optimiser(network).values(["conv"], np.zeros((2, 8, 8, 1))))


@pytest.mark.parametrize(
    ("layer", "masks", "seeds", "message"),
    [
        ("pool", np.ones((1, 6), bool), [0], "no hidden layer of units 'pool'; expected one of"),
        ("conv", np.ones((1, 5), bool), [0], r"shape \(1, 5\) for layer 'conv'; expected"),
        ("conv", np.ones((1, 6)), [0], "float64 sets"),
        ("conv", np.zeros((1, 6), bool), [0], "an empty set"),
        ("conv", np.zeros((0, 6), bool), [], "an empty set"),
        ("conv", np.ones((1, 6), bool), [0, 1], "1 sets of units and 2 seeds"),
        ("conv", np.ones((1, 6), bool), [-1], "seed=-1"),
    ],
)
def test_sets_that_do_not_fit_are_refused(network, layer, masks, seeds, message):
    with pytest.raises(InvalidInputError, match=message):
        optimiser(network).optimise(layer, masks, seeds)


def test_what_is_not_finite_is_refused():
    broken = keras.Sequential([keras.Input((2,)), layers.Dense(2, name="unit"), layers.Dense(2)])
    broken.layers[0].bias.assign([np.nan, 0])
    with pytest.raises(InvalidInputError, match="NaN or infinite values for an input of layer"):
        InputOptimiser(broken, (2,), bounds=Bounds(), ascent=Ascent(n_steps=1)).optimise(
            "unit", np.ones((1, 2), bool), [0]
        )

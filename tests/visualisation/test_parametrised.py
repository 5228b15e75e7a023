"""Inputs are made of numbers as the studies' library makes them."""

import numpy as np
import pytest

from nn_clustering.errors import InvalidInputError
from nn_clustering.visualisation import Bounds, Parametrisation
from nn_clustering.visualisation._parametrised import Parametrised
from tests.visualisation.naive import colours, image_of_waves


def sigmoid(values):
    return 1 / (1 + np.exp(-values))


def complex_waves(numbers):
    """(height, width // 2 + 1, channels) of (channels, columns, real and imaginary rows)."""
    height = numbers.shape[-1] // 2
    waves = numbers[..., :height] + 1j * numbers[..., height:]
    return waves.transpose(2, 1, 0).astype(complex)


@pytest.mark.parametrize("shape", [(6, 8, 1), (5, 7, 3), (7, 4, 3), (1, 1, 2), (28, 28, 1)])
def test_waves_are_inverse_transforms(shape):
    parametrised = Parametrised(shape, Bounds(), Parametrisation(decorrelate=False))
    numbers = np.random.default_rng(0).normal(size=(2, *parametrised.shape)).astype(np.float32)
    expected = [sigmoid(image_of_waves(complex_waves(one), shape)) for one in numbers]
    np.testing.assert_allclose(parametrised(numbers), expected, atol=2e-5)


@pytest.mark.parametrize("basis", ["fourier", "pixels"])
def test_colours_vary_as_in_photographs_where_there_are_three(basis):
    shape = (4, 5, 3)
    plain = Parametrised(shape, Bounds(), Parametrisation(basis, decorrelate=False))
    numbers = np.random.default_rng(1).normal(size=(2, *plain.shape)).astype(np.float32)
    made = np.asarray(plain(numbers), float)
    expected = sigmoid(np.log(made / (1 - made)) @ colours().T)
    by_default = Parametrised(shape, Bounds(), Parametrisation(basis))
    np.testing.assert_allclose(by_default(numbers), expected, atol=1e-4)


def test_what_is_no_image_is_its_own_values_between_bounds():
    bounds = Bounds(np.array([-1.0, 0, 2]), np.array([1.0, 4, 3]))
    parametrised = Parametrised((3,), bounds, Parametrisation())
    numbers = np.array([[[0.0, -100, 100]]], np.float32)
    assert parametrised.shape == numbers.shape[1:]
    np.testing.assert_allclose(parametrised(numbers), [[0, 0, 3]], atol=1e-6)


def test_a_start_is_a_seeds():
    parametrised = Parametrised((28, 28, 3), Bounds(), Parametrisation())
    start = parametrised.start(7)
    np.testing.assert_array_equal(start, parametrised.start(7))
    assert (start != parametrised.start(8)).mean() > 0.99
    np.testing.assert_allclose([start.mean(), start.std()], [0, 0.01], atol=1e-3)


@pytest.mark.parametrize(
    ("shape", "bounds", "settings", "message"),
    [
        ((9,), {}, {"basis": "fourier"}, r"basis=fourier with samples of shape \(9,\)"),
        ((9, 9, 1), {}, {"decorrelate": True}, "three channels"),
        ((9,), {"low": np.zeros(8)}, {}, r"bounds of shape \(8,\) for samples of shape \(9,\)"),
        ((9,), {"low": 1.0}, {}, "bounds from 1 to 1; expected least values below"),
        ((9,), {"low": np.zeros(2), "high": np.ones(3)}, {}, "expected least values below"),
        ((9,), {"high": np.inf}, {}, "NaN or infinite"),
    ],
)
def test_what_makes_no_input_is_refused(shape, bounds, settings, message):
    with pytest.raises(InvalidInputError, match=message):
        Parametrised(shape, Bounds(**bounds), Parametrisation(**settings))

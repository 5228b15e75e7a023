"""Pixels are made what the networks' own packages make of them."""

import keras
import numpy as np
import pytest

from nn_clustering.errors import InvalidInputError
from nn_clustering.networks import (
    PREPROCESSINGS,
    channel_map,
    check_preprocessing,
    preprocessing,
)

SHAPE = (4, 5, 3)


@pytest.fixture(scope="module")
def pixels():
    return np.random.default_rng(0).integers(0, 256, (2, *SHAPE)).astype(np.float32)


@pytest.mark.parametrize("style", ["caffe", "torch", "tf"])
def test_as_keras_does(style, pixels):
    expected = keras.applications.imagenet_utils.preprocess_input(
        pixels.copy(), data_format="channels_last", mode=style
    )
    np.testing.assert_allclose(preprocessing(style, SHAPE)(pixels), expected, rtol=0, atol=1e-4)


def test_by_hand():
    red = np.zeros((1, 1, 1, 3), np.float32)
    red[..., 0] = 255
    made = {style: preprocessing(style, (1, 1, 3))(red)[0, 0, 0] for style in PREPROCESSINGS}
    np.testing.assert_array_equal(made["none"], [255, 0, 0])
    np.testing.assert_array_equal(made["unit"], [1, 0, 0])
    np.testing.assert_array_equal(made["tf"], [1, -1, -1])
    np.testing.assert_allclose(made["caffe"], [-103.939, -116.779, 255 - 123.68], rtol=1e-6)
    np.testing.assert_allclose(made["torch"], [2.2489, -2.0357, -1.8044], atol=1e-4)
    assert all(values.dtype == np.float32 for values in made.values())


def test_a_function_of_ones_own(tmp_path, monkeypatch, pixels):
    tmp_path.joinpath("my_pixels.py").write_text(
        "def dark(x):\n    x /= 2\n    return x\n\ndef smaller(x):\n    return x[:, :2]\n"
        "\ndef broken(x):\n    raise ValueError('no such pixels')\n"
    )
    monkeypatch.chdir(tmp_path)
    before = pixels.copy()
    np.testing.assert_array_equal(preprocessing("my_pixels.dark", SHAPE)(pixels), before / 2)
    np.testing.assert_array_equal(pixels, before)  # what it is given stays as it is
    with pytest.raises(InvalidInputError, match=r"made \(2, 2, 5, 3\) of pixels of shape"):
        preprocessing("my_pixels.smaller", SHAPE)(pixels)
    with pytest.raises(InvalidInputError, match=r"failed on pixels.*no such pixels"):
        preprocessing("my_pixels.broken", SHAPE)(pixels)
    with pytest.raises(InvalidInputError, match="has no function bright"):
        check_preprocessing("my_pixels.bright")


@pytest.mark.parametrize(
    ("name", "reason"),
    [("cafe", "did you mean caffe"), ("", "expected one of none"), ("no_module.f", "no module")],
)
def test_unknown_ones_are_refused(name, reason):
    with pytest.raises(InvalidInputError, match=reason):
        check_preprocessing(name)


def test_colours_are_not_told_apart_in_grey():
    with pytest.raises(InvalidInputError, match="expected images in colour"):
        preprocessing("caffe", (4, 5, 1))


@pytest.mark.parametrize("style", PREPROCESSINGS)
def test_what_is_done_to_channels_is_found(style, pixels):
    found = channel_map(style, SHAPE)
    expected = preprocessing(style, SHAPE)(pixels)
    np.testing.assert_allclose(pixels / 255 @ found.matrix + found.offset, expected, atol=1e-3)
    assert found.is_identity == (style == "unit")


def test_pixels_are_read_as_they_are_or_one_by_one():
    assert channel_map(None, SHAPE).is_identity
    flat = channel_map("tf", (7,))
    np.testing.assert_allclose(flat.matrix, [[2]], rtol=1e-6)
    np.testing.assert_allclose(flat.offset, [-1], rtol=1e-6)


def test_channels_of_an_own_function_may_be_mixed(tmp_path, monkeypatch, pixels):
    """By a matrix that is not its own transpose, as those of the named ones are."""
    code = "def made(x):\n    return x[..., [1, 2, 0]] * 2 + x - 3\n"
    tmp_path.joinpath("mixed_channels.py").write_text(code)
    monkeypatch.chdir(tmp_path)
    found = channel_map("mixed_channels.made", SHAPE)
    expected = pixels[..., [1, 2, 0]] * 2 + pixels - 3
    np.testing.assert_allclose(pixels / 255 @ found.matrix + found.offset, expected, atol=1e-2)


@pytest.mark.parametrize(
    "body", ["x - x.mean(axis=(1, 2, 3), keepdims=True)", "x**2", "x[:, ::-1]"]
)
def test_what_is_no_sum_of_a_pixels_channels_is_refused(tmp_path, monkeypatch, body):
    module = f"of_pixels_{len(body)}"
    tmp_path.joinpath(f"{module}.py").write_text(f"def made(x):\n    return {body}\n")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InvalidInputError, match="does not make of every pixel by itself a sum"):
        channel_map(f"{module}.made", SHAPE)

"""Images as bytes: resizing, grey, brightness."""

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from PIL import Image

from nn_clustering.datasets._images import Images, luminance, rescale, resize
from tests.datasets.conftest import random_images


def resized_by_pillow(image, height, width):
    """One image, its rows and then its columns: Pillow's own order depends on its version."""
    rows = Image.fromarray(image).resize((width, len(image)), Image.Resampling.BILINEAR)
    return np.asarray(rows.resize((width, height), Image.Resampling.BILINEAR))


@settings(max_examples=25)
@given(
    st.integers(1, 4), st.integers(1, 9), st.integers(1, 9), st.integers(1, 9), st.integers(1, 9)
)
def test_resizing_all_at_once_is_resizing_each(n, height, width, new_height, new_width):
    x = random_images(n, n, height, width, 2)
    resized = resize(x, new_height, new_width)
    assert resized.shape == (n, new_height, new_width, 2)
    for image, ours in zip(x, resized, strict=True):
        for channel in range(2):
            wanted = resized_by_pillow(image[..., channel], new_height, new_width)
            np.testing.assert_array_equal(ours[..., channel], wanted)


def test_resizing_is_anti_aliased():
    # stripes finer than the new pixels become an even grey instead of a pattern
    stripes = np.zeros((1, 4, 32, 1), np.uint8)
    stripes[:, :, ::2] = 200
    inner = resize(stripes, 4, 8)[0, :, 1:-1, 0]
    np.testing.assert_allclose(inner, 100, atol=1)


def test_halving_by_hand():
    # A new pixel weighs the old ones at distances 0.5 and 1.5 by 3 and 1; outside is nothing.
    row = np.array([0, 80, 160, 240], np.uint8).reshape(1, 1, 4, 1)
    left = (3 * 0 + 3 * 80 + 1 * 160) / 7
    right = (1 * 80 + 3 * 160 + 3 * 240) / 7
    np.testing.assert_array_equal(resize(row, 1, 2).ravel(), np.round([left, right]))


def test_luminance_by_hand():
    colours = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 255], [10, 20, 30]])
    grey = luminance(colours.astype(np.uint8).reshape(5, 1, 1, 3))
    assert grey.shape == (5, 1, 1, 1)
    # 0.2125 * 10 + 0.7154 * 20 + 0.0721 * 30 = 18.596
    assert grey.ravel().tolist() == [54, 182, 18, 255, 19]


def test_luminance_of_more_images_than_a_block():
    from nn_clustering.datasets._images import BLOCK

    x = random_images(0, BLOCK + 3, 1, 2, 3)
    wanted = np.floor(x @ np.array([0.2125, 0.7154, 0.0721]) + 0.5)
    np.testing.assert_allclose(luminance(x)[..., 0], wanted, atol=0)


@given(st.integers(1, 255), st.data())
@settings(max_examples=25)
def test_rescaling(highest, data):
    pixels = data.draw(st.lists(st.integers(0, highest), min_size=1))
    x = np.array([*pixels, highest], np.uint8)
    wanted = [int(pixel * 255 / highest + 0.5) for pixel in [*pixels, highest]]
    assert rescale(x, highest).tolist() == wanted
    assert rescale(x, highest).dtype == np.uint8


def test_rescaling_black_images_leaves_them_black():
    black = np.zeros((1, 2, 2, 1), np.uint8)
    assert not rescale(black, 0).any()


@pytest.mark.parametrize("white", [16, 255])
def test_pixels_become_fractions_of_white(white):
    x = np.arange(white + 1, dtype=np.uint8).reshape(1, 1, -1, 1)
    y = np.zeros(1, np.int32)
    dataset = Images(x, y, x, y, ("only",), white).dataset("ramp")
    assert dataset.x_test.dtype == np.float32
    wanted = np.arange(white + 1) / white
    np.testing.assert_array_equal(dataset.x_test.ravel(), wanted.astype(np.float32))

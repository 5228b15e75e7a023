"""The pictures of data sets."""

import numpy as np
import pytest

from nn_clustering.datasets import Dataset, load_dataset
from nn_clustering.datasets._contact_sheet import FRAME, FRAME_DOTS, GAP, _tile, contact_sheet
from nn_clustering.errors import InvalidInputError


def picture(dataset):
    (axes,) = contact_sheet(dataset).axes
    return axes, axes.images[0].get_array()


def test_a_row_a_class_and_ten_images_a_row():
    dataset = load_dataset("digits")
    axes, sheet = picture(dataset)
    tile = _tile(dataset.x_train[0])
    height, width = (length + 2 * GAP for length in tile.shape[:2])
    assert sheet.shape == (10 * height, 10 * width, 3)
    assert [label.get_text() for label in axes.get_yticklabels()] == list(dataset.class_names)
    for label in range(10):
        images = dataset.x_train[dataset.y_train == label][:10]
        for place, image in enumerate(images):
            top, left = label * height + GAP, place * width + GAP
            shown = sheet[top : top + tile.shape[0], left : left + tile.shape[1]]
            np.testing.assert_array_equal(shown, _tile(image))


def test_a_pixel_is_a_square_in_a_frame():
    tile = _tile(np.array([[[0.0], [0.5]], [[1.0], [0.25]]], np.float32))
    inner = tile[FRAME_DOTS:-FRAME_DOTS, FRAME_DOTS:-FRAME_DOTS]
    dots = len(inner) // 2
    assert dots > 20
    np.testing.assert_array_equal(inner[:dots, :dots], 0)
    np.testing.assert_array_equal(inner[:dots, dots:], 0.5)
    np.testing.assert_array_equal(inner[dots:, :dots], 1)
    np.testing.assert_array_equal(inner[dots:, dots:], 0.25)
    np.testing.assert_array_equal(tile[0], np.broadcast_to(FRAME, tile[0].shape))


def test_two_channels_are_side_by_side():
    image = np.zeros((4, 4, 2), np.float32)
    image[..., 1] = 1
    tile = _tile(image)
    left, right = np.split(tile[len(tile) // 2, FRAME_DOTS:-FRAME_DOTS], 2)
    np.testing.assert_array_equal(left[:-FRAME_DOTS], 0)
    np.testing.assert_array_equal(right[FRAME_DOTS:], 1)


def test_colour_stays():
    image = np.array([[[1.0, 0.5, 0.25]]], np.float32)
    np.testing.assert_array_equal(_tile(image)[20, 20], image[0, 0])


def test_classes_of_few_images_or_none():
    x = np.zeros((3, 2, 2, 1), np.float32)
    y = np.array([0, 0, 2], np.int32)
    _, sheet = picture(Dataset("few", x, y, x, y, ("a", "b", "c")))
    middle = len(sheet) // 6
    # black images, white where there are none
    assert sheet[middle, GAP + FRAME_DOTS + 5].tolist() == [0, 0, 0]
    assert (sheet[3 * middle] == 1).all()


def test_functions_are_heat_maps():
    figure = contact_sheet(load_dataset("poly"))
    maps = [axes for axes in figure.axes if axes.get_xlabel() == "x1"]
    assert len(maps) == 12
    titles = [
        axes.get_title().replace("\N{NO-BREAK SPACE}", " ").replace("\n", " ") for axes in maps
    ]
    names = load_dataset("poly", n_train=1, n_test=1).class_names
    assert len(set(titles)) == 12
    assert set(titles) <= set(names)
    # the values, at the middle of a cell, of the polynomial that the title names
    axes, title = maps[0], titles[0]
    mesh = axes.collections[0]
    values = np.asarray(mesh.get_array()).reshape(24, 24)
    assert title == "x1 + x1 x2^2 + x1^2 x2"
    row, column = 20, 5  # x2 and x1
    x1, x2 = (-2 + (place + 0.5) * 4 / 24 for place in (column, row))
    assert values[row, column] == pytest.approx(x1 + x1 * x2**2 + x1**2 * x2, abs=0.15)


def test_other_shapes_are_refused():
    x, y = np.zeros((2, 5), np.float32), np.zeros(2, np.int32)
    with pytest.raises(InvalidInputError, match=r"'v' has inputs of shape \(5,\)"):
        contact_sheet(Dataset("v", x, y, x, y, ("a",)))
    targets = np.zeros((2, 3), np.float32)
    with pytest.raises(InvalidInputError, match=r"'w' has inputs of shape \(5,\) for regression"):
        contact_sheet(Dataset("w", x, targets, x, targets, ("a", "b", "c"), task="regression"))

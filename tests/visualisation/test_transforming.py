"""Images are moved by one affine resampling, each by its own seed."""

import numpy as np
import pytest
import tensorflow as tf
from scipy import ndimage

from nn_clustering.visualisation import Transformations
from nn_clustering.visualisation._transforming import drawn_moves, moved

ALL = Transformations(jitter=2, scaling=0.2, rotation=30)


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).random((3, 6, 9, 2)).astype(np.float32)


def matrices(rows):
    return np.array(rows, np.float32).reshape(-1, 2, 3)


@pytest.mark.parametrize(
    ("move", "expected"),
    [
        ([1, 0, 0, 0, 1, 0], lambda image: image),
        ([1, 0, 1, 0, 1, 0], lambda image: np.concatenate([image[1:], image[-1:]])),
        ([1, 0, 0, 0, 1, -0.5], lambda image: (image + image[:, [0, *range(8)]]) / 2),
        ([-1, 0, 0, 0, -1, 0], lambda image: image[::-1, ::-1]),
    ],
)
def test_by_hand(images, move, expected):
    found = moved(images, matrices([move] * 3))
    np.testing.assert_allclose(found, list(map(expected, images)), atol=1e-6)


def test_as_scipy_does(images):
    moves = drawn_moves(ALL, [3, 4, 5], range(7, 8))[0]
    found = moved(images, moves)
    middle = np.array([2.5, 4.0])
    for image, move, made in zip(images, moves.astype(float), np.asarray(found), strict=True):
        offset = middle + move[:, 2] - move[:, :2] @ middle
        for channel in range(2):
            expected = ndimage.affine_transform(
                image[..., channel], move[:, :2], offset, order=1, mode="nearest"
            )
            np.testing.assert_allclose(made[..., channel], expected, atol=1e-5)


def test_moves_are_of_their_seed_and_step():
    together = drawn_moves(ALL, [1, 2], range(250, 260))
    np.testing.assert_array_equal(drawn_moves(ALL, [2], range(255, 258))[:, 0], together[5:8, 1])
    many = drawn_moves(ALL, [1, 2], range(600))
    np.testing.assert_array_equal(many[250:260], together)
    assert len(np.unique(many.reshape(1200, 6), axis=0)) == 1200


def test_moves_go_as_far_as_asked():
    moves = drawn_moves(ALL, range(40), range(50)).reshape(-1, 2, 3).astype(float)
    np.testing.assert_allclose(np.abs(moves[..., 2]).max(axis=0), [2, 2], rtol=0.02)
    scale = 1 / np.sqrt(np.linalg.det(moves[..., :2]))
    np.testing.assert_allclose([scale.min(), scale.max()], [0.8, 1.2], rtol=0.01)
    angle = np.rad2deg(np.arctan2(moves[:, 1, 0], moves[:, 0, 0]))
    np.testing.assert_allclose([angle.min(), angle.max()], [-30, 30], rtol=0.02)
    shared = np.corrcoef([scale, angle, *moves[..., 2].T])
    np.testing.assert_allclose(shared, np.eye(4), atol=0.1)
    still = drawn_moves(Transformations(jitter=1), [0], range(3))[0, 0, :, :2]
    np.testing.assert_array_equal(still, np.eye(2))


def test_gradients_go_back_to_the_pixels_that_were_read(images):
    moves = drawn_moves(ALL, [3], range(1))[0]
    theoretical, numerical = tf.test.compute_gradient(
        lambda x: moved(x, moves), [tf.constant(images[:1, :4, :5, :1])], delta=0.1
    )
    np.testing.assert_allclose(theoretical[0], numerical[0], atol=1e-4)

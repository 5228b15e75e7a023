"""Augmented images are those of scipy's affine transforms, image by image."""

from dataclasses import replace

import keras
import numpy as np
import pytest
import scipy.ndimage
import tensorflow as tf
from hypothesis import given, settings, strategies as st

from nn_clustering.networks import build_network
from nn_clustering.training import Augmentation, Phase, train
from nn_clustering.training._augmentation import augment, random_transforms


def by_scipy(image, angle, down, right, mirrored):
    """Rotate by degrees and shift by pixels about the centre, after mirroring left to right."""
    centre = (np.array(image.shape[:2]) - 1) / 2
    cosine, sine = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    rotation = np.array([[cosine, sine], [-sine, cosine]])  # of (row, column)
    mirror = np.diag([1, -1 if mirrored else 1])
    offset = centre + rotation @ (np.array([down, right]) - mirror @ centre)
    channels = [
        scipy.ndimage.affine_transform(
            channel, rotation @ mirror, offset, order=1, mode="nearest", output=np.float64
        )
        for channel in np.moveaxis(image.astype(np.float64), -1, 0)
    ]
    return np.stack(channels, axis=-1)


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 1000),
    size=st.tuples(st.integers(2, 12), st.integers(2, 12), st.sampled_from([1, 3])),
    rotation=st.floats(0, 180),
    shift=st.floats(0, 0.5),
    flip=st.booleans(),
)
def test_equals_scipy(seed, size, rotation, shift, flip):
    images = np.random.default_rng(seed).random((6, *size), np.float32)
    chosen = Augmentation(rotation, shift, flip)
    seeds = tf.constant([seed, 7])
    draws = tf.random.stateless_uniform((4, 6), seeds, alg="philox").numpy().astype(float)
    augmented = augment(tf.constant(images), chosen, seeds).numpy()
    assert augmented.shape == images.shape
    for image, ours, (turn, down, right, side) in zip(images, augmented, draws.T, strict=True):
        expected = by_scipy(
            image,
            (2 * turn - 1) * rotation,
            (2 * down - 1) * shift * size[0],
            (2 * right - 1) * shift * size[1],
            flip and side < 0.5,
        )
        np.testing.assert_allclose(ours, expected, atol=2e-4)


def test_by_hand():
    """On 3 x 3 pixels: a mirror, a turn by a right angle, a shift by a whole pixel."""
    image = tf.reshape(tf.range(9.0), (1, 3, 3, 1))

    def moved(settings, turn=0.5, down=0.5, right=0.5, side=0.9):
        transforms = random_transforms(
            tf.constant([[turn], [down], [right], [side]]), settings, 3, 3
        )
        new = keras.ops.image.affine_transform(image, transforms, fill_mode="nearest")
        return new.numpy()[0, ..., 0].round(3).tolist()

    still = Augmentation(rotation=0, shift=0, flip=False)
    assert moved(still) == [[0, 1, 2], [3, 4, 5], [6, 7, 8]]
    assert moved(still, side=0.1) == moved(still)
    assert moved(replace(still, flip=True), side=0.1) == [[2, 1, 0], [5, 4, 3], [8, 7, 6]]
    assert moved(replace(still, flip=True), side=0.9) == moved(still)
    # every pixel reads the one below it; what comes in at the bottom repeats the last row
    assert moved(replace(still, shift=1 / 3), down=1.0) == [[3, 4, 5], [6, 7, 8], [6, 7, 8]]
    assert moved(replace(still, shift=1 / 3), right=0.0) == [[0, 0, 1], [3, 3, 4], [6, 6, 7]]
    assert moved(replace(still, rotation=90), turn=1.0) == [[2, 5, 8], [1, 4, 7], [0, 3, 6]]


def test_transforms_fill_their_ranges():
    """Angles, shifts and mirrors read back from the matrices of 4,000 images."""
    draws = tf.random.stateless_uniform((4, 4000), (1, 2))
    a0, a1, a2, b0, b1, b2, *rest = random_transforms(draws, Augmentation(), 20, 40).numpy().T
    assert not np.any(rest)
    mirrored = a0 < 0
    assert mirrored.mean() == pytest.approx(0.5, abs=0.04)
    angles = np.degrees(np.arctan2(-a1, b1))
    np.testing.assert_allclose(np.where(mirrored, -a0, a0), b1, atol=1e-6)
    np.testing.assert_allclose(np.where(mirrored, -b0, b0), -a1, atol=1e-6)
    # where the centre is read from, turned back, is the shift
    x, y = a0 * 19.5 + a1 * 9.5 + a2 - 19.5, b0 * 19.5 + b1 * 9.5 + b2 - 9.5
    right, down = b1 * x - a1 * y, a1 * x + b1 * y
    for values, limit in ((angles, 15), (down, 2), (right, 4)):
        assert np.abs(values).max() <= limit * 1.0001
        assert values.min() < -0.97 * limit
        assert values.max() > 0.97 * limit
        assert abs(values.mean()) < 0.05 * limit
        assert values.std() == pytest.approx(limit / np.sqrt(3), rel=0.05)


def test_training_sees_other_images_every_step(digits):
    """Steps, epochs, phases and seeds differ; the same ones agree, bit for bit."""

    class Keep(keras.layers.Layer):
        def build(self, shape):
            self.seen = self.add_weight(
                shape=(4, 100, 8, 8, 1), initializer="zeros", trainable=False
            )
            self.count = self.add_weight(
                shape=(), dtype="int32", initializer="zeros", trainable=False
            )

        def call(self, x, training=False):
            if training:
                place = keras.ops.one_hot(self.count, 4)[:, None, None, None, None]
                self.seen.assign(self.seen * (1 - place) + place * x)
                self.count.assign_add(1)
            return x

    def seen(seed=0, name="unpruned"):
        dense = build_network("mlp", (8, 8, 1), 10, hidden_units=[3], conv_filters=[], seed=0)
        network = keras.Sequential([keras.Input((8, 8, 1)), Keep(), dense])
        phase = Phase(name, 2, 100, shuffle=False, augmentation=Augmentation())
        train(network, digits, phase, seed=seed)
        return network.layers[0].seen.numpy()

    first = seen()
    np.testing.assert_array_equal(first, seen())
    images = digits.x_train.reshape(2, 100, 8, 8, 1)
    epochs = first.reshape(2, 2, 100, 8, 8, 1)
    transforms = []
    for epoch in epochs:
        for before, after in zip(images, epoch, strict=True):
            assert (np.abs(after - before).max(axis=(1, 2, 3)) > 0.05).mean() > 0.95
            assert np.abs(after.mean() - before.mean()) < 0.1
            transforms.append(after.mean(axis=(1, 2, 3)) - before.mean(axis=(1, 2, 3)))
    assert (np.abs(epochs[0] - epochs[1]).max(axis=(2, 3, 4)) > 0.05).mean() > 0.95
    for other in (seen(seed=1), seen(name="pruned")):
        assert (np.abs(other - first).max(axis=(2, 3, 4)) > 0.05).mean() > 0.95

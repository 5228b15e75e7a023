"""Images rotated, shifted and mirrored at random (methods A12)."""

import math

import keras
import tensorflow as tf

from nn_clustering.training._phases import Augmentation


def augment(images: tf.Tensor, settings: Augmentation, seed: tf.Tensor) -> tf.Tensor:
    """Return every image under a random affine transform of its own.

    One bilinear interpolation an image; what comes in from outside repeats the nearest pixel.

    Args:
        images: Float32 of shape (images, height, width, channels).
        settings: How far images are moved.
        seed: Two integers that fix the transforms.

    Returns:
        Images of the same shape.
    """
    # The generator is named because the default one differs between devices.
    draws = tf.random.stateless_uniform((4, images.shape[0]), seed, alg="philox")
    transforms = random_transforms(draws, settings, images.shape[1], images.shape[2])
    return keras.ops.image.affine_transform(
        images,
        transforms,
        interpolation="bilinear",
        fill_mode="nearest",
        data_format="channels_last",
    )


def random_transforms(
    draws: tf.Tensor, settings: Augmentation, height: int, width: int
) -> tf.Tensor:
    """Return the affine transforms that uniform numbers stand for.

    A point of the new image, seen from the image's centre, is mirrored, shifted and rotated; there
    the old image is read.

    Args:
        draws: Uniform numbers in [0, 1), of shape (4, images): for the angle, the shift down, the
            shift to the right, and whether to mirror.
        settings: How far images are moved.
        height: Of the images, in pixels.
        width: Of the images, in pixels.

    Returns:
        Shape (images, 8): (a0, a1, a2, b0, b1, b2, 0, 0), which read the new pixel (column x, row
        y) from column a0 x + a1 y + a2 and row b0 x + b1 y + b2 of the old image.
    """
    signed = 2 * draws - 1
    angle = signed[0] * (settings.rotation * math.pi / 180)
    down, right = signed[1] * (settings.shift * height), signed[2] * (settings.shift * width)
    mirror = tf.where(draws[3] < 0.5, -1.0, 1.0) if settings.flip else tf.ones_like(angle)
    cosine, sine = tf.cos(angle), tf.sin(angle)
    middle_x, middle_y = (width - 1) / 2, (height - 1) / 2
    # Column and row of the old image that the new image's pixel (0, 0) is read from.
    x, y = right - mirror * middle_x, down - middle_y
    start_x = cosine * x - sine * y + middle_x
    start_y = sine * x + cosine * y + middle_y
    zero = tf.zeros_like(angle)
    entries = [cosine * mirror, -sine, start_x, sine * mirror, cosine, start_y, zero, zero]
    return tf.stack(entries, axis=1)

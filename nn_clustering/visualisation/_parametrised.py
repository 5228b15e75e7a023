"""What inputs are made of: waves or their own values, in colours of photographs or of screens."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from nn_clustering.errors import InvalidInputError
from nn_clustering.networks import n_channels
from nn_clustering.seeds import generator
from nn_clustering.visualisation._bounds import Bounds
from nn_clustering.visualisation._settings import Parametrisation

# Standard deviation of the numbers that an input starts from.
_SPREAD_AT_START = 0.01
# Lucid's: what makes images of independent numbers that are about as large as pixels vary.
_SHARE_OF_WAVES = 0.25
# A root of the covariance of red, green and blue in ImageNet's pixels, as lucid has it.
_COLOUR_ROOT = np.array([[0.26, 0.09, 0.02], [0.27, 0.00, -0.05], [0.27, -0.09, 0.03]])


class Basis(Protocol):
    """What numbers an input is made of, before its values are put between bounds.

    Attributes:
        shape: Shape of the numbers of an input.
    """

    shape: tuple[int, ...]

    def __call__(self, numbers: tf.Tensor, /) -> tf.Tensor:
        """Return (inputs, channels, values) of (inputs, *shape)."""


class OwnValues:
    """Every value is a number of its own."""

    def __init__(self, n_channels: int, n_values: int) -> None:
        """Prepare inputs of so many channels of so many values."""
        self.shape: tuple[int, ...] = (n_channels, n_values)

    def __call__(self, numbers: tf.Tensor) -> tf.Tensor:
        """Return (inputs, channels, values)."""
        return numbers


class Waves:
    """Every channel is an inverse real Fourier transform (methods H1).

    Numbers of an input, (channels, frequencies of columns, 2 x frequencies of rows), are real and
    imaginary parts. The transforms are products with matrices, rows first: of images of 28 pixels
    that takes a third of the time of TensorFlow's fast Fourier transform, of 224 about the same.
    """

    def __init__(self, n_channels: int, height: int, width: int) -> None:
        """Prepare images of a size."""
        n_columns = width // 2 + 1
        self.shape: tuple[int, ...] = (n_channels, n_columns, 2 * height)
        self._size = (n_channels, height, width)
        frequency = np.hypot(np.fft.rfftfreq(width)[:, None], np.fft.fftfreq(height))
        scale = np.sqrt(height * width) / np.maximum(frequency, 1 / max(height, width))
        self._scale = _constant(np.tile(scale * _SHARE_OF_WAVES, 2))
        self._rows = _constant(_transform_of_rows(height))
        self._columns = _constant(_transform_of_columns(width))

    def __call__(self, numbers: tf.Tensor) -> tf.Tensor:
        """Return (inputs, channels, values)."""
        n_channels, height, width = self._size
        spectrum = numbers * self._scale
        rows = tf.reshape(spectrum, (-1, 2 * height)) @ self._rows
        rows = tf.reshape(rows, (-1, width // 2 + 1, 2, height))
        rows = tf.reshape(tf.transpose(rows, (0, 3, 2, 1)), (-1, 2 * (width // 2 + 1)))
        return tf.reshape(rows @ self._columns, (-1, n_channels, height * width))


def _transform_of_rows(height: int) -> NDArray[np.float64]:
    """Return the matrix from (real, imaginary) of frequencies to those of rows, from the right."""
    angles = 2 * np.pi * np.outer(np.arange(height), np.arange(height)) / height
    cos, sin = np.cos(angles) / height, np.sin(angles) / height
    return np.block([[cos, sin], [-sin, cos]])


def _transform_of_columns(width: int) -> NDArray[np.float64]:
    """Return the matrix from (real, imaginary) of frequencies to columns, from the right."""
    frequencies = np.arange(width // 2 + 1)
    angles = 2 * np.pi * np.outer(frequencies, np.arange(width)) / width
    # all but the constant and, if there is one, the highest stand for two of a whole spectrum
    times = np.where((frequencies == 0) | (2 * frequencies == width), 1, 2)[:, None] / width
    return np.concatenate([times * np.cos(angles), -times * np.sin(angles)])


def _constant(values: NDArray[np.float64]) -> NDArray[np.float32]:
    return values.astype(np.float32)


class Parametrised:
    """Inputs of a shape, and the numbers that they are made of.

    Attributes:
        sample_shape: Shape of an input.
        shape: Shape of the numbers of an input.
    """

    def __init__(
        self, sample_shape: tuple[int, ...], bounds: Bounds, settings: Parametrisation
    ) -> None:
        """Prepare inputs of a shape.

        Raises:
            InvalidInputError: If the settings ask of samples that are no images for waves, or for
                colours of others than images of three channels, or the bounds do not fit.
        """
        self.sample_shape = sample_shape
        is_image = len(sample_shape) == 3
        channels = n_channels(sample_shape)
        in_colour = is_image and channels == 3
        basis = settings.basis or ("fourier" if is_image else "pixels")
        if basis == "fourier" and not is_image:
            raise InvalidInputError(
                f"basis=fourier with samples of shape {sample_shape}; expected images (height, "
                "width, channels), or basis=pixels"
            )
        if settings.decorrelate and not in_colour:
            raise InvalidInputError(
                f"decorrelate=true with samples of shape {sample_shape}; expected images of three "
                "channels, red, green and blue"
            )
        n_values = int(np.prod(sample_shape, dtype=np.int64)) // channels
        self._basis: Basis = (
            Waves(channels, *sample_shape[:2])
            if basis == "fourier"
            else OwnValues(channels, n_values)
        )
        self.shape = self._basis.shape
        decorrelates = in_colour if settings.decorrelate is None else settings.decorrelate
        self._colours = _constant(_colours()) if decorrelates else None
        self._low, self._width = bounds.over(sample_shape)

    def start(self, seed: int) -> NDArray[np.float32]:
        """Return the numbers that an input of a seed starts from."""
        numbers = generator(seed, "start").standard_normal(self.shape, np.float32)
        return numbers * np.float32(_SPREAD_AT_START)

    def __call__(self, numbers: tf.Tensor) -> tf.Tensor:
        """Return inputs in the data set's scale of the numbers that they are made of.

        Args:
            numbers: (inputs, *shape).

        Returns:
            (inputs, *sample_shape).
        """
        values = self._basis(numbers)
        if self._colours is not None:
            values = self._colours @ values
        values = tf.reshape(tf.transpose(values, (0, 2, 1)), (-1, *self.sample_shape))
        return self._low + self._width * tf.sigmoid(values)


def _colours() -> NDArray[np.float64]:
    """Return what makes red, green and blue of colours that vary apart, from the left."""
    root: NDArray[np.float64] = _COLOUR_ROOT / np.linalg.norm(_COLOUR_ROOT, axis=0).max()
    return root

"""What a network wants done to pixels before it reads them; needs no Keras.

It belongs to the network: ImageNet's were trained on pixels in one of three styles, which Keras
calls caffe, torch and tf.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nn_clustering.errors import InvalidInputError, did_you_mean, in_one_line
from nn_clustering.user_functions import check_defines_function, import_function, is_dotted_name

Preprocessing = Callable[[NDArray[np.float32]], NDArray[np.float32]]

# Means and standard deviations of ImageNet's pixels, red, green and blue.
_CAFFE_MEAN = np.array([123.68, 116.779, 103.939], np.float32)
_TORCH_MEAN = np.array([0.485, 0.456, 0.406], np.float32)
_TORCH_STD = np.array([0.229, 0.224, 0.225], np.float32)
_KEY = "preprocessing"
_PURPOSE = "makes of pixels those that the network reads"


def _as_it_is(x: NDArray[np.float32]) -> NDArray[np.float32]:
    return x


def _unit(x: NDArray[np.float32]) -> NDArray[np.float32]:
    return x / np.float32(255)


def _caffe(x: NDArray[np.float32]) -> NDArray[np.float32]:
    """Blue, green, red, each less its mean."""
    return (x - _CAFFE_MEAN)[..., ::-1]


def _torch(x: NDArray[np.float32]) -> NDArray[np.float32]:
    return (_unit(x) - _TORCH_MEAN) / _TORCH_STD


def _tf(x: NDArray[np.float32]) -> NDArray[np.float32]:
    """From -1 to 1."""
    return x / np.float32(127.5) - np.float32(1)


_STYLES: dict[str, Preprocessing] = {
    "none": _as_it_is,
    "unit": _unit,
    "caffe": _caffe,
    "torch": _torch,
    "tf": _tf,
}
PREPROCESSINGS = tuple(_STYLES)
# Those in which red, green and blue are told apart.
_OF_COLOURS = ("caffe", "torch")


def check_preprocessing(name: str) -> None:
    """Check a name of a preprocessing, as far as that goes without running code.

    Raises:
        InvalidInputError: If there is no such one.
    """
    if is_dotted_name(name):
        check_defines_function(name, _KEY, _PURPOSE)
    elif name not in _STYLES:
        raise InvalidInputError(
            f"preprocessing={name!r}{did_you_mean(str(name), PREPROCESSINGS)}; expected one of "
            f"{', '.join(PREPROCESSINGS)}, or the dotted name of a function of pixels"
        )


def preprocessing(name: str, sample_shape: tuple[int, ...]) -> Preprocessing:
    """Return what makes of pixels from 0 to 255 those that a network reads.

    Args:
        name: One of :data:`PREPROCESSINGS`: none (0 to 255, as they are), unit (0 to 1), caffe
            (blue, green, red less ImageNet's mean), torch (0 to 1, less ImageNet's mean, by its
            standard deviation), tf (-1 to 1); or the dotted name of a function of pixels, which is
            called with float32 of shape (samples, height, width, channels) and returns as many.
        sample_shape: Of one sample.

    Raises:
        InvalidInputError: If there is no such preprocessing, the function fails, or the images are
            not in colour where colours are told apart.
    """
    check_preprocessing(name)
    if name in _OF_COLOURS and (len(sample_shape) != 3 or sample_shape[-1] != 3):
        raise InvalidInputError(
            f"preprocessing={name} with samples of shape {sample_shape}; expected images in "
            "colour, or another preprocessing"
        )
    if name in _STYLES:
        return _STYLES[name]
    return _of_user(name)


@dataclass(frozen=True, eq=False)
class ChannelMap:
    """What a network reads of a pixel: its channels, from 0 to 1, times a matrix plus an offset.

    Attributes:
        matrix: Of shape (channels, channels): ``pixels @ matrix + offset`` is what is read.
        offset: Of shape (channels,).
    """

    matrix: NDArray[np.float64]
    offset: NDArray[np.float64]

    @classmethod
    def identity(cls, n_channels: int) -> ChannelMap:
        """Return the map of a network that reads pixels from 0 to 1 as they are."""
        return cls(np.eye(n_channels), np.zeros(n_channels))

    @property
    def is_identity(self) -> bool:
        """Whether what is read are the pixels themselves."""
        return not self.offset.any() and np.array_equal(self.matrix, np.eye(len(self.offset)))


def n_channels(sample_shape: tuple[int, ...]) -> int:
    """Return how many channels a pixel of a sample has: 1 of what is no image."""
    return sample_shape[-1] if len(sample_shape) == 3 else 1


def channel_map(name: str | None, sample_shape: tuple[int, ...]) -> ChannelMap:
    """Return what a preprocessing does to the channels of a pixel, found by trying it.

    Args:
        name: As of :func:`preprocessing`; None for a network that reads pixels from 0 to 1.
        sample_shape: Of one sample; of what is not of shape (height, width, channels) every value
            is a pixel of its own.

    Raises:
        InvalidInputError: As :func:`preprocessing` does, or if what is made of a pixel is not a
            sum of its channels times numbers, the same for every pixel, and a number.
    """
    channels = n_channels(sample_shape)
    if name is None:
        return ChannelMap.identity(channels)
    change = preprocessing(name, sample_shape)
    primaries = np.concatenate([np.zeros((1, channels)), np.eye(channels)])
    pixels = np.array(
        [np.broadcast_to(_as_pixels(sample_shape, primary), sample_shape) for primary in primaries]
    )
    # at any pixel, as it must be the same for all
    made = _by_pixel(change(pixels.astype(np.float32) * 255), channels)[:, 0].astype(np.float64)
    found = ChannelMap(made[1:] - made[0], made[0])
    trial = np.random.default_rng(0).random((2, *sample_shape), np.float32)
    read = _by_pixel(change(trial * 255), channels)
    expected = _by_pixel(trial, channels) @ found.matrix + found.offset
    # rounding is of the largest numbers that are met on the way
    tolerance = 1e-3 * max(1e-6, float(np.abs(found.matrix).max()), float(np.abs(expected).max()))
    if not np.isfinite(read).all() or np.abs(read - expected).max() > tolerance:
        raise InvalidInputError(
            f"preprocessing={name!r} does not make of every pixel by itself a sum of its channels "
            "times numbers, and a number; expected one that does, as inputs are optimised through "
            "it"
        )
    return found


def _as_pixels(sample_shape: tuple[int, ...], pixel: NDArray[np.float64]) -> NDArray[np.float64]:
    return pixel if len(sample_shape) == 3 else pixel.reshape((1,) * len(sample_shape))


def _by_pixel(samples: NDArray[np.float32], channels: int) -> NDArray[np.float32]:
    """Return samples as (samples, pixels, channels)."""
    return samples.reshape(len(samples), -1, channels)


def _of_user(name: str) -> Preprocessing:
    function = import_function(name, _KEY, _PURPOSE)

    def of_pixels(x: NDArray[np.float32]) -> NDArray[np.float32]:
        try:
            # a copy, since functions of Keras change what they are given
            found: NDArray[Any] = np.asarray(function(x.copy()), np.float32)
        except Exception as error:  # whatever the function's own code raises
            raise InvalidInputError(
                f"preprocessing={name!r} failed on pixels of shape {x.shape}: {in_one_line(error)}"
            ) from error
        if found.shape != x.shape:
            raise InvalidInputError(
                f"preprocessing={name!r} made {found.shape} of pixels of shape {x.shape}; expected "
                "the same shape"
            )
        return found

    return of_pixels

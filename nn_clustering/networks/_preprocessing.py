"""What a network wants done to pixels before it reads them; needs no Keras.

It belongs to the network: ImageNet's were trained on pixels in one of three styles, which Keras
calls caffe, torch and tf.
"""

from __future__ import annotations

from collections.abc import Callable
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

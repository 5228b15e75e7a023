"""Images as bytes, as the sources hold them and as data sets are composed of them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from nn_clustering.datasets._dataset import Dataset

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    # Pixels of shape (samples, height, width, channels), and a class for each sample.
    Split = tuple[NDArray[np.uint8], NDArray[np.int32]]

# Weights of red, green and blue in the luminance (Rec. 709), in ten-thousandths: whole numbers,
# so that every machine computes the same.
LUMINANCE = (2125, 7154, 721)
# Images that are turned grey at a time: temporary arrays stay within some 100 MB.
BLOCK = 4096


@dataclass(frozen=True, eq=False)
class Images:
    """Images of whole-numbered pixels with classes, split into train and test.

    Attributes:
        x_train: Pixels, uint8 of shape (samples, height, width, channels), in 0..white.
        y_train: Classes, int32 of shape (samples,).
        x_test: Like ``x_train``.
        y_test: Like ``y_train``.
        class_names: One name a class.
        white: The pixel that becomes 1 in a :class:`Dataset`.
    """

    x_train: NDArray[np.uint8]
    y_train: NDArray[np.int32]
    x_test: NDArray[np.uint8]
    y_test: NDArray[np.int32]
    class_names: tuple[str, ...]
    white: int = 255

    @property
    def train(self) -> Split:
        """Pixels and classes of the train split."""
        return self.x_train, self.y_train

    @property
    def test(self) -> Split:
        """Pixels and classes of the test split."""
        return self.x_test, self.y_test

    def each_split(self, change: Callable[[str, Split], Split]) -> Images:
        """Return images whose splits are those that ``change`` makes of (name, split)."""
        (x_train, y_train), (x_test, y_test) = (
            change("train", self.train),
            change("test", self.test),
        )
        return replace(self, x_train=x_train, y_train=y_train, x_test=x_test, y_test=y_test)

    def dataset(self, name: str) -> Dataset:
        """Return the data set of these images, with pixels in [0, 1] (methods A13)."""
        x_train, x_test = (x.astype(np.float32) for x in (self.x_train, self.x_test))
        x_train /= np.float32(self.white)
        x_test /= np.float32(self.white)
        return Dataset(name, x_train, self.y_train, x_test, self.y_test, self.class_names)


def rescale(x: NDArray[np.uint8], highest: int) -> NDArray[np.uint8]:
    """Return images whose pixels of value ``highest`` become 255, all others in proportion."""
    if highest in (0, 255):
        return x
    table = (np.arange(256) * 510 + highest) // (2 * highest)
    return np.minimum(table, 255).astype(np.uint8)[x]


def resize(x: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """Return images of another size, each pixel a weighted mean of those that it covers.

    Pillow's resampling by a triangle filter, whose support grows with the reduction
    (anti-aliasing) and which computes in whole numbers, the same on every machine.

    Args:
        x: Pixels of shape (samples, height, width, channels).
        height: The new height, in pixels.
        width: The new width, in pixels.
    """
    x = _resize_rows(x, width)
    return _resize_rows(x.transpose(0, 2, 1, 3), height).transpose(0, 2, 1, 3)


def luminance(x: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return grey images (one channel) of colour ones (red, green and blue)."""
    grey = np.empty((*x.shape[:3], 1), np.uint8)
    for start in range(0, len(x), BLOCK):
        red, green, blue = np.moveaxis(x[start : start + BLOCK], 3, 0).astype(np.uint32)
        total = red * LUMINANCE[0] + green * LUMINANCE[1] + blue * LUMINANCE[2]
        grey[start : start + BLOCK, ..., 0] = (total + 5000) // 10000
    return grey


def _resize_rows(x: NDArray[np.uint8], width: int) -> NDArray[np.uint8]:
    # Every row of every image and channel is resampled by itself, so that all of them can be the
    # rows of one tall picture: one call instead of one an image.
    from PIL import Image

    samples, height, old_width, channels = x.shape
    if old_width == width:
        return x
    rows = np.ascontiguousarray(x.transpose(0, 1, 3, 2)).reshape(-1, old_width)
    tall = Image.fromarray(rows).resize((width, len(rows)), Image.Resampling.BILINEAR)
    return np.asarray(tall).reshape(samples, height, channels, width).transpose(0, 1, 3, 2)

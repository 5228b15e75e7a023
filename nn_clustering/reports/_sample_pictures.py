"""Single samples as pictures: what has channels as an image, whatever else as bars."""

from __future__ import annotations

import io
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

if TYPE_CHECKING:
    from collections.abc import Iterable

# Between the channels of an image that has not one or three of them: red, green and blue, which
# no channel, being grey, can be taken for.
BETWEEN_CHANNELS = (31, 119, 180)
# Pixels of a single picture's longer side, at least.
_LEAST = 224
_BARS = (480, 320)


@dataclass(frozen=True)
class Range:
    """Which values black and white stand for, or the ends of an axis.

    Attributes:
        low: The lowest value.
        high: The highest.
    """

    low: float = 0.0
    high: float = 1.0

    @classmethod
    def of(cls, samples: Iterable[NDArray[Any]]) -> Range:
        """Return the range of all values that are finite; one of no width is made wider."""
        ends = [(part.min(), part.max()) for part in map(_finite, samples) if part.size]
        low = float(min((least for least, _ in ends), default=0.0))
        high = float(max((most for _, most in ends), default=1.0))
        return cls(low, high) if low < high else cls(low - 0.5, high + 0.5)

    @classmethod
    def of_inputs(cls, inputs: NDArray[Any]) -> Range:
        """Return from 0 to 1 if nothing lies beyond, as pixels never do; else :meth:`of` them."""
        finite = _finite(inputs)
        is_within = not finite.size or (finite.min() >= 0 and finite.max() <= 1)
        return cls() if is_within else cls.of([finite])

    def shares(self, values: ArrayLike) -> NDArray[np.float64]:
        """Return how far up in the range values are, 0 to 1; NaN counts as the low end."""
        shares = (np.asarray(values, float) - self.low) / (self.high - self.low)
        clipped: NDArray[np.float64] = np.clip(
            np.nan_to_num(shares, nan=0.0, posinf=1.0, neginf=0.0), 0, 1
        )
        return clipped


def _finite(values: NDArray[Any]) -> NDArray[Any]:
    finite: NDArray[Any] = values[np.isfinite(values)]
    return finite


def is_image(shape: tuple[int, ...]) -> bool:
    """Whether samples of a shape are images: (height, width, channels)."""
    return len(shape) == 3


def picture(image: NDArray[Any], values: Range) -> NDArray[np.uint8]:
    """Return an image as bytes: grey of one channel, in colour of three.

    Any other number of channels is shown as grey images side by side, the first one at the upper
    left, with lines between them.

    Args:
        image: Shape (height, width, channels).
        values: What black and white stand for.

    Returns:
        Shape (height, width), or (height, width, 3).
    """
    pixels: NDArray[np.uint8] = np.rint(255 * values.shares(image)).astype(np.uint8)
    if pixels.shape[2] == 1:
        return pixels[..., 0]
    return pixels if pixels.shape[2] == 3 else _side_by_side(pixels)


def _side_by_side(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    height, width, n_channels = pixels.shape
    n_columns = math.ceil(math.sqrt(n_channels))
    n_rows = math.ceil(n_channels / n_columns)
    size = n_rows * (height + 1) - 1, n_columns * (width + 1) - 1
    sheet = np.tile(np.array(BETWEEN_CHANNELS, np.uint8), (*size, 1))
    for channel in range(n_channels):
        row, column = divmod(channel, n_columns)
        top, left = row * (height + 1), column * (width + 1)
        sheet[top : top + height, left : left + width] = pixels[..., channel, np.newaxis]
    return sheet


def input_png(sample: NDArray[Any]) -> bytes:
    """Return a single input as a PNG file: the same input gives the same bytes.

    Images are enlarged by whole pixels to 224 pixels at least; what is no image is drawn as bars.
    Values that are not all from 0 to 1 are shown by their own range.

    Args:
        sample: An image of shape (height, width, channels), or values of any other shape.
    """
    if not is_image(sample.shape):
        return _bars_png(sample.ravel(), Range.of([sample, np.zeros(1)]))
    pixels = picture(sample, Range.of_inputs(sample))
    times = math.ceil(_LEAST / max(pixels.shape[:2]))
    return _png(pixels.repeat(times, axis=0).repeat(times, axis=1))


def _png(pixels: NDArray[np.uint8]) -> bytes:
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG")
    return buffer.getvalue()


def _bars_png(sample: NDArray[Any], values: Range) -> bytes:
    from matplotlib.figure import Figure

    from nn_clustering.reports._figure_text import set_plain_ticks

    width, height = _BARS
    figure = Figure(figsize=(width / 100, height / 100), dpi=100, layout="constrained")
    axes = figure.subplots()
    edges = np.arange(sample.size + 1) - 0.5
    axes.stairs(sample, edges, baseline=0, fill=True, color="#333333")
    axes.axhline(0, color="black", linewidth=0.6)
    axes.set_xlim(-0.5, sample.size - 0.5)
    axes.set_ylim(values.low, values.high)
    axes.set_xlabel("value number")
    axes.set_ylabel("value")
    ticks = np.unique(np.linspace(0, sample.size - 1, min(sample.size, 6)).round())
    set_plain_ticks(axes.xaxis, ticks.tolist())
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()

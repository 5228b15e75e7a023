"""Between what the values of an input that is optimised lie."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nn_clustering.errors import InvalidInputError


@dataclass(frozen=True, eq=False)
class Bounds:
    """The least and the largest values of an input, in the data set's scale.

    Attributes:
        low: One number, or whatever broadcasts to the shape of a sample; of images 0.
        high: Likewise; of images 1.

    Raises:
        InvalidInputError: If a number is not finite, or a least one is not below the largest.
    """

    low: ArrayLike = 0.0
    high: ArrayLike = 1.0

    def __post_init__(self) -> None:
        low, high = np.asarray(self.low, np.float64), np.asarray(self.high, np.float64)
        if not (np.isfinite(low).all() and np.isfinite(high).all()):
            raise InvalidInputError("bounds hold NaN or infinite values; expected numbers")
        try:
            is_below = bool(np.all(low < high))
        except ValueError:
            is_below = False
        if not is_below:
            raise InvalidInputError(
                f"bounds from {_said(low)} to {_said(high)}; expected least values below the "
                "largest"
            )

    def over(self, sample_shape: tuple[int, ...]) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return the least value and the width of a sample's values, to be broadcast over it.

        Raises:
            InvalidInputError: If they do not fit a sample.
        """
        low, high = np.asarray(self.low, np.float32), np.asarray(self.high, np.float32)
        for bound in (low, high):
            try:
                fits = np.broadcast_shapes(bound.shape, sample_shape) == sample_shape
            except ValueError:
                fits = False
            if not fits:
                raise InvalidInputError(
                    f"bounds of shape {bound.shape} for samples of shape {sample_shape}; expected "
                    "one number, or as many as a sample has"
                )
        return low, high - low


def _said(bound: NDArray[Any]) -> str:
    return f"{bound:g}" if bound.ndim == 0 else f"{bound.min():g} .. {bound.max():g}"

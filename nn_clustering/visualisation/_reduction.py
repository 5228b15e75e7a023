"""What makes numbers of the values of units; needs no TensorFlow (methods H2)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nn_clustering.errors import InvalidInputError
from nn_clustering.visualisation._settings import REDUCTIONS


def reduced(
    values: NDArray[np.floating], masks: NDArray[np.bool_], reduction: str
) -> NDArray[np.float64]:
    """Return the objective of every set of units on every sample.

    Args:
        values: Of the units of a layer, shape (samples, units).
        masks: Which units are in every set, shape (sets, units).
        reduction: One of :data:`~nn_clustering.visualisation.REDUCTIONS`.

    Returns:
        Shape (samples, sets).
    """
    if reduction not in REDUCTIONS:
        raise InvalidInputError(f"reduction={reduction!r}; expected one of {', '.join(REDUCTIONS)}")
    values = np.abs(values) if reduction == "absolute" else values
    sums: NDArray[np.float64] = values.astype(np.float64) @ masks.T.astype(np.float64)
    return sums / masks.sum(axis=1) if reduction == "mean" else sums


def reduced_each(
    values: NDArray[np.floating], masks: NDArray[np.bool_], reduction: str
) -> NDArray[np.float64]:
    """Return the objective of set i on sample i, shape (samples,)."""
    values = np.abs(values) if reduction == "absolute" else values
    sums: NDArray[np.float64] = np.where(masks, values.astype(np.float64), 0).sum(axis=1)
    return sums / masks.sum(axis=1) if reduction == "mean" else sums


def dispersion_each(values: NDArray[np.floating], masks: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the standard deviation over the units of set i on sample i, shape (samples,)."""
    values, size = values.astype(np.float64), masks.sum(axis=1)
    means = np.where(masks, values, 0).sum(axis=1) / size
    squares = np.where(masks, values - means[:, None], 0) ** 2
    found: NDArray[np.float64] = np.sqrt(squares.sum(axis=1) / size)
    return found

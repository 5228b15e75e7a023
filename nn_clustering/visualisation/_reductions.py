"""What makes one number of the units of a set, in numpy (methods H2)."""

import numpy as np
from numpy.typing import NDArray


def reduced(
    values: NDArray[np.floating], masks: NDArray[np.bool_], reduction: str
) -> NDArray[np.float64]:
    """Return the objective of sets of units of a layer on samples.

    Args:
        values: Of all units of the layer, shape (samples, units).
        masks: Which of them belong to each set, shape (sets, units).
        reduction: See :class:`Objective`.

    Returns:
        Shape (samples, sets).
    """
    taken = np.abs(values) if reduction == "absolute" else values
    sums: NDArray[np.float64] = taken.astype(np.float64) @ masks.T.astype(np.float64)
    return sums / masks.sum(axis=1) if reduction == "mean" else sums

"""The precision of weights that come of a network in single precision."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

# Graphs with more weights are held in single precision, which takes half the memory; smaller ones
# are computed with in double, where that takes no time.
MOST_IN_DOUBLE = 2**23


def in_single_precision(matrices: Sequence[NDArray[np.floating]]) -> list[NDArray[np.floating]]:
    """Return weights rounded to what float32 tells apart, so that they are stored in it exactly.

    Those that would be infinite in it stay as they are.
    """
    n_weights = sum(matrix.size for matrix in matrices)
    return [_rounded(matrix, stays_single=n_weights > MOST_IN_DOUBLE) for matrix in matrices]


def _rounded(matrix: NDArray[np.floating], *, stays_single: bool) -> NDArray[np.floating]:
    with np.errstate(over="ignore"):
        single = matrix.astype(np.float32)
    if np.isfinite(single).all() or not np.isfinite(matrix).all():
        return single if stays_single else single.astype(np.float64)
    return matrix

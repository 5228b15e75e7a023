"""The precision of weights that come of a network in single precision."""

import numpy as np
from numpy.typing import NDArray

# Graphs with more weights are held in single precision, which takes half the memory; smaller ones
# are computed with in double, where that takes no time.
MOST_IN_DOUBLE = 2**23

# Graphs of products with more weights are held in half precision: 2 GB are a thousand million.
MOST_IN_SINGLE = 2**28


def in_single_precision(
    blocks: dict[tuple[int, int], NDArray[np.float64]],
) -> dict[tuple[int, int], NDArray[np.floating]]:
    """Return weights rounded to what float32 tells apart, so that they are stored in it exactly.

    Those that would be infinite in it stay as they are. The blocks are taken out of what is given,
    one by one, so that not all of them are in memory twice.
    """
    stays_single = sum(block.size for block in blocks.values()) > MOST_IN_DOUBLE
    return {pair: _rounded(blocks.pop(pair), stays_single=stays_single) for pair in sorted(blocks)}


def _rounded(matrix: NDArray[np.floating], *, stays_single: bool) -> NDArray[np.floating]:
    with np.errstate(over="ignore"):
        single = matrix.astype(np.float32)
    if np.isfinite(single).all() or not np.isfinite(matrix).all():
        return single if stays_single else single.astype(np.float64)
    return matrix

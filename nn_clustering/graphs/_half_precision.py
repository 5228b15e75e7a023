"""Weights in two bytes each, for graphs of a thousand million edges.

They are those of IEEE half precision (eleven binary digits) times a power of two of each matrix's
own, and computed with in single precision, some rows at a time.
"""

import numpy as np
from numpy.typing import NDArray

# Rows that are turned into single precision at once: with 3,000 columns they stay in the cache.
ROWS_AT_A_TIME = 256

# Rows of products that are computed at once.
_ROWS_OF_PRODUCTS = 4 * ROWS_AT_A_TIME

# Digits of a single precision number's fraction that half precision does not have.
_DIGITS_LESS = np.uint32(13)
# By which power of two the numbers differ that have the same digits in both.
_BIAS = 112
# The power of two below which the largest weight lies when it is stored.
_LARGEST = 15
# Larger weights have no such number in single precision.
_MOST = 2.0**29


def can_be_half(largest: float) -> bool:
    """Return whether weights up to a largest one can be held in half precision."""
    return largest < _MOST


def exponent_of(largest: float) -> int:
    """Return the power of two that weights up to a largest one are multiplied by to be stored."""
    return _LARGEST - int(np.frexp(largest)[1]) if largest > 0 else 0


def to_half(weights: NDArray[np.float32]) -> tuple[NDArray[np.float16], int]:
    """Return non-negative weights in half precision, and the power of two that they are times."""
    exponent = exponent_of(float(weights.max(initial=0)))
    stored = np.empty(weights.shape, np.float16)
    for start in range(0, len(weights), ROWS_AT_A_TIME):
        rows = slice(start, start + ROWS_AT_A_TIME)
        stored[rows] = _rounded(weights[rows], exponent)
    return stored, exponent


def product_to_half(
    left: NDArray[np.float32], right: NDArray[np.float32]
) -> tuple[NDArray[np.float16], int] | None:
    """Return a product without its signs in half precision, as :func:`to_half` does.

    It is never there in single precision but for some rows.

    Returns:
        None if it may hold larger numbers than can be.
    """
    largest = float(np.linalg.norm(left, axis=1).max(initial=0))
    largest *= float(np.linalg.norm(right, axis=0).max(initial=0))
    if not can_be_half(largest):
        return None
    exponent = exponent_of(largest)
    stored = np.empty((len(left), right.shape[1]), np.float16)
    for start in range(0, len(left), _ROWS_OF_PRODUCTS):
        product = left[start : start + _ROWS_OF_PRODUCTS] @ right
        for first in range(0, len(product), ROWS_AT_A_TIME):
            rows = np.abs(product[first : first + ROWS_AT_A_TIME])
            stored[start + first : start + first + len(rows)] = _rounded(rows, exponent)
    return stored, exponent


def _rounded(weights: NDArray[np.float32], exponent: int) -> NDArray[np.float16]:
    bits = (weights * np.float32(2.0 ** (exponent - _BIAS))).view(np.uint32)
    bits += np.uint32(1) << (_DIGITS_LESS - np.uint32(1))  # to the nearest
    bits >>= _DIGITS_LESS
    return bits.astype(np.uint16).view(np.float16)


def to_single(
    stored: NDArray[np.float16], exponent: int, out: NDArray[np.float32] | None = None
) -> NDArray[np.float32]:
    """Return what :func:`to_half` stored, in a tenth of the time of numpy's own conversion."""
    found = np.empty(stored.shape, np.float32) if out is None else out
    bits = found.view(np.uint32)
    np.copyto(bits, stored.view(np.uint16))
    np.left_shift(bits, _DIGITS_LESS, out=bits)
    return np.multiply(found, np.float32(2.0 ** (_BIAS - exponent)), out=found)

"""Leading eigenpairs of a matrix that takes long to read: many vectors are multiplied at once.

It is the block Lanczos iteration with full orthogonalisation (Golub and Underwood 1977).
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Block = NDArray[np.float32]

# Vectors that are multiplied at once, or a multiple: more take fewer passes, but longer ones.
_WIDTH = 32
# So many of them are more than are looked for, at least.
_BESIDE = 8
# After so many products it is looked whether the eigenvectors are found.
_STEPS_AT_A_TIME = 3
# After so many products of a block it starts again from the best vectors, so as not to hold more.
_MOST_STEPS = 64
_RESTARTS = 20
# Largest residual of an eigenvector, relative to its eigenvalue. Its eigenvalue is right to the
# square of that, over its distance to the others.
TOLERANCE = 2e-2


def block_eigenpairs(
    product: Callable[[Block], Block],
    known: Block,
    n: int,
    *,
    tolerance: float = TOLERANCE,
) -> tuple[NDArray[np.float64], Block]:
    """Return the leading eigenpairs of a symmetric matrix beside known eigenvectors.

    Args:
        product: Multiplies the columns of an array by the matrix.
        known: Orthonormal eigenvectors that are left out, one a column; shape (rows, known).
        n: Number of eigenpairs, much fewer than rows.
        tolerance: Largest residual of an eigenvector, relative to its eigenvalue.

    Returns:
        The eigenvalues, largest first, and one orthonormal eigenvector a column.
    """
    width = _WIDTH * -(-(n + _BESIDE) // _WIDTH)
    start = np.random.default_rng(0).standard_normal((len(known), width), np.float32)
    for _ in range(_RESTARTS):
        values, vectors, is_found = _iterated(product, known, start, n, tolerance)
        if is_found:
            break
        start = vectors
    return values[:n], vectors[:, :n]


def _iterated(
    product: Callable[[Block], Block], known: Block, start: Block, n: int, tolerance: float
) -> tuple[NDArray[np.float64], Block, bool]:
    """Return the best pairs, as many as the start has vectors, and whether the first n are good."""
    import scipy.linalg

    width = start.shape[1]
    n_steps = min(_MOST_STEPS, (len(known) - known.shape[1]) // width)
    basis = np.empty((len(known), n_steps * width), np.float32)
    projected = np.zeros((n_steps * width,) * 2)
    block = np.linalg.qr(_without(known, start))[0]
    is_found = False
    for step in range(n_steps):
        first, size = step * width, (step + 1) * width
        basis[:, first:size] = block
        made = _without(known, product(block))
        shares = basis[:, :size].T @ made
        projected[:size, first:size] = shares
        projected[first:size, :size] = shares.T
        made -= basis[:, :size] @ shares
        # what rounding has left of it
        made = _without(known, _without(basis[:, :size], made))
        block, rest = np.linalg.qr(made)
        if (step + 1) % _STEPS_AT_A_TIME and step + 1 < n_steps:
            continue
        chosen = (size - width, size - 1)
        values, shares_of = scipy.linalg.eigh(projected[:size, :size], subset_by_index=chosen)
        values, shares_of = values[::-1], shares_of[:, ::-1]
        residuals = np.linalg.norm(rest @ shares_of[first:, :n], axis=0)
        is_found = bool((residuals <= tolerance * np.abs(values[:n])).all())
        if is_found:
            break
    return values, basis[:, :size] @ shares_of.astype(np.float32), is_found


def _without(vectors: Block, block: Block) -> Block:
    """Return what of a block is orthogonal to orthonormal vectors."""
    found: Block = block - vectors @ (vectors.T @ block)
    return found

"""Leading eigenpairs of symmetric matrices with eigenvalues of 1 and below.

The eigenvectors of eigenvalue 1 are known. The others are found in single precision where that
suffices, else in double, else densely.
"""

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Up to this many rows a dense eigenproblem is as fast as an iterative one, and always converges.
DENSE_ROWS = 300

# Up to this many rows one matrix is faster to multiply by than those between the layers, and what
# single precision cannot tell apart is solved densely.
MATRIX_ROWS = 1024

# Largest residual of an eigenvector, relative to its eigenvalue. In single precision less is hardly
# reached, and more may pass over one of many eigenvalues that lie close, as those of shuffles do.
_TOLERANCES = {np.float32: 1e-4, np.float64: 1e-9}

# Eigenvalues that differ by less are one eigenvalue.
_SAME_EIGENVALUE = 1e-6

# Restarts of the iteration, after which double precision or a dense problem takes over.
_RESTARTS = 1000

# Next to those of 1, single precision tells eigenvalues apart below this: nearer to 1 there may be
# many that it takes for one, of groups of units that hardly anything joins.
_SINGLE_PRECISION_VALUE = 0.999

Precision = type[np.float32] | type[np.float64]
Product = Callable[[NDArray[Any]], NDArray[Any]]
# Eigenvalues, largest first, and one eigenvector a column.
Eigenpairs = tuple[NDArray[Any], NDArray[Any]]


def deflated_eigenpairs(
    product: Callable[[Precision], Product],
    known: NDArray[np.float64],
    n: int,
    *,
    single_precision: bool,
    least_in_single: float,
) -> Eigenpairs:
    """Return the leading eigenpairs of a symmetric matrix with eigenvalues of 1 and below.

    Args:
        product: Returns, in a precision, the function that multiplies a vector by the matrix.
        known: All eigenvectors of eigenvalue 1, one a column.
        n: Number of eigenpairs.
        single_precision: Whether to try single precision first.
        least_in_single: Smallest eigenvalue to take from single precision.
    """
    known = known[:, :n]
    ones = np.ones(known.shape[1])
    n_unknown = n - len(ones)
    if n_unknown == 0:
        return ones, known
    if single_precision:
        found = _iterated_eigenpairs(product(np.float32), known.astype(np.float32), n_unknown)
        if (
            found is not None
            and found[0][0] < _SINGLE_PRECISION_VALUE
            and found[0][-1] > least_in_single
        ):
            return np.append(ones, found[0]), np.hstack([known, found[1]])
    in_double = product(np.float64)
    found = None
    if len(known) > MATRIX_ROWS:
        found = _iterated_eigenpairs(in_double, known, n_unknown)
    if found is None:
        return dense_eigenpairs(np.stack([in_double(row) for row in np.eye(len(known))]), n)
    return np.append(ones, found[0]), np.hstack([known, found[1]])


def _iterated_eigenpairs(product: Product, known: NDArray[Any], n: int) -> Eigenpairs | None:
    """Return the eigenpairs that follow the known ones, or None if they do not converge."""
    found = _iterated_once(product, known, n)
    # One starting vector finds one eigenvector of each eigenvalue. Components that are alike, and
    # hardly anything else, have several: what is left over is searched until nothing large is.
    while found is not None and known.shape[1] > 1:
        values, vectors = found
        more = _iterated_once(product, np.hstack([known, vectors]), 1)
        if more is None or more[0][0] < values[-1] + _SAME_EIGENVALUE:
            break
        order = np.argsort(-np.append(values, more[0]), kind="stable")[:n]
        found = np.append(values, more[0])[order], np.hstack([vectors, more[1]])[:, order]
    return found


def _iterated_once(product: Product, known: NDArray[Any], n: int) -> Eigenpairs | None:
    import scipy.sparse.linalg

    size, precision = len(known), known.dtype.type
    # A fixed start, and a fixed generator for further ones, make every digit repeatable.
    start = np.random.default_rng(0).uniform(-1, 1, size).astype(precision)
    fixed: dict[str, Any] = {}
    # before 1.17 it always started in the same way
    if "rng" in inspect.signature(scipy.sparse.linalg.eigsh).parameters:
        fixed["rng"] = np.random.default_rng(1)
    operator = scipy.sparse.linalg.LinearOperator(
        (size, size),
        # The known eigenvalues go from 1 to -1, where nobody looks for them.
        lambda vector: product(vector) - 2 * (known @ (known.T @ vector)),
        dtype=precision,
    )
    try:
        values, vectors = scipy.sparse.linalg.eigsh(
            operator,
            k=n,
            which="LA",
            v0=start - known @ (known.T @ start),
            tol=_TOLERANCES[precision],
            maxiter=_RESTARTS,
            **fixed,
        )
    except scipy.sparse.linalg.ArpackNoConvergence:
        return None
    if len(values) < n:  # in single precision it may call fewer of them good
        return None
    order = np.argsort(values)[::-1]
    return values[order], vectors[:, order]


def dense_eigenpairs(matrix: NDArray[np.float64], n: int) -> Eigenpairs:
    import scipy.linalg

    size = len(matrix)
    values, vectors = scipy.linalg.eigh(matrix, subset_by_index=[size - n, size - 1])
    if len(values) < n:  # LAPACK may lose some of many equal ones where it looks for a few
        values, vectors = scipy.linalg.eigh(matrix, driver="evd")
    return values[: -n - 1 : -1], vectors[:, : -n - 1 : -1]

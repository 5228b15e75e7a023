"""Norms that make one edge weight of several weights between two units (methods C2, quirk 1)."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nn_clustering.errors import InvalidInputError

# Each takes kernels of shape (height, width, in, out) and returns (in, out).
KERNEL_NORMS: dict[str, Callable[[NDArray[Any]], NDArray[Any]]] = {
    "l1": lambda kernels: np.abs(kernels).sum(axis=(0, 1)),
    "frobenius": lambda kernels: np.sqrt((kernels**2).sum(axis=(0, 1))),
    "spectral": lambda kernels: np.linalg.norm(kernels.transpose(2, 3, 0, 1), ord=2, axis=(2, 3)),
    # numpy's matrix norm of order 1, which is what the studies used under the name of L1.
    "max_column_sum": lambda kernels: np.abs(kernels).sum(axis=0).max(axis=0),
}

# Each takes the weights of gates, of shape (gates, in, out), and returns (in, out).
GATE_NORMS: dict[str, Callable[[NDArray[Any]], NDArray[Any]]] = {
    "l1": lambda kernels: np.abs(kernels).sum(axis=0),
    "l2": lambda kernels: np.sqrt((kernels**2).sum(axis=0)),
    "max": lambda kernels: np.abs(kernels).max(axis=0),
}

# Kernels are turned into norms, in double precision, this many values at a time (32 MB).
VALUES_AT_A_TIME = 4_000_000


def check_kernel_norm(kernel_norm: str) -> None:
    """Check the name of a kernel norm.

    Raises:
        InvalidInputError: If it is not one of :data:`KERNEL_NORMS`.
    """
    if kernel_norm not in KERNEL_NORMS:
        raise InvalidInputError(
            f"kernel_norm={kernel_norm!r}; expected one of {', '.join(KERNEL_NORMS)}"
        )


def check_gate_norm(gate_norm: str) -> None:
    """Check the name of a norm over gates.

    Raises:
        InvalidInputError: If it is not one of :data:`GATE_NORMS`.
    """
    if gate_norm not in GATE_NORMS:
        raise InvalidInputError(f"gate_norm={gate_norm!r}; expected one of {', '.join(GATE_NORMS)}")


def norms_over_gates(kernel: NDArray[np.floating], gate_norm: str) -> NDArray[np.float64]:
    """Return the norms of kernels (gates, in, out) over gates, in double precision, (in, out)."""
    return GATE_NORMS[gate_norm](kernel.astype(np.float64))


def norms_of_kernel(kernel: NDArray[np.floating], kernel_norm: str) -> NDArray[np.float64]:
    """Return the norms of kernels (height, width, in, out), in double precision, (in, out)."""
    height, width, n_in, n_out = kernel.shape
    norms = np.empty((n_in, n_out))
    step = max(VALUES_AT_A_TIME // max(height * width * n_in, 1), 1)
    for start in range(0, n_out, step):
        some = kernel[..., start : start + step].astype(np.float64)
        norms[:, start : start + step] = KERNEL_NORMS[kernel_norm](some)
    return norms

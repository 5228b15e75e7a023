"""The gradients of the norms of 2-D kernels (methods C2) by the kernels."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from nn_clustering.networks.structure import KERNEL_NORMS


def _l1_gradient(kernel: NDArray[np.float64], by_norm: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.sign(kernel) * by_norm


def _frobenius_gradient(
    kernel: NDArray[np.float64], by_norm: NDArray[np.float64]
) -> NDArray[np.float64]:
    norms = KERNEL_NORMS["frobenius"](kernel)
    return kernel * (by_norm / np.where(norms > 0, norms, 1))


def _spectral_gradient(
    kernel: NDArray[np.float64], by_norm: NDArray[np.float64]
) -> NDArray[np.float64]:
    left, values, right = np.linalg.svd(kernel.transpose(2, 3, 0, 1))
    outer = left[..., :, :1] * right[..., :1, :]
    outer = np.where(values[..., :1, None] > 0, outer, 0)
    return (outer * by_norm[..., None, None]).transpose(2, 3, 0, 1)


def _max_column_sum_gradient(
    kernel: NDArray[np.float64], by_norm: NDArray[np.float64]
) -> NDArray[np.float64]:
    sums = np.abs(kernel).sum(axis=0)
    is_largest = np.arange(len(sums))[:, None, None] == sums.argmax(axis=0)
    found: NDArray[np.float64] = np.sign(kernel) * is_largest * by_norm
    return found


# Each takes kernels of shape (height, width, in, out) and the gradient by their norms, of shape
# (in, out), and returns the gradient by the kernels: one of the subgradients where a norm has a
# kink, of which it is 0 at a kernel of zeros.
KERNEL_NORM_GRADIENTS: dict[str, Callable[..., NDArray[np.float64]]] = {
    "l1": _l1_gradient,
    "frobenius": _frobenius_gradient,
    "spectral": _spectral_gradient,
    "max_column_sum": _max_column_sum_gradient,
}

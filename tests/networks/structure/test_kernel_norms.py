"""Norms of 2-D kernels, by hand and beside numpy's, one kernel at a time."""

import numpy as np
import pytest

from nn_clustering.errors import InvalidInputError
from nn_clustering.networks.structure import KERNEL_NORMS, _kernel_norms, check_kernel_norm

# One kernel of height 2 and width 3, so that rows and columns cannot be exchanged unseen.
#   l1              1 + 2 + 0 + 3 + 4 + 1 = 11
#   frobenius       sqrt(1 + 4 + 0 + 9 + 16 + 1) = sqrt(31)
#   max_column_sum  the largest of 1 + 3, 2 + 4, 0 + 1 = 6
#   spectral        K K' = [[5, -5], [-5, 26]] has the largest eigenvalue (31 + sqrt(541)) / 2:
#                   trace 31, determinant 5 * 26 - 25 = 105, 31^2 - 4 * 105 = 541
KERNEL = [[1, -2, 0], [3, 4, -1]]
BY_HAND = {
    "l1": 11,
    "frobenius": np.sqrt(31),
    "max_column_sum": 6,
    "spectral": np.sqrt((31 + np.sqrt(541)) / 2),
}
PEERS = {
    "l1": lambda kernel: np.linalg.norm(kernel.ravel(), 1),
    "frobenius": lambda kernel: np.linalg.norm(kernel, "fro"),
    "max_column_sum": lambda kernel: np.linalg.norm(kernel, 1),
    "spectral": lambda kernel: np.linalg.norm(kernel, 2),
}


def test_names():
    assert set(KERNEL_NORMS) == set(BY_HAND)


@pytest.mark.parametrize("norm", sorted(BY_HAND))
def test_by_hand(norm):
    found = KERNEL_NORMS[norm](np.reshape(KERNEL, (2, 3, 1, 1)).astype(float))
    assert found.shape == (1, 1)
    assert found.item() == pytest.approx(BY_HAND[norm], rel=1e-12)


@pytest.mark.parametrize("norm", sorted(BY_HAND))
def test_beside_numpy(norm):
    kernels = np.random.default_rng(0).normal(size=(3, 2, 4, 5))
    found = KERNEL_NORMS[norm](kernels)
    expected = [[PEERS[norm](kernels[:, :, i, j]) for j in range(5)] for i in range(4)]
    assert np.allclose(found, expected, rtol=1e-12)


def test_unknown_norm_refused():
    check_kernel_norm("spectral")
    with pytest.raises(InvalidInputError, match="kernel_norm='l2'; expected one of l1, frob"):
        check_kernel_norm("l2")


@pytest.mark.parametrize("norm", sorted(BY_HAND))
def test_some_filters_at_a_time(norm, monkeypatch):
    """Two filters at a time of five, and one where a filter alone is more than fits."""
    kernels = np.random.default_rng(0).normal(size=(3, 2, 4, 5)).astype(np.float32)
    expected = KERNEL_NORMS[norm](kernels.astype(np.float64))
    for n_values in (2 * kernels[..., 0].size, 1):
        monkeypatch.setattr(_kernel_norms, "VALUES_AT_A_TIME", n_values)
        assert np.array_equal(_kernel_norms.norms_of_kernel(kernels, norm), expected)

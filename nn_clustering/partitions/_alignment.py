"""Clusters of one partition named after those of another."""

from typing import Any

import numpy as np
from numpy.typing import NDArray


def contingency(
    first: NDArray[np.integer], second: NDArray[np.integer], shape: tuple[int, int]
) -> NDArray[np.int64]:
    """Return how many units are in every pair of clusters, of a shape of (clusters, clusters).

    Units that either partition leaves out (label -1) do not count.
    """
    both = (first >= 0) & (second >= 0)
    numbers = first[both].astype(np.int64) * shape[1] + second[both]
    return np.bincount(numbers, minlength=shape[0] * shape[1]).reshape(shape)


def align_labels(labels: NDArray[np.integer], reference: NDArray[np.integer]) -> NDArray[np.int32]:
    """Rename the clusters so that as many units as can be have the label of the reference.

    The names are given one to one, by the assignment of highest overlap (methods F4). Clusters for
    which the reference has no counterpart get the names that are left.

    Args:
        labels: Cluster of every unit, -1 for none, shape (units,).
        reference: The same of the partition whose names are wanted.

    Returns:
        Labels of the same shape; -1 stays.
    """
    import scipy.optimize

    n_names = int(max(labels.max(initial=-1), reference.max(initial=-1))) + 1
    overlap = contingency(labels, reference, (n_names, n_names))
    _, names = scipy.optimize.linear_sum_assignment(overlap, maximize=True)
    return np.where(labels >= 0, np.append(names, -1)[labels], -1).astype(np.int32)


def matched_order(overlap: NDArray[Any]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the order of rows and columns that brings matched ones onto the diagonal.

    Rows are matched to columns one to one so that the sum of their entries is largest; those that
    are left over come last.
    """
    import scipy.optimize

    rows, columns = scipy.optimize.linear_sum_assignment(overlap, maximize=True)
    orders = (
        np.append(matched, np.setdiff1d(np.arange(size), matched))
        for matched, size in zip((rows, columns), overlap.shape, strict=True)
    )
    row_order, column_order = orders
    return row_order, column_order

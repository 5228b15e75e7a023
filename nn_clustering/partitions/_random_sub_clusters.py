"""Random units beside those of a sub-cluster (methods G2)."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from nn_clustering.errors import InvalidInputError
from nn_clustering.partitions._partition import SubCluster
from nn_clustering.seeds import generator

# How random sub-clusters are drawn: the labels of a layer are permuted, so that those of one draw
# are disjoint like the true ones; or afresh for each sub-cluster, as the studies did.
DRAWS = ("joint", "afresh")

# Beyond this many possible draws nobody counts; the true number can have thousands of digits.
MOST_DRAWS = 10**12


def check_draws(draws: str) -> None:
    """Raise InvalidInputError unless ``draws`` is one of :data:`DRAWS`."""
    if draws not in DRAWS:
        raise InvalidInputError(f"draws={draws!r}; expected one of {', '.join(DRAWS)}")


def random_units(
    labels: NDArray[np.int32], sub_cluster: SubCluster, *, shuffle: int, seed: int, draws: str
) -> NDArray[np.int64]:
    """Return as many units as a sub-cluster has, drawn in its layer among the not isolated ones.

    What is drawn depends on nothing but the arguments: not on what else is lesioned.

    Args:
        labels: Cluster of every unit of the layer, -1 where isolated, shape (units,).
        sub_cluster: The sub-cluster.
        shuffle: Number of the draw.
        seed: Fixes it.
        draws: One of :data:`DRAWS`.
    """
    candidates = np.flatnonzero(labels >= 0)
    if draws == "joint":
        random = generator(seed, "lesion", sub_cluster.layer, shuffle)
        found: NDArray[np.int64] = candidates[
            random.permutation(labels[candidates]) == sub_cluster.label
        ]
        return found
    random = generator(seed, "lesion", sub_cluster.layer, sub_cluster.label, shuffle)
    return random.choice(candidates, len(sub_cluster.units), replace=False)


def units_beside_random(
    labels: NDArray[np.int32], sub_cluster: SubCluster, *, n_shuffles: int, seed: int, draws: str
) -> list[NDArray[np.int64]]:
    """Return the units of a sub-cluster, and those of each of its random ones.

    Args:
        labels: As for :func:`random_units`.
        sub_cluster: The sub-cluster.
        n_shuffles: Number of random ones.
        seed: Fixes them.
        draws: As for :func:`random_units`.
    """
    drawn = [
        random_units(labels, sub_cluster, shuffle=shuffle, seed=seed, draws=draws)
        for shuffle in range(n_shuffles)
    ]
    return [sub_cluster.units, *drawn]


def possible_draws(n_units: int, n_candidates: int) -> int:
    """Return how many sets of so many units there are, :data:`MOST_DRAWS` if there are more."""
    return min(math.comb(n_candidates, n_units), MOST_DRAWS)


def unit_masks(units: Sequence[NDArray[np.int64]], n_units: int) -> NDArray[np.bool_]:
    """Return which units of a layer are of each set of units, shape (sets, units)."""
    masks = np.zeros((len(units), n_units), bool)
    for row, chosen in zip(masks, units, strict=True):
        row[chosen] = True
    return masks

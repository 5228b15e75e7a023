"""Which sub-clusters are lesioned, and the random units beside them (methods G2, G3)."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nn_clustering.errors import InvalidInputError
from nn_clustering.partitions._partition import Partition, SubCluster
from nn_clustering.seeds import generator

# How random sub-clusters are drawn: the labels of a layer are permuted, so that those of one draw
# are disjoint like the true ones; or afresh for each sub-cluster, as the studies did.
DRAWS = ("joint", "afresh")

# Beyond this many possible draws nobody counts; the true number can have thousands of digits.
MOST_DRAWS = 10**12


@dataclass(frozen=True)
class SizeFilter:
    """Which sub-clusters are lesioned, by size, both ends inclusive (methods G3).

    Attributes:
        min_units: The fewest units.
        max_share: The largest share of its layer's units that are not isolated.

    Raises:
        InvalidInputError: If a value is out of range.
    """

    min_units: int = 1
    max_share: float = 1.0

    def __post_init__(self) -> None:
        if isinstance(self.min_units, bool) or not isinstance(self.min_units, int):
            raise InvalidInputError(f"min_units={self.min_units!r}; expected an integer")
        if self.min_units < 1:
            raise InvalidInputError(f"min_units={self.min_units}; expected 1 or more")
        is_number = isinstance(self.max_share, int | float) and not isinstance(self.max_share, bool)
        if not is_number or not 0 < self.max_share <= 1:
            raise InvalidInputError(
                f"max_share={self.max_share!r}; expected more than 0 and at most 1"
            )

    def keeps(self, n_units: int, n_candidates: int) -> bool:
        """Whether a sub-cluster is lesioned that has so many of its layer's candidates."""
        return n_units >= self.min_units and n_units / n_candidates <= self.max_share


def check_draws(draws: str) -> None:
    """Raise InvalidInputError unless ``draws`` is one of :data:`DRAWS`."""
    if draws not in DRAWS:
        raise InvalidInputError(f"draws={draws!r}; expected one of {', '.join(DRAWS)}")


def select_sub_clusters(
    partition: Partition, layers: Sequence[str], sizes: SizeFilter
) -> tuple[list[SubCluster], int]:
    """Return the sub-clusters of some layers that are lesioned, and how many are left out.

    Args:
        partition: The partition.
        layers: Names of the layers.
        sizes: Which of them by size.

    Raises:
        InvalidInputError: If the partition has no such layer, or nothing is left to lesion.
    """
    labels = {layer.name: labels for layer, labels in partition.by_layer()}
    for name in layers:
        if name not in labels:
            raise InvalidInputError(
                f"layer {name!r} is not of the partition; expected some of {', '.join(labels)}"
            )
    found = partition.sub_clusters(tuple(layers))
    if not found:
        raise InvalidInputError(
            f"the partition has no sub-cluster in layers {', '.join(layers) or 'none'}: nothing to "
            "lesion"
        )
    kept = [
        sub for sub in found if sizes.keeps(len(sub.units), int((labels[sub.layer] >= 0).sum()))
    ]
    if not kept:
        units = [len(sub.units) for sub in found]
        raise InvalidInputError(
            f"none of {len(found)} sub-clusters of {min(units)} to {max(units)} units has at least "
            f"min_units={sizes.min_units} and at most max_share={sizes.max_share} of its layer: "
            "nothing to lesion, choose wider limits"
        )
    return kept, len(found) - len(kept)


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


def silenced_units(units: Sequence[NDArray[np.int64]], n_units: int) -> NDArray[np.bool_]:
    """Return lesions of a layer, one a row, shape (lesions, units): True where silenced."""
    silenced = np.zeros((len(units), n_units), bool)
    for row, chosen in zip(silenced, units, strict=True):
        row[chosen] = True
    return silenced


def possible_draws(n_units: int, n_candidates: int) -> int:
    """Return how many sets of so many units there are, :data:`MOST_DRAWS` if there are more."""
    return min(math.comb(n_candidates, n_units), MOST_DRAWS)

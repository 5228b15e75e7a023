"""What all tests of sub-clusters beside random ones have in common (methods G2, G3, G7)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nn_clustering.partitions import SubCluster, possible_draws
from nn_clustering.significance._p_values import check_n_draws

# All random sub-clusters of one are drawn before it is tested, and take milliseconds or more.
MOST_SHUFFLES = 100_000


def check_n_shuffles(n_shuffles: int) -> None:
    """Raise InvalidInputError unless the number of random sub-clusters is in range."""
    check_n_draws("n_shuffles", n_shuffles, most=MOST_SHUFFLES)


@dataclass(frozen=True, eq=False, kw_only=True)
class SubClusterTest(ABC):
    """Sub-clusters of a network, each of which is tested beside random ones.

    Attributes:
        sub_clusters: What is tested, layer by layer.
        n_candidates: Units of each one's layer that are not isolated, shape (sub-clusters,).
        count_ties: Whether equal values count in the p-values.
        draws: How the random sub-clusters were drawn, "joint" or "afresh".
        n_left_out: Sub-clusters that were not tested, for their size.
    """

    sub_clusters: tuple[SubCluster, ...]
    n_candidates: NDArray[np.int64]
    count_ties: bool = True
    draws: str = "joint"
    n_left_out: int = 0

    @property
    @abstractmethod
    def n_shuffles(self) -> int:
        """Random sub-clusters behind each sub-cluster."""

    @cached_property
    def sizes(self) -> NDArray[np.int64]:
        """Units of every sub-cluster, shape (sub-clusters,)."""
        return np.array([len(sub.units) for sub in self.sub_clusters])

    @property
    def combined(self) -> NDArray[np.bool_]:
        """Which sub-clusters enter combined p-values and mean effects, shape (sub-clusters,).

        One that is all of its layer that is not isolated can only be drawn again: nothing can be
        said of it.
        """
        return self.sizes < self.n_candidates

    @property
    def possible_draws(self) -> NDArray[np.int64]:
        """How many random sub-clusters there could be for each, at most 10^12."""
        pairs = zip(self.sizes, self.n_candidates, strict=True)
        return np.array([possible_draws(int(size), int(n)) for size, n in pairs])

    @property
    def n_few_draws(self) -> int:
        """Sub-clusters of which there are fewer possible draws than were made.

        Some were made more than once; the p-value is valid but cannot be as small as it looks.
        """
        return int((self.possible_draws < self.n_shuffles).sum())

    @property
    def permuted_layers(self) -> tuple[str, ...] | None:
        """Each sub-cluster's layer; None unless draws permute the labels of layers."""
        if self.draws != "joint":
            return None
        return tuple(sub.layer for sub in self.sub_clusters)

    def places(self) -> dict[str, Any]:
        """Return the columns of a table that say which units each sub-cluster is."""
        return {
            "layer": [sub.layer for sub in self.sub_clusters],
            "label": [sub.label for sub in self.sub_clusters],
            "n_units": self.sizes,
        }

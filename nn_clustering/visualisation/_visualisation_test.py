"""What optimised inputs say of sub-clusters, each beside random ones (methods H2 to H4)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from nn_clustering.partitions import SubCluster
from nn_clustering.significance import Measure, measure_beside_random


@dataclass(frozen=True, eq=False)
class Optimised:
    """Inputs that were optimised, one for each set of units, and how the network answers them.

    Attributes:
        scores: The objective on each input, not transformed, shape (inputs,).
        entropies: Of the network's output on each, by natural logarithms, shape (inputs,); None
            where it is not measured.
        dispersions: Standard deviation over the set's units of their value behind the nonlinearity,
            shape (inputs,).
        inputs: As the data set holds samples, pixels from 0 to 1, float32 of shape (inputs, *shape
            of a sample).
    """

    scores: NDArray[np.float64]
    entropies: NDArray[np.float64] | None
    dispersions: NDArray[np.float64]
    inputs: NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class VisualisationTest:
    """Inputs optimised for the sub-clusters of a network, each beside those for random ones.

    In every array of shape (sub-clusters, 1 + n_shuffles) column 0 is the sub-cluster itself.

    Attributes:
        sub_clusters: For what inputs were optimised, layer by layer.
        n_candidates: Units of each one's layer that are not isolated, shape (sub-clusters,).
        scores: See :class:`Optimised`, shape (sub-clusters, 1 + n_shuffles).
        entropies: Likewise; None where they are not measured.
        dispersions: Likewise.
        inputs: Of the sub-clusters and of their first random ones, float32 of shape (sub-clusters,
            1 + n_kept, *shape of a sample).
        count_ties: Whether equal values count in the p-values.
        draws: How the random sub-clusters were drawn, "joint" or "afresh".
        n_left_out: Sub-clusters without an input, for their size.
    """

    sub_clusters: tuple[SubCluster, ...]
    n_candidates: NDArray[np.int64]
    scores: NDArray[np.float64]
    entropies: NDArray[np.float64] | None
    dispersions: NDArray[np.float64]
    inputs: NDArray[np.float32]
    count_ties: bool = True
    draws: str = "joint"
    n_left_out: int = 0

    @property
    def n_shuffles(self) -> int:
        """Random sub-clusters behind each sub-cluster."""
        return int(self.scores.shape[1] - 1)

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

    @cached_property
    def score(self) -> Measure:
        """Do the units answer an input together more than random units do? Right-tailed."""
        return self._measure(self.scores, "right")

    @cached_property
    def entropy(self) -> Measure | None:
        """Is the network surer of the input's class than of random units' inputs? Left-tailed."""
        return None if self.entropies is None else self._measure(self.entropies, "left")

    @cached_property
    def dispersion(self) -> Measure:
        """Do the units answer their input more alike than random units theirs? Left-tailed."""
        return self._measure(self.dispersions, "left")

    def _measure(self, values: NDArray[np.float64], tail: str) -> Measure:
        layers = tuple(sub.layer for sub in self.sub_clusters) if self.draws == "joint" else None
        return measure_beside_random(
            values[:, 0],
            values[:, 1:],
            tail=tail,
            count_ties=self.count_ties,
            layers=layers,
            combined=self.combined,
        )

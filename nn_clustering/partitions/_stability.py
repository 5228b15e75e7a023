"""How much a partition depends on its seed."""

from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nn_clustering.errors import InvalidInputError
from nn_clustering.graphs import UnitGraph
from nn_clustering.partitions._methods import make_partition
from nn_clustering.partitions._ncut import ncuts
from nn_clustering.partitions._spectral import spectral_clusterings
from nn_clustering.seeds import integer_seed

# Every two of them are compared.
MOST_SEEDS = 1000


@dataclass(frozen=True, eq=False)
class Stability:
    """Partitions of one graph by one method and several seeds.

    Attributes:
        ncuts: The n-cut of each, shape (seeds,).
        adjusted_rands: The adjusted Rand index of every two, shape (pairs,).
    """

    ncuts: NDArray[np.float64]
    adjusted_rands: NDArray[np.float64]

    def summary(self) -> dict[str, Any]:
        """Return n-cuts, their mean, standard deviation (n - 1) and extremes, mean agreement."""
        return {
            "n_seeds": int(self.ncuts.size),
            "ncuts": self.ncuts.tolist(),
            "ncut_mean": float(self.ncuts.mean()),
            "ncut_std": float(self.ncuts.std(ddof=1)),
            "ncut_min": float(self.ncuts.min()),
            "ncut_max": float(self.ncuts.max()),
            "adjusted_rand": float(self.adjusted_rands.mean()),
        }


def partition_stability(
    graph: UnitGraph,
    method: str,
    n_clusters: int,
    *,
    seed: int,
    n_seeds: int,
    n_init: int = 5,
    select: str = "ncut",
    assign_labels: str = "kmeans",
    resolution: float = 1.0,
    volume_constant: float = 0.0,
) -> Stability:
    """Partition a graph with several seeds, and measure how much comes out alike.

    Args:
        graph: The graph.
        method: See :func:`make_partition`, as for all that follows.
        n_clusters: Number of clusters.
        seed: Fixes the seeds.
        n_seeds: Number of seeds, 2 or more.
        n_init: Number of starts of each partition, of which one is kept.
        select: Which one.
        assign_labels: How clusters come out of eigenvectors.
        resolution: Of the modularity.
        volume_constant: Of the n-cuts.

    Raises:
        InvalidInputError: If a value is out of range.
    """
    check_n_seeds(n_seeds)
    kept = ~graph.isolated
    # scikit-learn takes long to import: only who compares partitions waits for it
    from sklearn.metrics import adjusted_rand_score

    seeds = [integer_seed(seed, "stability", index) for index in range(n_seeds)]
    of_starts: dict[str, Any] = {
        "n_init": n_init,
        "select": select,
        "assign_labels": assign_labels,
        "volume_constant": volume_constant,
    }
    if method == "spectral":
        clusterings = spectral_clusterings(graph, n_clusters, seeds=seeds, **of_starts)
        partitions = [found.partition.labels for found in clusterings]
    else:
        partitions = [
            make_partition(
                graph, method, n_clusters, seed=one, resolution=resolution, **of_starts
            ).labels
            for one in seeds
        ]
    return Stability(
        ncuts(graph, np.array(partitions), volume_constant=volume_constant),
        np.array(
            [
                adjusted_rand_score(one[kept], other[kept])
                for one, other in combinations(partitions, 2)
            ]
        ),
    )


def check_n_seeds(n_seeds: int) -> None:
    """Check the number of seeds of :func:`partition_stability`.

    Raises:
        InvalidInputError: If it is no integer of 2 or more.
    """
    if isinstance(n_seeds, bool) or not isinstance(n_seeds, int) or n_seeds < 2:
        raise InvalidInputError(f"n_seeds={n_seeds!r}; expected an integer of 2 or more")
    if n_seeds > MOST_SEEDS:
        raise InvalidInputError(f"n_seeds={n_seeds}; expected an integer from 2 to {MOST_SEEDS}")

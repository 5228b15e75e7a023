"""Total weight between the clusters of a partition, block by block."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nn_clustering.errors import InvalidInputError
from nn_clustering.graphs import UnitGraph

# Of the share that each of k clusters would have of units, and of weight, if all were equal.
_SMALL_SHARE = 0.05


def cluster_weights(graph: UnitGraph, labels: NDArray[np.integer]) -> NDArray[np.float64]:
    """Return the weight of all edges between every two clusters.

    Args:
        graph: The graph.
        labels: Cluster of every unit, shape (n_units,); edges at units with the label -1 are left
            out.

    Returns:
        Symmetric array of shape (clusters, clusters). Edges within a cluster count twice, once from
        either end, so that with a label for every unit each row sums to the cluster's volume.

    Raises:
        InvalidInputError: If there is not one label a unit.
    """
    labels = np.asarray(labels)
    if labels.shape != (graph.n_units,):
        raise InvalidInputError(
            f"labels of shape {labels.shape}; expected one for each of {graph.n_units} units"
        )
    n_clusters = int(labels.max(initial=-1)) + 1
    total = np.zeros((n_clusters, n_clusters))
    for block in graph.edges:
        source, target = labels[graph.units(block.source)], labels[graph.units(block.target)]
        members = np.flatnonzero(target >= 0)
        weights = block.weights
        for cluster in np.unique(source[source >= 0]):
            # cluster by cluster, so that no copy of a large block is made
            sums = weights[source == cluster].sum(axis=0, dtype=np.float64)
            row = np.bincount(target[members], sums[members], minlength=n_clusters)
            total[cluster] += row
            if not block.is_within_layer:
                total[:, cluster] += row
    return total


def require_label_where_edges(graph: UnitGraph, labels: NDArray[np.integer]) -> None:
    """Check that only isolated units are in no cluster.

    Raises:
        InvalidInputError: If a unit with edges has the label -1.
    """
    if ((labels < 0) & ~graph.isolated).any():
        raise InvalidInputError("a unit that has edges is in no cluster (label -1)")


@dataclass(frozen=True, eq=False)
class ClusterShares:
    """How units and weight divide between the clusters of a partition.

    Attributes:
        units: Number of units of every cluster, shape (clusters,).
        weight: Share of every cluster in all degrees, which is its volume; shape (clusters,).
    """

    units: NDArray[np.int64]
    weight: NDArray[np.float64]

    @property
    def small(self) -> NDArray[np.bool_]:
        """Whether a cluster has a twentieth, or less, of an equal share of units or weight.

        Shape (clusters,). Of a partition with many such clusters an n-cut says little: it is that
        of a few units beside all others.
        """
        used = self.units > 0
        equal = 1 / max(used.sum(), 1)
        of_units = self.units / max(self.units.sum(), 1)
        found: NDArray[np.bool_] = used & (
            np.minimum(of_units, self.weight) <= _SMALL_SHARE * equal
        )
        return found


def cluster_shares(graph: UnitGraph, labels: NDArray[np.integer]) -> ClusterShares:
    """Return the share of units and of weight that every cluster has.

    Args:
        graph: The graph.
        labels: Cluster of every unit, shape (n_units,); -1 where isolated.
    """
    labels = np.asarray(labels)
    kept = labels >= 0
    n_clusters = int(labels.max(initial=-1)) + 1
    volumes = np.bincount(labels[kept], graph.degrees[kept], n_clusters)
    return ClusterShares(
        np.bincount(labels[kept], minlength=n_clusters), volumes / (volumes.sum() or 1)
    )

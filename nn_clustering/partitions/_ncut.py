"""Normalised cut of a partition (methods C7)."""

import numpy as np
from numpy.typing import NDArray

from nn_clustering.errors import InvalidInputError
from nn_clustering.graphs import UnitGraph


def ncut(graph: UnitGraph, labels: NDArray[np.integer]) -> float:
    """Return the normalised cut: the sum over clusters of cut(cluster, rest) / volume(cluster).

    The volume of a cluster is the sum of its units' degrees. 0 is a perfect partition; k clusters
    give less than k.

    Args:
        graph: The graph.
        labels: Cluster of every unit, 0 or more, of shape (n_units,); -1 only where a unit is
            isolated.

    Raises:
        InvalidInputError: If there is not one label a unit, or a unit with edges has none.
    """
    labels = np.asarray(labels)
    if labels.shape != (graph.n_units,):
        raise InvalidInputError(
            f"labels of shape {labels.shape}; expected one for each of {graph.n_units} units"
        )
    if ((labels < 0) & ~graph.isolated).any():
        raise InvalidInputError("a unit that has edges is in no cluster (label -1)")
    n_clusters = int(labels.max(initial=-1)) + 1
    clustered = labels >= 0
    volume = np.bincount(labels[clustered], graph.degrees[clustered], minlength=n_clusters)
    within = np.zeros(n_clusters)
    for block in graph.edges:
        source, target = labels[graph.units(block.source)], labels[graph.units(block.target)]
        # weight that each unit of the source sends into its own cluster
        into_cluster = block.weights @ (target[:, None] == np.arange(n_clusters))
        members = np.flatnonzero(source >= 0)
        own = into_cluster[members, source[members]]
        # an edge within a layer stands in its matrix twice already
        times = 1 if block.is_within_layer else 2
        within += times * np.bincount(source[members], own, minlength=n_clusters)
    return float(((volume - within) / (volume + 1e-8)).sum())


def in_out_ratio(ncut_value: float, n_clusters: int) -> float:
    """Return the ratio of weight within to weight between clusters that an n-cut stands for.

    It is (1 - ncut/k) / (2 ncut/k), infinite for an n-cut of 0.
    """
    share_out = ncut_value / n_clusters
    return (1 - share_out) / (2 * share_out) if share_out > 0 else float("inf")

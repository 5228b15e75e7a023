"""Partitions that know nothing of the weights, to compare others with."""

import numpy as np

from nn_clustering.graphs import UnitGraph
from nn_clustering.partitions._partition import Partition
from nn_clustering.seeds import generator


def random_partition(graph: UnitGraph, n_clusters: int, *, seed: int) -> Partition:
    """Put every unit that has edges into a cluster at random; cluster sizes differ by 1 at most.

    Args:
        graph: The graph; isolated units get the label -1.
        n_clusters: Number of clusters, at most the number of units with edges.
        seed: Fixes every label.
    """
    kept = ~graph.isolated
    dealt = np.arange(kept.sum()) % n_clusters
    labels = np.full(graph.n_units, -1, np.int32)
    labels[kept] = generator(seed, "random partition").permutation(dealt)
    return Partition(graph.layers, labels, n_clusters)


def layer_partition(graph: UnitGraph) -> Partition:
    """Make every layer a cluster, numbered in order; isolated units get the label -1."""
    layer = np.repeat(np.arange(len(graph.layers)), [layer.n_units for layer in graph.layers])
    labels = np.where(graph.isolated, -1, layer).astype(np.int32)
    return Partition(graph.layers, labels, len(graph.layers))

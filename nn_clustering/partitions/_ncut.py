"""Normalised cut of a partition (methods C7)."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nn_clustering.errors import InvalidInputError
from nn_clustering.graphs import Edges, UnitGraph
from nn_clustering.partitions._lanes import in_lanes

# What the studies added to the volume of every cluster (quirk 26).
PUBLISHED_VOLUME_CONSTANT = 1e-8


def ncut(graph: UnitGraph, labels: NDArray[np.integer], *, volume_constant: float = 0.0) -> float:
    """Return the normalised cut: the sum over clusters of cut(cluster, rest) / volume(cluster).

    The volume of a cluster is the sum of its units' degrees. 0 is a perfect partition; k clusters
    give k at most, and that only if no edge is within any. It does not depend on the unit of the
    weights, unless a constant is added to the volumes.

    Args:
        graph: The graph.
        labels: Cluster of every unit, 0 or more, of shape (n_units,); -1 only where a unit is
            isolated.
        volume_constant: Added to every volume; the studies had 1e-8, by which clusters of dead
            units have an n-cut of 0 instead of 1 (quirk 26).

    Raises:
        InvalidInputError: If there is not one label a unit, or a unit with edges has none.
    """
    labels = np.asarray(labels)
    if labels.shape != (graph.n_units,):
        raise InvalidInputError(
            f"labels of shape {labels.shape}; expected one for each of {graph.n_units} units"
        )
    return float(ncuts(graph, labels[None], volume_constant=volume_constant)[0])


def ncuts(
    graph: UnitGraph, labels: NDArray[np.integer], *, volume_constant: float = 0.0
) -> NDArray[np.float64]:
    """Return the n-cuts of several partitions of one graph, for which its weights are read once.

    Args:
        graph: The graph.
        labels: Clusters as :func:`ncut` takes them, of shape (partitions, n_units).
        volume_constant: As of :func:`ncut`.

    Raises:
        InvalidInputError: If a unit with edges has no label.
    """
    if ((labels < 0) & ~graph.isolated).any():
        raise InvalidInputError("a unit that has edges is in no cluster (label -1)")
    n_partitions, n_clusters = len(labels), int(labels.max(initial=-1)) + 1
    # The clusters of all partitions in one row, and what is in none at the end.
    n_all = n_partitions * n_clusters
    places = np.where(labels >= 0, labels + n_clusters * np.arange(n_partitions)[:, None], n_all)
    volume = _sums(places, graph.degrees, n_all)
    within = sum(in_lanes(graph.edges, partial(_within, graph, places, n_all)))
    # rounding can leave a cluster that nothing cuts a little less than 0
    cut = np.maximum(volume - within, 0)
    # a label that no unit with edges has makes no cluster
    shares = np.divide(cut, volume + volume_constant, where=volume > 0, out=np.zeros(n_all))
    found: NDArray[np.float64] = shares.reshape(n_partitions, n_clusters).sum(axis=1)
    return found


def _within(
    graph: UnitGraph, places: NDArray[np.int64], n_all: int, edges: Sequence[Edges]
) -> NDArray[np.float64]:
    """Return the weight of edges within every cluster, both of whose ends count."""
    within = np.zeros(n_all)
    for block in edges:
        source, target = places[:, graph.units(block.source)], places[:, graph.units(block.target)]
        precision = np.float32 if block.is_half else block.stored.dtype
        members = np.zeros((target.shape[1], n_all + 1), precision)
        members[np.arange(len(members)), target] = 1
        for rows, weights in block.tiles():
            # weight that each unit of the source sends into each cluster
            into_clusters = weights @ members
            into_own = into_clusters[np.arange(len(into_clusters)), source[:, rows]]
            # an edge within a layer stands in its matrix twice already
            factor = 1 if block.is_within_layer else 2
            within += factor * _sums(source[:, rows], into_own, n_all)
    return within


def check_volume_constant(volume_constant: float) -> None:
    """Check the constant that is added to volumes.

    Raises:
        InvalidInputError: If it is no finite number of 0 or more.
    """
    is_number = isinstance(volume_constant, int | float) and not isinstance(volume_constant, bool)
    if not is_number or not 0 <= volume_constant < float("inf"):
        raise InvalidInputError(
            f"volume_constant={volume_constant!r}; expected 0 (none), or a number above it, as "
            "the 1e-8 of the studies"
        )


def _sums(places: NDArray[np.int64], values: NDArray[Any], n_places: int) -> NDArray[np.float64]:
    """Sum values by place, leaving out those at the place after the last."""
    values = np.broadcast_to(values, places.shape)
    sums = np.bincount(places.ravel(), values.ravel(), minlength=n_places + 1)
    return sums[:n_places].astype(float)


def in_out_ratio(ncut_value: float, n_clusters: int) -> float:
    """Return the ratio of weight within to weight between clusters that an n-cut stands for.

    It is (1 - ncut/k) / (2 ncut/k), infinite for an n-cut of 0.
    """
    share_out = ncut_value / n_clusters
    return (1 - share_out) / (2 * share_out) if share_out > 0 else float("inf")

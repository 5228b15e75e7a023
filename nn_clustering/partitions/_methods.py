"""The catalogue of methods that partition a graph."""

from nn_clustering.errors import InvalidInputError
from nn_clustering.graphs import UnitGraph
from nn_clustering.partitions._baselines import layer_partition, random_partition
from nn_clustering.partitions._modularity import (
    MODULARITY_METHODS,
    check_resolution,
    modularity_partition,
)
from nn_clustering.partitions._ncut import check_volume_constant
from nn_clustering.partitions._partition import Partition
from nn_clustering.partitions._spectral import check_clustering, spectral_partition

PARTITION_METHODS = ("spectral", *MODULARITY_METHODS, "random", "per_layer")
# Those that make as many clusters as they are asked for.
WITH_N_CLUSTERS = ("spectral", "random")


def make_partition(
    graph: UnitGraph,
    method: str,
    n_clusters: int,
    *,
    seed: int,
    n_init: int = 5,
    select: str = "ncut",
    assign_labels: str = "kmeans",
    resolution: float = 1.0,
    volume_constant: float = 0.0,
) -> Partition:
    """Partition the units that have edges by a method of :data:`PARTITION_METHODS`.

    Args:
        graph: The graph; isolated units get the label -1.
        method: ``spectral`` for normalised spectral clustering (methods C6); ``leiden`` or
            ``louvain`` for the highest modularity; ``random`` for clusters of equal size whose
            units are drawn at random; ``per_layer`` for a cluster a layer.
        n_clusters: Number of clusters of ``spectral`` and ``random``, from 2 to the number of units
            with edges; the other methods have their own.
        seed: Fixes every label.
        n_init: Number of starts, of which one is kept: of ``spectral`` by ``select``, of ``leiden``
            and ``louvain`` the one with the highest modularity.
        select: See :func:`spectral_clustering`.
        assign_labels: See :func:`spectral_clustering`.
        resolution: Of the modularity of ``leiden`` and ``louvain``: larger makes more clusters.
        volume_constant: Of the n-cuts by which a start is kept, see
            :func:`~nn_clustering.partitions.ncut`.

    Raises:
        InvalidInputError: If a value is out of range, or no unit has an edge.
    """
    check_partition_settings(
        method,
        n_clusters,
        n_init=n_init,
        select=select,
        assign_labels=assign_labels,
        resolution=resolution,
        volume_constant=volume_constant,
    )
    check_units(graph, method, n_clusters)
    if method == "spectral":
        return spectral_partition(
            graph,
            n_clusters,
            seed=seed,
            n_init=n_init,
            select=select,
            assign_labels=assign_labels,
            volume_constant=volume_constant,
        )
    if method == "random":
        return random_partition(graph, n_clusters, seed=seed)
    if method == "per_layer":
        return layer_partition(graph)
    return modularity_partition(graph, method, seed=seed, n_init=n_init, resolution=resolution)


def check_partition_settings(
    method: str,
    n_clusters: int,
    *,
    n_init: int = 5,
    select: str = "ncut",
    assign_labels: str = "kmeans",
    resolution: float = 1.0,
    volume_constant: float = 0.0,
) -> None:
    """Check what can be checked of :func:`make_partition` before its graph is there.

    Raises:
        InvalidInputError: If a value is unknown or out of range.
    """
    if method not in PARTITION_METHODS:
        raise InvalidInputError(
            f"partition method={method!r}; expected one of {', '.join(PARTITION_METHODS)}"
        )
    check_clustering(n_clusters, n_init=n_init, select=select, assign_labels=assign_labels)
    check_resolution(resolution)
    check_volume_constant(volume_constant)


def check_units(graph: UnitGraph, method: str, n_clusters: int) -> None:
    """Check that a graph has units for so many clusters by a method of :data:`PARTITION_METHODS`.

    Raises:
        InvalidInputError: If it has fewer that have edges, or none.
    """
    n_connected = int((~graph.isolated).sum())
    if n_connected == 0:
        raise InvalidInputError(
            f"the graph has {graph.n_units} units and no edge among them, so there is nothing to "
            "partition; expected weights that are not all 0"
        )
    if method in WITH_N_CLUSTERS and n_clusters > n_connected:
        raise InvalidInputError(
            f"n_clusters={n_clusters}; expected 2 to {n_connected}, the number of units that have "
            "edges"
        )

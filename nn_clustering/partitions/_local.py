"""Local clustering: every layer by its own surroundings (methods F1 to F3)."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nn_clustering.errors import InvalidInputError
from nn_clustering.graphs import UnitGraph
from nn_clustering.partitions._alignment import align_labels
from nn_clustering.partitions._ncut import ncut
from nn_clustering.partitions._partition import Partition
from nn_clustering.partitions._spectral import spectral_clustering
from nn_clustering.seeds import integer_seed

ENDS = ("neighbour", "own")


@dataclass(frozen=True, eq=False)
class LocalPartition:
    """A partition of every layer by a graph of its own.

    Attributes:
        partition: The labels of all layers. Clusters of one label in two layers are named after the
            same global cluster, and have nothing else in common.
        ncuts: The n-cut of the graph behind each layer; NaN where that has no edges.
        ncuts_without_constant: The same without the constant in its denominators (quirk 26).
        n_clusters: The number of clusters that each of these graphs was cut into; 0 without edges.
    """

    partition: Partition
    ncuts: tuple[float, ...]
    ncuts_without_constant: tuple[float, ...]
    n_clusters: tuple[int, ...]

    @property
    def mean_ncut(self) -> float:
        """Mean n-cut over the layers whose graphs have edges (methods F3); NaN if none has."""
        return _mean_of_known(self.ncuts)

    @property
    def mean_ncut_without_constant(self) -> float:
        """The same without the constant in its denominators."""
        return _mean_of_known(self.ncuts_without_constant)


def _mean_of_known(values: Sequence[float]) -> float:
    known = [value for value in values if not np.isnan(value)]
    return float(np.mean(known)) if known else float("nan")


def local_partition(
    graph: UnitGraph,
    whole: Partition,
    *,
    seed: int,
    n_clusters_of_layer: int | Sequence[int] | None = None,
    ends: str = "neighbour",
    n_init: int = 5,
    select: str = "ncut",
    assign_labels: str = "kmeans",
    volume_constant: float = 0.0,
) -> LocalPartition:
    """Cluster the graph around every layer on its own, and keep the layer's labels.

    The graph around a layer is :func:`local_graph`'s. Within each layer the clusters are named
    after those of the global partition that they overlap most.

    Args:
        graph: The graph of the network.
        whole: A partition of all of it.
        seed: Fixes every label.
        n_clusters_of_layer: Number of clusters of every layer's graph: one for all, or one a layer.
            By default as many as the global partition has in the layer, or, for the first and the
            last layer of a chain, in the neighbour whose graph is theirs too (quirk 9). A graph of
            fewer units that have edges gets as many clusters as those.
        ends: See :func:`local_centres`.
        n_init: See :func:`spectral_clustering`.
        select: See :func:`spectral_clustering`.
        assign_labels: See :func:`spectral_clustering`.
        volume_constant: See :func:`spectral_clustering`.

    Returns:
        The labels of all layers and the n-cuts of their graphs. Units that are isolated in the
        graph of their layer have the label -1.

    Raises:
        InvalidInputError: If the partition is not one of the graph, or a value is unknown or out of
            range.
    """
    if whole.layers != graph.layers:
        raise InvalidInputError(
            "the global partition has other layers than the graph; expected a partition of it"
        )
    counts = _counts(graph, whole, n_clusters_of_layer)
    centres = local_centres(graph, ends=ends)
    clustered = {
        centre: _clustered(
            local_graph(graph, centre),
            counts[centre],
            integer_seed(seed, "local clustering", centre),
            {
                "n_init": n_init,
                "select": select,
                "assign_labels": assign_labels,
                "volume_constant": volume_constant,
            },
        )
        for centre in sorted(set(centres))
    }
    labels = np.full(graph.n_units, -1, np.int32)
    for index, centre in enumerate(centres):
        units = graph.units(index)
        labels[units] = align_labels(clustered[centre].labels[units], whole.labels[units])
    return LocalPartition(
        Partition(graph.layers, labels, max(whole.n_clusters, *counts)),
        tuple(clustered[centre].ncut for centre in centres),
        tuple(clustered[centre].ncut_without_constant for centre in centres),
        tuple(clustered[centre].n_clusters for centre in centres),
    )


def local_centres(graph: UnitGraph, *, ends: str = "neighbour") -> tuple[int, ...]:
    """Return, for every layer, the layer around which the graph lies that gives its labels.

    It is the layer itself, but in a chain of three layers or more the first and the last take their
    labels from the graphs around their neighbours (methods F1).

    Args:
        graph: The graph of the network.
        ends: "neighbour", or "own" where the ends of a chain have graphs of their own too (F3).

    Raises:
        InvalidInputError: If ``ends`` is none of :data:`ENDS`.
    """
    import networkx

    if ends not in ENDS:
        raise InvalidInputError(f"ends={ends!r}; expected one of {', '.join(ENDS)}")
    centres = list(range(len(graph.layers)))
    if ends == "own":
        return tuple(centres)
    layers = networkx.Graph()
    layers.add_nodes_from(centres)
    layers.add_edges_from(
        (block.source, block.target) for block in graph.edges if not block.is_within_layer
    )
    n_neighbours = dict(layers.degree)
    if networkx.is_tree(layers) and max(n_neighbours.values()) == 2:
        for end in (index for index in centres if n_neighbours[index] == 1):
            centres[end] = next(layers.neighbors(end))
    return tuple(centres)


def local_graph(graph: UnitGraph, layer: int) -> UnitGraph:
    """Return the graph around a layer: only the edges that touch it, all layers in their place.

    In a chain these are the weights before and after the layer (methods F1), and in general those
    to all layers that it reads or is read by (F3), with those by which the units of a recurrent
    layer read one another. Where all layers are joined with each other and within, as in a graph of
    activations, they are those among the layer's own units (F2).
    """
    only_within = _joins_all(graph)
    touching = tuple(
        block
        for block in graph.edges
        if layer in (block.source, block.target) and (block.is_within_layer or not only_within)
    )
    return replace(graph, edges=touching)


def _joins_all(graph: UnitGraph) -> bool:
    """Return whether there are edges between every two layers and within every one."""
    n_layers = len(graph.layers)
    return len(graph.edges) == n_layers * (n_layers + 1) // 2


def _counts(
    graph: UnitGraph, whole: Partition, given: int | Sequence[int] | None
) -> tuple[int, ...]:
    if given is None:
        return tuple(np.unique(labels[labels >= 0]).size for _, labels in whole.by_layer())
    counts = (given,) * len(graph.layers) if isinstance(given, int) else tuple(given)
    if len(counts) != len(graph.layers) or any(
        isinstance(count, bool) or not isinstance(count, int) or count < 1 for count in counts
    ):
        raise InvalidInputError(
            f"n_clusters_of_layer={given!r}; expected an integer of 1 or more, or one for each of "
            f"{len(graph.layers)} layers"
        )
    return counts


@dataclass(frozen=True, eq=False)
class _Clustered:
    """The graph around a layer, clustered: labels of all units, n-cuts, number of clusters."""

    labels: NDArray[np.int32]
    ncut: float
    ncut_without_constant: float
    n_clusters: int


def _clustered(graph: UnitGraph, n_clusters: int, seed: int, options: dict[str, Any]) -> _Clustered:
    n_connected = int((~graph.isolated).sum())
    n_clusters = min(n_clusters, n_connected)
    if n_clusters == 0:
        return _Clustered(np.full(graph.n_units, -1, np.int32), float("nan"), float("nan"), 0)
    if n_clusters == 1:
        return _Clustered(np.where(graph.isolated, -1, 0).astype(np.int32), 0.0, 0.0, 1)
    found = spectral_clustering(graph, n_clusters, seed=seed, **options)
    labels = found.partition.labels
    exact = ncut(graph, labels) if options["volume_constant"] else found.ncut
    return _Clustered(labels, found.ncut, exact, n_clusters)

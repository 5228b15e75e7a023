"""Modularity of a partition, and partitions that maximise it: Leiden and Louvain."""

import ctypes
import threading
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from nn_clustering.errors import InvalidInputError
from nn_clustering.graphs import UnitGraph
from nn_clustering.partitions._cluster_weights import cluster_weights, require_label_where_edges
from nn_clustering.partitions._partition import Partition
from nn_clustering.seeds import integer_seed

if TYPE_CHECKING:
    import scipy.sparse

MODULARITY_METHODS = ("leiden", "louvain")

# Gain in modularity below which a pass is the last. scikit-network adds in float32: not below 1e-6.
_SMALLEST_GAIN = 1e-5

# scikit-network's Leiden draws from the C library's generator, one for the whole process.
_C_RANDOM_NUMBERS = threading.Lock()


def modularity(graph: UnitGraph, labels: NDArray[np.integer], *, resolution: float = 1.0) -> float:
    """Return Newman's modularity Q of a partition of a weighted graph.

    It is the sum over clusters of the share of all weight that is within the cluster, minus
    ``resolution`` times the square of the cluster's share of all degrees. It is 0 for a single
    cluster, and below 1.

    Args:
        graph: The graph.
        labels: Cluster of every unit, 0 or more, of shape (n_units,); -1 only where a unit is
            isolated.
        resolution: Above 1 small clusters gain, below 1 large ones.

    Raises:
        InvalidInputError: If there is not one label a unit, a unit with edges has none, or there is
            no edge.
    """
    check_resolution(resolution)
    weights = cluster_weights(graph, labels)
    require_label_where_edges(graph, np.asarray(labels))
    total = weights.sum()
    if total == 0:
        raise InvalidInputError("a graph without edges has no modularity; expected an edge or more")
    shares = weights.sum(axis=1) / total
    return float(np.trace(weights) / total - resolution * (shares**2).sum())


def modularity_partition(
    graph: UnitGraph, method: str, *, seed: int, n_init: int, resolution: float
) -> Partition:
    """Partition the units that have edges so that modularity is high, by scikit-network.

    Every start visits the units in another order; the partition with the highest modularity is
    kept. Clusters are numbered by size, the largest first. Leiden (Traag, Waltman and van Eck 2019)
    refines the clusters that Louvain (Blondel et al. 2008) would merge as they are.

    Args:
        graph: The graph, of which some units have edges; isolated units get the label -1.
        method: ``leiden`` or ``louvain``.
        seed: Fixes every label.
        n_init: Number of starts.
        resolution: See :func:`modularity`.
    """
    kept = ~graph.isolated
    connected = graph.without_isolated()
    adjacency = _with_int32_indices(connected.adjacency())
    starts = [
        _optimised(adjacency, method, resolution, integer_seed(seed, "modularity", index))
        for index in range(n_init)
    ]
    best = max(starts, key=lambda labels: modularity(connected, labels, resolution=resolution))
    labels = np.full(graph.n_units, -1, np.int32)
    labels[kept] = best
    return Partition(graph.layers, labels, int(best.max()) + 1)


def check_resolution(resolution: Any) -> None:
    """Check the resolution of a modularity.

    Raises:
        InvalidInputError: If it is no number above 0.
    """
    is_number = isinstance(resolution, int | float) and not isinstance(resolution, bool)
    if not is_number or not 0 < resolution < float("inf"):
        raise InvalidInputError(f"resolution={resolution!r}; expected a number above 0")


def _optimised(
    adjacency: "scipy.sparse.csr_matrix", method: str, resolution: float, seed: int
) -> NDArray[np.int32]:
    from sknetwork.clustering import Leiden, Louvain

    optimiser = {"leiden": Leiden, "louvain": Louvain}[method](
        resolution,
        modularity="newman",
        tol_optimization=_SMALLEST_GAIN,
        tol_aggregation=_SMALLEST_GAIN,
        shuffle_nodes=True,
        return_probs=False,
        return_aggregate=False,
        random_state=seed,
    )
    with _C_RANDOM_NUMBERS:
        ctypes.CDLL(None).srand(seed)
        labels: NDArray[np.int32] = optimiser.fit_predict(adjacency).astype(np.int32)
    return labels


def _with_int32_indices(adjacency: "scipy.sparse.csr_array") -> "scipy.sparse.csr_matrix":
    import scipy.sparse

    # scikit-network's compiled code takes no other type together with its own labels.
    matrix = scipy.sparse.csr_matrix(adjacency)
    matrix.indices, matrix.indptr = matrix.indices.astype(np.int32), matrix.indptr.astype(np.int32)
    return matrix

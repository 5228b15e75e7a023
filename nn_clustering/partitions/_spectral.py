"""Spectral clustering of unit graphs (methods C6)."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nn_clustering.errors import InvalidInputError
from nn_clustering.graphs import UnitGraph
from nn_clustering.partitions._embedding import leading_eigenvectors
from nn_clustering.partitions._kmeans import Points, k_means, k_means_plus_plus
from nn_clustering.partitions._ncut import check_volume_constant, ncuts
from nn_clustering.partitions._partition import Partition
from nn_clustering.seeds import generator
from nn_clustering.threads import one_thread

# All of them are held at once.
MOST_STARTS = 10_000


@dataclass(frozen=True, eq=False)
class SpectralClustering:
    """A spectral clustering, and how firmly it was found.

    Attributes:
        partition: The partition that was kept.
        ncut: Its n-cut.
        start_ncuts: The n-cut of every k-means start, shape (n_init,): their spread is the noise of
            the clustering. The first one is that of pivoted QR where starts are selected by
            ``ncut``, and the only one where QR assigns the labels.
        eigenvalues: The smallest eigenvalues of the symmetric normalised Laplacian, ascending:
            ``n_clusters`` and, unless there are no more, the next one, after which a large gap
            speaks for this number of clusters.
    """

    partition: Partition
    ncut: float
    start_ncuts: NDArray[np.float64]
    eigenvalues: NDArray[np.float64]


def spectral_partition(
    graph: UnitGraph,
    n_clusters: int,
    *,
    seed: int,
    n_init: int = 5,
    select: str = "ncut",
    assign_labels: str = "kmeans",
    volume_constant: float = 0.0,
) -> Partition:
    """Return the partition alone of :func:`spectral_clustering`, which see."""
    return spectral_clustering(
        graph,
        n_clusters,
        seed=seed,
        n_init=n_init,
        select=select,
        assign_labels=assign_labels,
        volume_constant=volume_constant,
    ).partition


def spectral_clustering(
    graph: UnitGraph,
    n_clusters: int,
    *,
    seed: int,
    n_init: int = 5,
    select: str = "ncut",
    assign_labels: str = "kmeans",
    volume_constant: float = 0.0,
) -> SpectralClustering:
    """Partition the units that have edges by normalised spectral clustering.

    The eigenvectors of the symmetric normalised Laplacian with the ``n_clusters`` smallest
    eigenvalues, divided by the square root of the degrees, are clustered by k-means: what
    scikit-learn's ``SpectralClustering`` does with a precomputed affinity.

    Args:
        graph: The graph; isolated units get the label -1.
        n_clusters: Number of clusters, from 2 to the number of units with edges.
        seed: Fixes the k-means starts.
        n_init: Number of k-means starts, of which one is kept.
        select: Keep the start with the lowest ``ncut``, which is the aim, of those that leave
            fewest clusters empty, the first start being the one of pivoted QR, which no seed
            changes; or with the lowest ``inertia`` of random
            starts, as the studies did with 25 of them.
        assign_labels: ``kmeans``, or ``cluster_qr`` for the clusters of pivoted QR as they are,
            without any starts.
        volume_constant: Of the n-cuts, see :func:`~nn_clustering.partitions.ncut`.

    Raises:
        InvalidInputError: If a value is out of range, or the graph has no edges.
    """
    return spectral_clusterings(
        graph,
        n_clusters,
        seeds=[seed],
        n_init=n_init,
        select=select,
        assign_labels=assign_labels,
        volume_constant=volume_constant,
    )[0]


def spectral_clusterings(
    graph: UnitGraph,
    n_clusters: int,
    *,
    seeds: Sequence[int],
    n_init: int = 5,
    select: str = "ncut",
    assign_labels: str = "kmeans",
    volume_constant: float = 0.0,
) -> list[SpectralClustering]:
    """Return what :func:`spectral_clustering` does for each of some seeds.

    The eigenvectors, which no seed changes, are found once.
    """
    check_clustering(n_clusters, n_init=n_init, select=select, assign_labels=assign_labels)
    check_volume_constant(volume_constant)
    kept = ~graph.isolated
    if not kept.any():
        raise InvalidInputError(
            f"a graph of {graph.n_units} units without any edge cannot be clustered; expected "
            "some weight above 0"
        )
    if n_clusters > kept.sum():
        raise InvalidInputError(
            f"n_clusters={n_clusters}; expected 2 to {kept.sum()}, the number of units that have "
            "edges"
        )
    connected = graph.without_isolated()
    found = []
    # One thread, so that the result does not depend on how many cores there are.
    with one_thread():
        values, vectors = leading_eigenvectors(connected, n_clusters)
        embedding = vectors / np.sqrt(connected.degrees)[:, None]
        for seed in seeds:
            if assign_labels == "cluster_qr":
                starts, inertia = _pivoted_clusters(embedding)[0][None], np.zeros(1)
            else:
                starts, inertia = k_means_starts(
                    vectors, embedding, seed=seed, n_init=n_init, select=select
                )
            start_ncuts = ncuts(connected, starts, volume_constant=volume_constant)
            best = (
                int(inertia.argmin())
                if select == "inertia"
                else _lowest_of_fullest(start_ncuts, starts)
            )
            labels = np.full(graph.n_units, -1, np.int32)
            labels[kept] = starts[best]
            found.append(
                SpectralClustering(
                    Partition(graph.layers, labels, n_clusters),
                    float(start_ncuts[best]),
                    start_ncuts,
                    # rounding can put the first one a little below 0
                    np.maximum(1 - values, 0),
                )
            )
    return found


def check_clustering(
    n_clusters: int, *, n_init: int, select: str, assign_labels: str = "kmeans"
) -> None:
    """Check what can be checked of a clustering before its graph is there.

    Raises:
        InvalidInputError: If a value is out of range.
    """
    for name, value, least in (("n_clusters", n_clusters, 2), ("n_init", n_init, 1)):
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise InvalidInputError(f"{name}={value!r}; expected an integer of {least} or more")
    if n_init > MOST_STARTS:
        raise InvalidInputError(f"n_init={n_init}; expected an integer from 1 to {MOST_STARTS}")
    if select not in ("ncut", "inertia"):
        raise InvalidInputError(f"select={select!r}; expected ncut or inertia")
    if assign_labels not in ("kmeans", "cluster_qr"):
        raise InvalidInputError(f"assign_labels={assign_labels!r}; expected kmeans or cluster_qr")


def k_means_starts(
    vectors: NDArray[np.float64],
    embedding: NDArray[np.float64],
    *,
    seed: int,
    n_init: int,
    select: str,
) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
    """Return the clusters that k-means finds from every start, and their inertia.

    Args:
        vectors: Orthonormal eigenvectors, as many as there are to be clusters, of shape (units,
            clusters).
        embedding: The same, divided by the root of the degrees.
        seed: See :func:`spectral_clustering`, as for what follows.
        n_init: Number of starts.
        select: Whether the first start is that of pivoted QR.
    """
    points = Points(embedding)
    given = [_pivoted_centres(vectors, points)[None]] if select == "ncut" else []
    randoms = [generator(seed, "k-means", index) for index in range(n_init - len(given))]
    drawn = [k_means_plus_plus(points, embedding.shape[1], randoms)] if randoms else []
    # The last small steps lower the inertia, but not the n-cut.
    tolerance = 1e-3 if select == "ncut" else 1e-4
    return k_means(points, np.concatenate(given + drawn), tolerance=tolerance)


def _lowest_of_fullest(start_ncuts: NDArray[np.float64], starts: NDArray[np.int32]) -> int:
    """Return which start has the lowest n-cut of those with the most clusters that hold units.

    A start that leaves clusters empty has a lower n-cut because it has fewer of them.
    """
    n_used = np.array([np.unique(labels).size for labels in starts])
    return int(np.where(n_used == n_used.max(), start_ncuts, np.inf).argmin())


def _pivoted_clusters(
    components: NDArray[np.float64],
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Return the clusters that column-pivoted QR finds, as many as there are components.

    The components are rotated towards the units that pivoting finds to be most unlike each other,
    and every unit joins the one that it then points to most (Damle, Minden and Ying, "Simple,
    direct and efficient multi-way spectral clustering", 2019; scikit-learn's ``cluster_qr``).

    Args:
        components: Shape (units, components).

    Returns:
        The cluster of every unit, and the unit that stands for every cluster.
    """
    import scipy.linalg

    pivots = scipy.linalg.qr(components.T, mode="r", pivoting=True)[1][: components.shape[1]]
    left, _, right = np.linalg.svd(components[pivots].T)
    labels = np.abs(components @ (left @ right)).argmax(axis=1)
    return labels.astype(np.int32), pivots.astype(np.int32)


def _pivoted_centres(vectors: NDArray[np.float64], points: Points) -> NDArray[np.float32]:
    """Return the centres of the clusters that pivoted QR finds among orthonormal eigenvectors.

    They begin k-means better than those found after the division by the root of the degrees.
    """
    labels, pivots = _pivoted_clusters(vectors)
    # a cluster that nobody joins starts at the unit that stands for it
    centres = points.coordinates[pivots]
    joined = np.unique(labels)
    centres[joined] = points.centres_of(labels == joined[:, None])
    return centres

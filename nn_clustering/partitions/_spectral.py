"""Spectral clustering of unit graphs (methods C6), using that most of them are bipartite."""

import contextlib
from functools import cache

import numpy as np
import scipy.linalg
import scipy.sparse.linalg
from numpy.typing import NDArray
from sklearn.cluster import KMeans
from threadpoolctl import ThreadpoolController

from nn_clustering.errors import InvalidInputError
from nn_clustering.graphs import UnitGraph
from nn_clustering.partitions._ncut import ncut
from nn_clustering.partitions._partition import Partition
from nn_clustering.seeds import integer_seed

# Up to this many rows a dense eigenproblem is as fast as an iterative one, and always converges.
_DENSE_ROWS = 300

# Singular values of a normalised adjacency, which are 1 at most, count as 0 below this.
_ZERO_SINGULAR_VALUE = 1e-6


def spectral_partition(
    graph: UnitGraph, n_clusters: int, *, seed: int, n_init: int = 5, select: str = "ncut"
) -> Partition:
    """Partition the units that have edges by normalised spectral clustering.

    The eigenvectors of the symmetric normalised Laplacian with the ``n_clusters`` smallest
    eigenvalues, divided by the square root of the degrees, are clustered by k-means: what
    scikit-learn's ``SpectralClustering`` does with a precomputed affinity.

    Args:
        graph: The graph; isolated units get the label -1.
        n_clusters: Number of clusters, from 2 to the number of units with edges.
        seed: Fixes the k-means starts.
        n_init: Number of k-means starts, of which one is kept.
        select: Keep the start with the lowest ``ncut``, which is the aim, the first start being
            the one of pivoted QR, which no seed changes; or with the lowest ``inertia`` of random
            starts, as the studies did with 25 of them.

    Raises:
        InvalidInputError: If a value is out of range.
    """
    check_clustering(n_clusters, n_init=n_init, select=select)
    kept = ~graph.isolated
    if n_clusters > kept.sum():
        raise InvalidInputError(
            f"n_clusters={n_clusters}; expected 2 to {kept.sum()}, the number of units that have "
            "edges"
        )
    connected = graph.without_isolated()
    # One thread, so that the result does not depend on how many cores there are.
    with _threadpools().limit(limits=1):
        embedding = spectral_embedding(connected, n_clusters)
        if select == "inertia":
            start = integer_seed(seed, "k-means")
            best = KMeans(n_clusters, n_init=n_init, random_state=start).fit(embedding).labels_
        else:
            pivoted = _pivoted_centres(embedding, np.sqrt(connected.degrees))
            starts = [
                KMeans(
                    n_clusters,
                    init=pivoted if index == 0 else "k-means++",
                    n_init=1,
                    random_state=integer_seed(seed, "k-means", index),
                )
                .fit(embedding)
                .labels_
                for index in range(n_init)
            ]
            best = min(starts, key=lambda labels: ncut(connected, labels))
    labels = np.full(graph.n_units, -1, np.int32)
    labels[kept] = best
    return Partition(graph.layers, labels, n_clusters)


@cache
def _threadpools() -> ThreadpoolController:
    # Looking for the libraries that have threads takes longer than clustering a small graph.
    return ThreadpoolController()


def check_clustering(n_clusters: int, *, n_init: int, select: str) -> None:
    """Check what can be checked of a clustering before its graph is there.

    Raises:
        InvalidInputError: If a value is out of range.
    """
    for name, value, least in (("n_clusters", n_clusters, 2), ("n_init", n_init, 1)):
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise InvalidInputError(f"{name}={value!r}; expected an integer of {least} or more")
    if select not in ("ncut", "inertia"):
        raise InvalidInputError(f"select={select!r}; expected ncut or inertia")


def spectral_embedding(graph: UnitGraph, n_components: int) -> NDArray[np.float64]:
    """Return the leading eigenvectors of the normalised adjacency, divided by sqrt(degree).

    Args:
        graph: A graph without isolated units.
        n_components: Number of eigenvectors, at most the number of units; the constant first one
            counts.

    Returns:
        Array of shape (units, components), largest eigenvalue first.
    """
    scale = 1 / np.sqrt(graph.degrees)
    side = graph.two_colouring()
    if side is not None:
        sizes = np.array([layer.n_units for layer in graph.layers])
        if sizes[side].sum() > sizes[~side].sum():
            side = ~side
        # With fewer singular values than components, eigenvalues of 0 and below are asked for too.
        if sizes[side].sum() >= n_components:
            return _bipartite_eigenvectors(graph, side, scale, n_components) * scale[:, None]
    normalised = graph.adjacency() * scale[:, None] * scale[None, :]
    return _leading_eigenvectors(normalised.toarray(), n_components) * scale[:, None]


def _bipartite_eigenvectors(
    graph: UnitGraph, small_side: NDArray[np.bool_], scale: NDArray[np.float64], n_components: int
) -> NDArray[np.float64]:
    """Solve the eigenproblem of a bipartite graph at the size of its smaller side.

    If B joins the two sides in the normalised adjacency, its singular vectors u_i, v_i stacked as
    (u_i; v_i) / sqrt(2) are eigenvectors of the whole, with the singular value as eigenvalue; the
    v_i are eigenvectors of B' B. B is never built: only its blocks, one a pair of layers.
    """
    small_units = np.repeat(small_side, [layer.n_units for layer in graph.layers])
    place = np.cumsum(small_units) - 1
    blocks: dict[int, list[tuple[slice, NDArray[np.float64]]]] = {}
    for edges in graph.edges:
        normalised = (
            edges.weights
            * scale[graph.units(edges.source), None]
            * scale[graph.units(edges.target)]
        )
        large, small = edges.source, edges.target
        if small_side[large]:
            large, small, normalised = small, large, normalised.T
        units = graph.units(small)
        start = int(place[units.start]) if units.start < units.stop else 0
        columns = slice(start, start + units.stop - units.start)
        blocks.setdefault(large, []).append((columns, normalised))
    gram = np.zeros((int(small_units.sum()),) * 2)
    for in_layer in blocks.values():
        for index, (columns, block) in enumerate(in_layer):
            gram[columns, columns] += block.T @ block
            for other_columns, other in in_layer[:index]:
                product = block.T @ other
                gram[columns, other_columns] += product
                gram[other_columns, columns] += product.T
    small_vectors = _leading_eigenvectors(gram, n_components)
    vectors = np.zeros((graph.n_units, n_components))
    for layer, in_layer in blocks.items():
        for columns, block in in_layer:
            vectors[graph.units(layer)] += block @ small_vectors[columns]
    # B v = s u, so the norm of B v is the singular value s, exact to about the root of the machine
    # precision. Where s is 0, B v is noise and (0; v) is the eigenvector.
    singular_values = np.linalg.norm(vectors, axis=0)
    is_zero = singular_values < _ZERO_SINGULAR_VALUE
    vectors = np.where(is_zero, 0, vectors / np.where(is_zero, 1, singular_values))
    vectors[small_units] = small_vectors
    return vectors / np.where(is_zero, 1, np.sqrt(2))


def _pivoted_centres(
    embedding: NDArray[np.float64], root_degrees: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the cluster centres of a partition by column-pivoted QR.

    The eigenvectors are rotated towards the units that pivoting finds to be most unlike each other,
    and every unit joins the one that it then points to most (Damle, Minden and Ying, "Simple,
    direct and efficient multi-way spectral clustering", 2019).
    """
    n_clusters = embedding.shape[1]
    vectors = embedding * root_degrees[:, None]
    pivots = scipy.linalg.qr(vectors.T, mode="r", pivoting=True)[1][:n_clusters]
    left, _, right = np.linalg.svd(vectors[pivots].T)
    labels = np.abs(vectors @ (left @ right)).argmax(axis=1)
    members = labels[:, None] == np.arange(n_clusters)
    sizes = members.sum(axis=0)[:, None]
    # a cluster that nobody joins starts at its pivot
    return np.where(sizes > 0, members.T @ embedding / np.maximum(sizes, 1), embedding[pivots])


def _leading_eigenvectors(matrix: NDArray[np.float64], n: int) -> NDArray[np.float64]:
    """Return the eigenvectors of the n largest eigenvalues of a symmetric matrix, largest first."""
    size = len(matrix)
    if size > max(_DENSE_ROWS, 3 * n):
        # A fixed start makes the iteration, and so every digit of the result, repeatable.
        start = np.random.default_rng(0).uniform(-1, 1, size)
        with contextlib.suppress(scipy.sparse.linalg.ArpackNoConvergence):
            values, vectors = scipy.sparse.linalg.eigsh(matrix, k=n, which="LA", v0=start)
            return vectors[:, np.argsort(values)[::-1]]
    return scipy.linalg.eigh(matrix, subset_by_index=[size - n, size - 1])[1][:, ::-1]

"""Leading eigenvectors of a graph's normalised adjacency (methods C6).

They are those of the smallest eigenvalues of the symmetric normalised Laplacian. Three things make
them cheap. The eigenvalue 1 is known: it belongs to the connected components. Most graphs of
networks are bipartite, so that the problem has half the size. And the adjacency is never built:
vectors are multiplied by the weight matrices between the layers, in single precision.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nn_clustering.graphs import Edges, UnitGraph
from nn_clustering.partitions._bipartite_halves import Halves
from nn_clustering.partitions._block_eigensolver import block_eigenpairs
from nn_clustering.partitions._components import connected_components
from nn_clustering.partitions._eigensolver import (
    DENSE_ROWS,
    Eigenpairs,
    Precision,
    Product,
    deflated_eigenpairs,
    dense_eigenpairs,
)
from nn_clustering.partitions._lanes import in_lanes

# Single precision tells squared singular values apart above this.
_SINGLE_PRECISION_SQUARE = 1e-5
# It holds graphs with degrees below this and above one over this.
_SINGLE_PRECISION_DEGREE = 1e15


def spectral_embedding(graph: UnitGraph, n_components: int) -> NDArray[np.float64]:
    """Return the leading eigenvectors of the normalised adjacency, divided by sqrt(degree).

    Args:
        graph: A graph without isolated units.
        n_components: Number of eigenvectors, at most the number of units; the constant first one
            counts.

    Returns:
        Array of shape (units, components), largest eigenvalue first.
    """
    vectors = leading_eigenvectors(graph, n_components)[1]
    return vectors / np.sqrt(graph.degrees)[:, None]


def leading_eigenvectors(graph: UnitGraph, n_vectors: int) -> Eigenpairs:
    """Return the leading eigenvalues and eigenvectors of the normalised adjacency.

    Exact to double precision in small graphs, and to single precision in large ones (above
    some hundred units on the smaller side of a bipartite graph, or in another one). In graphs
    whose weights are stored in half precision each eigenvector has a residual of a fiftieth of its
    eigenvalue at most.

    Args:
        graph: A graph without isolated units.
        n_vectors: Number of eigenvectors, at most the number of units.

    Returns:
        One eigenvalue more than vectors, unless there are no more, largest first; and the
        orthonormal eigenvectors, shape (units, vectors).
    """
    n_values = min(n_vectors + 1, graph.n_units)
    if graph.is_half:
        return _eigenpairs_in_blocks(graph, n_vectors, n_values)
    halves = Halves.of(graph)
    if halves is not None and halves.n_small >= n_vectors:
        return _eigenpairs_of_halves(halves, n_vectors, n_values)
    if graph.n_units <= max(DENSE_ROWS, 3 * n_values):
        values, vectors = dense_eigenpairs(_normalised_adjacency(graph), n_values)
    else:
        values, vectors = deflated_eigenpairs(
            partial(_adjacency_product, graph),
            _component_vectors(graph, np.ones(graph.n_units, bool)),
            n_values,
            single_precision=_fits_single_precision(graph),
            least_in_single=-1,
        )
    return values, vectors[:, :n_vectors]


def _eigenpairs_in_blocks(graph: UnitGraph, n_vectors: int, n_values: int) -> Eigenpairs:
    """Return eigenpairs of a graph whose weights take longest to read."""
    known = _component_vectors(graph, np.ones(graph.n_units, bool))[:, :n_values]
    values = np.ones(known.shape[1])
    if n_values > len(values):
        scale = (1 / np.sqrt(graph.degrees)).astype(np.float32)[:, None]
        found, vectors = block_eigenpairs(
            lambda block: scale * _product_of_tiles(graph, scale * block),
            known.astype(np.float32),
            n_values - len(values),
        )
        values, known = np.append(values, found), np.hstack([known, vectors])
    return values, known[:, :n_vectors].astype(np.float64)


def _product_of_tiles(graph: UnitGraph, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the adjacency times vectors, each tile of which is read once for both directions."""

    def work(edges: Sequence[Edges]) -> NDArray[np.float32]:
        made = np.zeros_like(vectors)
        for block in edges:
            first, target = graph.units(block.source).start, graph.units(block.target)
            for rows, weights in block.tiles():
                units = slice(first + rows.start, first + rows.stop)
                made[units] += weights @ vectors[target]
                if not block.is_within_layer:
                    made[target] += weights.T @ vectors[units]
        return made

    total, *others = in_lanes(graph.edges, work)
    for found in others:
        total += found
    return total


def _eigenpairs_of_halves(halves: Halves, n_vectors: int, n_values: int) -> Eigenpairs:
    n_singular = min(n_values, halves.n_small)
    if halves.n_small <= max(DENSE_ROWS, 3 * n_singular):
        squares, small_vectors = dense_eigenpairs(halves.gram(np.float64), n_singular)
    else:
        squares, small_vectors = deflated_eigenpairs(
            halves.product,
            _component_vectors(halves.graph, halves.small_units),
            n_singular,
            single_precision=_fits_single_precision(halves.graph),
            least_in_single=_SINGLE_PRECISION_SQUARE,
        )
    values = np.sqrt(np.maximum(squares, 0, dtype=float))
    if n_singular < n_values:
        # All singular values are found; what is left of the larger side has the eigenvalue 0, and
        # after it come the singular values once more with a minus.
        n_large = halves.graph.n_units - halves.n_small
        values = np.append(values, 0.0 if n_large > halves.n_small else -values[-1])
    return values, halves.whole(small_vectors[:, :n_vectors])


def _normalised_adjacency(graph: UnitGraph) -> NDArray[np.float64]:
    matrix = np.zeros((graph.n_units,) * 2)
    for block in graph.edges:
        source, target = graph.units(block.source), graph.units(block.target)
        matrix[source, target] = block.weights
        matrix[target, source] = block.weights.T
    scale = 1 / np.sqrt(graph.degrees)
    return scale[:, None] * matrix * scale


def _adjacency_product(graph: UnitGraph, precision: Precision) -> Product:
    """Return the function that multiplies a vector by the normalised adjacency."""
    scale = (1 / np.sqrt(graph.degrees)).astype(precision)
    blocks = [
        (
            graph.units(block.source),
            graph.units(block.target),
            block.weights.astype(precision, copy=False),
            block.is_within_layer,
        )
        for block in graph.edges
    ]

    def times(vector: NDArray[Any]) -> NDArray[Any]:
        scaled = scale * vector
        product = np.zeros_like(scale)
        for source, target, weights, is_within_layer in blocks:
            product[source] += weights @ scaled[target]
            if not is_within_layer:
                product[target] += weights.T @ scaled[source]
        return scale * product

    return times


def _fits_single_precision(graph: UnitGraph) -> bool:
    return bool(
        graph.degrees.max() < _SINGLE_PRECISION_DEGREE
        and graph.degrees.min() > 1 / _SINGLE_PRECISION_DEGREE
    )


def _component_vectors(graph: UnitGraph, units: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the eigenvectors of eigenvalue 1, on some units only, largest component first.

    There is one for each connected component: the square root of the degree inside, 0 outside.
    """
    components = connected_components(graph)[units]
    degrees = graph.degrees[units]
    volumes = np.bincount(components, degrees)
    rank = np.empty(len(volumes), int)
    rank[np.argsort(-volumes, kind="stable")] = np.arange(len(volumes))
    vectors = np.zeros((len(components), len(volumes)))
    vectors[np.arange(len(components)), rank[components]] = np.sqrt(degrees / volumes[components])
    return vectors

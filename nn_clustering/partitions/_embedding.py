"""Leading eigenvectors of a graph's normalised adjacency (methods C6).

They are those of the smallest eigenvalues of the symmetric normalised Laplacian. Three things make
them cheap. The eigenvalue 1 is known: it belongs to the connected components. Most graphs of
networks are bipartite, so that the problem has half the size. And the adjacency is never built:
vectors are multiplied by the weight matrices between the layers, in single precision.
"""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import scipy.linalg
import scipy.sparse.linalg
from numpy.typing import NDArray

from nn_clustering.graphs import UnitGraph
from nn_clustering.partitions._components import connected_components

# Up to this many rows a dense eigenproblem is as fast as an iterative one, and always converges.
_DENSE_ROWS = 300

# Up to this many rows one matrix is faster to multiply by than those between the layers, and what
# single precision cannot tell apart is solved densely.
_MATRIX_ROWS = 1024

# Largest residual of an eigenvector, relative to its eigenvalue. In single precision less is hardly
# reached, and more may pass over one of many eigenvalues that lie close, as those of shuffles do.
_TOLERANCES = {np.float32: 1e-4, np.float64: 1e-9}

# Eigenvalues that differ by less are one eigenvalue.
_SAME_EIGENVALUE = 1e-6

# Restarts of the iteration, after which double precision or a dense problem takes over.
_RESTARTS = 1000

# Single precision tells squared singular values apart above this ...
_SINGLE_PRECISION_SQUARE = 1e-5
# ... and, next to the ones of the components, eigenvalues below this: nearer to 1 there may be many
# that it takes for one, of groups of units that hardly anything joins.
_SINGLE_PRECISION_VALUE = 0.999
# It holds graphs with degrees below this and above one over this.
_SINGLE_PRECISION_DEGREE = 1e15

# Singular values of a normalised adjacency, which are 1 at most, count as 0 below this.
_ZERO_SINGULAR_VALUE = 1e-6

# scipy before 1.17 always started the iteration in the same way.
_EIGSH_PARAMETERS = inspect.signature(scipy.sparse.linalg.eigsh).parameters

Precision = type[np.float32] | type[np.float64]
Product = Callable[[NDArray[Any]], NDArray[Any]]
# Eigenvalues, largest first, and one eigenvector a column.
Eigenpairs = tuple[NDArray[Any], NDArray[Any]]


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
    some hundred units on the smaller side of a bipartite graph, or in another one).

    Args:
        graph: A graph without isolated units.
        n_vectors: Number of eigenvectors, at most the number of units.

    Returns:
        One eigenvalue more than vectors, unless there are no more, largest first; and the
        orthonormal eigenvectors, shape (units, vectors).
    """
    n_values = min(n_vectors + 1, graph.n_units)
    halves = _Halves.of(graph)
    if halves is not None and halves.n_small >= n_vectors:
        return _eigenpairs_of_halves(halves, n_vectors, n_values)
    if graph.n_units <= max(_DENSE_ROWS, 3 * n_values):
        values, vectors = _dense_eigenpairs(_normalised_adjacency(graph), n_values)
    else:
        values, vectors = _deflated_eigenpairs(
            partial(_adjacency_product, graph),
            _component_vectors(graph, np.ones(graph.n_units, bool)),
            n_values,
            single_precision=_fits_single_precision(graph),
            least_in_single=-1,
        )
    return values, vectors[:, :n_vectors]


@dataclass(frozen=True, eq=False)
class _Halves:
    """A bipartite graph as the matrix B that joins its two sides in the normalised adjacency.

    The singular vectors u_i, v_i of B stacked as (u_i; v_i) / sqrt(2) are eigenvectors of the
    whole, with the singular value as eigenvalue; the v_i, on the smaller side, are eigenvectors of
    B' B.

    Attributes:
        graph: The graph.
        small_units: Whether a unit is on the smaller side, shape (n_units,).
        blocks: For each of the graph's edges the units of the larger and of the smaller side that
            they join, numbered within the side, and the weights in this orientation.
    """

    graph: UnitGraph
    small_units: NDArray[np.bool_]
    blocks: tuple[tuple[slice, slice, NDArray[Any]], ...]

    @classmethod
    def of(cls, graph: UnitGraph) -> "_Halves | None":
        """Return the two sides, or None if the graph is not bipartite."""
        side = graph.two_colouring()
        if side is None:
            return None
        sizes = np.array([layer.n_units for layer in graph.layers])
        if sizes[side].sum() > sizes[~side].sum():
            side = ~side
        first = np.where(side, np.cumsum(sizes * side), np.cumsum(sizes * ~side)) - sizes
        units = [slice(int(a), int(a + size)) for a, size in zip(first, sizes, strict=True)]
        blocks = []
        for edges in graph.edges:
            large, small, weights = edges.source, edges.target, edges.weights
            if side[large]:
                large, small, weights = small, large, weights.T
            blocks.append((units[large], units[small], weights))
        return cls(graph, np.repeat(side, sizes), tuple(blocks))

    @property
    def n_small(self) -> int:
        """The number of units on the smaller side."""
        return int(self.small_units.sum())

    def scales(self, precision: Precision) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return 1 / sqrt(degree) of the units of the larger and of the smaller side."""
        scale = (1 / np.sqrt(self.graph.degrees)).astype(precision)
        return scale[~self.small_units], scale[self.small_units]

    def gram(self, precision: Precision) -> NDArray[Any]:
        """Return B' B: the sum of what passes through each layer of the larger side."""
        large_scale, small_scale = self.scales(precision)
        # by start and stop, since a layer without units starts where the next one does
        in_layers: dict[tuple[int, int], list[tuple[slice, NDArray[Any]]]] = {}
        for large, small, weights in self.blocks:
            # in one step, for a copy in between would take longer than the product
            factors = large_scale[large, None]
            scaled = np.multiply(weights, factors, dtype=precision, casting="same_kind")
            in_layers.setdefault((large.start, large.stop), []).append((small, scaled))
        gram = np.zeros((self.n_small,) * 2, precision)
        for in_layer in in_layers.values():
            for index, (rows, block) in enumerate(in_layer):
                gram[rows, rows] += block.T @ block
                for columns, other in in_layer[:index]:
                    product = block.T @ other
                    gram[rows, columns] += product
                    gram[columns, rows] += product.T
        gram *= small_scale
        gram *= small_scale[:, None]
        return gram

    def product(self, precision: Precision) -> Product:
        """Return the function that multiplies a vector by B' B."""
        if self.n_small <= _MATRIX_ROWS:
            return self.gram(precision).__matmul__
        large_scale, small_scale = self.scales(precision)
        blocks = [(a, b, weights.astype(precision, copy=False)) for a, b, weights in self.blocks]

        def times(vector: NDArray[Any]) -> NDArray[Any]:
            scaled = small_scale * vector
            there = np.zeros_like(large_scale)
            for large, small, weights in blocks:
                there[large] += weights @ scaled[small]
            there *= large_scale**2
            back = np.zeros_like(small_scale)
            for large, small, weights in blocks:
                back[small] += weights.T @ there[large]
            found: NDArray[Any] = small_scale * back
            return found

        return times

    def whole(self, small_vectors: NDArray[Any]) -> NDArray[np.float64]:
        """Return eigenvectors of the whole graph, given their part on the smaller side."""
        large_scale, small_scale = self.scales(np.float64)
        scaled = small_scale[:, None] * small_vectors
        large_vectors = np.zeros((len(large_scale), scaled.shape[1]))
        for large, small, weights in self.blocks:
            large_vectors[large] += weights @ scaled[small].astype(weights.dtype, copy=False)
        large_vectors *= large_scale[:, None]
        # B v = s u, so the norm of B v is the singular value s, exact to about the root of the
        # machine precision. Where s is 0, B v is noise and (0; v) is the eigenvector.
        singular_values = np.linalg.norm(large_vectors, axis=0)
        is_zero = singular_values < _ZERO_SINGULAR_VALUE
        large_vectors = np.where(is_zero, 0, large_vectors / np.where(is_zero, 1, singular_values))
        vectors = np.empty((self.graph.n_units, scaled.shape[1]))
        vectors[~self.small_units] = large_vectors
        vectors[self.small_units] = small_vectors
        return vectors / np.where(is_zero, 1, np.sqrt(2))


def _eigenpairs_of_halves(halves: _Halves, n_vectors: int, n_values: int) -> Eigenpairs:
    n_singular = min(n_values, halves.n_small)
    if halves.n_small <= max(_DENSE_ROWS, 3 * n_singular):
        squares, small_vectors = _dense_eigenpairs(halves.gram(np.float64), n_singular)
    else:
        squares, small_vectors = _deflated_eigenpairs(
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


def _deflated_eigenpairs(
    product: Callable[[Precision], Product],
    known: NDArray[np.float64],
    n: int,
    *,
    single_precision: bool,
    least_in_single: float,
) -> Eigenpairs:
    """Return the leading eigenpairs of a symmetric matrix with eigenvalues of 1 and below.

    Args:
        product: Returns, in a precision, the function that multiplies a vector by the matrix.
        known: All eigenvectors of eigenvalue 1, one a column.
        n: Number of eigenpairs.
        single_precision: Whether to try single precision first.
        least_in_single: Smallest eigenvalue to take from single precision.
    """
    known = known[:, :n]
    ones = np.ones(known.shape[1])
    n_unknown = n - len(ones)
    if n_unknown == 0:
        return ones, known
    if single_precision:
        found = _iterated_eigenpairs(product(np.float32), known.astype(np.float32), n_unknown)
        if (
            found is not None
            and found[0][0] < _SINGLE_PRECISION_VALUE
            and found[0][-1] > least_in_single
        ):
            return np.append(ones, found[0]), np.hstack([known, found[1]])
    in_double = product(np.float64)
    found = None
    if len(known) > _MATRIX_ROWS:
        found = _iterated_eigenpairs(in_double, known, n_unknown)
    if found is None:
        return _dense_eigenpairs(np.stack([in_double(row) for row in np.eye(len(known))]), n)
    return np.append(ones, found[0]), np.hstack([known, found[1]])


def _iterated_eigenpairs(product: Product, known: NDArray[Any], n: int) -> Eigenpairs | None:
    """Return the eigenpairs that follow the known ones, or None if they do not converge."""
    found = _iterated_once(product, known, n)
    # One starting vector finds one eigenvector of each eigenvalue. Components that are alike, and
    # hardly anything else, have several: what is left over is searched until nothing large is.
    while found is not None and known.shape[1] > 1:
        values, vectors = found
        more = _iterated_once(product, np.hstack([known, vectors]), 1)
        if more is None or more[0][0] < values[-1] + _SAME_EIGENVALUE:
            break
        order = np.argsort(-np.append(values, more[0]), kind="stable")[:n]
        found = np.append(values, more[0])[order], np.hstack([vectors, more[1]])[:, order]
    return found


def _iterated_once(product: Product, known: NDArray[Any], n: int) -> Eigenpairs | None:
    size, precision = len(known), known.dtype.type
    # A fixed start, and a fixed generator for further ones, make every digit repeatable.
    start = np.random.default_rng(0).uniform(-1, 1, size).astype(precision)
    fixed: dict[str, Any] = {}
    if "rng" in _EIGSH_PARAMETERS:
        fixed["rng"] = np.random.default_rng(1)
    operator = scipy.sparse.linalg.LinearOperator(
        (size, size),
        # The known eigenvalues go from 1 to -1, where nobody looks for them.
        lambda vector: product(vector) - 2 * (known @ (known.T @ vector)),
        dtype=precision,
    )
    try:
        values, vectors = scipy.sparse.linalg.eigsh(
            operator,
            k=n,
            which="LA",
            v0=start - known @ (known.T @ start),
            tol=_TOLERANCES[precision],
            maxiter=_RESTARTS,
            **fixed,
        )
    except scipy.sparse.linalg.ArpackNoConvergence:
        return None
    if len(values) < n:  # in single precision it may call fewer of them good
        return None
    order = np.argsort(values)[::-1]
    return values[order], vectors[:, order]


def _dense_eigenpairs(matrix: NDArray[np.float64], n: int) -> Eigenpairs:
    size = len(matrix)
    values, vectors = scipy.linalg.eigh(matrix, subset_by_index=[size - n, size - 1])
    if len(values) < n:  # LAPACK may lose some of many equal ones where it looks for a few
        values, vectors = scipy.linalg.eigh(matrix, driver="evd")
    return values[: -n - 1 : -1], vectors[:, : -n - 1 : -1]

"""The two sides of a bipartite graph, whose eigenproblem has half the size."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nn_clustering.graphs import UnitGraph
from nn_clustering.partitions._eigensolver import MATRIX_ROWS, Precision, Product

# Singular values of a normalised adjacency, which are 1 at most, count as 0 below this.
_ZERO_SINGULAR_VALUE = 1e-6


@dataclass(frozen=True, eq=False)
class Halves:
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
    def of(cls, graph: UnitGraph) -> "Halves | None":
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
        if self.n_small <= MATRIX_ROWS:
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

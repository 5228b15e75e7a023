"""The graph that carries a whole study: layers of units, and weight matrices between them."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from nn_clustering.errors import InvalidInputError
from nn_clustering.graphs._half_precision import (
    ROWS_AT_A_TIME,
    can_be_half,
    product_to_half,
    to_half,
    to_single,
)
from nn_clustering.graphs._isolation import NEGLIGIBLE, check_isolated_below, isolated_units
from nn_clustering.graphs._stored_products import products_from_arrays, products_to_arrays
from nn_clustering.graphs._stored_weights import (
    check_memory,
    npz_content,
    opened_npz,
    weights_from_arrays,
    weights_to_arrays,
)

if TYPE_CHECKING:
    import scipy.sparse


@dataclass(frozen=True)
class Layer:
    """A layer of units: the name of its Keras layer and how many units it has."""

    name: str
    n_units: int


def layers_to_arrays(layers: Sequence[Layer]) -> dict[str, NDArray[Any]]:
    """Return layers as the arrays that an ``.npz`` file holds of them."""
    return {
        "layer_names": np.array([layer.name for layer in layers], str),
        "layer_units": np.array([layer.n_units for layer in layers], np.int64),
    }


def layers_from_arrays(arrays: Mapping[str, NDArray[Any]]) -> tuple[Layer, ...]:
    """Return the layers of which :func:`layers_to_arrays` made arrays.

    Raises:
        InvalidInputError: If there is not one name, and one number of 0 or more, for each.
    """
    names, units = arrays["layer_names"], arrays["layer_units"]
    if names.dtype.kind != "U" or names.ndim != 1 or units.shape != names.shape:
        raise InvalidInputError(
            f"layer_names of type {names.dtype} and shape {names.shape} with layer_units of shape "
            f"{units.shape}; expected words, and one number for each"
        )
    if units.dtype.kind not in "iu" or (units.size and units.min() < 0):
        raise InvalidInputError(
            f"layer_units={units.tolist()[:5]}; expected how many units each layer has, 0 or more"
        )
    pairs = zip(names, units, strict=True)
    return tuple(Layer(str(name), int(n_units)) for name, n_units in pairs)


@dataclass(frozen=True, eq=False)
class Edges:
    """All edges between two layers, or between the units of one layer.

    Attributes:
        source: Index of the layer they come from, in the graph's ``layers``.
        target: Index of the layer they go to; within a layer, the same.
        stored: Non-negative float32 or float64, of shape (source units, target units); 0 where
            there is no edge. Within a layer symmetric, with a zero diagonal. Or float16, which is
            computed with in single precision.
        exponent: Of float16, by which power of two it was multiplied to be stored.
        factors: Two matrices of which the weights are the product without its signs, where that
            is known and they take much less space; of shapes (source units, width) and (width,
            target units).
    """

    source: int
    target: int
    stored: NDArray[np.floating]
    exponent: int = 0
    factors: tuple[NDArray[np.floating], NDArray[np.floating]] | None = field(
        default=None, repr=False
    )

    @classmethod
    def half(cls, source: int, target: int, weights: NDArray[np.float32]) -> "Edges":
        """Return edges that take two bytes each, if their weights have such numbers."""
        if not can_be_half(float(weights.max(initial=0))):
            return cls(source, target, weights)
        return cls(source, target, *to_half(weights))

    @classmethod
    def half_of_product(
        cls, source: int, target: int, left: NDArray[np.float32], right: NDArray[np.float32]
    ) -> "Edges":
        """Return edges that take two bytes each, whose weights are a product without signs."""
        made = product_to_half(left, right)
        if made is None:
            return cls(source, target, np.abs(left @ right))
        return cls(source, target, *made, factors=(left, right))

    @property
    def is_half(self) -> bool:
        """Whether the weights are stored in half precision."""
        return self.stored.dtype == np.float16

    @property
    def weights(self) -> NDArray[np.floating]:
        """The weights, in single or double precision: what is stored, or a copy of it."""
        if self.is_half:
            return to_single(self.stored, self.exponent)
        return self.stored

    def tiles(self) -> Iterator[tuple[slice, NDArray[np.floating]]]:
        """Yield some rows and their weights, all rows in turn; what is yielded is used again."""
        if not self.is_half:
            yield slice(0, len(self.stored)), self.stored
            return
        buffer = np.empty((min(ROWS_AT_A_TIME, len(self.stored)), self.stored.shape[1]), np.float32)
        for start in range(0, len(self.stored), ROWS_AT_A_TIME):
            rows = self.stored[start : start + ROWS_AT_A_TIME]
            yield (
                slice(start, start + len(rows)),
                to_single(rows, self.exponent, buffer[: len(rows)]),
            )

    @cached_property
    def sums(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Sum of every row and of every column."""
        if not self.is_half:
            of_rows = self.stored.sum(axis=1, dtype=np.float64)
            return of_rows, self.stored.sum(axis=0, dtype=np.float64)
        of_rows, of_columns = (np.zeros(size) for size in self.stored.shape)
        for rows, weights in self.tiles():
            of_rows[rows] = weights.sum(axis=1)
            of_columns += weights.sum(axis=0)
        return of_rows, of_columns

    def sums_among(
        self, source: NDArray[np.bool_], target: NDArray[np.bool_]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the sum of every row over some columns, and of every column over some rows."""
        if source.all() and target.all():
            return self.sums
        weights = self.weights
        of_rows = weights[:, target].sum(axis=1, dtype=np.float64)
        return of_rows, weights[source].sum(axis=0, dtype=np.float64)

    def among(self, source: NDArray[np.bool_], target: NDArray[np.bool_]) -> "Edges":
        """Return the edges between some units of the one layer and some of the other."""
        factors = self.factors
        return replace(
            self,
            stored=self.stored[np.ix_(source, target)],
            factors=None if factors is None else (factors[0][source], factors[1][:, target]),
        )

    def with_weights(self, weights: NDArray[np.floating]) -> "Edges":
        """Return edges between the same layers with other weights."""
        return Edges(self.source, self.target, weights)

    @property
    def is_within_layer(self) -> bool:
        """Whether both ends of every edge are in one layer, so that each stands there twice."""
        return self.source == self.target


@dataclass(frozen=True, eq=False)
class UnitGraph:
    """An undirected weighted graph over the units of a network (methods C1, C2, E1).

    Units are numbered through all layers in order: unit u of layer l has number
    ``offsets[l] + u``.

    Attributes:
        layers: The layers, from input to output.
        edges: The weight matrices between and within layers; at most one a pair of layers.
        isolated_below: The share of its layer's mean weight, towards all layers that it feeds or
            is fed by, up to which a unit counts as isolated (methods C5): penalties drive the
            weights of dead units to 1e-19, not to 0. With 0 only units without any weight are
            isolated.

    Raises:
        InvalidInputError: If two layers have one name, edges do not join layers of the graph or
            join the same two again, a matrix does not fit its layers, is not symmetric within a
            layer or joins a unit to itself, a weight is negative or NaN, or ``isolated_below`` is
            out of range.
    """

    layers: tuple[Layer, ...]
    edges: tuple[Edges, ...]
    isolated_below: float = NEGLIGIBLE

    def __post_init__(self) -> None:
        check_isolated_below(self.isolated_below)
        self._check_structure()
        for block in self.edges:
            source, target = self.layers[block.source], self.layers[block.target]
            between = f"edges {source.name!r} to {target.name!r}"
            if not np.issubdtype(block.stored.dtype, np.floating):
                raise InvalidInputError(
                    f"{between}: weights of type {block.stored.dtype}; expected floating point"
                )
            if block.stored.shape != (source.n_units, target.n_units):
                raise InvalidInputError(
                    f"{between}: weights of shape {block.stored.shape}; expected "
                    f"{(source.n_units, target.n_units)}"
                )
            if not _are_weights(block.stored):
                raise InvalidInputError(
                    f"{between}: the weights hold negative, infinite or NaN values"
                )
            if block.is_within_layer and (
                block.weights.diagonal().any() or (block.weights != block.weights.T).any()
            ):
                raise InvalidInputError(
                    f"{between}, within a layer: the weights are not symmetric, or join a unit to "
                    "itself; expected a symmetric matrix with a zero diagonal"
                )

    def _check_structure(self) -> None:
        names = [layer.name for layer in self.layers]
        twice = next((name for name, number in Counter(names).items() if number > 1), None)
        if twice is not None:
            raise InvalidInputError(
                f"two layers of units are named {twice!r}; expected a name of its own for each"
            )
        joined: set[frozenset[int]] = set()
        for block in self.edges:
            pair = frozenset((block.source, block.target))
            if not (min(pair) >= 0 and max(pair) < len(names)) or pair in joined:
                raise InvalidInputError(
                    f"edges from layer {block.source} to layer {block.target} of {len(names)}; "
                    "expected layers of the graph, and every pair of layers once at most"
                )
            joined.add(pair)

    @cached_property
    def offsets(self) -> NDArray[np.int64]:
        """Number of the first unit of every layer, and after the last the number of all units."""
        return np.concatenate([[0], np.cumsum([layer.n_units for layer in self.layers])])

    @property
    def n_units(self) -> int:
        """The number of units in all layers."""
        return int(self.offsets[-1])

    def units(self, layer: int) -> slice:
        """Return the numbers of one layer's units."""
        return slice(int(self.offsets[layer]), int(self.offsets[layer + 1]))

    @cached_property
    def degrees(self) -> NDArray[np.float64]:
        """Sum of the weights at every unit, shape (n_units,)."""
        degrees = np.zeros(self.n_units)
        for block in self.edges:
            of_rows, of_columns = block.sums
            degrees[self.units(block.source)] += of_rows
            if not block.is_within_layer:
                degrees[self.units(block.target)] += of_columns
        return degrees

    @cached_property
    def isolated(self) -> NDArray[np.bool_]:
        """Whether a unit has no edges to speak of, shape (n_units,); see ``isolated_below``."""
        units = [self.units(index) for index in range(len(self.layers))]
        return isolated_units(units, _Blocks(self.edges), self.isolated_below)

    @property
    def is_half(self) -> bool:
        """Whether weights are stored in half precision."""
        return any(block.is_half for block in self.edges)

    @property
    def dead(self) -> NDArray[np.bool_]:
        """Whether a unit is isolated though its weights are not all 0, shape (n_units,)."""
        return self.isolated & (self.degrees > 0)

    def with_dead_cut_off(self) -> "UnitGraph":
        """Return the graph with all weights at isolated units 0, so that none of them is dead."""
        if not self.dead.any():
            return self
        kept = [~self.isolated[self.units(index)] for index in range(len(self.layers))]
        return self.with_weights(
            [
                np.where(np.outer(kept[block.source], kept[block.target]), block.weights, 0)
                for block in self.edges
            ]
        )

    def without_isolated(self, *, but_in_last_layer: bool = False) -> "UnitGraph":
        """Return the graph of the units that are not isolated (methods C5).

        Layers keep their place.

        Args:
            but_in_last_layer: Whether the last layer keeps all its units (quirk 11).
        """
        kept = ~self.isolated
        if but_in_last_layer:
            kept[self.units(len(self.layers) - 1)] = True
        if kept.all():
            return self
        layers = tuple(
            replace(layer, n_units=int(kept[self.units(index)].sum()))
            for index, layer in enumerate(self.layers)
        )
        edges = tuple(
            block.among(kept[self.units(block.source)], kept[self.units(block.target)])
            for block in self.edges
        )
        return replace(self, layers=layers, edges=edges)

    def with_weights(self, weights: Sequence[NDArray[np.floating]]) -> "UnitGraph":
        """Return the graph with other weight matrices, one for each of ``edges``."""
        blocks = zip(self.edges, weights, strict=True)
        return replace(self, edges=tuple(block.with_weights(w) for block, w in blocks))

    def adjacency(self) -> "scipy.sparse.csr_array":
        """Return the symmetric weight matrix, sparse, of shape (n_units, n_units)."""
        import scipy.sparse

        rows, columns, values = [], [], []
        for block in self.edges:
            # within a layer every edge stands twice
            once = np.triu(block.weights) if block.is_within_layer else block.weights
            source, target = np.nonzero(once)
            rows.append(source + self.offsets[block.source])
            columns.append(target + self.offsets[block.target])
            values.append(block.weights[source, target])
        if not rows:
            return scipy.sparse.csr_array((self.n_units, self.n_units))
        row, column, value = map(np.concatenate, (rows, columns, values))
        upper = scipy.sparse.coo_array((value, (row, column)), shape=(self.n_units,) * 2)
        return (upper + upper.T).tocsr()

    def two_colouring(self) -> NDArray[np.bool_] | None:
        """Return which layers are on the second side if the graph is bipartite, else None.

        Every edge of a bipartite graph joins the two sides. A plain feed-forward network's sides
        are its even and its odd layers.
        """
        import networkx

        graph_of_layers = networkx.Graph()
        graph_of_layers.add_nodes_from(range(len(self.layers)))
        graph_of_layers.add_edges_from((block.source, block.target) for block in self.edges)
        if not networkx.is_bipartite(graph_of_layers):
            return None
        colour = networkx.bipartite.color(graph_of_layers)
        return np.array([colour[index] == 0 for index in range(len(self.layers))])

    def to_npz(self) -> bytes:
        """Return the graph as the content of an ``.npz`` file, without pickle."""
        arrays: dict[str, NDArray[Any]] = {
            **layers_to_arrays(self.layers),
            "edge_layers": np.array([(block.source, block.target) for block in self.edges]),
            "isolated_below": np.array(self.isolated_below),
        }
        products, factors = products_to_arrays([block.factors for block in self.edges])
        # what is a product is made again of its factors
        others = [block for block in self.edges if block.factors is None]
        matrices = weights_to_arrays([block.weights for block in others])
        if any(block.is_half for block in others):
            arrays["in_half"] = np.array([block.is_half for block in others])
        return npz_content(arrays | matrices | products, factors)

    @classmethod
    def from_npz(cls, content: bytes) -> "UnitGraph":
        """Read a graph that :meth:`to_npz` wrote, of this or a former version.

        Raises:
            InvalidInputError: If the content is not such a file, or larger than the memory allows.
        """
        with opened_npz(content) as arrays:
            return cls.from_arrays(arrays)

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> "UnitGraph":
        """Return the graph that the arrays of an ``.npz`` file hold.

        Raises:
            InvalidInputError: If they hold none.
        """
        layers = layers_from_arrays(arrays)
        check_memory(8 * sum(layer.n_units for layer in layers))
        ends = _joined_layers(arrays["edge_layers"], len(layers))
        shapes = [(layers[source].n_units, layers[target].n_units) for source, target in ends]
        factors = products_from_arrays(arrays, shapes)
        others = [shape for shape, known in zip(shapes, factors, strict=True) if known is None]
        in_half = arrays.get("in_half", np.zeros(len(others), bool))
        matrices = zip(weights_from_arrays(arrays, others), in_half, strict=True)
        edges = tuple(
            _stored(*pair, *next(matrices))
            if known is None
            else Edges.half_of_product(*pair, *known)
            for pair, known in zip(ends, factors, strict=True)
        )
        # files of former versions, in which weights of exactly 0 alone were none
        return cls(layers, edges, float(arrays.get("isolated_below", 0)))


def _stored(source: int, target: int, weights: NDArray[Any], is_half: bool) -> Edges:
    if is_half:
        return Edges.half(source, target, weights.astype(np.float32, copy=False))
    return Edges(source, target, weights)


class _Blocks:
    """Edges as matrices with their sums, one at a time."""

    def __init__(self, edges: Sequence[Edges]) -> None:
        self._edges = edges

    def __iter__(self) -> Iterator[tuple[int, int, Edges]]:
        return ((block.source, block.target, block) for block in self._edges)


def _are_weights(stored: NDArray[np.floating]) -> bool:
    """Return whether all of an array's numbers are finite and not negative."""
    if stored.dtype == np.float16:
        infinite = np.array(np.inf, np.float16).view(np.uint16)  # as those that are negative
        return bool(stored.view(np.uint16).max(initial=0) < infinite)
    return bool(np.isfinite(stored).all() and (stored >= 0).all())


def _joined_layers(edge_layers: NDArray[Any], n_layers: int) -> list[tuple[int, int]]:
    """Return the indices of the two layers of every weight matrix of a file."""
    if edge_layers.size == 0:
        return []
    if edge_layers.ndim != 2 or edge_layers.shape[1] != 2 or edge_layers.dtype.kind not in "iu":
        raise InvalidInputError(
            f"edge_layers of type {edge_layers.dtype} and shape {edge_layers.shape}; expected "
            "integers of shape (matrices, 2), the layers that each comes from and goes to"
        )
    if edge_layers.min() < 0 or edge_layers.max() >= n_layers:
        raise InvalidInputError(
            f"edge_layers from {edge_layers.min()} to {edge_layers.max()}; expected 0 to "
            f"{n_layers - 1}, of {n_layers} layers"
        )
    return [(int(source), int(target)) for source, target in edge_layers]

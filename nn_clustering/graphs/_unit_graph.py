"""The graph that carries a whole study: layers of units, and weight matrices between them."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from nn_clustering.errors import InvalidInputError
from nn_clustering.graphs._isolation import NEGLIGIBLE, check_isolated_below, isolated_units

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
        "layer_names": np.array([layer.name for layer in layers]),
        "layer_units": np.array([layer.n_units for layer in layers]),
    }


def layers_from_arrays(arrays: Mapping[str, NDArray[Any]]) -> tuple[Layer, ...]:
    """Return the layers of which :func:`layers_to_arrays` made arrays."""
    pairs = zip(arrays["layer_names"], arrays["layer_units"], strict=True)
    return tuple(Layer(str(name), int(n_units)) for name, n_units in pairs)


@dataclass(frozen=True, eq=False)
class Edges:
    """All edges between two layers, or between the units of one layer.

    Attributes:
        source: Index of the layer they come from, in the graph's ``layers``.
        target: Index of the layer they go to; within a layer, the same.
        weights: Non-negative float32 or float64, of shape (source units, target units); 0 where
            there is no edge. Within a layer symmetric, with a zero diagonal.
    """

    source: int
    target: int
    weights: NDArray[np.floating]

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
            if not np.issubdtype(block.weights.dtype, np.floating):
                raise InvalidInputError(
                    f"{between}: weights of type {block.weights.dtype}; expected floating point"
                )
            if block.weights.shape != (source.n_units, target.n_units):
                raise InvalidInputError(
                    f"{between}: weights of shape {block.weights.shape}; expected "
                    f"{(source.n_units, target.n_units)}"
                )
            if not (np.isfinite(block.weights).all() and (block.weights >= 0).all()):
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
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise InvalidInputError(
                f"two layers of units are named {twice!r}; expected a name of its own for each"
            )
        joined: set[frozenset[int]] = set()
        for block in self.edges:
            pair = frozenset((block.source, block.target))
            if not pair <= set(range(len(names))) or pair in joined:
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
            degrees[self.units(block.source)] += block.weights.sum(axis=1, dtype=np.float64)
            if not block.is_within_layer:
                degrees[self.units(block.target)] += block.weights.sum(axis=0, dtype=np.float64)
        return degrees

    @cached_property
    def isolated(self) -> NDArray[np.bool_]:
        """Whether a unit has no edges to speak of, shape (n_units,); see ``isolated_below``."""
        units = [self.units(index) for index in range(len(self.layers))]
        edges = [(block.source, block.target, block.weights) for block in self.edges]
        return isolated_units(units, edges, self.isolated_below)

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
            replace(
                block,
                weights=block.weights[
                    np.ix_(kept[self.units(block.source)], kept[self.units(block.target)])
                ],
            )
            for block in self.edges
        )
        return replace(self, layers=layers, edges=edges)

    def with_weights(self, weights: Sequence[NDArray[np.floating]]) -> "UnitGraph":
        """Return the graph with other weight matrices, one for each of ``edges``."""
        blocks = zip(self.edges, weights, strict=True)
        return replace(self, edges=tuple(replace(block, weights=w) for block, w in blocks))

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
        for index, block in enumerate(self.edges):
            arrays[f"weights_{index}"] = block.weights
        buffer = io.BytesIO()
        np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type]
        return buffer.getvalue()

    @classmethod
    def from_npz(cls, content: bytes) -> "UnitGraph":
        """Read a graph that :meth:`to_npz` wrote.

        Raises:
            InvalidInputError: If the content is not such a file.
        """
        try:
            with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
                layers = layers_from_arrays(arrays)
                edges = tuple(
                    Edges(int(source), int(target), arrays[f"weights_{index}"])
                    for index, (source, target) in enumerate(arrays["edge_layers"])
                )
                # files of former versions, in which weights of exactly 0 alone were none
                isolated_below = float(arrays.get("isolated_below", 0))
        except Exception as error:  # whatever numpy, zipfile or zlib objects to
            raise InvalidInputError(f"not the .npz file of a unit graph ({error})") from error
        return cls(layers, edges, isolated_below)

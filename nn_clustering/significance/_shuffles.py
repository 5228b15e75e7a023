"""Shuffles of a unit graph's weights (methods D1, D2, E3)."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nn_clustering.errors import InvalidInputError
from nn_clustering.graphs import Edges, UnitGraph
from nn_clustering.significance._rewiring import can_be_rewired, rewired
from nn_clustering.significance._strengths import leave_strengths_a_choice, with_strengths_kept

# Takes an array of weights, of any shape, and returns it shuffled.
Shuffle = Callable[[NDArray[Any], np.random.Generator], NDArray[Any]]

# Standard deviation of the Gaussians in the kernel density of the studies.
_BANDWIDTH = 0.01

# Rows that are mirrored at once: a strip of them stays in the processor's cache.
_STRIP = 256


def shuffle(graph: UnitGraph, method: str, random: np.random.Generator) -> UnitGraph:
    """Return a graph of the same layers with its weights shuffled.

    Every matrix is shuffled on its own, but by ``all_edges``. Of edges within a layer the upper
    triangle is shuffled, and mirrored.

    Args:
        graph: The graph, usually without its isolated units.
        method: One of :data:`SHUFFLES`:

            - ``layer`` permutes all entries of a matrix, zeros included;
            - ``layer_nonzero`` permutes the non-zero entries among their places;
            - ``layer_nonzero_distribution`` keeps the places of the non-zero entries, and draws
              new ones from their Gaussian kernel density of bandwidth 0.01. The absolute value is
              taken, which makes it the density of the signed weights, whatever the signs: the
              Gaussian is symmetric;
            - ``layer_all_distribution`` is ``layer``, then ``layer_nonzero_distribution``;
            - ``rewiring`` draws the places of the non-zero entries anew, from all that leave every
              unit its number of edges. Weights stay with their unit in the source layer, in a
              random order;
            - ``layer_strength`` draws places and weights anew such that every unit keeps, towards
              each other layer, its number of edges and its strength, the sum of its weights (of
              edges within a layer the places stay);
            - ``all_edges`` permutes the entries of all matrices together (E3).
        random: Where the randomness comes from.

    Raises:
        InvalidInputError: If the method is unknown or does not fit the graph.
    """
    check_fits(graph, method)
    return shuffle_unchecked(graph, method, random)


def shuffle_unchecked(graph: UnitGraph, method: str, random: np.random.Generator) -> UnitGraph:
    """Return what :func:`shuffle` does, of a method that is known to fit the graph."""
    if method == "all_edges":
        return _shuffled_together(graph, random)
    return graph.with_weights([_shuffled(block, method, random) for block in graph.edges])


def check_shuffle(method: str) -> None:
    """Check the name of a shuffle.

    Raises:
        InvalidInputError: If it is not one of :data:`SHUFFLES`.
    """
    if method not in SHUFFLES:
        raise InvalidInputError(f"method={method!r}; expected one of {', '.join(SHUFFLES)}")


def check_fits(graph: UnitGraph, method: str) -> None:
    """Check that a shuffle can change a graph, and means something for it.

    Raises:
        InvalidInputError: If the method is unknown; if it is ``all_edges`` and some layers have no
            matrix between them or within them; if it is ``rewiring`` and there are edges within a
            layer, or no unit's edges can be changed without changing the number of another's; if it
            is ``layer_strength`` and the strengths leave no weight a choice.
    """
    check_shuffle(method)
    if method == "all_edges":
        missing = _missing_pair(graph)
        if missing is not None:
            raise InvalidInputError(
                f"method=all_edges: the graph has no weights between {missing[0]!r} and "
                f"{missing[1]!r}, so its units cannot be joined at will; expected a graph of "
                "activations; take method=layer"
            )
    if method == "rewiring":
        within = next((block for block in graph.edges if block.is_within_layer), None)
        if within is not None:
            raise InvalidInputError(
                f"method=rewiring: {graph.layers[within.source].name!r} has edges within the "
                "layer; expected edges between layers alone; take method=layer_nonzero or all_edges"
            )
        if not any(can_be_rewired(block.weights != 0) for block in graph.edges):
            raise InvalidInputError(
                "method=rewiring: no edge can be moved without changing a unit's number of edges "
                "(all units of neighbouring layers are joined, as before pruning); expected a "
                "sparse network; take method=layer"
            )
    if method == "layer_strength" and not any(
        leave_strengths_a_choice(block.weights, within_layer=block.is_within_layer)
        for block in graph.edges
    ):
        raise InvalidInputError(
            "method=layer_strength: no weight can change without changing a unit's strength (the "
            "edges have no cycle); expected more edges than units; take method=layer"
        )


def _missing_pair(graph: UnitGraph) -> tuple[str, str] | None:
    """Return two layers with units that could be joined, and no matrix to hold their edges."""
    joined = {frozenset((block.source, block.target)) for block in graph.edges}
    sizes = [layer.n_units for layer in graph.layers]
    for first, n_first in enumerate(sizes):
        for second in range(first, len(sizes)):
            n_pairs = n_first * sizes[second] if first != second else n_first * (n_first - 1)
            if n_pairs and frozenset((first, second)) not in joined:
                return graph.layers[first].name, graph.layers[second].name
    return None


def _shuffled(block: Edges, method: str, random: np.random.Generator) -> NDArray[Any]:
    if method == "rewiring":
        return rewired(np.asarray(block.weights), random)
    if method == "layer_strength":
        return with_strengths_kept(block.weights, random, within_layer=block.is_within_layer)
    shuffled = ENTRY_SHUFFLES[method](_entries(block), random)
    # What a kernel density adds can lead to below zero.
    return _as_matrix(np.abs(shuffled, out=shuffled), block)


def _shuffled_together(graph: UnitGraph, random: np.random.Generator) -> UnitGraph:
    entries = [_entries(block) for block in graph.edges]
    ends = np.cumsum([len(of_block) for of_block in entries])
    together = np.concatenate(entries)
    del entries
    random.shuffle(together)
    parts = np.split(together, ends[:-1])
    matrices = [
        _as_matrix(part.astype(block.weights.dtype, copy=False), block)
        for part, block in zip(parts, graph.edges, strict=True)
    ]
    return graph.with_weights(matrices)


def _entries(block: Edges) -> NDArray[Any]:
    """Return the weight of every pair of units once, in one row."""
    weights = np.asarray(block.weights)  # in a worker process it is a file in memory
    if not block.is_within_layer:
        return weights.ravel()
    rows = [row[unit + 1 :] for unit, row in enumerate(weights)]
    return np.concatenate([np.empty(0, weights.dtype), *rows])


def _as_matrix(entries: NDArray[Any], block: Edges) -> NDArray[Any]:
    """Return the matrix of a block from its entries, as :func:`_entries` orders them.

    Without index arrays, which for a layer of 30,000 units would be larger than its weights.
    """
    if not block.is_within_layer:
        return entries.reshape(block.weights.shape)
    weights = np.zeros(block.weights.shape, block.weights.dtype)
    n_units = len(weights)
    start = 0
    for unit in range(n_units - 1):
        stop = start + n_units - 1 - unit
        weights[unit, unit + 1 :] = entries[start:stop]
        start = stop
    for first in range(0, n_units, _STRIP):
        strip = slice(first, first + _STRIP)
        weights[strip, :first] = weights[:first, strip].T
        weights[strip, strip] += weights[strip, strip].T
    return weights


def _permute_all(weights: NDArray[Any], random: np.random.Generator) -> NDArray[Any]:
    entries = weights.ravel()
    nonzero = entries[entries != 0]
    if nonzero.size > entries.size // 2:
        return random.permutation(entries).reshape(weights.shape)
    # Where zeros prevail it is faster to draw places, in a random order, for the others.
    shuffled = np.zeros_like(entries)
    shuffled[random.choice(entries.size, nonzero.size, replace=False)] = nonzero
    return shuffled.reshape(weights.shape)


def _permute_nonzero(weights: NDArray[Any], random: np.random.Generator) -> NDArray[Any]:
    return _with_nonzero(weights, random.permutation(weights[weights != 0]))


def _draw_nonzero(weights: NDArray[Any], random: np.random.Generator) -> NDArray[Any]:
    values = weights[weights != 0]
    if values.size:
        values = values[random.integers(values.size, size=values.size)]
        values += _BANDWIDTH * random.standard_normal(values.size, dtype=values.dtype)
    return _with_nonzero(weights, values)


def _with_nonzero(weights: NDArray[Any], values: NDArray[Any]) -> NDArray[Any]:
    """Return an array with other values at the places of its non-zero entries, in their order."""
    if values.size == weights.size:
        return values.reshape(weights.shape)
    changed = np.zeros_like(weights)
    changed[weights != 0] = values
    return changed


def _permute_all_and_draw(weights: NDArray[Any], random: np.random.Generator) -> NDArray[Any]:
    return _draw_nonzero(_permute_all(weights, random), random)


# Those that look at the entries alone, not at what they join, so that kernels can be shuffled so.
ENTRY_SHUFFLES: dict[str, Shuffle] = {
    "layer": _permute_all,
    "layer_nonzero": _permute_nonzero,
    "layer_nonzero_distribution": _draw_nonzero,
    "layer_all_distribution": _permute_all_and_draw,
}
SHUFFLES = (*ENTRY_SHUFFLES, "rewiring", "layer_strength", "all_edges")

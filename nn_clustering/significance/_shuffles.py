"""Null models of a unit graph: its weights shuffled, layer by layer (methods D1, D2)."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from nn_clustering.errors import InvalidInputError
from nn_clustering.graphs import Edges, UnitGraph

# Takes an array of weights, of any shape, and returns it shuffled.
Shuffle = Callable[[NDArray, np.random.Generator], NDArray]


def shuffle(graph: UnitGraph, method: str, random: np.random.Generator) -> UnitGraph:
    """Return a graph of the same layers with every weight matrix shuffled on its own.

    Of edges within a layer the upper triangle is shuffled, and mirrored.

    Args:
        graph: The graph, usually without its isolated units.
        method: One of :data:`SHUFFLES`: ``layer`` permutes all entries of a matrix, zeros
            included; ``layer_nonzero`` permutes the non-zero entries among their places.
        random: Where the randomness comes from.

    Raises:
        InvalidInputError: If the method is unknown.
    """
    check_shuffle(method)
    return graph.with_weights([_shuffled(block, SHUFFLES[method], random) for block in graph.edges])


def check_shuffle(method: str) -> None:
    """Check the name of a shuffle.

    Raises:
        InvalidInputError: If it is not one of :data:`SHUFFLES`.
    """
    if method not in SHUFFLES:
        raise InvalidInputError(f"method={method!r}; expected one of {', '.join(SHUFFLES)}")


def _shuffled(block: Edges, shuffle_entries: Shuffle, random: np.random.Generator) -> NDArray:
    if not block.is_within_layer:
        return shuffle_entries(block.weights, random)
    upper = np.triu_indices(len(block.weights), 1)
    shuffled = np.zeros_like(block.weights)
    shuffled[upper] = shuffle_entries(block.weights[upper], random)
    return shuffled + shuffled.T


def _permute_all(weights: NDArray, random: np.random.Generator) -> NDArray:
    return random.permutation(weights.ravel()).reshape(weights.shape)


def _permute_nonzero(weights: NDArray, random: np.random.Generator) -> NDArray:
    shuffled = weights.copy()
    nonzero = weights != 0
    shuffled[nonzero] = random.permutation(weights[nonzero])
    return shuffled


SHUFFLES: dict[str, Shuffle] = {
    "layer": _permute_all,
    "layer_nonzero": _permute_nonzero,
}

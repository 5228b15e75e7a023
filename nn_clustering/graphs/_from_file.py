"""Graphs from anywhere: an ``.npz`` file of layers and matrices, or of a list of edges."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nn_clustering.errors import InvalidInputError
from nn_clustering.graphs._isolation import NEGLIGIBLE
from nn_clustering.graphs._single_precision import MOST_IN_DOUBLE
from nn_clustering.graphs._stored_weights import (
    as_floating,
    check_memory,
    check_places,
    opened_npz,
)
from nn_clustering.graphs._unit_graph import Edges, Layer, UnitGraph, layers_from_arrays

_OF_LAYERS = ("layer_names", "layer_units", "edge_layers")
_OF_LIST = ("sources", "targets")
# The name of the one layer of a list of edges that tells of none.
_ONLY_LAYER = "units"


def graph_from_file(content: bytes, name: str, *, isolated_below: float = NEGLIGIBLE) -> UnitGraph:
    """Read a graph that anybody may have made from the content of an ``.npz`` file.

    It holds either what :meth:`UnitGraph.to_npz` writes: ``layer_names``, ``layer_units``,
    ``edge_layers`` (the indices of the two layers that every matrix joins) and for the i-th matrix
    ``weights_i`` or ``rows_i``, ``columns_i`` and ``values_i``. Or a list of edges: ``sources`` and
    ``targets``, the numbers of the units that each joins, and ``weights``, by default all 1. The
    units of a list are one layer, of ``n_units`` or as many as the largest number tells; or those
    of ``layer_names`` and ``layer_units``, numbered through all layers in order.

    Edges have no direction. A list has each once, or each in both orders with the same weight.

    Args:
        content: Of the file.
        name: How messages begin.
        isolated_below: See :class:`UnitGraph`.

    Raises:
        InvalidInputError: If it is no such file, needs pickle, or more memory than there is; or if
            its graph has negative or infinite weights or NaN, edges of a unit with itself, edges
            twice, matrices that do not fit their layers, or are not symmetric within one.
    """
    try:
        with opened_npz(content) as arrays:
            graph = _graph(arrays)
    except InvalidInputError as error:
        raise InvalidInputError(f"{name}: {error}") from error
    return replace(graph, isolated_below=isolated_below)


def _graph(arrays: Mapping[str, NDArray[Any]]) -> UnitGraph:
    if all(name in arrays for name in _OF_LIST):
        return _from_list(arrays)
    missing = [name for name in _OF_LAYERS if name not in arrays]
    if missing:
        raise InvalidInputError(
            f"it holds {', '.join(arrays) or 'nothing'} and no {missing[0]}; expected the arrays "
            f"{', '.join(_OF_LAYERS)} and weights_0, weights_1, ...; or {', '.join(_OF_LIST)} and "
            "weights"
        )
    return UnitGraph.from_arrays(arrays)


def _from_list(arrays: Mapping[str, NDArray[Any]]) -> UnitGraph:
    sources, targets = (arrays[name] for name in _OF_LIST)
    weights = arrays.get("weights", np.ones(len(sources)) if sources.ndim else np.ones(()))
    if not sources.shape == targets.shape == weights.shape or sources.ndim != 1:
        raise InvalidInputError(
            f"sources, targets and weights of shapes {sources.shape}, {targets.shape} and "
            f"{weights.shape}; expected three of one length, with a number for each edge"
        )
    for name in _OF_LIST:
        if arrays[name].dtype.kind not in "biuf":  # check_places says what is wrong with those
            raise InvalidInputError(
                f"{name} of type {arrays[name].dtype}; expected the units' numbers, from 0"
            )
    layers = _layers_of_list(arrays)
    n_units = sum(layer.n_units for layer in layers)
    check_places("sources", sources, n_units)
    check_places("targets", targets, n_units)
    low, high, values = _each_once(sources, targets, as_floating(weights, "weights"), n_units)
    check_memory(8 * n_units)
    return UnitGraph(layers, tuple(_blocks(layers, low, high, values)))


def _blocks(
    layers: tuple[Layer, ...],
    low: NDArray[np.int64],
    high: NDArray[np.int64],
    values: NDArray[np.floating],
) -> Iterator[Edges]:
    """Yield the matrices of the pairs of layers that some edge joins."""
    ends = np.cumsum([layer.n_units for layer in layers])
    offsets = ends - [layer.n_units for layer in layers]
    first, second = (np.searchsorted(ends, units, side="right") for units in (low, high))
    pairs, pair = np.unique(first * len(layers) + second, return_inverse=True)
    joined = [divmod(int(number), len(layers)) for number in pairs]
    n_weights = sum(layers[source].n_units * layers[target].n_units for source, target in joined)
    check_memory(8 * n_weights)
    single = values.astype(np.float32)
    if n_weights > MOST_IN_DOUBLE and np.array_equal(single, values):
        values = single
    by_pair = np.split(np.argsort(pair, kind="stable"), np.cumsum(np.bincount(pair))[:-1])
    for (source, target), edges in zip(joined, by_pair, strict=bool(joined)):
        matrix = np.zeros((layers[source].n_units, layers[target].n_units), values.dtype)
        rows, columns = low[edges] - offsets[source], high[edges] - offsets[target]
        matrix[rows, columns] = values[edges]
        if source == target:
            matrix[columns, rows] = values[edges]
        yield Edges(source, target, matrix)


def _layers_of_list(arrays: Mapping[str, NDArray[Any]]) -> tuple[Layer, ...]:
    if "layer_names" in arrays or "layer_units" in arrays:
        return layers_from_arrays(arrays)
    largest = max((int(arrays[name].max()) for name in _OF_LIST if arrays[name].size), default=-1)
    n_units = arrays.get("n_units", np.array(largest + 1))
    if n_units.ndim or n_units.dtype.kind not in "iu" or n_units <= largest:
        raise InvalidInputError(
            f"n_units={n_units.tolist()}; expected an integer above {largest}, the largest number "
            "in sources and targets, which begin at 0"
        )
    return (Layer(_ONLY_LAYER, int(n_units)),)


def _each_once(
    sources: NDArray[np.integer],
    targets: NDArray[np.integer],
    weights: NDArray[np.floating],
    n_units: int,
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.floating]]:
    """Return the edges of a list with the smaller unit first, each pair of units once."""
    low, high = np.minimum(sources, targets).astype(int), np.maximum(sources, targets).astype(int)
    itself = low == high
    if itself.any():
        raise InvalidInputError(
            f"an edge from unit {low[itself][0]} to itself; expected edges between two units: "
            "leave it out"
        )
    order = np.lexsort((sources, high, low))
    low, high, weights, turned = low[order], high[order], weights[order], (sources > targets)[order]
    same = (low[1:] == low[:-1]) & (high[1:] == high[:-1])
    # listed by the first unit of the two, so that an edge and its reverse are neighbours
    wrong = same & ((turned[1:] == turned[:-1]) | (weights[1:] != weights[:-1]))
    if wrong.any():
        first = int(np.flatnonzero(wrong)[0])
        raise InvalidInputError(
            f"two edges between the units {low[first]} and {high[first]}, of the weights "
            f"{weights[first]:g} and {weights[first + 1]:g}; expected each pair once, or in both "
            "orders with one weight: add them up"
        )
    kept = np.append(True, ~same)[: low.size]
    return low[kept], high[kept], weights[kept]

"""Which weights of a network's raw kernels a null model may move."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nn_clustering.graphs import (
    CONTRACTED,
    KernelUnits,
    by_residual_rule,
    graph_of_weights,
    kernel_units,
)
from nn_clustering.networks.structure import NetworkWeights

# Keys of the graph's settings that say which units there are.
_OF_UNITS = ("inputs", "outputs", "dense_layers")


def movable_weights(
    weights: NetworkWeights,
    graph_settings: Mapping[str, Any],
    *,
    reconnect_last_layer: bool = False,
) -> tuple[NDArray[np.bool_] | None, ...]:
    """Return which weights of each kernel lie between units with edges; None where none do.

    Those of units that are isolated in the graph stay where they are, and so do kernels that make
    no edges of the graph by their own.

    Args:
        weights: The network's weights.
        graph_settings: How the network's graph is made; see
            :func:`~nn_clustering.graphs.graph_of_weights`.
        reconnect_last_layer: Whether weights may be moved to units of the last layer that are
            isolated in the network (quirk 11).

    Returns:
        For each kernel an array of shape (channels that it reads, units).
    """
    graph = graph_of_weights(weights, **graph_settings)
    has_edges = ~graph.isolated
    if reconnect_last_layer:
        has_edges[graph.units(len(graph.layers) - 1)] = True
    of_units = {key: graph_settings[key] for key in _OF_UNITS if key in graph_settings}
    arranged = by_residual_rule(weights, graph_settings.get("residual"))
    return tuple(
        None if units is None else _movable(units, has_edges)
        for units in kernel_units(arranged, **of_units)
    )


def _movable(units: KernelUnits, has_edges: NDArray[np.bool_]) -> NDArray[np.bool_]:
    # What is no unit of the graph has the number -1, which then is the last, and what is left out
    # but joins units CONTRACTED, which then is the one before.
    assert CONTRACTED == -2
    known = np.append(has_edges, [True, False])
    columns = known[units.columns].any(axis=0)
    of_group = np.repeat(known[units.rows], columns.size // len(units.rows), axis=0)
    return of_group.T & columns

"""The null model of a network's raw kernels: their weights shuffled, and the graph made again."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nn_clustering.graphs import (
    CONTRACTED,
    KernelUnits,
    UnitGraph,
    by_residual_rule,
    graph_of_weights,
    kernel_units,
)
from nn_clustering.networks.structure import NetworkWeights
from nn_clustering.significance._null_models import check_null_model
from nn_clustering.significance._shuffles import ENTRY_SHUFFLES

# Keys of the graph's settings that say which units there are.
_OF_UNITS = ("inputs", "outputs", "dense_layers")


@dataclass(frozen=True, eq=False)
class ShuffledKernels:
    """A network with the weights of its kernels shuffled; made by :func:`shuffled_kernels`.

    Attributes:
        weights: The network's weights.
        method: How they are shuffled.
        graph_settings: How their graph is made; see :meth:`NetworkWeights.graph`.
        movable: For each kernel which pairs of a channel that it reads and a unit change their
            weights, of shape (inputs, units); None where none do.
    """

    weights: NetworkWeights
    method: str
    graph_settings: Mapping[str, Any]
    movable: tuple[NDArray[np.bool_] | None, ...] = field(repr=False)

    def draw(self, random: np.random.Generator) -> UnitGraph:
        """Return the graph of the network with its kernels shuffled."""
        return graph_of_weights(
            self.weights.with_kernels(self.kernels(random)), **self.graph_settings
        )

    def kernels(self, random: np.random.Generator) -> list[NDArray[np.floating]]:
        """Return all kernels of the network, shuffled."""
        return [
            kernel if movable is None else _shuffled(kernel, movable, self.method, random)
            for kernel, movable in zip(self.weights.kernels, self.movable, strict=True)
        ]


def shuffled_kernels(
    weights: NetworkWeights,
    method: str,
    graph_settings: Mapping[str, Any],
    *,
    reconnect_last_layer: bool = False,
) -> ShuffledKernels:
    """Return the null model of a network whose kernels are shuffled, each on its own.

    All weights of a kernel are shuffled together, whatever their position in it: of a convolution
    height x width x inputs x units. Those of units that are isolated in the graph stay where they
    are, and so do kernels that make no edges of the graph by their own.

    Args:
        weights: The network's weights.
        method: How to shuffle: a method of :func:`shuffle` that looks at single weights.
        graph_settings: How the network's graph is made; see :meth:`NetworkWeights.graph`.
        reconnect_last_layer: Whether weights may be shuffled to units of the last layer that are
            isolated in the network (quirk 11).

    Raises:
        InvalidInputError: If the method does not fit.
    """
    check_null_model(method, kernels="weights")
    graph = graph_of_weights(weights, **graph_settings)
    has_edges = ~graph.isolated
    if reconnect_last_layer:
        has_edges[graph.units(len(graph.layers) - 1)] = True
    of_units = {key: graph_settings[key] for key in _OF_UNITS if key in graph_settings}
    arranged = by_residual_rule(weights, graph_settings.get("residual"))
    movable = tuple(
        None if units is None else _movable(units, has_edges)
        for units in kernel_units(arranged, **of_units)
    )
    return ShuffledKernels(weights, method, dict(graph_settings), movable)


def _movable(units: KernelUnits, has_edges: NDArray[np.bool_]) -> NDArray[np.bool_]:
    # What is no unit of the graph has the number -1, which then is the last, and what is left out
    # but joins units CONTRACTED, which then is the one before.
    assert CONTRACTED == -2
    known = np.append(has_edges, [True, False])
    columns = known[units.columns].any(axis=0)
    of_group = np.repeat(known[units.rows], columns.size // len(units.rows), axis=0)
    return of_group.T & columns


def _shuffled(
    kernel: NDArray[Any], movable: NDArray[np.bool_], method: str, random: np.random.Generator
) -> NDArray[Any]:
    shuffled = np.array(kernel)
    shuffled[..., movable] = ENTRY_SHUFFLES[method](kernel[..., movable], random)
    return shuffled

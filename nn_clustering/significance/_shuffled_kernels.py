"""The null model of a network's raw kernels: their weights shuffled, and the graph made again."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nn_clustering.graphs import UnitGraph, graph_of_weights
from nn_clustering.networks.structure import NetworkWeights
from nn_clustering.significance._movable_weights import movable_weights
from nn_clustering.significance._null_models import check_entry_shuffle
from nn_clustering.significance._shuffles import ENTRY_SHUFFLES


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
    check_entry_shuffle(method)
    movable = movable_weights(weights, graph_settings, reconnect_last_layer=reconnect_last_layer)
    return ShuffledKernels(weights, method, dict(graph_settings), movable)


def _shuffled(
    kernel: NDArray[Any], movable: NDArray[np.bool_], method: str, random: np.random.Generator
) -> NDArray[Any]:
    shuffled = np.array(kernel)
    shuffled[..., movable] = ENTRY_SHUFFLES[method](kernel[..., movable], random)
    return shuffled

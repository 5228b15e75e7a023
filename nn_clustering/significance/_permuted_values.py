"""The null models of an attention's heads: who reads and who is read no longer match."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nn_clustering.errors import InvalidInputError
from nn_clustering.graphs import UnitGraph, graph_of_weights
from nn_clustering.networks.structure import NetworkWeights
from nn_clustering.significance._movable_weights import movable_weights
from nn_clustering.significance._null_models import VALUE_PERMUTATIONS


@dataclass(frozen=True, eq=False)
class PermutedValues:
    """A network whose heads have other heads' values; made by :func:`permuted_values`.

    Attributes:
        weights: The network's weights.
        method: ``heads`` or ``channels``.
        graph_settings: How their graph is made.
        movable: By the index of each value kernel, which of its channels may get another's weights,
            of shape (heads, channels of a head).
    """

    weights: NetworkWeights
    method: str
    graph_settings: Mapping[str, Any]
    movable: Mapping[int, NDArray[np.bool_]] = field(repr=False)

    def draw(self, random: np.random.Generator) -> UnitGraph:
        """Return the graph of the network with the columns of its value kernels permuted."""
        return graph_of_weights(
            self.weights.with_kernels(self.kernels(random)), **self.graph_settings
        )

    def kernels(self, random: np.random.Generator) -> list[NDArray[np.floating]]:
        """Return all kernels of the network, those of values with their columns permuted."""
        kernels = list(self.weights.kernels)
        for index, movable in self.movable.items():
            order = _order(movable, self.method, random)
            kernels[index] = kernels[index][:, order.ravel()]
        return kernels


def permuted_values(
    weights: NetworkWeights, method: str, graph_settings: Mapping[str, Any]
) -> PermutedValues:
    """Return the null model of a network whose attentions' values are permuted, each on its own.

    The columns of every value kernel are permuted: ``heads`` moves those of a head together, as a
    whole, ``channels`` each channel by itself, over all heads. The kernel that reads the values
    stays, and so does all else: what a head reads is no longer what it is read for, yet each head
    (or channel) reads as strongly, and is read as strongly, as in the network.

    A channel that is isolated in the graph stays where it is, with ``heads`` its head too.

    Args:
        weights: The network's weights.
        method: ``heads`` or ``channels``.
        graph_settings: How the network's graph is made; see
            :func:`~nn_clustering.graphs.graph_of_weights`.

    Raises:
        InvalidInputError: If the method is none of the two, or the network has no attention whose
            values make edges of the graph and can be permuted so.
    """
    if method not in VALUE_PERMUTATIONS:
        raise InvalidInputError(
            f"method={method!r}; expected one of {', '.join(VALUE_PERMUTATIONS)}"
        )
    n_heads = {
        layer.kernel: layer.n_heads
        for layer in weights.weight_layers.values()
        if layer.n_heads is not None
    }
    if not n_heads:
        which = " whose values a layer makes for them alone" if weights.has_attention else ""
        raise InvalidInputError(
            f"method={method}: network {weights.name!r} has no attention{which}; expected a "
            "network with attention layers, such as a transformer: take method=layer"
        )
    movable = movable_weights(weights, graph_settings)
    found = dict(_movable_channels(n_heads, movable))
    if not found:
        raise InvalidInputError(
            f"method={method}: no unit of the graph leads into the values of the attention of "
            f"network {weights.name!r}, since the first block reads the inputs alone; expected "
            "a graph with graph.inputs=True, or with graph.residual=units"
        )
    if all(_n_that_move(channels, method) < 2 for channels in found.values()):
        raise InvalidInputError(_nothing_to_permute(weights, method, found))
    return PermutedValues(weights, method, dict(graph_settings), found)


def _movable_channels(
    n_heads: Mapping[int, int], movable: tuple[NDArray[np.bool_] | None, ...]
) -> Iterator[tuple[int, NDArray[np.bool_]]]:
    """Yield the kernels of values that make edges, with which of their channels have any."""
    for kernel, heads in n_heads.items():
        of_kernel = movable[kernel]
        if of_kernel is not None and of_kernel.any():
            yield kernel, of_kernel.any(axis=0).reshape(heads, -1)


def _n_that_move(movable: NDArray[np.bool_], method: str) -> int:
    return int(movable.all(axis=1).sum() if method == "heads" else movable.sum())


def _nothing_to_permute(
    weights: NetworkWeights, method: str, found: Mapping[int, NDArray[np.bool_]]
) -> str:
    """Return why there is nothing to permute, and what there has to be."""
    if method == "heads" and all(len(channels) == 1 for channels in found.values()):
        why, instead = "has one head of values a layer", "channels"
    else:
        why, instead = f"has isolated channels in all its {method} but one a layer", "layer"
    return (
        f"method={method}: the attention of network {weights.name!r} {why}; expected two or more "
        f"to permute in a layer: take method={instead}"
    )


def _order(
    movable: NDArray[np.bool_], method: str, random: np.random.Generator
) -> NDArray[np.int64]:
    """Return which column comes to every place, shaped as ``movable``."""
    order = np.arange(movable.size).reshape(movable.shape)
    if method == "heads":
        whole = np.flatnonzero(movable.all(axis=1))
        order[whole] = order[random.permutation(whole)]
    else:
        order[movable] = random.permutation(order[movable])
    return order

"""The sets of units of a network's weights, and which weights join them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nn_clustering.errors import InvalidInputError
from nn_clustering.graphs._selection import Selection
from nn_clustering.networks.structure import (
    Copied,
    Flattened,
    InputValues,
    Merged,
    NetworkWeights,
    Origin,
    Part,
    Rearranged,
    Unflattened,
    Weighted,
)

# What a weight layer is, by the dimensions of its kernel.
_KINDS = {2: "dense", 3: "recurrent", 4: "convolution"}


@dataclass(frozen=True)
class UnitSet:
    """A layer of the graph of units.

    Attributes:
        name: Name of the Keras layer where the units arise, "input" for a single input.
        n_units: Number of units.
        tensor: Number of the tensor where they arise, as in
            :func:`~nn_clustering.networks.structure.walk_network`; for a weight layer, before its
            activation, for a copy the one that is read.
        arises_from: "input", "dense", "convolution", "recurrent", "merge", "reshape" or, where one
            weight layer reads them, "copy".
        n_heads: Number of heads of an attention whose values the units are, in their order; None
            for other units.
        is_of_tokens: Whether they are tokens, of whose numbers the tensor holds one a position.
    """

    name: str
    n_units: int
    tensor: int
    arises_from: str
    n_heads: int | None = None
    is_of_tokens: bool = False


@dataclass(frozen=True, eq=False)
class Reader:
    """A weight layer as it joins sets of units.

    Attributes:
        name: Name of the layer.
        tensor: Number of the tensor that it reads.
        parts: What of the tensor's last axis comes from which set.
        sources: For every part the index of its set, or None if the set is left out.
        targets: Indices of the sets that its weights lead into.
    """

    name: str
    tensor: int
    parts: tuple[Part, ...]
    sources: tuple[int | None, ...]
    targets: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class KernelUnits:
    """The units that a kernel joins, by their number through all layers of a graph; -1 for none.

    :data:`CONTRACTED` stands for a channel of a set that is left out (``residual="contracted"``),
    through which it joins units.

    Attributes:
        rows: The unit that is read, of shape (groups, the kernel's second to last axis). Behind a
            flatten all positions of a channel have its unit.
        columns: The unit that is led into, of shape (ways, the kernel's last axis): one way for
            every set that the layer leads into, more where it leads into several units of one.
    """

    rows: NDArray[np.int64]
    columns: NDArray[np.int64]


def unit_sets(
    network: NetworkWeights,
    *,
    inputs: bool | None = None,
    outputs: bool | None = None,
    dense_layers: bool | None = None,
) -> tuple[UnitSet, ...]:
    """Return the layers of a graph, with where units arise; see :func:`graph_of_weights`."""
    selection = Selection(network, inputs, outputs, dense_layers)
    return tuple(unit_set(network, origin, selection.parts) for origin in selection.origins)


def weight_readers(
    network: NetworkWeights,
    *,
    inputs: bool | None = None,
    outputs: bool | None = None,
    dense_layers: bool | None = None,
) -> tuple[Reader, ...]:
    """Return the weight layers that make the edges of the graph; see :func:`graph_of_weights`."""
    selection = Selection(network, inputs, outputs, dense_layers)
    index = {origin: place for place, origin in enumerate(selection.origins)}
    readers = []
    for number in selection.layers:
        layer = network.weight_layers[number]
        parts = selection.parts[network.read_by(layer)]
        sources = tuple(index.get(part.origin) for part in parts)
        targets = tuple(index[target] for target in selection.targets(number))
        readers.append(Reader(layer.name, layer.read_tensor, parts, sources, targets))
    return tuple(readers)


def joined_sets(
    network: NetworkWeights,
    *,
    inputs: bool | None = None,
    outputs: bool | None = None,
    dense_layers: bool | None = None,
) -> set[tuple[int, int]]:
    """Return which sets are joined where linear ones are left out; see :func:`graph_of_weights`."""
    selection = Selection(network, inputs, outputs, dense_layers)
    assert selection.contraction is not None
    index = {origin: place for place, origin in enumerate(selection.origins)}
    pairs = selection.contraction.pairs(selection.origins)
    return {(index[source], index[target]) for source, target in pairs}


def kernel_units(
    network: NetworkWeights,
    *,
    inputs: bool | None = None,
    outputs: bool | None = None,
    dense_layers: bool | None = None,
) -> tuple[KernelUnits | None, ...]:
    """Return the units that each kernel joins in the graph; see :func:`graph_of_weights`.

    None for kernels that make no edges: of layers that are left out, and of depthwise
    convolutions, which multiply other layers' weights.
    """
    selection = Selection(network, inputs, outputs, dense_layers)
    found: list[KernelUnits | None] = [None] * len(network.kernels)
    for number in selection.layers:
        layer = network.weight_layers[number]
        found[layer.kernel] = KernelUnits(
            selection.rows(number, network.kernels[layer.kernel].shape[-2] * layer.groups).reshape(
                layer.groups, -1
            ),
            selection.columns(number, network.kernels[layer.kernel].shape[-1]),
        )
    return tuple(found)


def active_unit_sets(weights: NetworkWeights) -> list[UnitSet]:
    """Return the hidden units of dense layers, or, if there are convolutions, all filters (E1).

    Raises:
        InvalidInputError: If there are none.
    """
    filters = weights.has_convolutions
    is_convolution = {
        layer.name: weights.is_convolutional(layer) for layer in weights.weight_layers.values()
    }
    settings = {"inputs": True, "dense_layers": True}
    counted = {units.tensor for units in unit_sets(weights, **settings)}
    if weights.has_attention:
        settings["outputs"] = True  # what reads the last sum of a stream, or the last neurons
    readers, sets = weight_readers(weights, **settings), unit_sets(weights, **settings)
    made = {
        target
        for reader in readers
        for target in reader.targets
        if is_convolution[reader.name] == filters
    }
    read = {source for reader in readers for source in reader.sources}
    hidden = [
        units
        for index, units in enumerate(sets)
        if index in made and units.tensor in counted and (filters or index in read)
    ]
    if not hidden:
        raise InvalidInputError(
            f"network {weights.name!r} has no hidden units; expected at least one dense layer "
            "before the last, or a convolution"
        )
    return hidden


def unit_set(network: NetworkWeights, origin: Origin, parts: Sequence[tuple[Part, ...]]) -> UnitSet:
    """Return the set of units that arises at an origin.

    Args:
        network: The weights.
        origin: Where.
        parts: What each of the network's channels holds, from :func:`trace_parts`.
    """
    channels, name = network.channels[origin.channels], network.name_of(origin)
    if isinstance(channels, Weighted):
        kind = _KINDS[network.kernels[channels.kernel].ndim]
        return UnitSet(name, origin.n_units, channels.tensor, kind, channels.n_heads)
    if isinstance(channels, Merged):
        return UnitSet(name, origin.n_units, channels.tensor, "merge")
    if isinstance(channels, Unflattened):
        return UnitSet(name, origin.n_units, channels.tensor, "reshape")
    if isinstance(channels, Copied):
        return UnitSet(name, origin.n_units, channels.tensor, "copy")
    is_of_tokens = isinstance(channels, InputValues) and channels.is_of_tokens
    tensor = _tensor_of(network, origin, parts)
    return UnitSet(name, origin.n_units, tensor, "input", is_of_tokens=is_of_tokens)


def _tensor_of(network: NetworkWeights, origin: Origin, parts: Sequence[tuple[Part, ...]]) -> int:
    """Return the first tensor that holds an input in the arrangement of an origin."""
    return next(
        channels.tensor
        for channels, held in zip(network.channels, parts, strict=True)
        if isinstance(channels, InputValues | Rearranged | Flattened)
        and any(part.origin == origin for part in held)
    )

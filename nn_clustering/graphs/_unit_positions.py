"""Where in a network the units of a hidden layer are read, and where their weights lead to."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nn_clustering.errors import InvalidInputError
from nn_clustering.graphs._residual import by_residual_rule
from nn_clustering.graphs._unit_graph import Layer
from nn_clustering.graphs._unit_sets import Reader, kernel_units, unit_sets, weight_readers
from nn_clustering.networks.structure import Broadcast, Merged, NetworkWeights, Scaled

# All that a network has of units, so that every partition finds its own among them.
_ALL = {"inputs": True, "dense_layers": True}


@dataclass(frozen=True, eq=False)
class Places:
    """A tensor, and which units of a layer the places on its last axis hold.

    Attributes:
        tensor: Number of the tensor, in :func:`~nn_clustering.networks.structure.walk_network`.
        reader: Name of the step that reads it silenced; None for all that read it.
        units: Unit that every place holds, of shape (ways, places); -1 for none of the layer. A
            place that holds several units, one each way, falls silent with any of them.
        channels: Places with the same number hold positions of the same channel; of shape
            (places,).
    """

    tensor: int
    reader: str | None
    units: NDArray[np.int64]
    channels: NDArray[np.int64]

    @property
    def cut(self) -> tuple[str | None, int]:
        """The step that reads silence (None for all) and the tensor where it does."""
        return self.reader, self.tensor


@dataclass(frozen=True, eq=False)
class UnitLayers:
    """The layers of units of a network.

    Attributes:
        network: Name of the network.
        sizes: For every name of a layer the numbers of units of the layers so called: of one, but
            that an input may have the name of another.
        places: For every hidden layer where a lesion of its units strikes.
        heads: Number of heads of every hidden layer whose units are values of attention.
    """

    network: str
    sizes: Mapping[str, tuple[int, ...]]
    places: Mapping[str, tuple[Places, ...]]
    heads: Mapping[str, int]

    @property
    def hidden(self) -> dict[str, int]:
        """Name and number of units of every layer that can be lesioned."""
        return {name: self.sizes[name][0] for name in self.places}

    def among(self, layers: Sequence[Layer]) -> tuple[str, ...]:
        """Return the names of the layers that are hidden here.

        Raises:
            InvalidInputError: If a layer is not the network's, or has another number of units.
        """
        for layer in layers:
            sizes = self.sizes.get(layer.name, ())
            if layer.n_units not in sizes:
                found = " and ".join(map(str, sizes)) or "no such layer"
                raise InvalidInputError(
                    f"the partition has a layer {layer.name!r} of {layer.n_units} units, network "
                    f"{self.network!r} has {found}: the partition belongs to another network"
                )
        return tuple(layer.name for layer in layers if layer.name in self.places)


def unit_layers(
    weights: NetworkWeights, *, of_weights: bool = False, residual: str | None = None
) -> UnitLayers:
    """Return the layers of units of a network, and where lesions of the hidden ones strike.

    Hidden are the units that weights lead into and that a weight layer reads.

    Args:
        weights: The network.
        of_weights: Whether a lesion strikes what the weight layers make that lead into the units,
            instead of what the weight layers read that the units lead into.
        residual: By which rule the layers of units are named; see
            :func:`~nn_clustering.graphs.graph_of_weights`. Copied ones are silent for their one
            reader alone.

    Raises:
        InvalidInputError: If the network has no hidden units, two layers have one name, or a lesion
            is to strike what leads into units of which there are copies, or into a merge in which
            one channel stands for several units.
    """
    if of_weights:
        _require_units_of_their_own(weights, residual)
    weights = by_residual_rule(weights, residual)
    sets, readers = unit_sets(weights, **_ALL), weight_readers(weights, **_ALL)
    sizes = _sizes(weights)
    made = {target for reader in readers for target in reader.targets}
    read = {source for reader in readers for source in reader.sources}
    hidden = sorted(made.intersection(source for source in read if source is not None))
    for index in hidden:
        if len(sizes[sets[index].name]) > 1:
            raise InvalidInputError(
                f"network {weights.name!r} has {len(sizes[sets[index].name])} layers of units "
                f"called {sets[index].name!r}; expected names of their own: rename a layer"
            )
    if not hidden:
        raise InvalidInputError(
            f"network {weights.name!r} has no hidden units; expected two dense or convolutional "
            "layers at least, one behind the other"
        )
    starts = np.cumsum([0, *(units.n_units for units in sets)])
    places = {
        sets[index].name: tuple(
            _where_made(weights, starts[index], starts[index + 1])
            if of_weights
            else _where_read(readers, index)
        )
        for index in hidden
    }
    heads = {
        sets[index].name: n_heads
        for index in hidden
        if (n_heads := sets[index].n_heads) is not None
    }
    return UnitLayers(weights.name, sizes, places, heads)


def _sizes(weights: NetworkWeights) -> dict[str, tuple[int, ...]]:
    """Return the numbers of units of the sets of every name, outputs included where they can be."""
    try:
        sets = unit_sets(weights, **_ALL, outputs=True)
    except InvalidInputError:  # no weights that count lead there
        sets = unit_sets(weights, **_ALL)
    sizes: dict[str, tuple[int, ...]] = {}
    for units in sets:
        sizes[units.name] = (*sizes.get(units.name, ()), units.n_units)
    return sizes


def _require_units_of_their_own(weights: NetworkWeights, residual: str | None) -> None:
    """Check that no channel leads into several units, which would all fall silent."""
    if residual == "copied":
        raise InvalidInputError(
            "silence='weights' with residual='copied', where one weight layer leads into a set of "
            "units for each of its readers: all would fall silent at once; expected "
            "silence='output' or 'mean', which silence a set for its one reader"
        )
    merges = [channels for channels in weights.channels if isinstance(channels, Merged)]
    for merge in merges:
        if any(_is_broadcast(weights, read) for read in merge.reads):
            raise InvalidInputError(
                f"layer {merge.name!r} of network {weights.name!r} joins one channel with each of "
                "several: silence='weights' would silence all of its units at once; expected "
                "silence='output' or 'mean' for this network"
            )


def _is_broadcast(weights: NetworkWeights, index: int) -> bool:
    """Return whether channels are one that stands for each of several, if multiplied."""
    channels = weights.channels[index]
    while isinstance(channels, Scaled):
        channels = weights.channels[channels.reads]
    return isinstance(channels, Broadcast)


def _where_read(readers: Sequence[Reader], index: int) -> Iterator[Places]:
    """Yield what every weight layer reads that reads units of a set."""
    for reader in readers:
        if index not in reader.sources:
            continue
        n_places = sum(part.rows.size for part in reader.parts)
        units, channels = np.full((1, n_places), -1), np.empty(n_places, np.int64)
        n_channels = 0
        for part, source in zip(reader.parts, reader.sources, strict=True):
            if source == index:
                units[0, part.rows] = part.units
            channels[part.rows] = n_channels + np.arange(part.units.size)
            n_channels += part.units.size
        yield Places(reader.tensor, reader.name, units, channels)


def _where_made(weights: NetworkWeights, start: int, stop: int) -> Iterator[Places]:
    """Yield what every weight layer makes that leads into the units of these numbers."""
    of_kernels = kernel_units(weights, **_ALL)
    for layer in weights.weight_layers.values():
        joined = of_kernels[layer.kernel]
        if joined is None:
            continue
        columns = joined.columns
        units = np.where((columns >= start) & (columns < stop), columns - start, -1)
        units = units[(units >= 0).any(axis=1)]
        if units.size:
            yield Places(layer.tensor, None, units, np.arange(units.shape[1]))

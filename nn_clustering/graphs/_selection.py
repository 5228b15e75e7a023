"""Which sets of units and which weight layers make a graph."""

from collections import defaultdict
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from nn_clustering.errors import InvalidInputError
from nn_clustering.graphs._contraction import Contraction
from nn_clustering.graphs._streams import joined_streams
from nn_clustering.networks.structure import (
    Contribution,
    Copied,
    Merged,
    NetworkWeights,
    Origin,
    Part,
    SharedFactors,
    Weighted,
    shared_factors,
    trace_contributions,
    trace_parts,
)

# Stands in rows and columns of kernels for a channel of a set that is left out, through which its
# weights join units.
CONTRACTED = -2


class Selection:
    """The sets and the weight layers that make a graph, after the user's choice of them."""

    def __init__(
        self,
        network: NetworkWeights,
        inputs: bool | None,
        outputs: bool | None,
        dense_layers: bool | None,
        kernel_norm: str = "l1",
        *,
        fold_normalisation: bool = True,
    ) -> None:
        self._network = network
        self._dense = not network.has_convolutions if dense_layers is None else dense_layers
        # of tokens and pixels there are many, and what is put out of a stream is its own basis
        by_default = not network.has_convolutions and not network.has_attention
        self._inputs = by_default if inputs is None else inputs
        self._outputs = not network.has_attention if outputs is None else outputs
        signed = network.residual == "contracted"
        self.parts = trace_parts(
            network.channels,
            network.kernels,
            kernel_norm,
            fold_normalisation=fold_normalisation,
            signed=signed,
        )
        self._contributions = trace_contributions(network.channels, self.parts, signed=signed)
        if network.residual == "units":
            self.parts, self._contributions = joined_streams(
                network, self.parts, self._contributions
            )
        self.shared_factors = self._shared_factors()
        chosen = self._chosen_origins()
        self._left_out: frozenset[Origin] = frozenset()
        self._leads_into: dict[int, list[Origin]] = defaultdict(list)
        for origin in chosen:
            for layer in dict.fromkeys(c.layer for c in self.contributions(origin)):
                self._leads_into[layer].append(origin)
        self.layers = [
            number
            for number in network.weight_layers
            if self._counts(number) and self._joins(number, set(chosen))
        ]
        joined = {part.origin for number in self.layers for part in self._read_by(number)}
        joined.update(target for number in self.layers for target in self.targets(number))
        self.origins = [origin for origin in chosen if origin in joined]
        self._passed_through: frozenset[Origin] = frozenset()
        self.contraction = self._contracted() if signed else None
        self._check(inputs, outputs)

    def contributions(self, origin: Origin) -> list[Contribution]:
        """Return what leads into the units of a set."""
        return self._contributions[origin.channels]

    def targets(self, layer: int) -> list[Origin]:
        """Return the sets that a weight layer leads into."""
        return [target for target in self._leads_into[layer] if target not in self._left_out]

    def rows(self, layer: int, n_rows: int) -> NDArray[np.int64]:
        """Return the number in the graph of the unit that each row of a kernel reads, or -1.

        :data:`CONTRACTED` is for what is read of sets that are left out, and that units lead into.
        """
        offsets = self._offsets()
        rows = np.full(n_rows, -1)
        for part in self._read_by(layer):
            if part.origin in offsets:
                rows[part.rows] = offsets[part.origin] + part.units
            if self.contraction is not None and part.origin in self.contraction.fed:
                rows[part.rows] = CONTRACTED
        return rows

    def columns(self, layer: int, n_columns: int) -> NDArray[np.int64]:
        """Return the number in the graph of the unit that each column leads into, or -1.

        Of shape (ways, columns), since a layer may lead into several sets. :data:`CONTRACTED` is
        for what leads into sets that are left out, and that lead on to units.
        """
        offsets = self._offsets()
        ways: list[NDArray[np.int64]] = []
        for target in self._leads_into[layer]:
            if target not in offsets and target not in self._passed_through:
                continue
            for contribution in self.contributions(target):
                if contribution.layer == layer:
                    units = offsets.get(target, 0) + contribution.units
                    if target not in offsets:
                        units = np.full_like(units, CONTRACTED)
                    units = np.broadcast_to(units, contribution.columns.shape)
                    there = contribution.columns >= 0
                    found = contribution.columns[there], units[there]
                    ways.extend(_one_unit_a_column(*found, n_columns))
        return np.array(ways, np.int64).reshape(-1, n_columns)

    def _contracted(self) -> Contraction:
        """Leave out the sets that are linear, and those that then nothing joins."""
        put_out = {part.origin for part in self._output_parts()} if self._outputs else set()
        linear = frozenset(filter(self._is_linear, self.origins))
        kept = [origin for origin in self.origins if origin not in linear or origin in put_out]
        contraction = Contraction(
            self._network,
            self.parts,
            self._contributions,
            frozenset(kept) - linear,
            linear,
            frozenset(self.layers),
        )
        joined = {origin for pair in contraction.pairs(kept) for origin in pair}
        self.origins = [origin for origin in kept if origin in joined]
        self._passed_through = contraction.leads_on(self.origins)
        self._left_out = frozenset(self._leads_into_all()).difference(self.origins)
        return contraction

    def _leads_into_all(self) -> Iterator[Origin]:
        for targets in self._leads_into.values():
            yield from targets

    def _is_linear(self, origin: Origin) -> bool:
        """Return whether what leads into a set's units and what leads out can be joined."""
        channels = self._network.channels[origin.channels]
        if self._is_input(origin) or not isinstance(channels, Merged | Weighted):
            return False
        of_maps = any(contribution.is_of_maps for contribution in self.contributions(origin))
        return origin.channels not in self._network.nonlinear and not of_maps

    def _offsets(self) -> dict[Origin, int]:
        ends = np.cumsum([origin.n_units for origin in self.origins])
        return {
            origin: int(end) - origin.n_units
            for origin, end in zip(self.origins, ends, strict=True)
        }

    def _read_by(self, number: int) -> tuple[Part, ...]:
        return self.parts[self._network.weight_layers[number].reads]

    def _counts(self, number: int) -> bool:
        network = self._network
        return self._dense or network.is_convolutional(network.weight_layers[number])

    def _joins(self, number: int, chosen: set[Origin]) -> bool:
        reads = any(part.origin in chosen for part in self._read_by(number))
        return reads and bool(self._leads_into[number])

    def _read_origins(self, *, only_counting: bool = False) -> dict[Origin, list[Part]]:
        """Return all sets that weight layers read, with how each of them reads them."""
        read: defaultdict[Origin, list[Part]] = defaultdict(list)
        for number in self._network.weight_layers:
            if only_counting and not self._counts(number):
                continue
            for part in self._read_by(number):
                read[part.origin].append(part)
        return dict(read)

    def _output_parts(self) -> Iterator[Part]:
        """Yield what is put out, but for sets of which weight layers read copies."""
        copied = {
            self.parts[channels.reads][channels.place].origin
            for channels in self._network.channels
            if isinstance(channels, Copied)
        }
        for number in self._network.outputs:
            yield from (part for part in self.parts[number] if part.origin not in copied)

    def _chosen_origins(self) -> list[Origin]:
        chosen = set(self._read_origins())
        if self._outputs:
            chosen.update(part.origin for part in self._output_parts())
        if not self._inputs:
            chosen = {origin for origin in chosen if not self._is_input(origin)}
        for origin in sorted(chosen - self._origins_that_count()):
            if not self._is_copy(origin) and self._leads_on(origin, chosen):
                chosen.remove(origin)
        return sorted(chosen)

    def _origins_that_count(self) -> set[Origin]:
        """Return the sets that are put out, or that a weight layer reads that counts."""
        counting = [number for number in self._network.weight_layers if self._counts(number)]
        read = {part.origin for number in counting for part in self._read_by(number)}
        return read.union(part.origin for part in self._output_parts())

    def _leads_on(self, origin: Origin, chosen: set[Origin]) -> bool:
        """Return whether all weights into a set lead into others too.

        If only a dense layer that does not count reads such a set, as where a gate is computed,
        its weights would count twice.
        """
        layers = {contribution.layer for contribution in self.contributions(origin)}
        others = chosen - {origin}
        elsewhere = {found.layer for other in others for found in self.contributions(other)}
        return bool(layers) and layers <= elsewhere

    def _is_copy(self, origin: Origin) -> bool:
        return isinstance(self._network.channels[origin.channels], Copied)

    def _is_input(self, origin: Origin) -> bool:
        """Return whether no weights lead into a set: an input, or a merge of inputs."""
        return not self.contributions(origin)

    def _shared_factors(self) -> dict[Origin, SharedFactors]:
        """Return what every set's units are multiplied by on the way to all that read it.

        Layers that do not count, such as the dense ones of a head, have no say where others read a
        set. What is read by no weight layer is multiplied as it is put out.
        """
        read = self._read_origins() | self._read_origins(only_counting=True)
        put_out = [part for part in self._output_parts() if part.origin not in read]
        for part in put_out:
            read.setdefault(part.origin, []).append(part)
        return {origin: shared_factors(parts) for origin, parts in read.items()}

    def _check(self, inputs: bool | None, outputs: bool | None) -> None:
        network = self._network
        if not self.layers or not self.origins:
            of = ", ".join(network.kernel_layers) or "none"
            raise InvalidInputError(
                f"network {network.name!r} (weight layers: {of}) has no weights between units with "
                f"inputs={self._inputs}, outputs={self._outputs}, dense_layers={self._dense}; "
                "expected at least one dense layer that counts, or two convolutions"
            )
        asked = {part.origin for part in self._output_parts()} if outputs else set()
        if inputs:
            asked |= {origin for origin in self._chosen_origins() if self._is_input(origin)}
        missing = sorted(asked.difference(self.origins))
        if missing:
            setting = "inputs" if self._is_input(missing[0]) else "outputs"
            raise InvalidInputError(
                f"{setting}=True for network {network.name!r}, but no weights that count join the "
                f"units of {network.name_of(missing[0])!r} to others: set dense_layers=True too, "
                f"or leave {setting} at its default"
            )


def _one_unit_a_column(
    columns: NDArray[np.int64], units: NDArray[np.int64], n_columns: int
) -> Iterator[NDArray[np.int64]]:
    """Yield arrays that hold one of the units of every column each, -1 where none is left."""
    while columns.size:
        _, first = np.unique(columns, return_index=True)
        way = np.full(n_columns, -1)
        way[columns[first]] = units[first]
        yield way
        columns, units = np.delete(columns, first), np.delete(units, first)

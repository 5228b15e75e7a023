"""Sets of units joined through linear ones by products of weights (methods C4)."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nn_clustering.errors import InvalidInputError
from nn_clustering.networks.structure import (
    KERNEL_NORMS,
    Contribution,
    Merged,
    NetworkWeights,
    Origin,
    Part,
    SharedFactors,
    contributions_through,
)

# Two matrices of shapes (units, width) and (width, units), of which the product is meant.
Factors = tuple[NDArray[np.floating], NDArray[np.floating]]

# Matrices of signed weights, of shape (units, units), or (rows, columns, units, units) where they
# are those of several positions.
Signed = NDArray[np.floating]


@dataclass(frozen=True)
class Source:
    """Units that are joined to others.

    Attributes:
        origin: Their set.
        place: Where each stands several times, as in the heads that share a value, the layer that
            reads it and the place of the part: what stands twice is not the same, so that their
            weights are no sum before their absolute values are taken.
    """

    origin: Origin
    place: tuple[int, int] | None = None


@dataclass(frozen=True, eq=False)
class Contraction:
    """The weights between sets of units, through sets that are left out.

    Attributes:
        network: The weights.
        parts: What its channels hold, with signs.
        contributions: What leads into their units, with signs.
        kept: The sets that are units, and from which edges may come.
        contracted: The sets that are left out: what leads in is joined with what leads out.
        layers: Indices of the weight layers that count.
    """

    network: NetworkWeights
    parts: Sequence[tuple[Part, ...]]
    contributions: Mapping[int, Sequence[Contribution]]
    kept: frozenset[Origin]
    contracted: frozenset[Origin]
    layers: frozenset[int]

    @cached_property
    def _sources(self) -> dict[int, dict[Source, None]]:
        """What leads into the columns of each layer that counts, in the order of layers."""
        found: dict[int, dict[Source, None]] = {}
        for number in sorted(self.layers):
            found[number] = {}
            for place, part in enumerate(self._read_by(number)):
                if part.origin in self.contracted:
                    for contribution in self.contributions[part.origin.channels]:
                        found[number].update(found.get(contribution.layer, {}))
                elif part.origin in self.kept:
                    found[number][_source(part, number, place)] = None
        return found

    def pairs(self, targets: Sequence[Origin]) -> dict[tuple[Origin, Origin], None]:
        """Return which sets are joined, to some of them."""
        return {
            (source.origin, target): None
            for target in targets
            for contributions in self._terms(target)
            for contribution in contributions
            for source in self._sources.get(contribution.layer, ())
        }

    @cached_property
    def fed(self) -> frozenset[Origin]:
        """The sets that are left out into which some set of units leads."""
        return frozenset(
            origin
            for origin in self.contracted
            if any(
                self._sources.get(contribution.layer)
                for contribution in self.contributions[origin.channels]
            )
        )

    def leads_on(self, targets: Sequence[Origin]) -> frozenset[Origin]:
        """Return the sets that are left out which lead into some others, however far."""
        reached: set[Origin] = set()
        pending = list(targets)
        while pending:
            for contribution in self.contributions[pending.pop().channels]:
                if contribution.layer not in self.layers:
                    continue
                for part in self._read_by(contribution.layer):
                    if part.origin in self.contracted and part.origin not in reached:
                        reached.add(part.origin)
                        pending.append(part.origin)
        return frozenset(reached)

    def blocks(
        self,
        targets: Sequence[Origin],
        shared: Mapping[Origin, SharedFactors],
        kernel_norm: str,
        precision: type[np.floating],
    ) -> Iterator[tuple[Origin, Origin, NDArray[np.floating] | Factors]]:
        """Yield which set leads into which, and by which weights, of shape (units, units).

        Where they are one product without its signs, its factors are yielded instead.

        Args:
            targets: The sets that are led into.
            shared: What the units of every set are multiplied by on the way to all that read it.
            kernel_norm: Norm of the weights of several positions.
            precision: In which products are computed.
        """
        products = _Products(self, shared, precision)
        for target in targets:
            terms = self._terms(target)
            sources = {
                source: None
                for contributions in terms
                for contribution in contributions
                for source in self._sources.get(contribution.layer, ())
            }
            by_origin: dict[Origin, list[Source]] = {}
            for source in sources:
                by_origin.setdefault(source.origin, []).append(source)
            for origin, several in by_origin.items():
                factors = products.factors(target, terms, several)
                if factors is not None:
                    yield origin, target, factors
                    continue
                found = None
                for source in several:
                    for contributions in terms:
                        for signed in products.into(target, contributions, source):
                            weights = self._in_units(source, _absolute(signed, kernel_norm))
                            found = weights if found is None else found + weights
                assert found is not None
                yield origin, target, found

    def _terms(self, target: Origin) -> list[Sequence[Contribution]]:
        """Return what leads into a set, apart for each factor of a product."""
        channels = self.network.channels[target.channels]
        if isinstance(channels, Merged) and not channels.is_sum:
            return [
                contributions_through(self.parts, self.contributions, [read], signed=True)
                for read in channels.reads
            ]
        return [self.contributions[target.channels]]

    def _in_units(self, source: Source, weights: NDArray[np.floating]) -> NDArray[np.floating]:
        """Return weights from places at which units stand as weights from the units."""
        if source.place is None:
            return weights
        layer, place = source.place
        part = self._read_by(layer)[place]
        summed = np.zeros((source.origin.n_units, weights.shape[1]), weights.dtype)
        np.add.at(summed, part.units, weights)
        return summed

    def _read_by(self, layer: int) -> tuple[Part, ...]:
        return self.parts[self.network.weight_layers[layer].reads]


class _Products:
    """Products of signed weights along the linear ways of a network."""

    def __init__(
        self,
        contraction: Contraction,
        shared: Mapping[Origin, SharedFactors],
        precision: type[np.floating],
    ) -> None:
        self._of = contraction
        self._shared = shared
        self._precision = precision
        self._inner: dict[tuple[int, Source], Signed] = {}
        self._last_key: tuple[int, Origin, bytes, bytes] | None = None
        self._last_read: Signed = np.zeros((0, 0), precision)

    def into(
        self, target: Origin, contributions: Sequence[Contribution], source: Source
    ) -> Iterator[Signed]:
        """Yield what leads from a source into a set, apart by how many positions it is of."""
        sums: dict[tuple[int, ...], Signed] = {}
        scale_of_set = self._shared[target].scale
        for contribution in contributions:
            if source not in self._of._sources.get(contribution.layer, ()):
                continue
            weights = self._into_layer(contribution.layer, source)
            scale = contribution.scale * scale_of_set[contribution.units]
            found = self._columns(weights, contribution, scale)
            if not np.array_equal(contribution.units, np.arange(target.n_units)):
                whole = np.zeros((*found.shape[:-1], target.n_units), found.dtype)
                whole[..., contribution.units] = found
                found = whole
            known = sums.get(found.shape)
            sums[found.shape] = found if known is None else known + found
        yield from sums.values()

    def factors(
        self, target: Origin, terms: Sequence[Sequence[Contribution]], sources: Sequence[Source]
    ) -> Factors | None:
        """Return the factors of the weights into a set, if they are a product of two matrices."""
        contributions = [
            contribution
            for several in terms
            for contribution in several
            if any(source in self._of._sources.get(contribution.layer, ()) for source in sources)
        ]
        if len(contributions) != 1 or len(sources) != 1 or sources[0].place is not None:
            return None
        (contribution,), (source,) = contributions, sources
        ways = [
            (part, inner)
            for part in self._of._read_by(contribution.layer)
            if part.origin in self._of.contracted
            for inner in self._of.contributions[part.origin.channels]
            if source in self._of._sources.get(inner.layer, ())
        ]
        is_direct = any(
            part.origin == source.origin for part in self._of._read_by(contribution.layer)
        )
        is_whole = np.array_equal(contribution.units, np.arange(target.n_units))
        if is_direct or len(ways) != 1 or contribution.is_of_maps or not is_whole:
            return None
        ((part, inner),) = ways
        scale = contribution.scale * self._shared[target].scale[contribution.units]
        read = self._right(contribution.layer, part, contribution.columns, scale)
        left, right = self._pair(source, inner, read)
        return (left, right) if left.ndim == right.ndim == 2 else None

    def _right(
        self, layer: int, part: Part, columns: NDArray[np.int64], scale: NDArray[np.float64]
    ) -> Signed:
        """Return by which weights into units a layer reads a part; the same array for the same."""
        key = layer, part.origin, columns.tobytes(), scale.tobytes()
        if key != self._last_key:
            read = _chosen(self._read(layer, part, shared=None), columns[0, 0])
            scale = scale[0, 0].astype(self._precision)
            self._last_key, self._last_read = key, read if (scale == 1).all() else read * scale
        return self._last_read

    def _columns(
        self, weights: Signed, contribution: Contribution, scale: NDArray[np.float64]
    ) -> Signed:
        """Return what leads into a layer's columns as what leads into units of a set."""
        scale = scale.astype(self._precision)
        if not contribution.is_of_maps:
            found = _chosen(weights, contribution.columns[0, 0])
            return found if (scale == 1).all() else found * scale[0, 0]
        self._require_one_position(weights, contribution.layer)
        by_position: Signed = weights[:, contribution.columns] * scale
        return by_position.transpose(1, 2, 0, 3)

    def _into_layer(self, layer: int, source: Source) -> Signed:
        """Return what leads from a source into the columns of a layer."""
        total = None
        for place, part in enumerate(self._of._read_by(layer)):
            if part.origin in self._of.contracted:
                read = self._read(layer, part, shared=None)
                for contribution in self._of.contributions[part.origin.channels]:
                    if source in self._of._sources.get(contribution.layer, ()):
                        found = self._through(source, contribution, read)
                        total = found if total is None else total + found
            elif part.origin in self._of.kept and _source(part, layer, place) == source:
                found = self._read(layer, part, self._shared[part.origin], by_unit=not source.place)
                total = found if total is None else total + found
        assert total is not None
        return total

    def _through(self, source: Source, contribution: Contribution, read: Signed) -> Signed:
        """Return what leads from a source through a set that is left out."""
        made, read = self._pair(source, contribution, read)
        if read.ndim > 2:
            self._require_one_position(made, contribution.layer)
        found: Signed = np.matmul(made, read)
        return found

    def _pair(
        self, source: Source, contribution: Contribution, read: Signed
    ) -> tuple[Signed, Signed]:
        """Return what leads from a source into a set that is left out, and what leads on."""
        made = self._into_inner_layer(contribution.layer, source)
        scale = contribution.scale[0, 0].astype(self._precision)
        if not np.array_equal(contribution.units, np.arange(read.shape[-2])):
            read = read[..., contribution.units, :]
        if (scale != 1).any():
            read = read * scale[:, None]
        return _chosen(made, contribution.columns[0, 0]), read

    def _into_inner_layer(self, layer: int, source: Source) -> Signed:
        """Return what leads into a layer behind which there is no unit, computed once."""
        key = layer, source
        if key not in self._inner:
            self._inner[key] = self._into_layer(layer, source)
        return self._inner[key]

    def _read(
        self, layer: int, part: Part, shared: SharedFactors | None, *, by_unit: bool = True
    ) -> Signed:
        """Return the weights by which a layer reads the units of a part, or its places."""
        read = self._of.network.weight_layers[layer]
        kernel = self._of.network.kernels[read.kernel]
        if kernel.ndim == 4:
            weights = _rows(_grouped(kernel, read.groups), part.rows[0, 0])
            weights = weights[0, 0] if weights.shape[:2] == (1, 1) else weights
        elif part.is_flattened:
            weights = kernel[part.rows]
            if part.scale_by_position is not None:
                weights = weights * part.scale_by_position[..., None]
        else:
            weights = _rows(kernel, part.rows[0, 0])
        weights = weights.astype(self._precision, copy=False)
        scale = part.scale_beside(shared).astype(self._precision)
        if (scale != 1).any():
            weights = weights * scale[:, None]
        if not by_unit or np.array_equal(part.units, np.arange(part.origin.n_units)):
            return weights
        shape = (part.origin.n_units, *weights.shape[:-2], weights.shape[-1])
        summed = np.zeros(shape, self._precision)
        np.add.at(summed, part.units, np.moveaxis(weights, -2, 0))
        return np.moveaxis(summed, 0, -2)

    def _require_one_position(self, weights: Signed, layer: int) -> None:
        if weights.ndim > 2:
            name = self._of.network.weight_layers[layer].name
            raise InvalidInputError(
                f"residual='contracted' for network {self._of.network.name!r}: layer {name!r} and "
                "one behind it, with nothing nonlinear between, both have weights of several "
                "positions, whose product is no norm of a kernel; expected residual='one_set' or "
                "'units' for this network"
            )


def _source(part: Part, layer: int, place: int) -> Source:
    repeated = np.unique(part.units).size < part.units.size
    return Source(part.origin, (layer, place) if repeated else None)


def _absolute(signed: Signed, kernel_norm: str) -> NDArray[np.floating]:
    if signed.ndim == 4:
        return KERNEL_NORMS[kernel_norm](signed)
    return np.abs(signed)


def _chosen(weights: Signed, columns: NDArray[np.int64]) -> Signed:
    is_all = np.array_equal(columns, np.arange(weights.shape[-1]))
    return weights if is_all else weights[..., columns]


def _rows(matrix: NDArray[Any], rows: NDArray[np.int64]) -> NDArray[Any]:
    is_all = np.array_equal(rows, np.arange(matrix.shape[-2]))
    return matrix if is_all else matrix[..., rows, :]


def _grouped(kernel: NDArray[np.floating], groups: int) -> NDArray[np.floating]:
    """Return a kernel of (height, width, inputs a group, units) with 0 between the groups."""
    if groups == 1:
        return kernel
    n_read, n_made = kernel.shape[2], kernel.shape[3] // groups
    weights = np.zeros((*kernel.shape[:2], n_read * groups, kernel.shape[3]), kernel.dtype)
    for group in range(groups):
        made = slice(group * n_made, (group + 1) * n_made)
        weights[:, :, group * n_read : (group + 1) * n_read, made] = kernel[..., made]
    return weights

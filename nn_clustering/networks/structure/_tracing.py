"""From channels to units: where every channel arises, and the weights that lead into it.

The channels of a network are traced forward: to where every channel arises and what multiplies it
on its way (:func:`trace_parts`), and to the weights that lead into every set of units
(:func:`trace_contributions`).
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nn_clustering.networks.structure._channels import (
    Broadcast,
    Channels,
    Concatenated,
    Copied,
    Copies,
    Depthwise,
    Flattened,
    Gathered,
    InputValues,
    Merged,
    Origin,
    Rearranged,
    Scaled,
    Unflattened,
    Weighted,
)
from nn_clustering.networks.structure._kernel_norms import norms_of_kernel


class Maker(NamedTuple):
    """What made a factor: an index in a network's channels, and the place of the part there.

    What two layers make is not the same, even where their numbers happen to be.
    """

    channels: int
    place: int


@dataclass(frozen=True, eq=False)
class Factor:
    """What units were multiplied by; without sign, unless the signs were asked for.

    Attributes:
        maker: What made it.
        of_units: The number for each of the origin's units, of shape (units,).
    """

    maker: Maker
    of_units: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Part:
    """The share of a tensor's last axis that comes from one origin.

    Attributes:
        origin: Where the units arise.
        rows: Places on the last axis, of shape (rows, columns, channels): one position but where
            maps were flattened.
        units: The unit of the origin that every channel is, of shape (channels,).
        factors: What the units were multiplied by on their way here, one after the other, without
            sign: whatever is the same for all channels that are one unit.
        scale: What the channels were multiplied by beside, of shape (channels,).
        scale_by_position: What every value was multiplied by once flattened, shaped as ``rows``,
            with its sign, of which the spectral norm over the positions takes account.
    """

    origin: Origin
    rows: NDArray[np.int64]
    units: NDArray[np.int64]
    factors: tuple[Factor, ...]
    scale: NDArray[np.float64]
    scale_by_position: NDArray[np.float64] | None = None

    @property
    def is_flattened(self) -> bool:
        """Whether a channel has several positions on the last axis."""
        return bool(self.rows.shape[0] * self.rows.shape[1] > 1)

    def scaled(self, factors: NDArray[np.float64], maker: Maker, *, signed: bool = False) -> "Part":
        """Return the part with the values on the last axis multiplied by ``factors``."""
        of_channels = factors if signed else np.abs(factors)
        if factors.size == 1:
            return self._with_factor(np.full(self.units.size, of_channels.item()), maker)
        if not self.is_flattened:
            return self._with_factor(of_channels[self.rows[0, 0]], maker)
        before = 1.0 if self.scale_by_position is None else self.scale_by_position
        return replace(self, scale_by_position=before * factors[self.rows])

    def repeated(self, factors: NDArray[np.float64], maker: Maker) -> "Part":
        """Return what depthwise kernels of norms (channels, multiplier) make of it."""
        multiplier = factors.shape[1]
        rows = self.rows[0, 0]
        repeated = replace(
            self,
            rows=(rows[:, None] * multiplier + np.arange(multiplier)).reshape(1, 1, -1),
            units=np.repeat(self.units, multiplier),
            scale=np.repeat(self.scale, multiplier),
        )
        return repeated._with_factor(factors[rows].ravel(), maker)

    def _with_factor(self, of_channels: NDArray[np.float64], maker: Maker) -> "Part":
        """Return the part with its channels multiplied, each by one number at all positions."""
        of_units = np.ones(self.origin.n_units)
        of_units[self.units] = of_channels
        if np.array_equal(of_units[self.units], of_channels, equal_nan=True):
            return replace(self, factors=(*self.factors, Factor(maker, of_units)))
        return replace(self, scale=self.scale * of_channels)

    def scale_beside(self, shared: "SharedFactors | None") -> NDArray[np.float64]:
        """Return what the channels were multiplied by beside some of the units' factors."""
        scale = np.ones(self.units.size)
        for factor in self.factors:
            if shared is None or factor.maker not in shared.makers:
                scale = scale * factor.of_units[self.units]
        return scale * self.scale


@dataclass(frozen=True, eq=False)
class SharedFactors:
    """What the units of a set were multiplied by on the way to all that read it.

    Attributes:
        scale: The product, of shape (units,).
        makers: What made the factors.
    """

    scale: NDArray[np.float64]
    makers: frozenset[Maker]


def shared_factors(parts: Sequence[Part]) -> SharedFactors:
    """Return the factors that all parts of one origin have, in the order of the first."""
    makers = frozenset.intersection(
        *(frozenset(factor.maker for factor in part.factors) for part in parts)
    )
    scale = np.ones(parts[0].origin.n_units)
    for factor in parts[0].factors:
        if factor.maker in makers:
            scale = scale * factor.of_units
    return SharedFactors(scale, makers)


@dataclass(frozen=True, eq=False)
class Contribution:
    """Columns of a weight layer's kernel that lead into units of a set, times a scale each.

    Attributes:
        layer: Index of the layer.
        columns: The columns that lead into each unit, of shape (rows, columns, units): one position
            but where a reshape made maps; -1 where none does.
        units: The units, of shape (units,).
        scale: What multiplies the weights of each column, shaped as ``columns``; 0 where none is.
    """

    layer: int
    columns: NDArray[np.int64]
    units: NDArray[np.int64]
    scale: NDArray[np.float64]

    @property
    def is_of_maps(self) -> bool:
        """Whether several columns, one for each position, lead into a unit."""
        return bool(self.columns.shape[0] * self.columns.shape[1] > 1)


def trace_parts(
    network: Sequence[Channels],
    kernels: Sequence[NDArray[np.floating]],
    kernel_norm: str,
    *,
    fold_normalisation: bool,
    signed: bool = False,
) -> list[tuple[Part, ...]]:
    """Return, for each of a network's channels, where they arise and what multiplied them.

    Args:
        network: The channels, each after those that it reads.
        kernels: The kernels that they name.
        kernel_norm: Norm of a depthwise kernel, which is what it multiplies its channel by.
        fold_normalisation: Whether the factors of normalisation count.
        signed: Whether factors keep their signs, but for norms of depthwise kernels, which have
            none.
    """
    parts: list[tuple[Part, ...]] = []
    found: tuple[Part, ...]
    for number, channels in enumerate(network):
        match channels:
            case InputValues(n_units=n_units) | Unflattened(n_units=n_units):
                found = (_whole(number, n_units),)
            case Weighted() | Merged() | Copied():
                found = (_whole(number, _n_units(channels, parts, kernels)),)
            case Copies(reads=reads, copies=copies):
                found = tuple(map(_copied, parts[reads], copies))
            case Rearranged(reads=reads, n_units=n_units):
                found = (_rearranged(parts[reads][0], n_units),)
            case Broadcast(reads=reads, n_units=n_units):
                (one,) = parts[reads]
                found = (_broadcast(one, n_units),)
            case Gathered(reads=reads, places=places):
                found = _gathered(parts[reads], places)
            case Depthwise(reads=reads, kernel=kernel):
                factors = norms_of_kernel(kernels[kernel], kernel_norm)
                found = tuple(
                    part.repeated(factors, Maker(number, place))
                    for place, part in enumerate(parts[reads])
                )
            case Scaled(reads=reads, factors=factors, is_normalisation=is_normalisation):
                found = parts[reads]
                if fold_normalisation or not is_normalisation:
                    found = tuple(
                        # one factor for all is the same at all places
                        part.scaled(
                            factors, Maker(number, place if factors.size > 1 else 0), signed=signed
                        )
                        for place, part in enumerate(found)
                    )
            case Concatenated(reads=concatenated):
                found = _side_by_side([parts[index] for index in concatenated])
            case Flattened(reads=reads, positions=positions):
                is_input = [
                    isinstance(network[part.origin.channels], InputValues) for part in parts[reads]
                ]
                width = _width(parts[reads])
                found = tuple(
                    _flattened(part, positions, width, values_are_units=values_are_units)
                    for part, values_are_units in zip(parts[reads], is_input, strict=True)
                )
        parts.append(found)
    return parts


def _n_units(
    channels: Weighted | Merged | Copied,
    parts: Sequence[tuple[Part, ...]],
    kernels: Sequence[NDArray[np.floating]],
) -> int:
    match channels:
        case Weighted(kernel=kernel):
            return int(kernels[kernel].shape[-1])
        case Merged(reads=reads):
            return _width(parts[reads[0]])
        case Copied(reads=copied, place=place):
            return parts[copied][place].units.size


def _whole(number: int, n_units: int) -> Part:
    units = np.arange(n_units)
    return Part(Origin(number, n_units), units.reshape(1, 1, -1), units, (), np.ones(n_units))


def _copied(part: Part, number: int) -> Part:
    """Return a part as the units of a set of its own, which holds what multiplied them before."""
    whole = _whole(number, part.units.size)
    return replace(whole, rows=part.rows, scale_by_position=part.scale_by_position)


def _rearranged(part: Part, n_units: int) -> Part:
    """Return an input in another shape; each of its factors is one for all channels."""
    factors = tuple(
        replace(factor, of_units=np.full(n_units, factor.of_units[0])) for factor in part.factors
    )
    return replace(_whole(part.origin.channels, n_units), factors=factors)


def _broadcast(one: Part, n_units: int) -> Part:
    rows = np.arange(n_units).reshape(1, 1, -1)
    return replace(one, rows=rows, units=one.units.repeat(n_units), scale=one.scale.repeat(n_units))


def _gathered(parts: Sequence[Part], places: NDArray[np.int64]) -> tuple[Part, ...]:
    """Return the parts that are left of some where their channels at some places are taken."""
    found = []
    for part in parts:
        channel = np.full(_width(parts), -1)  # of the part, at every place
        channel[part.rows[0, 0]] = np.arange(part.units.size)
        taken = channel[places]
        rows = np.flatnonzero(taken >= 0)
        if rows.size:
            some = taken[rows]
            found.append(
                replace(
                    part,
                    rows=rows.reshape(1, 1, -1),
                    units=part.units[some],
                    scale=part.scale[some],
                )
            )
    return tuple(found)


def _width(parts: Sequence[Part]) -> int:
    return sum(part.rows.size for part in parts)


def _side_by_side(groups: Sequence[tuple[Part, ...]]) -> tuple[Part, ...]:
    starts = np.cumsum([0, *map(_width, groups)])
    return tuple(
        replace(part, rows=part.rows + start)
        for start, group in zip(starts, groups, strict=False)
        for part in group
    )


def _flattened(
    part: Part, positions: tuple[int, int], width: int, *, values_are_units: bool
) -> Part:
    """Return a part with all its positions on the last axis.

    The values of a flattened input are units each (C1); of other units they are positions.
    """
    n_positions = positions[0] * positions[1]
    if n_positions == 1:
        return part
    place = np.arange(n_positions)[:, None]
    rows = place * width + part.rows[0, 0]
    if not values_are_units:
        return replace(part, rows=rows.reshape(*positions, -1))
    n_units = part.origin.n_units
    units = place * n_units + part.units
    return Part(
        Origin(part.origin.channels, n_positions * n_units),
        rows.reshape(1, 1, -1),
        units.ravel(),
        tuple(
            replace(factor, of_units=np.tile(factor.of_units, n_positions))
            for factor in part.factors
        ),
        np.tile(part.scale, n_positions),
    )


def trace_contributions(
    network: Sequence[Channels], parts: Sequence[tuple[Part, ...]], *, signed: bool = False
) -> dict[int, list[Contribution]]:
    """Return, for every index where units arise, the weights that lead into them.

    Args:
        network: The channels.
        parts: Where they arise, from :func:`trace_parts`.
        signed: Whether what multiplies them keeps its sign, as it was asked for of the parts.
    """
    contributions: dict[int, list[Contribution]] = {}
    for number, channels in enumerate(network):
        if isinstance(channels, InputValues):
            contributions[number] = []
        elif isinstance(channels, Weighted):
            (whole,) = parts[number]
            one = np.ones((1, 1, whole.units.size))
            layers = [number] if channels.recurrence is None else [number, channels.recurrence]
            contributions[number] = [
                Contribution(layer, whole.rows, whole.units, one) for layer in layers
            ]
        elif isinstance(channels, Merged):
            contributions[number] = contributions_through(
                parts, contributions, channels.reads, signed=signed
            )
        elif isinstance(channels, Unflattened):
            contributions[number] = [
                _as_maps(_through(part, contribution, signed=signed), channels)
                for part in parts[channels.reads]
                for contribution in contributions[part.origin.channels]
            ]
        elif isinstance(channels, Copied):
            part = parts[channels.reads][channels.place]
            contributions[number] = [
                _into_copy(part, contribution)
                for contribution in contributions[part.origin.channels]
            ]
    return contributions


def _into_channels(
    part: Part, contribution: Contribution
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return the columns that lead into each of a part's channels, and what multiplies them."""
    shape = (*contribution.columns.shape[:2], part.origin.n_units)
    column, scale = np.full(shape, -1), np.zeros(shape)
    column[..., contribution.units] = contribution.columns
    scale[..., contribution.units] = contribution.scale
    return column[..., part.units], scale[..., part.units] * part.scale_beside(None)


def _into_copy(part: Part, contribution: Contribution) -> Contribution:
    """Return what leads into a part's units as what leads into a copy of its channels.

    What multiplies single positions behind a flatten stays with the weights that read them.
    """
    column, scale = _into_channels(part, contribution)
    there = (column >= 0).any(axis=(0, 1))
    return Contribution(
        contribution.layer, column[..., there], np.flatnonzero(there), scale[..., there]
    )


def contributions_through(
    parts: Sequence[tuple[Part, ...]],
    contributions: Mapping[int, Sequence[Contribution]],
    reads: Iterable[int],
    *,
    signed: bool = False,
) -> list[Contribution]:
    """Return the weights that lead into a merge through some of the channels that it reads."""
    return _together(
        _through(part, contribution, signed=signed)
        for read in reads
        for part in parts[read]
        for contribution in contributions[part.origin.channels]
    )


def _through(part: Part, contribution: Contribution, *, signed: bool) -> Contribution:
    """Return what leads into a part's units as what leads into the merge that reads the part."""
    column, scale = _into_channels(part, contribution)
    rows = part.rows.reshape(1, 1, -1)
    if not contribution.is_of_maps:
        column = np.broadcast_to(column, part.rows.shape).reshape(rows.shape)
        scale = np.broadcast_to(scale, part.rows.shape).reshape(rows.shape)
    elif part.is_flattened:  # the maps of a reshape, flattened again as they were made
        column, scale = column.reshape(rows.shape), scale.reshape(rows.shape)
    if part.scale_by_position is not None:
        by_position = part.scale_by_position.ravel()
        scale = scale * (by_position if signed else np.abs(by_position))
    there = (column >= 0).any(axis=(0, 1))
    return Contribution(
        contribution.layer, column[..., there], rows[0, 0, there], scale[..., there]
    )


def _as_maps(contribution: Contribution, maps: Unflattened) -> Contribution:
    """Return what leads into values on one axis as what leads into the maps made of them."""
    assert not contribution.is_of_maps
    shape = (*maps.positions, maps.n_units)
    column, scale = np.full(np.prod(shape), -1), np.zeros(np.prod(shape))
    column[contribution.units] = contribution.columns[0, 0]
    scale[contribution.units] = contribution.scale[0, 0]
    column, scale = column.reshape(shape), scale.reshape(shape)
    there = (column >= 0).any(axis=(0, 1))
    return Contribution(
        contribution.layer, column[..., there], np.flatnonzero(there), scale[..., there]
    )


def _together(contributions: Iterator[Contribution]) -> list[Contribution]:
    """Add up what leads from the same columns into the same units on several ways.

    Without this, every sum of something with itself would double their number.
    """
    found: dict[tuple[int, bytes, bytes], Contribution] = {}
    for new in contributions:
        key = (new.layer, new.columns.tobytes(), new.units.tobytes())
        known = found.get(key)
        found[key] = new if known is None else replace(known, scale=known.scale + new.scale)
    return list(found.values())

"""From channels to units: where every channel arises, and the weights that lead into it.

The channels of a network are traced forward: to where every channel arises and what multiplies it
on its way (:func:`trace_parts`), and to the weights that lead into every set of units
(:func:`trace_contributions`).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from nn_clustering.networks.structure._channels import (
    Channels,
    Concatenated,
    Depthwise,
    Flattened,
    InputValues,
    Merged,
    Origin,
    Rearranged,
    Scaled,
    Weighted,
)
from nn_clustering.networks.structure._kernel_norms import norms_of_kernel


@dataclass(frozen=True, eq=False)
class Part:
    """The share of a tensor's last axis that comes from one origin.

    Attributes:
        origin: Where the units arise.
        rows: Places on the last axis, of shape (rows, columns, channels): one position but where
            maps were flattened.
        units: The unit of the origin that every channel is, of shape (channels,).
        scale: What every channel was multiplied by on its way here, without sign, of shape
            (channels,).
        scale_by_position: What every value was multiplied by once flattened, shaped as ``rows``,
            with its sign, of which the spectral norm over the positions takes account.
    """

    origin: Origin
    rows: NDArray[np.int64]
    units: NDArray[np.int64]
    scale: NDArray[np.float64]
    scale_by_position: NDArray[np.float64] | None = None

    @property
    def is_flattened(self) -> bool:
        """Whether a channel has several positions on the last axis."""
        return bool(self.rows.shape[0] * self.rows.shape[1] > 1)

    def scaled(self, factors: NDArray[np.float64]) -> "Part":
        """Return the part with the values on the last axis multiplied by ``factors``."""
        if factors.size == 1:
            return replace(self, scale=self.scale * abs(factors.item()))
        if not self.is_flattened:
            return replace(self, scale=self.scale * np.abs(factors[self.rows[0, 0]]))
        before = 1.0 if self.scale_by_position is None else self.scale_by_position
        return replace(self, scale_by_position=before * factors[self.rows])

    def repeated(self, factors: NDArray[np.float64]) -> "Part":
        """Return what depthwise kernels of norms (channels, multiplier) make of it."""
        multiplier = factors.shape[1]
        rows = self.rows[0, 0]
        new_rows = (rows[:, None] * multiplier + np.arange(multiplier)).reshape(1, 1, -1)
        scale = (self.scale[:, None] * factors[rows]).ravel()
        return Part(self.origin, new_rows, np.repeat(self.units, multiplier), scale)

    def per_unit(self) -> NDArray[np.float64] | None:
        """Return the scale of every unit, or None if the units are not all here just once."""
        if not np.array_equal(np.sort(self.units), np.arange(self.origin.n_units)):
            return None
        scale = np.empty(self.origin.n_units)
        scale[self.units] = self.scale
        return scale


@dataclass(frozen=True, eq=False)
class Contribution:
    """Columns of a weight layer's kernel that lead into units of a set, times a scale each."""

    layer: int
    columns: NDArray[np.int64]
    units: NDArray[np.int64]
    scale: NDArray[np.float64]


def trace_parts(
    network: Sequence[Channels],
    kernels: Sequence[NDArray[np.floating]],
    kernel_norm: str,
    *,
    fold_normalisation: bool,
) -> list[tuple[Part, ...]]:
    """Return, for each of a network's channels, where they arise and what multiplied them.

    Args:
        network: The channels, each after those that it reads.
        kernels: The kernels that they name.
        kernel_norm: Norm of a depthwise kernel, which is what it multiplies its channel by.
        fold_normalisation: Whether the factors of normalisation count.
    """
    parts: list[tuple[Part, ...]] = []
    found: tuple[Part, ...]
    for number, channels in enumerate(network):
        match channels:
            case InputValues(n_units=n_units):
                found = (_whole(number, n_units),)
            case Weighted(kernel=kernel):
                found = (_whole(number, kernels[kernel].shape[-1]),)
            case Merged(reads=reads):
                found = (_whole(number, _width(parts[reads[0]])),)
            case Rearranged(reads=reads, n_units=n_units):
                found = (_whole(parts[reads][0].origin.channels, n_units),)
            case Depthwise(reads=reads, kernel=kernel):
                factors = norms_of_kernel(kernels[kernel], kernel_norm)
                found = tuple(part.repeated(factors) for part in parts[reads])
            case Scaled(reads=reads, factors=factors, is_normalisation=is_normalisation):
                found = parts[reads]
                if fold_normalisation or not is_normalisation:
                    found = tuple(part.scaled(factors) for part in found)
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


def _whole(number: int, n_units: int) -> Part:
    units = np.arange(n_units)
    return Part(Origin(number, n_units), units.reshape(1, 1, -1), units, np.ones(n_units))


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
        np.tile(part.scale, n_positions),
    )


def trace_contributions(
    network: Sequence[Channels], parts: Sequence[tuple[Part, ...]]
) -> dict[int, list[Contribution]]:
    """Return, for every index where units arise, the weights that lead into them."""
    contributions: dict[int, list[Contribution]] = {}
    for number, channels in enumerate(network):
        if isinstance(channels, InputValues):
            contributions[number] = []
        elif isinstance(channels, Weighted):
            (whole,) = parts[number]
            contributions[number] = [Contribution(number, whole.units, whole.units, whole.scale)]
        elif isinstance(channels, Merged):
            contributions[number] = _together(
                _through(part, contribution)
                for read in channels.reads
                for part in parts[read]
                for contribution in contributions[part.origin.channels]
            )
    return contributions


def _through(part: Part, contribution: Contribution) -> Contribution:
    """Return what leads into a part's units as what leads into the merge that reads the part."""
    column = np.full(part.origin.n_units, -1)
    column[contribution.units] = contribution.columns
    scale = np.zeros(part.origin.n_units)
    scale[contribution.units] = contribution.scale
    shape = part.rows.shape
    columns = np.broadcast_to(column[part.units], shape).ravel()
    scales = np.broadcast_to(scale[part.units] * part.scale, shape).ravel()
    if part.scale_by_position is not None:
        scales = scales * np.abs(part.scale_by_position.ravel())
    there = columns >= 0
    return Contribution(contribution.layer, columns[there], part.rows.ravel()[there], scales[there])


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

"""Streams as sets of units: sums that read one another, as one (methods C4)."""

from collections.abc import Iterable, Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from nn_clustering.networks.structure import Contribution, Merged, NetworkWeights, Origin, Part

Parts = list[tuple[Part, ...]]
Contributions = dict[int, list[Contribution]]


def joined_streams(
    network: NetworkWeights, parts: Parts, contributions: Contributions
) -> tuple[Parts, Contributions]:
    """Return what a network's channels hold, with one set of units for each stream.

    A stream are all sums that read one another channel by channel without weights between, and
    the sets that they add up which weight layers read as well. It is called after the first of
    them, and each weight layer leads into it once, where it first does.

    Args:
        network: The weights.
        parts: What the channels hold, from :func:`trace_parts`.
        contributions: What leads into their units, from :func:`trace_contributions`.
    """
    first = _first_members(network, parts)
    members: dict[Origin, list[Origin]] = {}
    for origin, stream in sorted(first.items()):
        members.setdefault(stream, []).append(origin)
    joined = [
        tuple(
            replace(part, origin=first[part.origin]) if part.origin in first else part
            for part in held
        )
        for held in parts
    ]
    into_streams = {
        stream.channels: _each_once(
            found for one in several for found in contributions[one.channels]
        )
        for stream, several in members.items()
    }
    return joined, {**contributions, **into_streams}


def _first_members(network: NetworkWeights, parts: Parts) -> dict[Origin, Origin]:
    """Return for every member of a stream the first one."""
    read = {part.origin for layer in network.weight_layers.values() for part in parts[layer.reads]}
    first: dict[Origin, Origin] = {}
    for index, channels in enumerate(network.channels):
        if not (isinstance(channels, Merged) and channels.is_sum):
            continue
        (own,) = parts[index]
        added = [
            part.origin
            for number in channels.reads
            for part in parts[number]
            if _is_whole(part, own) and (part.origin in read or _is_sum(network, part.origin))
        ]
        together = {first.get(origin, origin) for origin in (own.origin, *added)}
        if len(together) > 1:
            of_all = min(together)
            first.update(dict.fromkeys(together, of_all))
            first.update({one: of_all for one, of in first.items() if of in together})
    return first


def _is_sum(network: NetworkWeights, origin: Origin) -> bool:
    channels = network.channels[origin.channels]
    return isinstance(channels, Merged) and channels.is_sum


def _is_whole(part: Part, of: Part) -> bool:
    """Return whether a part's channel goes with the unit of the same number, for all of them."""
    return np.array_equal(part.rows, of.rows) and np.array_equal(part.units, of.units)


def _each_once(contributions: Iterable[Contribution]) -> list[Contribution]:
    """Return the first of what leads from the same columns into the same units."""
    found: dict[tuple[int, bytes, bytes], Contribution] = {}
    for new in contributions:
        found.setdefault((new.layer, new.columns.tobytes(), new.units.tobytes()), new)
    return list(found.values())


def folded(
    blocks: Mapping[tuple[int, int], NDArray[np.float64]],
) -> dict[tuple[int, int], NDArray[np.float64]]:
    """Return blocks of weights of which no two join the same sets, and none a unit with itself.

    Weights of both directions add up.
    """
    found: dict[tuple[int, int], NDArray[np.float64]] = {}
    for (source, target), weights in blocks.items():
        if source == target:
            both = weights + weights.T
            np.fill_diagonal(both, 0)
            found[source, target] = both
        elif (target, source) in found:
            found[target, source] = found[target, source] + weights.T
        else:
            found[source, target] = weights
    return found

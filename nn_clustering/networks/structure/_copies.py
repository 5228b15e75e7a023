"""Copies of what weight layers read, so that each has sets of units of its own (methods C4)."""

from collections import Counter
from dataclasses import replace

from nn_clustering.networks.structure._channels import (
    Channels,
    Copied,
    Copies,
    Weighted,
    reading_from,
    with_recurrence,
)
from nn_clustering.networks.structure._network_weights import NetworkWeights
from nn_clustering.networks.structure._tracing import Part, trace_parts


def with_copies(network: NetworkWeights) -> NetworkWeights:
    """Return a network in which every weight layer reads sets of units that no other reads.

    A layer has one set, of the channels that it reads, or of a concatenation one for each part.
    The set is named after the layer, "conv/inputs", and of several after what each is part of too,
    "conv/inputs/other"; what a recurrent layer reads of its own is "lstm/states". What multiplies a
    channel before the layer multiplies the weights into the set, but for the depthwise kernel of a
    separable layer, which reads the set.
    """
    parts = trace_parts(network.channels, network.kernels, "l1", fold_normalisation=False)
    channels: list[Channels] = []
    index: dict[int, int] = {}  # of channels, where they stand now

    for number, made in enumerate(network.channels):
        moved = reading_from(made, index)
        if isinstance(made, Weighted) and isinstance(moved, Weighted):
            read = network.read_by(made)
            reader = f"{made.name}/states" if made.reads_itself else f"{made.name}/inputs"
            names = _names(network, reader, parts[read])
            first = len(channels)
            channels.extend(
                Copied(name, made.read_tensor, index[read], place)
                for place, name in enumerate(names)
            )
            channels.append(Copies(index[read], tuple(range(first, len(channels)))))
            if read != made.reads:
                depthwise = reading_from(network.channels[made.reads], {read: len(channels) - 1})
                channels.append(depthwise)
            moved = replace(moved, reads=len(channels) - 1)
        channels.append(moved)
        index[number] = len(channels) - 1
    outputs = tuple(index[output] for output in network.outputs)
    nonlinear = frozenset(index[made] for made in network.nonlinear)
    joined = tuple(with_recurrence(made, index) for made in channels)
    return replace(
        network,
        channels=joined,
        outputs=outputs,
        nonlinear=nonlinear,
        residual="copied",
    )


def _names(network: NetworkWeights, reader: str, parts: tuple[Part, ...]) -> list[str]:
    """Return a name for every part that a layer reads."""
    if len(parts) == 1:
        return [reader]
    origins = [network.name_of(part.origin) for part in parts]
    times: Counter[str] = Counter()
    names = []
    for origin in origins:
        times[origin] += 1
        again = f":{times[origin]}" if times[origin] > 1 else ""
        names.append(f"{reader}/{origin}{again}")
    return names

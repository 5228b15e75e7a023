"""What the last axis of a network's tensors holds.

A network is a sequence of :data:`Channels`, each made of earlier ones.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class InputValues:
    """The channels of one of the network's inputs, or the tokens of which it holds numbers."""

    name: str
    tensor: int
    n_units: int
    is_of_tokens: bool = False


@dataclass(frozen=True)
class Rearranged:
    """An input in another shape, of ``n_units`` values on its last axis."""

    reads: int
    tensor: int
    n_units: int


@dataclass(frozen=True)
class Weighted:
    """What a dense, convolutional or recurrent layer makes, before an activation behind it.

    A recurrent layer reads its own states too, by a second kernel: that is a ``Weighted`` of its
    own, which reads the first and makes no units beside its.

    Attributes:
        name: Name of the layer.
        tensor: Number of the tensor it makes, in :func:`~nn_clustering.graphs.walk_network`.
        reads: Index of the channels that it reads.
        read_tensor: Number of the tensor that it reads.
        kernel: Index of its kernel, of shape (inputs, units), (gates, inputs, units) or (height,
            width, inputs a group, units).
        groups: Number of groups; each reads its own share of the inputs.
        is_behind_maps: Whether it reads what a flatten or a global pooling made of maps.
        n_heads: Number of heads that its units are of, one behind the other; None if of none.
        recurrence: Of a recurrent layer the index of what reads its states.
        reads_itself: Whether it is what reads the states of a recurrent layer.
    """

    name: str
    tensor: int
    reads: int
    read_tensor: int
    kernel: int
    groups: int = 1
    is_behind_maps: bool = False
    n_heads: int | None = None
    recurrence: int | None = None
    reads_itself: bool = False


@dataclass(frozen=True)
class Depthwise:
    """What a depthwise convolution makes, with a kernel of shape (height, width, in, multiplier).

    Channel c becomes the channels c * multiplier to (c + 1) * multiplier - 1.
    """

    reads: int
    kernel: int


@dataclass(frozen=True, eq=False)
class Scaled:
    """Channels times factors of either sign, one for each or one for all."""

    reads: int
    factors: NDArray[np.float64]
    is_normalisation: bool


@dataclass(frozen=True)
class Merged:
    """The sum, product, maximum or the like of several tensors, element by element.

    Attributes:
        name: Name of the layer.
        tensor: Number of the tensor it makes.
        reads: Indices of the channels that it reads.
        is_sum: Whether it adds them up, with whatever sign.
    """

    name: str
    tensor: int
    reads: tuple[int, ...]
    is_sum: bool = True


@dataclass(frozen=True)
class Broadcast:
    """One channel as it stands for each of ``n_units``, such as a gate for all."""

    reads: int
    n_units: int


@dataclass(frozen=True, eq=False)
class Gathered:
    """Some channels, in any order: a slice, or each as often as several heads read it.

    Attributes:
        reads: Index of the channels that they are of.
        places: The place among those of every channel, of shape (channels,).
    """

    reads: int
    places: NDArray[np.int64]


@dataclass(frozen=True)
class Concatenated:
    """Tensors side by side along the channels."""

    reads: tuple[int, ...]


@dataclass(frozen=True)
class Flattened:
    """All positions (rows, columns) of all channels on one axis, channel next to channel."""

    reads: int
    tensor: int
    positions: tuple[int, int]


@dataclass(frozen=True)
class Unflattened:
    """Maps that a reshape makes of the values on one axis: the flatten the other way round.

    Each of its ``n_units`` channels is a unit, all positions together.
    """

    name: str
    tensor: int
    reads: int
    n_units: int
    positions: tuple[int, int]


@dataclass(frozen=True)
class Copied:
    """A set of units of its own for what one weight layer reads of one origin (methods C4).

    Attributes:
        name: Name of the set.
        tensor: Number of the tensor that the weight layer reads.
        reads: Index of the channels that it reads.
        place: The place among their parts of the part that is copied.
    """

    name: str
    tensor: int
    reads: int
    place: int


@dataclass(frozen=True)
class Copies:
    """Channels as a weight layer reads them of sets of units of its own.

    Attributes:
        reads: Index of the channels that are copied, where they stand.
        copies: Index of the :class:`Copied` set of each of their parts.
    """

    reads: int
    copies: tuple[int, ...]


Channels = (
    InputValues
    | Rearranged
    | Weighted
    | Depthwise
    | Scaled
    | Merged
    | Broadcast
    | Gathered
    | Concatenated
    | Flattened
    | Unflattened
    | Copied
    | Copies
)


def reading_from(made: Channels, place: Mapping[int, int]) -> Channels:
    """Return channels that read the same, where that stands now.

    Args:
        made: The channels.
        place: The index of what they read, by what it was.
    """
    reads = getattr(made, "reads", None)
    if reads is None:
        return made
    now = place[reads] if isinstance(reads, int) else tuple(place[read] for read in reads)
    return replace(made, reads=now)  # type: ignore[arg-type]


def with_recurrence(made: Channels, place: Mapping[int, int]) -> Channels:
    """Return what a recurrent layer makes with what reads its states where that stands now.

    Args:
        made: Channels of any kind.
        place: The index of all channels, by what it was.
    """
    if isinstance(made, Weighted) and made.recurrence is not None:
        return replace(made, recurrence=place[made.recurrence])
    return made


class Origin(NamedTuple):
    """Where a set of units arises: an input, a weight layer, a merge, a reshape or a copy."""

    channels: int
    n_units: int

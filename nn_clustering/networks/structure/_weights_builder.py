"""What the rules of layers add to: the channels of a network's tensors, and its kernels."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from nn_clustering.errors import InvalidInputError
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
    Rearranged,
    Scaled,
    Unflattened,
    Weighted,
    reading_from,
    with_recurrence,
)
from nn_clustering.networks.structure._network_weights import NetworkWeights
from nn_clustering.networks.structure._walk import Step

Shape = tuple[int | None, ...]


@dataclass(frozen=True)
class NoUnits:
    """What a tensor holds that holds no units.

    Attributes:
        kind: "constant" for what is the same whatever the units are, such as positions; "common"
            for numbers that many units have in common, such as what a norm divides by, a mask or
            the pattern of an attention; "unknown" for what no rule is known of.
        refusal: The error where it is read as units all the same.
    """

    kind: Literal["constant", "common", "unknown"]
    refusal: InvalidInputError


class WeightsBuilder:
    """Gathers what the last axis of every tensor of a network holds, step by step."""

    def __init__(self, network: str, shapes: Sequence[Shape]) -> None:
        """Begin without any.

        Args:
            network: Name of the network.
            shapes: Shape of every tensor, by its number.
        """
        self._network = network
        self._shapes = shapes
        self._channels: list[Channels] = []
        # index of the channels that a tensor holds, or why it holds none
        self._at: dict[int, int | NoUnits] = {}
        # axis of the heads, counted from the end, of tensors that have channels on two axes
        self._heads: dict[int, int] = {}
        self._has_attention = False
        self._kernels: list[NDArray[np.floating]] = []
        self._kernel_layers: list[str] = []
        # tensors made of maps by a flatten or a global pooling, on how many axes slice by slice
        self._behind_maps: dict[int, int] = {}
        self._nonlinear: set[int] = set()  # channels
        # of tensors, the channels that stand there behind something nonlinear, where they arise
        self._behind: dict[int, set[int]] = {}
        self._moved: set[int] = set()  # tensors whose positions may not be those of a reshape

    def add(self, channels: Channels, tensor: int) -> None:
        """Add channels, which a tensor holds."""
        self._at[tensor] = self.add_inner(channels)

    def add_inner(self, channels: Channels) -> int:
        """Add channels that stand on no tensor of their own; return their index."""
        self._channels.append(channels)
        return len(self._channels) - 1

    def add_kernel(self, step: Step, kernel: NDArray[np.floating]) -> int:
        """Add a kernel of a step's layer; return its index."""
        self._kernels.append(kernel)
        self._kernel_layers.append(step.name)
        return len(self._kernels) - 1

    def add_weighted(
        self,
        step: Step,
        kernel: NDArray[np.floating],
        *,
        groups: int = 1,
        reads: int | None = None,
        n_heads: int | None = None,
    ) -> None:
        """Add the channels that a step makes of those that it reads, by a kernel.

        Args:
            step: The step.
            kernel: Its kernel.
            groups: Number of groups.
            reads: Index of the channels that the kernel reads, if not those that the step reads.
            n_heads: Number of heads that its units are of.
        """
        tensor, read = step.outputs[0], step.inputs[0]
        reads = self.read(step) if reads is None else reads
        # of maps at each time a layer that sees all times reads a map
        is_behind_maps = read in self._behind_maps and self._sees_one_position(step, read)
        index = self.add_kernel(step, kernel)
        made = Weighted(step.name, tensor, reads, read, index, groups, is_behind_maps, n_heads)
        self.add(made, tensor)

    def add_recurrent(
        self, step: Step, kernel: NDArray[np.floating], recurrent_kernel: NDArray[np.floating]
    ) -> None:
        """Add the channels that a recurrent step makes of those that it reads and of its own.

        Args:
            step: The step.
            kernel: Its kernel, of shape (gates, inputs, units).
            recurrent_kernel: The kernel by which it reads its states, (gates, units, units).
        """
        self.add_weighted(step, kernel)
        number, states = self.made(step), step.outputs[-1]
        self._at[states] = number
        made = self._channels[number]
        assert isinstance(made, Weighted)
        reading = Weighted(
            step.name,
            states,
            number,
            states,
            self.add_kernel(step, recurrent_kernel),
            is_behind_maps=made.is_behind_maps,
            reads_itself=True,
        )
        self._channels[number] = replace(made, recurrence=self.add_inner(reading))
        self.mark_nonlinear(number)  # gates multiply it

    def pass_on(self, step: Step) -> None:
        """Say that the tensor that a step makes holds the channels that it reads."""
        (read,) = self.tensors_of_units(step)
        self.pass_on_of(step, read, heads=self._heads.get(read))

    def pass_on_of(self, step: Step, tensor: int, *, heads: int | None = None) -> None:
        """Say that the tensor that a step makes holds the channels of another.

        Args:
            step: The step.
            tensor: Number of the other.
            heads: Axis of the heads, counted from the end, if the channels stand on two axes.
        """
        self._at[step.outputs[0]] = self.channels_of(tensor)
        if heads is not None:
            self._heads[step.outputs[0]] = heads

    def keep_heads(self, step: Step, heads: int) -> None:
        """Say on which axis, counted from the end, what a step makes has its heads."""
        self._heads[step.outputs[0]] = heads

    def reads_heads(self, step: Step) -> bool:
        """Return whether a step reads channels that stand on two axes, heads and their channels."""
        return any(tensor in self._heads for tensor in step.inputs)

    def reads_tokens(self, step: Step) -> bool:
        """Return whether a step reads an input of tokens, of which each is a unit."""
        return self._is_of_tokens(self.read(step))

    def reads_numbers_of_tokens(self, step: Step) -> bool:
        """Return whether any tensor that a step reads is an input of tokens."""
        return any(self._is_of_tokens(index) for index in self._indices_read(step))

    def _indices_read(self, step: Step) -> Iterator[int]:
        for tensor in step.inputs:
            found = self._at[tensor]
            if not isinstance(found, NoUnits):
                yield found

    def _is_of_tokens(self, index: int) -> bool:
        channels = self._channels[index]
        return isinstance(channels, InputValues) and channels.is_of_tokens

    def leave_out(self, step: Step, nothing: NoUnits) -> None:
        """Say that what a step makes holds no units."""
        self._at.update(dict.fromkeys(step.outputs, nothing))

    def nothing_read(self, step: Step) -> NoUnits | None:
        """Return what a step reads if none of it is units, nor unknown."""
        found = [self.no_units(tensor) for tensor in step.inputs]
        if not found or any(nothing is None or nothing.kind == "unknown" for nothing in found):
            return None
        common = (nothing for nothing in found if nothing is not None and nothing.kind == "common")
        return next(common, found[0])

    def add_pattern(self, step: Step, reason: str) -> None:
        """Say that a step makes numbers that many units have in common.

        Args:
            step: The step.
            reason: Why they are no units, a relative clause.
        """
        self.leave_out(step, NoUnits("common", self.refusal(step, reason)))

    def mix_positions(self, tensor: int) -> None:
        """Note that the positions of a tensor are mixed by weights that are made of the input.

        What makes its channels, if that is one layer alone, is then known to make values of heads.
        """
        self._has_attention = True
        index, heads = self.channels_of(tensor), self._heads.get(tensor)
        self.mark_nonlinear(index)
        made = self._channels[index]
        if isinstance(made, Weighted) and made.n_heads is None and heads is not None:
            self._channels[index] = replace(made, n_heads=self._shapes[tensor][heads])

    def channels_of(self, tensor: int) -> int:
        """Return the index of the channels that a tensor holds.

        Raises:
            InvalidInputError: If it holds no units.
        """
        found = self._at[tensor]
        if isinstance(found, NoUnits):
            raise found.refusal
        return found

    def no_units(self, tensor: int) -> NoUnits | None:
        """Return why a tensor holds no units; None if it does."""
        found = self._at[tensor]
        return found if isinstance(found, NoUnits) else None

    def heads(self, tensor: int) -> int | None:
        """Return the axis of the heads, counted from the end; None if channels are on one axis."""
        return self._heads.get(tensor)

    def n_channels(self, tensor: int) -> int:
        """Return how many channels a tensor holds."""
        shape, heads = self._shapes[tensor], self._heads.get(tensor)
        n_last = shape[-1] or 0
        return n_last if heads is None else n_last * (shape[heads] or 0)

    def tensors_of_units(self, step: Step) -> tuple[int, ...]:
        """Return the tensors that a step reads but for those that change no weights.

        Those are constants, and numbers that all units of a position have in common.

        Raises:
            InvalidInputError: If none is left, or one holds no units.
        """
        found = tuple(tensor for tensor in step.inputs if not self._is_beside(tensor))
        for tensor in found or step.inputs[:1]:
            self.channels_of(tensor)
        return found

    def _is_beside(self, tensor: int) -> bool:
        nothing, shape = self.no_units(tensor), self._shapes[tensor]
        if nothing is None or nothing.kind == "unknown":
            return False
        return nothing.kind == "constant" or shape[-1:] == (1,)

    def read(self, step: Step) -> int:
        """Return the index of the channels that a step reads, of several tensors of the first."""
        return self.channels_of(self.tensors_of_units(step)[0])

    def made(self, step: Step) -> int:
        """Return the index of the channels that a step makes."""
        return self.channels_of(step.outputs[0])

    def mark_nonlinear(self, index: int) -> None:
        """Note that what reads these channels does not read them linearly, or they are no sum.

        What is marked is where they arise, through all that multiplies or arranges them.
        """
        self._nonlinear.update(self._where_they_arise(index))

    def follow_nonlinearity(self, step: Step, *, is_linear: bool) -> None:
        """Note what a step makes of channels that stand behind something nonlinear.

        They are marked where weights read them, or another tensor is added: not where numbers come
        of them that hold no units, as the squares of which a norm is made.
        """
        behind = {place for tensor in step.inputs for place in self._behind.get(tensor, ())}
        if not is_linear:
            behind.update(self._where_they_arise(self.read(step)))
        made = self._channels[self.made(step)]
        is_new = getattr(made, "tensor", None) == step.outputs[0]
        if is_new and isinstance(made, Weighted | Merged | Unflattened):
            self._nonlinear.update(behind)
        else:
            self._behind.update(dict.fromkeys(step.outputs, behind))

    def _where_they_arise(self, index: int) -> Iterator[int]:
        match self._channels[index]:
            case Concatenated(reads=several):
                for one in several:
                    yield from self._where_they_arise(one)
            case (
                Scaled(reads=reads)
                | Depthwise(reads=reads)
                | Broadcast(reads=reads)
                | Gathered(reads=reads)
                | Flattened(reads=reads)
                | Rearranged(reads=reads)
            ):
                yield from self._where_they_arise(reads)
            case _:
                yield index

    def all_read(self, step: Step) -> tuple[int, ...]:
        """Return the indices of the channels of all tensors of units that a step reads."""
        return tuple(map(self.channels_of, self.tensors_of_units(step)))

    def shapes(self, step: Step) -> tuple[Shape, Shape]:
        """Return the shapes of the first tensor that a step reads and of the first it makes."""
        first = next(tensor for tensor in step.inputs if not self._is_beside(tensor))
        return self._seen(step, first), self._seen(step, step.outputs[0])

    def shapes_read(self, step: Step) -> list[Shape]:
        """Return the shape of every tensor of units that a step reads."""
        return [self._seen(step, tensor) for tensor in self.tensors_of_units(step)]

    def _seen(self, step: Step, tensor: int) -> Shape:
        """Return a tensor's shape as the operation of a step sees it."""
        return _slice_of(self._shapes[tensor], step.n_times)

    def widths_read(self, step: Step) -> list[int | None]:
        """Return the number of channels of every tensor that a step reads."""
        return [shape[-1] for shape in self.shapes_read(step)]

    def source(self, step: Step) -> str:
        """Return where the channels that a step reads arise, for a message."""
        channels = self._channels[self.read(step)]
        while isinstance(
            channels, Rearranged | Depthwise | Scaled | Broadcast | Gathered | Flattened | Copies
        ):
            channels = self._channels[channels.reads]
        if isinstance(channels, Concatenated):
            return "a concatenation's"
        return f"that of layer {channels.name!r}"

    def reads_input(self, step: Step) -> bool:
        """Return whether a step reads an input, if rearranged or scaled."""
        return self._is_input(self.read(step))

    def _is_input(self, index: int) -> bool:
        channels = self._channels[index]
        while isinstance(channels, Rearranged | Scaled | Flattened):
            channels = self._channels[channels.reads]
        return isinstance(channels, InputValues)

    def reads_one_factor(self, step: Step) -> bool:
        """Return whether the channels of the input that a step reads are multiplied all alike."""
        channels = self._channels[self.read(step)]
        while isinstance(channels, Scaled | Flattened):
            if isinstance(channels, Scaled) and (channels.factors != channels.factors[0]).any():
                return False
            channels = self._channels[channels.reads]
        return True

    def reads_positions(self, step: Step) -> bool:
        """Return whether a step reads flattened maps: a channel once for every position."""
        return self._holds_positions(self.read(step))

    def reads_values(self, step: Step) -> bool:
        """Return whether each channel that a step reads is one value, as a dense layer's unit is.

        What a convolution makes stays a channel of maps when these are pooled to one position.
        """
        return self._are_values(self.read(step), step)

    def _are_values(self, index: int, step: Step) -> bool:
        match self._channels[index]:
            case Merged(reads=several) | Concatenated(reads=several):
                return all(self._are_values(one, step) for one in several)
            case Flattened(reads=reads, positions=positions):
                return self._is_input(reads) or (
                    math.prod(positions) == 1 and self._are_values(reads, step)
                )
            case (
                Scaled(reads=reads)
                | Depthwise(reads=reads)
                | Broadcast(reads=reads)
                | Gathered(reads=reads)
            ):
                return self._are_values(reads, step)
            case Weighted(kernel=kernel, tensor=tensor):
                convolves = self._kernels[kernel].ndim == 4
                return not convolves and self._is_at_one_position(tensor, step)
            case InputValues(tensor=tensor) | Rearranged(tensor=tensor):
                return self._is_at_one_position(tensor, step)
            case Unflattened() | Copied() | Copies():  # made of what is built
                return False

    def _is_at_one_position(self, tensor: int, step: Step) -> bool:
        """Return whether a tensor has one position for each slice on which a step is called."""
        times = slice(1, 1 + step.n_times)
        same_times = self._shapes[tensor][times] == self._shapes[step.inputs[0]][times]
        return same_times and self._sees_one_position(step, tensor)

    def _holds_positions(self, index: int) -> bool:
        match self._channels[index]:
            case Flattened(reads=reads, positions=positions):
                return math.prod(positions) > 1 and not self._is_input(reads)
            case (
                Scaled(reads=reads)
                | Depthwise(reads=reads)
                | Broadcast(reads=reads)
                | Gathered(reads=reads)
            ):
                return self._holds_positions(reads)
            case Concatenated(reads=concatenated):
                return any(map(self._holds_positions, concatenated))
            case _:
                return False

    def reads_positions_in_order(self, step: Step) -> bool:
        """Return whether the maps of a reshape that a step reads are flattened as they were made.

        Only then is it known which of the weights into the maps lead into which value.
        """
        return not any(
            flattened.tensor in self._moved or flattened.positions != maps.positions
            for index in self.all_read(step)
            for flattened in self._flattened(index)
            for maps in self._maps_of_a_reshape(flattened.reads)
        )

    def _flattened(self, index: int) -> Iterator[Flattened]:
        """Yield the flattened maps among channels."""
        match self._channels[index]:
            case Flattened(positions=positions) as flattened if math.prod(positions) > 1:
                yield flattened
            case Concatenated(reads=concatenated):
                for one in concatenated:
                    yield from self._flattened(one)
            case (
                Scaled(reads=reads)
                | Depthwise(reads=reads)
                | Broadcast(reads=reads)
                | Gathered(reads=reads)
                | Flattened(reads=reads)
            ):
                yield from self._flattened(reads)

    def _maps_of_a_reshape(self, index: int) -> Iterator[Unflattened]:
        """Yield the reshapes among what channels are made of without weights."""
        match self._channels[index]:
            case Unflattened() as maps:
                yield maps
            case Concatenated(reads=several) | Merged(reads=several):
                for one in several:
                    yield from self._maps_of_a_reshape(one)
            case (
                Scaled(reads=reads)
                | Depthwise(reads=reads)
                | Broadcast(reads=reads)
                | Gathered(reads=reads)
            ):
                yield from self._maps_of_a_reshape(reads)

    def follow_moves(self, step: Step, *, keeps_positions: bool) -> None:
        """Note whether what a step makes may stand at other positions than in a reshape's maps."""
        made = self._channels[self.channels_of(step.outputs[0])]
        is_new = getattr(made, "tensor", None) == step.outputs[0]
        if is_new and isinstance(made, Weighted | Unflattened):
            return
        keeps = keeps_positions or (is_new and isinstance(made, Flattened))
        if not keeps or self._moved.intersection(step.inputs):
            self._moved.update(step.outputs)

    def follow_positions(self, step: Step, *, has_kernels: bool) -> None:
        """Note whether what a step makes lies behind a flatten or a global pooling of maps."""
        before, after = self.shapes(step)
        is_one = _n_positions(after) == 1
        if len(before) > 2 and (
            len(after) == 2 or (is_one and not has_kernels and _n_positions(before) != 1)
        ):
            n_times = [step.n_times]
        else:
            n_times = [
                self._behind_maps[tensor]
                for tensor in step.inputs
                if tensor in self._behind_maps
                and self._stays_behind_maps(step, tensor, has_kernels=has_kernels)
            ]
        if n_times:
            self._behind_maps.update(dict.fromkeys(step.outputs, min(n_times)))

    def _stays_behind_maps(self, step: Step, tensor: int, *, has_kernels: bool) -> bool:
        """Return whether what a step makes is no map, as the tensor that it reads.

        It is one again if spread over positions, or where weights read it as one, over time.
        """
        made = _slice_of(self._shapes[step.outputs[0]], self._behind_maps[tensor])
        reads_map = has_kernels and not self._sees_one_position(step, tensor)
        return _n_positions(made) == 1 and not reads_map

    def _sees_one_position(self, step: Step, tensor: int) -> bool:
        return _n_positions(self._seen(step, tensor)) == 1

    def refusal(self, step: Step, reason: str) -> InvalidInputError:
        """Return the error that names a step's layer and says what is amiss with it.

        Args:
            step: The step.
            reason: A relative clause.
        """
        operation = step.operation
        kind = getattr(operation, "__name__", type(operation).__name__)
        return InvalidInputError(
            f"layer {step.name!r} of network {self._network!r} is a {kind}, {reason}"
        )

    def wrong_values(self, step: Step) -> InvalidInputError:
        """Return the error that a step's layer holds weights that are no numbers."""
        return InvalidInputError(
            f"layer {step.name!r} of network {self._network!r} holds NaN or infinite weights"
        )

    def weights(self, outputs: Sequence[int]) -> NetworkWeights:
        """Return all that was added and leads to what the network puts out.

        What leads elsewhere are the queries and the keys of attention. Where one layer makes these
        and the values side by side, its weights into them are 0.

        Args:
            outputs: Numbers of the tensors that the network puts out.

        Raises:
            InvalidInputError: If one of them holds no units.
        """
        found = NetworkWeights(
            self._network,
            tuple(self._channels),
            tuple(self.channels_of(tensor) for tensor in outputs),
            tuple(self._kernel_layers),
            tuple(self._kernels),
            has_attention=self._has_attention,
            nonlinear=frozenset(self._nonlinear),
        )
        return _without_weights_into_unread(only_leading_to_outputs(found))


def only_leading_to_outputs(network: NetworkWeights) -> NetworkWeights:
    """Return a network without the weight layers that nothing of what it puts out hangs on."""
    leading = set(network.outputs)
    for number in reversed(range(len(network.channels))):
        made = network.channels[number]
        reads = getattr(made, "reads", ())
        if getattr(made, "reads_itself", False) and reads in leading:
            leading.add(number)
        if number in leading:
            leading.update([reads] if isinstance(reads, int) else reads)
    kept = [
        number
        for number, channels in enumerate(network.channels)
        if number in leading or isinstance(channels, InputValues)
    ]
    if len(kept) == len(network.channels):
        return network
    place = {number: at for at, number in enumerate(kept)}
    kernels = [
        network.channels[number].kernel  # type: ignore[union-attr]
        for number in kept
        if isinstance(network.channels[number], Weighted | Depthwise)
    ]
    kernel_place = {kernel: at for at, kernel in enumerate(kernels)}
    channels = []
    for number in kept:
        made = reading_from(network.channels[number], place)
        if isinstance(made, Weighted | Depthwise):
            made = replace(made, kernel=kernel_place[made.kernel])
        channels.append(with_recurrence(made, place))
    return replace(
        network,
        channels=tuple(channels),
        nonlinear=frozenset(place[number] for number in network.nonlinear if number in place),
        outputs=tuple(place[number] for number in network.outputs),
        kernel_layers=tuple(network.kernel_layers[kernel] for kernel in kernels),
        kernels=tuple(network.kernels[kernel] for kernel in kernels),
    )


def _without_weights_into_unread(network: NetworkWeights) -> NetworkWeights:
    """Return a network with weights of 0 into units that no slice of their layer's units holds.

    They stay in their places on the last axis of the layer's tensor, without an edge.
    """
    kernels = list(network.kernels)
    for number, layer in network.weight_layers.items():
        kernel = kernels[layer.kernel]
        is_read = _is_read(network, number, kernel.shape[-1])
        if not layer.reads_itself and not is_read.all():
            kernels[layer.kernel] = np.where(is_read, kernel, kernel.dtype.type(0))
    return network.with_kernels(kernels)


def _is_read(network: NetworkWeights, number: int, n_channels: int) -> NDArray[np.bool_]:
    """Return which of some channels anything reads, of slices what these hold."""
    found = np.full(n_channels, number in network.outputs)
    for reader, channels in enumerate(network.channels):
        if not _reads(channels, number):
            continue
        if isinstance(channels, Gathered):
            found[channels.places] = True
        elif isinstance(channels, Scaled):
            found |= _is_read(network, reader, n_channels)
        else:
            found[:] = True
    return found


def _reads(channels: Channels, number: int) -> bool:
    reads = getattr(channels, "reads", ())
    return number == reads if isinstance(reads, int) else number in reads


def _n_positions(shape: Shape) -> int | None:
    """Return the number of positions of maps of this shape; None if it is open."""
    sizes = [size for size in shape[1:-1] if size is not None]
    return math.prod(sizes) if len(sizes) == max(len(shape) - 2, 0) else None


def _slice_of(shape: Shape, n_times: int) -> Shape:
    """Return the shape of slices along so many axes behind the batch's."""
    return (*shape[:1], *shape[1 + n_times :])

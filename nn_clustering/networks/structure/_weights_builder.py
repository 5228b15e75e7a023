"""What the rules of layers add to: the channels of a network's tensors, and its kernels."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

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
    InputValues,
    Merged,
    Rearranged,
    Scaled,
    Unflattened,
    Weighted,
)
from nn_clustering.networks.structure._network_weights import NetworkWeights
from nn_clustering.networks.structure._walk import Step

Shape = tuple[int | None, ...]


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
        self._at: dict[int, int] = {}  # index of the channels that a tensor holds
        self._kernels: list[NDArray[np.floating]] = []
        self._kernel_layers: list[str] = []
        # tensors made of maps by a flatten or a global pooling, on how many axes slice by slice
        self._behind_maps: dict[int, int] = {}
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
        self, step: Step, kernel: NDArray[np.floating], *, groups: int = 1, reads: int | None = None
    ) -> None:
        """Add the channels that a step makes of those that it reads, by a kernel.

        Args:
            step: The step.
            kernel: Its kernel.
            groups: Number of groups.
            reads: Index of the channels that the kernel reads, if not those that the step reads.
        """
        tensor, read = step.outputs[0], step.inputs[0]
        reads = self.read(step) if reads is None else reads
        # of maps at each time a layer that sees all times reads a map
        is_behind_maps = read in self._behind_maps and self._sees_one_position(step, read)
        index = self.add_kernel(step, kernel)
        self.add(Weighted(step.name, tensor, reads, read, index, groups, is_behind_maps), tensor)

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
        number, states = self._at[step.outputs[0]], step.outputs[-1]
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

    def pass_on(self, step: Step) -> None:
        """Say that the tensor that a step makes holds the channels that it reads."""
        self._at[step.outputs[0]] = self.read(step)

    def read(self, step: Step) -> int:
        """Return the index of the channels that a step reads, of several tensors of the first."""
        return self._at[step.inputs[0]]

    def all_read(self, step: Step) -> tuple[int, ...]:
        """Return the indices of the channels of all tensors that a step reads."""
        return tuple(self._at[tensor] for tensor in step.inputs)

    def shapes(self, step: Step) -> tuple[Shape, Shape]:
        """Return the shapes of the first tensor that a step reads and of the first it makes."""
        return self._seen(step, step.inputs[0]), self._seen(step, step.outputs[0])

    def shapes_read(self, step: Step) -> list[Shape]:
        """Return the shape of every tensor that a step reads."""
        return [self._seen(step, tensor) for tensor in step.inputs]

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
            channels, Rearranged | Depthwise | Scaled | Broadcast | Flattened | Copies
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
            case Scaled(reads=reads) | Depthwise(reads=reads) | Broadcast(reads=reads):
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
            case Scaled(reads=reads) | Depthwise(reads=reads) | Broadcast(reads=reads):
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
            case Scaled(reads=reads) | Depthwise(reads=reads) | Broadcast(reads=reads):
                yield from self._maps_of_a_reshape(reads)

    def follow_moves(self, step: Step, *, keeps_positions: bool) -> None:
        """Note whether what a step makes may stand at other positions than in a reshape's maps."""
        made = self._channels[self._at[step.outputs[0]]]
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
        """Return all that was added.

        Args:
            outputs: Numbers of the tensors that the network puts out.
        """
        return NetworkWeights(
            self._network,
            tuple(self._channels),
            tuple(self._at[tensor] for tensor in outputs),
            tuple(self._kernel_layers),
            tuple(self._kernels),
        )


def _n_positions(shape: Shape) -> int | None:
    """Return the number of positions of maps of this shape; None if it is open."""
    sizes = [size for size in shape[1:-1] if size is not None]
    return math.prod(sizes) if len(sizes) == max(len(shape) - 2, 0) else None


def _slice_of(shape: Shape, n_times: int) -> Shape:
    """Return the shape of slices along so many axes behind the batch's."""
    return (*shape[:1], *shape[1 + n_times :])

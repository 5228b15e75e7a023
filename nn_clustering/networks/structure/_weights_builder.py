"""What the rules of layers add to: the channels of a network's tensors, and its kernels."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from nn_clustering.errors import InvalidInputError
from nn_clustering.networks.structure._channels import (
    Channels,
    Concatenated,
    Depthwise,
    Flattened,
    InputValues,
    Rearranged,
    Scaled,
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
        return self._shapes[step.inputs[0]], self._shapes[step.outputs[0]]

    def widths_read(self, step: Step) -> list[int | None]:
        """Return the number of channels of every tensor that a step reads."""
        return [self._shapes[tensor][-1] for tensor in step.inputs]

    def source(self, step: Step) -> str:
        """Return where the channels that a step reads arise, for a message."""
        channels = self._channels[self.read(step)]
        while isinstance(channels, Rearranged | Depthwise | Scaled | Flattened):
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

    def reads_positions(self, step: Step) -> bool:
        """Return whether a step reads flattened maps: a channel once for every position."""
        return self._holds_positions(self.read(step))

    def _holds_positions(self, index: int) -> bool:
        match self._channels[index]:
            case Flattened(reads=reads, positions=positions):
                return math.prod(positions) > 1 and not self._is_input(reads)
            case Scaled(reads=reads) | Depthwise(reads=reads):
                return self._holds_positions(reads)
            case Concatenated(reads=concatenated):
                return any(map(self._holds_positions, concatenated))
            case _:
                return False

    def refusal(self, step: Step, reason: str) -> InvalidInputError:
        """Return the error that names a step's layer and says what is amiss with it.

        Args:
            step: The step.
            reason: A relative clause.
        """
        kind = type(step.operation).__name__
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

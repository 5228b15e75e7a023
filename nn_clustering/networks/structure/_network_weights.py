"""The weights of a network as arrays, and the graph of its units from them (methods C1 to C5)."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from nn_clustering.errors import InvalidInputError
from nn_clustering.networks.structure._channels import (
    Channels,
    Copied,
    Depthwise,
    InputValues,
    Merged,
    Origin,
    Unflattened,
    Weighted,
)


@dataclass(frozen=True, eq=False)
class NetworkWeights:
    """The weights of a network, and how they join its units; arrays only, without Keras.

    Attributes:
        name: Name of the network.
        channels: What the last axis of the network's tensors holds, each after what it reads.
        outputs: Indices in ``channels`` of what the network puts out.
        kernel_layers: Names of the layers of which ``kernels`` are.
        kernels: Raw kernels of all dense, convolutional and recurrent layers, in the order in which
            data passes them: (inputs, units); (height, width, inputs a group, units), with a width
            of 1 in one dimension; of depthwise convolutions (height, width, channels, multiplier);
            of recurrent layers (gates, inputs, units), and the one by which they read their states,
            (gates, units, units). A separable convolution has a depthwise and a pointwise one.
        has_attention: Whether positions are mixed by weights that are made anew for every input.
        nonlinear: Indices in ``channels`` of where units arise behind which stands a nonlinearity,
            a product or an attention before a weight layer reads them, or which are no sums; all
            others are read linearly, but for what a norm divides by.
        residual: By which rule its sets of units are chosen where several layers read a stream; see
            :func:`~nn_clustering.graphs.by_residual_rule`.
    """

    name: str
    channels: tuple[Channels, ...]
    outputs: tuple[int, ...]
    kernel_layers: tuple[str, ...]
    kernels: tuple[NDArray[np.floating], ...] = field(repr=False)
    has_attention: bool = False
    nonlinear: frozenset[int] = frozenset()
    residual: str = "one_set"

    def with_kernels(self, kernels: Sequence[NDArray[np.floating]]) -> "NetworkWeights":
        """Return the network with other kernels.

        Raises:
            InvalidInputError: If they are not as many, or not of the same shapes.
        """
        shapes = [np.shape(kernel) for kernel in kernels]
        expected = [kernel.shape for kernel in self.kernels]
        if shapes != expected:
            raise InvalidInputError(
                f"{len(shapes)} kernels of shapes {shapes} for network {self.name!r}; expected "
                f"{len(expected)} of shapes {expected}"
            )
        return replace(self, kernels=tuple(kernels))

    @cached_property
    def has_convolutions(self) -> bool:
        """Whether any layer is a convolution."""
        return any(kernel.ndim == 4 for kernel in self.kernels)

    @cached_property
    def has_recurrence(self) -> bool:
        """Whether any layer is recurrent."""
        return any(kernel.ndim == 3 for kernel in self.kernels)

    @cached_property
    def has_sums(self) -> bool:
        """Whether tensors are added up (or merged otherwise) element by element."""
        return any(
            isinstance(channels, Merged) and len(channels.reads) > 1 for channels in self.channels
        )

    def is_convolutional(self, layer: Weighted) -> bool:
        """Return whether a weight layer is of the convolutional part of the network.

        A convolution is, and in a network with convolutions so is a dense layer that does not lie
        behind a flatten or a global pooling, such as one on a map: a convolution of size 1.
        """
        if self.kernels[layer.kernel].ndim == 4:
            return True
        return self.has_convolutions and not layer.is_behind_maps

    @cached_property
    def weight_layers(self) -> dict[int, Weighted]:
        """The layers whose weights lead into units, by their index in ``channels``.

        Dense and convolutional ones, and of a recurrent one both what reads the layers before it
        and what reads its own states.
        """
        return {
            index: channels
            for index, channels in enumerate(self.channels)
            if isinstance(channels, Weighted)
        }

    def name_of(self, origin: Origin) -> str:
        """Return the name of the layer where a set of units arises."""
        channels = self.channels[origin.channels]
        assert isinstance(channels, InputValues | Weighted | Merged | Unflattened | Copied)
        return channels.name

    def read_by(self, layer: Weighted) -> int:
        """Return the channels that a layer reads; a separable one reads its depthwise part's."""
        read = self.channels[layer.reads]
        if isinstance(read, Depthwise) and self.kernel_layers[read.kernel] == layer.name:
            return read.reads
        return layer.reads

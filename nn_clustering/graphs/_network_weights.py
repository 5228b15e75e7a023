"""The weights of a network as arrays, and the graph of its units from them (methods C1 to C5)."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from nn_clustering.errors import InvalidInputError
from nn_clustering.graphs._channels import (
    Channels,
    Depthwise,
    Flattened,
    InputValues,
    Merged,
    Origin,
    Part,
    Rearranged,
    Weighted,
)
from nn_clustering.graphs._edge_blocks import edge_blocks
from nn_clustering.graphs._kernel_norms import check_kernel_norm
from nn_clustering.graphs._selection import Selection
from nn_clustering.graphs._unit_graph import Edges, Layer, UnitGraph


@dataclass(frozen=True)
class UnitSet:
    """A layer of the graph of units.

    Attributes:
        name: Name of the Keras layer where the units arise, "input" for a single input.
        n_units: Number of units.
        tensor: Number of the tensor where they arise, as in
            :func:`~nn_clustering.graphs.walk_network`; for a weight layer, before its activation.
        arises_from: "input", "dense", "convolution" or "merge".
    """

    name: str
    n_units: int
    tensor: int
    arises_from: str


@dataclass(frozen=True, eq=False)
class Reader:
    """A weight layer as it joins sets of units.

    Attributes:
        name: Name of the layer.
        tensor: Number of the tensor that it reads.
        parts: What of the tensor's last axis comes from which set.
        sources: For every part the index of its set, or None if the set is left out.
        targets: Indices of the sets that its weights lead into.
    """

    name: str
    tensor: int
    parts: tuple[Part, ...]
    sources: tuple[int | None, ...]
    targets: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class KernelUnits:
    """The units that a kernel joins, by their number through all layers of a graph; -1 for none.

    Attributes:
        rows: The unit that is read, of shape (groups, the kernel's second to last axis). Behind a
            flatten all positions of a channel have its unit.
        columns: The unit that is led into, of shape (ways, the kernel's last axis): one way for
            every set that the layer leads into, more where it leads into several units of one.
    """

    rows: NDArray[np.int64]
    columns: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class NetworkWeights:
    """The weights of a network, and how they join its units; arrays only, without Keras.

    Attributes:
        name: Name of the network.
        channels: What the last axis of the network's tensors holds, each after what it reads.
        outputs: Indices in ``channels`` of what the network puts out.
        kernel_layers: Names of the layers of which ``kernels`` are.
        kernels: Raw kernels of all dense and convolutional layers, in the order in which data
            passes them: (inputs, units); (height, width, inputs a group, units), with a width of 1
            in one dimension; of depthwise convolutions (height, width, channels, multiplier). A
            separable convolution has a depthwise and a pointwise one.
    """

    name: str
    channels: tuple[Channels, ...]
    outputs: tuple[int, ...]
    kernel_layers: tuple[str, ...]
    kernels: tuple[NDArray[np.floating], ...] = field(repr=False)

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
    def weight_layers(self) -> dict[int, Weighted]:
        """The dense and convolutional layers that make units, by their index in ``channels``."""
        return {
            index: channels
            for index, channels in enumerate(self.channels)
            if isinstance(channels, Weighted)
        }

    def name_of(self, origin: Origin) -> str:
        """Return the name of the layer where a set of units arises."""
        channels = self.channels[origin.channels]
        assert isinstance(channels, InputValues | Weighted | Merged)
        return channels.name

    def unit_sets(
        self,
        *,
        inputs: bool | None = None,
        outputs: bool | None = None,
        dense_layers: bool | None = None,
    ) -> tuple[UnitSet, ...]:
        """Return the layers of the graph, with where their units arise; see :meth:`graph`."""
        selection = Selection(self, inputs, outputs, dense_layers)
        return tuple(self._unit_set(origin, selection.parts) for origin in selection.origins)

    def readers(
        self,
        *,
        inputs: bool | None = None,
        outputs: bool | None = None,
        dense_layers: bool | None = None,
    ) -> tuple[Reader, ...]:
        """Return the weight layers that make the edges of the graph; see :meth:`graph`."""
        selection = Selection(self, inputs, outputs, dense_layers)
        index = {origin: place for place, origin in enumerate(selection.origins)}
        readers = []
        for number in selection.layers:
            layer = self.weight_layers[number]
            parts = selection.parts[self._read_by_layer(layer)]
            sources = tuple(index.get(part.origin) for part in parts)
            targets = tuple(index[target] for target in selection.targets(number))
            readers.append(Reader(layer.name, layer.read_tensor, parts, sources, targets))
        return tuple(readers)

    def kernel_units(
        self,
        *,
        inputs: bool | None = None,
        outputs: bool | None = None,
        dense_layers: bool | None = None,
    ) -> tuple[KernelUnits | None, ...]:
        """Return the units that each of ``kernels`` joins in the graph; see :meth:`graph`.

        None for kernels that make no edges: of layers that are left out, and of depthwise
        convolutions, which multiply other layers' weights.
        """
        selection = Selection(self, inputs, outputs, dense_layers)
        found: list[KernelUnits | None] = [None] * len(self.kernels)
        for number in selection.layers:
            layer = self.weight_layers[number]
            found[layer.kernel] = KernelUnits(
                selection.rows(number, self.kernels[layer.kernel].shape[-2] * layer.groups).reshape(
                    layer.groups, -1
                ),
                selection.columns(number, self.kernels[layer.kernel].shape[-1]),
            )
        return tuple(found)

    def graph(
        self,
        *,
        kernel_norm: str = "l1",
        fold_normalisation: bool = True,
        inputs: bool | None = None,
        outputs: bool | None = None,
        dense_layers: bool | None = None,
    ) -> UnitGraph:
        """Build the graph of the units (methods C1 to C3, quirks 1, 2 and 10).

        A set of units is the channels of a tensor that a weight layer reads or that the network
        puts out, named after the layer where they arise: an input, a weight layer or an
        element-by-element merge. The weights of all layers that lead into a merge without another
        weight layer between become edges into its set, shortcuts included; parallel weights
        between two units add up. The weights of a convolution, or of a dense layer over the
        flattened positions, become edges by a norm of the kernel between two channels.

        What multiplies a channel between where it arises and where it is read (normalisation,
        depthwise kernels by their norm, constants) multiplies the weights into its set if all that
        read the set see the same factors, else the weights of the layer that reads. So nothing
        comes of what scales the inputs alike for all.

        Args:
            kernel_norm: One of :data:`KERNEL_NORMS`.
            fold_normalisation: Whether normalisation counts: of batch norm
                |gamma| / sqrt(moving variance + epsilon), of layer, group and RMS norm |gamma|.
            inputs: Whether the inputs are units; by default in a network without convolutions.
            outputs: Whether what is put out and read by no layer is units; by default yes, as far
                as the layers that count lead there.
            dense_layers: Whether dense layers count; by default in a network without convolutions.

        Raises:
            InvalidInputError: If the settings contradict each other, no edges are left, or a
                weight is NaN or infinite.
        """
        check_kernel_norm(kernel_norm)
        selection = Selection(
            self, inputs, outputs, dense_layers, kernel_norm, fold_normalisation=fold_normalisation
        )
        blocks = edge_blocks(self, selection, kernel_norm)
        sets = [self._unit_set(origin, selection.parts) for origin in selection.origins]
        return UnitGraph(
            tuple(Layer(units.name, units.n_units) for units in sets),
            tuple(Edges(*pair, blocks[pair]) for pair in sorted(blocks)),
        )

    def _read_by_layer(self, layer: Weighted) -> int:
        """Return the channels that a layer reads; a separable one reads its depthwise part's."""
        read = self.channels[layer.reads]
        if isinstance(read, Depthwise) and self.kernel_layers[read.kernel] == layer.name:
            return read.reads
        return layer.reads

    def _unit_set(self, origin: Origin, parts: Sequence[tuple[Part, ...]]) -> UnitSet:
        channels, name = self.channels[origin.channels], self.name_of(origin)
        if isinstance(channels, Weighted):
            convolves = self.kernels[channels.kernel].ndim == 4
            kind = "convolution" if convolves else "dense"
            return UnitSet(name, origin.n_units, channels.tensor, kind)
        if isinstance(channels, Merged):
            return UnitSet(name, origin.n_units, channels.tensor, "merge")
        return UnitSet(name, origin.n_units, self._tensor_of(origin, parts), "input")

    def _tensor_of(self, origin: Origin, parts: Sequence[tuple[Part, ...]]) -> int:
        """Return the first tensor that holds an input in the arrangement of an origin."""
        return next(
            channels.tensor
            for channels, held in zip(self.channels, parts, strict=True)
            if isinstance(channels, InputValues | Rearranged | Flattened)
            and any(part.origin == origin for part in held)
        )

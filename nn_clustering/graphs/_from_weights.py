"""The graph of a network's units from its weights (methods C1 to C5)."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from nn_clustering.graphs._contracted_edges import contracted_edges
from nn_clustering.graphs._edge_blocks import edge_blocks
from nn_clustering.graphs._isolation import NEGLIGIBLE
from nn_clustering.graphs._residual import by_residual_rule
from nn_clustering.graphs._selection import Selection
from nn_clustering.graphs._single_precision import in_single_precision
from nn_clustering.graphs._unit_graph import Edges, Layer, UnitGraph
from nn_clustering.graphs._unit_sets import unit_set
from nn_clustering.networks.structure import (
    NetworkWeights,
    check_gate_norm,
    check_kernel_norm,
)

if TYPE_CHECKING:
    import keras

# Of a float32 number.
_SINGLE_BYTES = 4


def graph_of_weights(
    network: NetworkWeights,
    *,
    kernel_norm: str = "l1",
    gate_norm: str = "l1",
    fold_normalisation: bool = True,
    inputs: bool | None = None,
    outputs: bool | None = None,
    dense_layers: bool | None = None,
    residual: str | None = None,
    isolated_below: float = NEGLIGIBLE,
) -> UnitGraph:
    """Build the graph of the units (methods C1 to C3, quirks 1, 2 and 10).

    A set of units is the channels of a tensor that a weight layer reads or that the network
    puts out, named after the layer where they arise: an input, a weight layer or an
    element-by-element merge. The weights of all layers that lead into a merge without another
    weight layer between become edges into its set, shortcuts included; parallel weights
    between two units add up; one channel that is merged with many leads into each. The weights
    of a convolution, or of a dense layer over the flattened positions, become edges by a norm of
    the kernel between two channels; likewise those of a dense layer whose values a reshape makes
    maps of, the channels of which are a set named after the reshape.

    What multiplies a channel between where it arises and where it is read (normalisation,
    depthwise kernels by their norm, constants) multiplies the weights into its set as far as all
    that read the set see it, else the weights of the layer that reads. So nothing comes of what
    scales the inputs alike for all.

    Weights of a network in single precision are rounded to it, which its own are known to.

    A recurrent layer's units are its hidden units. Its weights for each gate become one by a norm
    over the gates; those by which the units read one another at the time before join them within
    their set, in both directions added up. A unit's weight to itself makes no edge.

    With ``residual="copied"`` (the studies' rule for ImageNet networks) every weight layer has sets
    of its own instead, of the channels that it reads: one, or one for each part of a concatenation.
    All weights that lead there without another weight layer between become edges into each of
    them, times all that multiplies a channel on the way. A dense layer that does not count has its
    set too. What is put out and read by no layer is a set where it arises.

    With ``residual="units"`` all sums that read one another without weights between are one set, a
    stream, with what they add up that weight layers read too; each layer leads into it once, and
    weights of both directions add up.

    With ``residual="contracted"`` sets that are read linearly, such as streams, are left out, and
    what leads in is joined with what leads out: by |W_in W_out|, with all that multiplies a channel
    between by its sign, and the absolute value last. What a norm subtracts and divides by, which
    hangs on the sample, does not count. Of weights that are used at several positions it is the
    norm over the positions of their products.

    Args:
        network: The weights.
        kernel_norm: One of :data:`KERNEL_NORMS`.
        gate_norm: One of :data:`GATE_NORMS`.
        fold_normalisation: Whether normalisation counts: of batch norm
            |gamma| / sqrt(moving variance + epsilon), of layer, group and RMS norm |gamma|.
        inputs: Whether the inputs are units; by default in a network without convolutions or
            attention.
        outputs: Whether what is put out and read by no layer is units; by default yes in a network
            without attention, as far as the layers that count lead there.
        dense_layers: Whether dense layers behind a flatten or a global pooling count, and whether
            any do where nothing convolves; by default in a network without convolutions.
        residual: One of :data:`RESIDUAL_RULES`, or None: ``contracted`` in a network with
            attention, else ``one_set``.
        isolated_below: See :class:`UnitGraph`.

    Raises:
        InvalidInputError: If the settings contradict each other, no edges are left, or a
            weight is NaN or infinite.
    """
    check_kernel_norm(kernel_norm)
    check_gate_norm(gate_norm)
    network = by_residual_rule(network, residual)
    selection = Selection(
        network, inputs, outputs, dense_layers, kernel_norm, fold_normalisation=fold_normalisation
    )
    is_single = all(kernel.dtype.itemsize <= _SINGLE_BYTES for kernel in network.kernels)
    edges = (
        contracted_edges(network, selection, kernel_norm, is_single=is_single)
        if selection.contraction is not None
        else _edges(edge_blocks(network, selection, kernel_norm, gate_norm), is_single=is_single)
    )
    sets = [unit_set(network, origin, selection.parts) for origin in selection.origins]
    layers = tuple(Layer(units.name, units.n_units) for units in sets)
    return UnitGraph(layers, edges, isolated_below)


def _edges(
    blocks: dict[tuple[int, int], NDArray[np.float64]], *, is_single: bool
) -> tuple[Edges, ...]:
    weights: Mapping[tuple[int, int], NDArray[np.floating]] = (
        in_single_precision(blocks) if is_single else blocks
    )
    return tuple(Edges(*pair, weights[pair]) for pair in sorted(weights))


def graph_from_weights(
    network: "keras.Model",
    *,
    kernel_norm: str = "l1",
    gate_norm: str = "l1",
    fold_normalisation: bool = True,
    inputs: bool | None = None,
    outputs: bool | None = None,
    dense_layers: bool | None = None,
    residual: str | None = None,
    isolated_below: float = NEGLIGIBLE,
) -> UnitGraph:
    """Build the graph of a network's weights (methods C1 to C3).

    A network without convolutions gives a unit for every input, hidden unit and output, with edge
    weight |w|. A network with convolutions gives a unit for every filter and edges between
    convolutions only, weighted by the norm of the kernel between two filters; a dense layer on a
    map is a convolution of size 1. See
    :func:`graph_of_weights` for the settings, and for merges, normalisation and what else lies
    between.

    Args:
        network: Any built sequential or functional network.
        kernel_norm: One of :data:`KERNEL_NORMS`.
        gate_norm: One of :data:`GATE_NORMS`.
        fold_normalisation: Whether normalisation counts; the studies' VGGs left it out.
        inputs: Whether the inputs are units; by default in a network without convolutions or
            attention.
        outputs: Whether the outputs are units; by default in a network without attention, as far
            as the layers that count lead.
        dense_layers: Whether dense layers behind a flatten or a global pooling count, and whether
            any do where nothing convolves; by default in a network without convolutions.
        residual: One of :data:`RESIDUAL_RULES`, or None: ``contracted`` in a network with
            attention, else ``one_set``.
        isolated_below: See :class:`UnitGraph`.

    Raises:
        InvalidInputError: If the network has a layer that is not supported, or no two layers of
            units with weights between them, or the settings contradict each other.
    """
    # brings Keras, which graphs of weights that are there as arrays do without
    from nn_clustering.networks.structure import read_weights

    return graph_of_weights(
        read_weights(network),
        kernel_norm=kernel_norm,
        gate_norm=gate_norm,
        fold_normalisation=fold_normalisation,
        inputs=inputs,
        outputs=outputs,
        dense_layers=dense_layers,
        residual=residual,
        isolated_below=isolated_below,
    )

"""What the weights of any Keras network say of its units, read by walking its graph."""

from collections import Counter

import keras

from nn_clustering.errors import InvalidInputError
from nn_clustering.networks.structure._channels import InputValues
from nn_clustering.networks.structure._layer_kinds import (
    LayerKind,
    computes_as_in_keras,
    layer_kind,
)
from nn_clustering.networks.structure._network_weights import NetworkWeights
from nn_clustering.networks.structure._walk import Step, Walk
from nn_clustering.networks.structure._walker import walk_network
from nn_clustering.networks.structure._weights_builder import WeightsBuilder


def read_weights(network: keras.Model) -> NetworkWeights:
    """Return the weights of a network and how they join its units, as arrays.

    Supported are dense layers, convolutions (one- and two-dimensional, grouped, dilated,
    depthwise, separable, transposed), recurrent layers (LSTM, GRU, SimpleRNN), batch, layer, group
    and RMS normalisation, element-by-element merges and gates, concatenation, flattening and the
    way back, whatever keeps the channels on the last axis apart (activations, dropout, noise,
    pooling, padding, cropping, upsampling, augmentation), and all these inside layers that wrap
    others.

    Args:
        network: Any built sequential or functional network.

    Raises:
        InvalidInputError: If it has a layer of which it is not known what it does to units, one
            that mixes them without weights, a weight layer that is used twice, or NaN or infinite
            weights; by the layer's name.
    """
    walk = walk_network(network)
    builder = WeightsBuilder(walk.name, walk.shapes)
    _add_inputs(builder, walk)
    uses = Counter(id(step.layer) for step in walk.steps if step.layer is not None)
    for step in walk.steps:
        kind = _readable_kind(builder, step)
        if kind.kernels and uses[id(step.layer)] > 1:
            raise builder.refusal(
                step,
                f"used {uses[id(step.layer)]} times; its units would be several at once: give "
                "every use a layer of its own",
            )
        # a convolution reads what is on the last axis as channels, each of its own
        if kind.convolves and builder.reads_positions(step):
            raise builder.refusal(
                step,
                "which reads flattened maps, where a channel stands once for every position; "
                "expected a dense layer behind a flatten",
            )
        assert kind.rule is not None
        kind.rule(builder, step)
        builder.follow_positions(step, has_kernels=bool(kind.kernels))
        builder.follow_moves(step, keeps_positions=kind.keeps_positions)
    return builder.weights(walk.outputs)


def _add_inputs(builder: WeightsBuilder, walk: Walk) -> None:
    for name, tensor in zip(walk.input_names, walk.inputs, strict=True):
        width = walk.shapes[tensor][-1] if walk.shapes[tensor] else None
        if width is None:
            raise InvalidInputError(
                f"input {name!r} of network {walk.name!r} has the shape "
                f"{walk.shapes[tensor]}; expected a known size of its last axis"
            )
        named = "input" if len(walk.inputs) == 1 else name
        builder.add(InputValues(named, tensor, width), tensor)


def _readable_kind(builder: WeightsBuilder, step: Step) -> LayerKind:
    """Return the kind of what a step calls, which has a rule."""
    operation = step.operation
    if getattr(operation, "data_format", None) == "channels_first":
        raise builder.refusal(
            step, "with the channels on the first axis; expected data_format='channels_last'"
        )
    kind = layer_kind(operation)
    is_function = not isinstance(operation, keras.Operation)  # a layer's own activation
    if kind.rule is None or not (is_function or computes_as_in_keras(operation)):
        raise builder.refusal(step, _reason(operation, kind))
    return kind


def _reason(operation: keras.Operation, kind: LayerKind) -> str:
    """Return why an operation has no place in the graph of units."""
    if kind.refusal is not None:
        return kind.refusal
    if kind.wraps == "layer both ways":
        return (
            "which is recurrent both ways; expected Keras' own, around LSTM, GRU or SimpleRNN "
            "layers that return no states and read no mask and no states"
        )
    if kind.wraps is not None:
        return "derived from Keras' or around a layer that reads a mask; expected neither"
    if isinstance(operation, keras.Model):
        return "which computes by code of its own; expected a sequential or functional network"
    if isinstance(operation, keras.Layer) and operation.weights:
        return "which has weights for which there is no rule how they join units"
    return "of which it is not known what it does to units; rebuild it from layers that are"

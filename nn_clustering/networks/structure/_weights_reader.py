"""What the weights of any Keras network say of its units, read by walking its graph."""

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
from nn_clustering.networks.structure._weights_builder import NoUnits, WeightsBuilder
from nn_clustering.networks.structure.rules.lookup import embedding
from nn_clustering.networks.structure.rules.reshaping import item
from nn_clustering.networks.structure.rules.unitwise import comparison, constant, unitwise

# What may read tokens; to all else their numbers would be values.
_READ_TOKENS = (embedding, comparison, constant, item, unitwise)


def read_weights(network: keras.Model) -> NetworkWeights:
    """Return the weights of a network and how they join its units, as arrays.

    Supported are dense layers, convolutions (one- and two-dimensional, grouped, dilated,
    depthwise, separable, transposed), recurrent layers (LSTM, GRU, SimpleRNN), batch, layer, group
    and RMS normalisation, element-by-element merges and gates, concatenation, flattening and the
    way back, whatever keeps the channels on the last axis apart (activations, dropout, noise,
    pooling, padding, cropping, upsampling, augmentation), embeddings and attention, and all these
    inside layers that wrap others or whose code can be followed. A weight layer that is used
    several times makes units each time.

    Args:
        network: Any built sequential or functional network.

    Raises:
        InvalidInputError: If what it puts out hangs on a layer of which it is not known what it
            does to units, one that mixes them without weights, or NaN or infinite weights; by the
            layer's name.
    """
    walk = walk_network(network)
    builder = WeightsBuilder(walk.name, walk.shapes)
    _add_inputs(builder, walk)
    for step in walk.steps:
        try:
            _add_step(builder, step)
        except InvalidInputError as refusal:  # which counts where something reads it as units
            nothing = NoUnits("unknown", refusal.with_traceback(None))
            builder.leave_out(step, nothing)
    return builder.weights(walk.outputs)


def _add_step(builder: WeightsBuilder, step: Step) -> None:
    if step.is_constant:
        constant(builder, step)
        return
    nothing, kind = builder.nothing_read(step), layer_kind(step.operation)
    if nothing is not None:
        if nothing.kind == "common" and kind.kernels:
            raise nothing.refusal
        builder.leave_out(step, nothing)
        return
    kind = _readable_kind(builder, step)
    # a convolution reads what is on the last axis as channels, each of its own
    if kind.convolves and builder.reads_positions(step):
        raise builder.refusal(
            step,
            "which reads flattened maps, where a channel stands once for every position; "
            "expected a dense layer behind a flatten",
        )
    if builder.reads_heads(step) and not kind.takes_heads:
        raise builder.refusal(
            step,
            "which reads channels of heads, on two axes; expected attention, or a layer that reads "
            "both axes",
        )
    if kind.rule not in _READ_TOKENS and builder.reads_numbers_of_tokens(step):
        raise builder.refusal(
            step,
            "which reads numbers of tokens as values; expected an Embedding alone to read an input "
            "of tokens",
        )
    assert kind.rule is not None
    kind.rule(builder, step)
    if all(builder.no_units(tensor) is None for tensor in step.outputs):
        builder.follow_positions(step, has_kernels=bool(kind.kernels))
        builder.follow_nonlinearity(step, is_linear=kind.is_linear)
        builder.follow_moves(step, keeps_positions=kind.keeps_positions)


def _add_inputs(builder: WeightsBuilder, walk: Walk) -> None:
    for name, tensor in zip(walk.input_names, walk.inputs, strict=True):
        named = "input" if len(walk.inputs) == 1 else name
        n_tokens = _n_tokens(walk, tensor)
        width = walk.shapes[tensor][-1] if walk.shapes[tensor] else None
        if n_tokens is not None:
            builder.add(InputValues(named, tensor, n_tokens, is_of_tokens=True), tensor)
        elif width is not None:
            builder.add(InputValues(named, tensor, width), tensor)
        else:
            raise InvalidInputError(
                f"input {name!r} of network {walk.name!r} has the shape "
                f"{walk.shapes[tensor]}; expected a known size of its last axis"
            )


def _n_tokens(walk: Walk, tensor: int) -> int | None:
    """Return of how many tokens an input holds the numbers; None if it does not.

    Raises:
        InvalidInputError: If embeddings of several numbers of tokens read it.
    """
    passed_on = {tensor}
    readers = []
    for step in walk.steps:
        kind = layer_kind(step.operation)
        if passed_on.isdisjoint(step.inputs):
            continue
        if kind.rule is embedding:
            readers.append(step)
        elif kind.rule in (unitwise, item) and not kind.is_nonlinearity:
            passed_on.update(step.outputs)
    sizes = {int(step.operation.input_dim) for step in readers}
    if len(sizes) > 1:
        raise InvalidInputError(
            f"network {walk.name!r} looks its input up in embeddings of "
            f"{' and '.join(map(str, sorted(sizes)))} tokens; expected one vocabulary"
        )
    return sizes.pop() if sizes else None


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
        raise builder.refusal(step, _reason(step, kind))
    return kind


_WHY_NOT_OPENED = {
    "layer both ways": (
        "which is recurrent both ways; expected Keras' own, around LSTM, GRU or SimpleRNN layers "
        "that return no states, and begin without any, and no mask from elsewhere"
    ),
}


def _reason(step: Step, kind: LayerKind) -> str:
    """Return why an operation has no place in the graph of units."""
    if kind.refusal is not None:
        return kind.refusal
    if kind.wraps not in (None, "code"):
        return _WHY_NOT_OPENED.get(
            kind.wraps,
            "derived from Keras' or around a layer that reads a mask; expected neither",
        )
    return _reason_of_code(step, kind)


def _reason_of_code(step: Step, kind: LayerKind) -> str:
    """Return why what code calls, or does, is not known."""
    operation, is_attention = step.operation, kind.wraps == "code"
    if step.reads_mask:
        return (
            "with a mask that goes with its tensors; expected none, as of an Embedding with "
            "mask_zero=False, or an attention_mask that it is given"
        )
    if is_attention and step.n_times:
        return "inside a TimeDistributed layer, where it is not followed; expected it outside"
    if is_attention:
        return "whose code cannot be followed; expected floating point weights, and Keras' layers"
    if isinstance(operation, keras.Model):
        return "which computes by code of its own; expected a sequential or functional network"
    if isinstance(operation, keras.Layer) and operation.weights:
        return "which has weights for which there is no rule how they join units"
    return "of which it is not known what it does to units; rebuild it from layers that are"

"""Attention: positions are mixed by weights that are made anew for every input.

What is mixed are values, of which every channel of every head stays what it is, as in pooling. What
queries and keys make of each other is no unit but a pattern that the channels of a head share.
"""

from typing import Any

import numpy as np

from nn_clustering.networks.structure._channels import Gathered
from nn_clustering.networks.structure._walk import Step, TensorId
from nn_clustering.networks.structure._weights_builder import WeightsBuilder
from nn_clustering.networks.structure.rules.unitwise import unitwise

_PATTERN = "which makes the pattern of an attention of queries and keys, of which no channel is one"


def dot_product_attention(builder: WeightsBuilder, step: Step) -> None:
    """Values of each head, mixed over positions by the pattern that queries and keys make."""
    value = step.kwargs.get("value", step.args[2] if len(step.args) > 2 else None)
    if not isinstance(value, TensorId) or builder.heads(value.number) != -2:
        builder.channels_of(step.inputs[-1] if value is None else value.number)
        raise builder.refusal(
            step, "whose values have no axis of heads; expected (batch, positions, heads, channels)"
        )
    builder.mix_positions(value.number)
    builder.pass_on_of(step, value.number, heads=-2)


def einsum(builder: WeightsBuilder, step: Step) -> None:
    """The product of queries and keys, a pattern; or of a pattern and values, mixed values."""
    operands, made = _labels(step)
    tensors = [leaf.number for leaf in _operands(step) if isinstance(leaf, TensorId)]
    if len(operands) != 2 or len(tensors) != 2:
        raise builder.refusal(step, "of which it is not known which units it joins")
    if all(labels[-1] not in made for labels in operands):
        builder.add_pattern(step, _PATTERN)
        return
    for tensor, labels, pattern in zip(tensors, operands, reversed(operands), strict=True):
        if builder.no_units(tensor) is not None or labels[-1] in pattern or pattern[-1] in made:
            continue
        heads = builder.heads(tensor)
        named = labels[-1] if heads is None else labels[heads] + labels[-1]
        if made[-1] == labels[-1] and set(named) <= set(made):
            builder.mix_positions(tensor)
            axis = None if heads is None else made.index(labels[heads]) - len(made)
            builder.pass_on_of(step, tensor, heads=axis)
            return
    raise builder.refusal(
        step,
        f"with the subscripts {step.operation.subscripts!r}; expected queries times keys, summed "
        "over the channels, or a pattern times values, summed over positions",
    )


def matrix_product(builder: WeightsBuilder, step: Step) -> None:
    """As by an einsum: the positions of values are mixed, or queries meet turned keys."""
    operands = _operands(step)
    if len(operands) != 2 or not all(isinstance(leaf, TensorId) for leaf in operands):
        raise builder.refusal(
            step, "with weights of its own; expected a Dense layer where weights join units"
        )
    first, second = (leaf.number for leaf in operands)
    pattern, values = builder.no_units(first), builder.no_units(second)
    if pattern is not None and values is None:
        if builder.heads(second) == -2:
            raise builder.refusal(step, "which sums over the heads of values")
        builder.mix_positions(second)
        builder.pass_on_of(step, second, heads=builder.heads(second))
    elif values is not None and values.kind == "unknown":  # keys whose channels are not the last
        builder.add_pattern(step, _PATTERN)
    else:
        raise builder.refusal(step, "which sums products of the units of two tensors")


def repetition(builder: WeightsBuilder, step: Step) -> None:
    """Heads of values, each of which several heads of queries read."""
    (tensor,) = builder.tensors_of_units(step)
    before, _ = builder.shapes(step)
    axis, times = step.operation.axis, step.operation.repeats
    heads = builder.heads(tensor)
    if heads is None or axis is None or axis % len(before) - len(before) != heads:
        raise builder.refusal(
            step, f"along axis {axis}; expected that of the heads of an attention's values"
        )
    n_channels = before[-1] or 0
    of_heads = np.arange(builder.n_channels(tensor)).reshape(-1, n_channels)
    if not isinstance(times, int):
        raise builder.refusal(step, f"with repeats={times!r}; expected one number for all heads")
    places = np.repeat(of_heads, times, axis=0).ravel()
    builder.add(Gathered(builder.read(step), places), step.outputs[0])
    builder.keep_heads(step, heads)


def transposition(builder: WeightsBuilder, step: Step) -> None:
    """The axes in another order, of which the channels stay the last."""
    (tensor,) = builder.tensors_of_units(step)
    before, _ = builder.shapes(step)
    axes, heads = step.operation.axes, builder.heads(tensor)
    axes = None if axes is None else [axis % len(before) for axis in axes]
    if axes is None or axes[0] != 0 or axes[-1] != len(before) - 1:
        raise builder.refusal(
            step, f"which moves the channels, axes={axes}; expected them on the last axis"
        )
    at = None if heads is None else axes.index(heads % len(before)) - len(before)
    builder.pass_on_of(step, tensor, heads=at)


def part_heads(builder: WeightsBuilder, step: Step) -> None:
    """Channels put on two axes: those of heads, and of the channels of each."""
    if len(step.operation.sizes) != 2:
        raise builder.refusal(
            step,
            f"which puts units on {len(step.operation.sizes)} axes; expected one, or two as of "
            "heads and their channels",
        )
    builder.pass_on_of(step, step.inputs[0], heads=-2)


def join_heads(builder: WeightsBuilder, step: Step) -> None:
    """The channels of heads put on one axis again."""
    (tensor,) = builder.tensors_of_units(step)
    if step.operation.n_axes == 1 and builder.heads(tensor) is None:
        unitwise(builder, step)
    elif step.operation.n_axes == 2 and builder.heads(tensor) == -2:
        builder.pass_on_of(step, tensor)
    else:
        raise builder.refusal(
            step,
            f"which puts the last {step.operation.n_axes} axes on one; expected the axes of heads "
            "and their channels, as values have them",
        )


def _operands(step: Step) -> list[Any]:
    import keras

    return list(keras.tree.flatten((step.args, step.kwargs)))


def _labels(step: Step) -> tuple[list[str], str]:
    """Return the labels of each operand of an einsum, and of what it makes."""
    read, _, made = step.operation.subscripts.replace(" ", "").partition("->")
    return [labels.replace(".", "") for labels in read.split(",")], made.replace(".", "")

"""What makes one tensor of several: element by element, or side by side."""

import numpy as np

from nn_clustering.networks.structure._channels import Broadcast, Concatenated, Merged, Scaled
from nn_clustering.networks.structure._walk import Step
from nn_clustering.networks.structure._weights_builder import WeightsBuilder
from nn_clustering.networks.structure.rules.unitwise import unitwise


def merge(builder: WeightsBuilder, step: Step) -> None:
    """Sum, element by element; one channel goes with each."""
    if _is_of_one(builder, step):
        unitwise(builder, step)  # beside what all units have in common
        return
    reads = _one_for_each(builder, step)
    builder.add(Merged(step.name, step.outputs[0], reads), step.outputs[0])


def difference(builder: WeightsBuilder, step: Step) -> None:
    """A sum with the second tensor's channels reversed."""
    if _is_of_one(builder, step):
        unitwise(builder, step)
        return
    first, second = _one_for_each(builder, step)
    reversed_ = builder.add_inner(Scaled(second, np.array([-1.0]), is_normalisation=False))
    builder.add(Merged(step.name, step.outputs[0], (first, reversed_)), step.outputs[0])


def nonlinear_merge(builder: WeightsBuilder, step: Step) -> None:
    """Product, maximum or the like: what it makes is no sum of what it makes of each."""
    if _is_of_one(builder, step):
        unitwise(builder, step)
        return
    reads = _one_for_each(builder, step)
    builder.add(Merged(step.name, step.outputs[0], reads, is_sum=False), step.outputs[0])
    for index in (*builder.all_read(step), builder.made(step)):
        builder.mark_nonlinear(index)


def _is_of_one(builder: WeightsBuilder, step: Step) -> bool:
    """Return whether all that a step reads but for one tensor changes no weights."""
    return len(builder.tensors_of_units(step)) == 1 < len(step.inputs)


def average(builder: WeightsBuilder, step: Step) -> None:
    """A merge of an equal share of each."""
    share = np.array([1 / len(step.inputs)])
    reads = tuple(
        builder.add_inner(Scaled(read, share, is_normalisation=False))
        for read in _one_for_each(builder, step)
    )
    builder.add(Merged(step.name, step.outputs[0], reads), step.outputs[0])


def scaled_sum(builder: WeightsBuilder, step: Step) -> None:
    """One tensor and, times a factor, another: a residual that is scaled down."""
    first, second = _one_for_each(builder, step)
    factor = np.array([float(step.operation.scale)])
    scaled = builder.add_inner(Scaled(second, factor, is_normalisation=False))
    builder.add(Merged(step.name, step.outputs[0], (first, scaled)), step.outputs[0])


def concatenation(builder: WeightsBuilder, step: Step) -> None:
    """Tensors side by side along the channels."""
    before, _ = builder.shapes(step)
    axis = step.operation.axis % len(before)
    if axis != len(before) - 1:
        if len(builder.tensors_of_units(step)) > 1 or axis == 0:
            raise builder.refusal(
                step, f"along axis {step.operation.axis}; expected the channels' axis, the last"
            )
        builder.pass_on(step)  # beside constants at other positions, such as a class token
        return
    builder.add(Concatenated(tuple(map(builder.channels_of, step.inputs))), step.outputs[0])


def _one_for_each(builder: WeightsBuilder, step: Step) -> tuple[int, ...]:
    """Return the channels that a step reads, each as many as it makes."""
    _, after = builder.shapes(step)
    width = after[-1]
    assert width is not None
    found = []
    for read, shape in zip(builder.all_read(step), builder.shapes_read(step), strict=True):
        if shape[-1] != width and shape[-1] != 1:
            raise builder.refusal(
                step,
                f"which joins a tensor of {shape[-1]} channels with one of {width}; expected as "
                "many in both, or one that goes with each",
            )
        found.append(read if shape[-1] == width else builder.add_inner(Broadcast(read, width)))
    _require_aligned(builder, step)
    if not builder.reads_positions_in_order(step):
        raise builder.refusal(
            step,
            "which joins flattened maps of a reshape with others, value by value, but their "
            "positions may have moved; expected activations, factors and merges alone between the "
            "reshape and the flatten",
        )
    return tuple(found)


def _require_aligned(builder: WeightsBuilder, step: Step) -> None:
    """Check that samples meet their own: an operation aligns the last axes, a layer the first."""
    shapes = builder.shapes_read(step)
    if step.layer is None and len({len(shape) for shape in shapes}) > 1:
        raise builder.refusal(
            step,
            f"which joins tensors of the shapes {', '.join(map(str, shapes))}; expected as many "
            "axes in each, since here the samples of one would meet the positions of the other",
        )

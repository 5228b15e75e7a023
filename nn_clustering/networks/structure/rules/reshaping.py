"""What puts the values of a tensor in another shape."""

import math
from typing import Any

import numpy as np

from nn_clustering.networks.structure._channels import (
    Flattened,
    Gathered,
    Rearranged,
    Unflattened,
)
from nn_clustering.networks.structure._walk import Step
from nn_clustering.networks.structure._weights_builder import Shape, WeightsBuilder
from nn_clustering.networks.structure.rules.unitwise import unitwise


def reshape(builder: WeightsBuilder, step: Step) -> None:
    """Channels left on the last axis, all on one axis or back in maps, or an input in any shape."""
    before, after = builder.shapes(step)
    n_values = None if None in before[1:] else math.prod(before[1:])  # type: ignore[arg-type]
    if builder.reads_heads(step):
        _join_heads(builder, step)
    elif _parts_channels(before, after) and not builder.reads_input(step):
        builder.pass_on_of(step, builder.tensors_of_units(step)[0], heads=-2)
    elif before[-1] == after[-1]:
        unitwise(builder, step)
    elif builder.reads_positions(step):
        raise builder.refusal(
            step, f"which makes {after} of maps that are flattened already; expected one flatten"
        )
    elif n_values is not None and after[-1] == n_values:
        flattened = Flattened(builder.read(step), step.outputs[0], _positions(before))
        builder.add(flattened, step.outputs[0])
    elif builder.reads_input(step) and after[-1] is not None:
        if not builder.reads_one_factor(step):
            raise builder.refusal(
                step,
                f"which makes {after} of {before}, an input that is multiplied by a factor for "
                "each channel; expected one factor for all, or the factors behind the reshape",
            )
        rearranged = Rearranged(builder.read(step), step.outputs[0], after[-1])
        builder.add(rearranged, step.outputs[0])
    elif n_values == before[-1] and None not in after[1:]:
        _unflatten(builder, step)
    else:
        raise builder.refusal(
            step,
            f"which makes {after} of {before}; expected all on one axis, or the channels left "
            "on the last",
        )


def item(builder: WeightsBuilder, step: Step) -> None:
    """Some positions, or a slice of the channels."""
    before, _ = builder.shapes(step)
    key = step.args[1] if len(step.args) > 1 else step.kwargs.get("key")
    key = key if isinstance(key, tuple) else (key,)
    if builder.reads_tokens(step):
        builder.pass_on(step)
        return
    of_channels = _of_last_axis(key, len(before))
    whole = slice(None)
    if key[0] not in (whole, ...) or not isinstance(of_channels, slice):
        raise builder.refusal(
            step,
            f"which takes the item {key} of {before}; expected positions, or a slice of channels",
        )
    channels = np.arange(before[-1] or 0)
    places = channels[of_channels]
    if np.array_equal(places, channels):
        unitwise(builder, step)
        return
    _require_channels(builder, step)
    builder.add(Gathered(builder.read(step), places), step.outputs[0])


def _of_last_axis(key: tuple[Any, ...], n_axes: int) -> Any:
    """Return what a key takes of the last axis."""
    n_given = sum(one is not None and one is not ... for one in key)
    if n_given == n_axes or (... in key and key[-1] is not ...):
        return key[-1]
    return slice(None)


def split(builder: WeightsBuilder, step: Step) -> None:
    """Slices of the channels, one beside the other."""
    before, _ = builder.shapes(step)
    sections, width = step.operation.indices_or_sections, before[-1] or 0
    if step.operation.axis % len(before) != len(before) - 1:
        raise builder.refusal(
            step, f"along axis {step.operation.axis}; expected the channels' axis, the last"
        )
    _require_channels(builder, step)
    for places, tensor in zip(np.split(np.arange(width), sections), step.outputs, strict=True):
        builder.add(Gathered(builder.read(step), places), tensor)


def _require_channels(builder: WeightsBuilder, step: Step) -> None:
    """Check that each place that a step takes is a channel, not one of its positions."""
    if builder.reads_positions(step):
        raise builder.refusal(
            step,
            "which takes some values of flattened maps; expected all of them, or channels that are "
            "taken before the flatten",
        )


def permutation(builder: WeightsBuilder, step: Step) -> None:
    """Positions in another order; the channels must stay the last."""
    dims = tuple(step.operation.dims)
    if dims[-1] != len(dims):
        raise builder.refusal(
            step,
            f"which moves the channels, dims={dims}; expected them on the last axis throughout",
        )
    unitwise(builder, step)


def _join_heads(builder: WeightsBuilder, step: Step) -> None:
    """The axes of heads and of their channels as one."""
    before, after = builder.shapes(step)
    (tensor,) = builder.tensors_of_units(step)
    if builder.heads(tensor) != -2 or after[-1] != builder.n_channels(tensor):
        raise builder.refusal(
            step,
            f"which makes {after} of {before}, channels of heads on two axes; expected both on one",
        )
    builder.pass_on_of(step, tensor)


def _parts_channels(before: Shape, after: Shape) -> bool:
    """Return whether the channels at each position are put on two axes, as of heads."""
    is_one_more = len(before) > 2 and len(after) == len(before) + 1
    is_known = None not in after[-2:]
    return is_one_more and is_known and math.prod(after[-2:]) == before[-1]  # type: ignore[arg-type]


def flip(builder: WeightsBuilder, step: Step) -> None:
    """Positions the other way round."""
    before, _ = builder.shapes(step)
    axes = step.operation.axis
    axes = [axes] if isinstance(axes, int) else axes
    if axes is None or not {axis % len(before) for axis in axes} <= set(range(1, len(before) - 1)):
        raise builder.refusal(
            step, f"along the axes {axes}; expected positions, neither the batch nor the channels"
        )
    unitwise(builder, step)


def _unflatten(builder: WeightsBuilder, step: Step) -> None:
    """Maps of what is on one axis, as behind the dense layer of a decoder."""
    _, after = builder.shapes(step)
    if not builder.reads_values(step):
        raise builder.refusal(
            step,
            f"which makes {after} of the channels of maps, or of a merge of flattened maps; "
            "expected a reshape of what dense layers make",
        )
    width = after[-1]
    assert width is not None
    builder.add(
        Unflattened(step.name, step.outputs[0], builder.read(step), width, _positions(after)),
        step.outputs[0],
    )


def _positions(shape: Shape) -> tuple[int, int]:
    """Return the rows and columns of maps of this shape."""
    positions = tuple(size for size in shape[1:-1] if size is not None)
    height, width = math.prod(positions[:-1]), math.prod(positions[-1:])
    # as of a convolution in one dimension
    return (width, height) if len(positions) == 1 else (height, width)

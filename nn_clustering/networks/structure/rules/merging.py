"""What makes one tensor of several: element by element, or side by side."""

import numpy as np

from nn_clustering.networks.structure._channels import Concatenated, Merged, Scaled
from nn_clustering.networks.structure._walk import Step
from nn_clustering.networks.structure._weights_builder import WeightsBuilder


def merge(builder: WeightsBuilder, step: Step) -> None:
    """Sum, product, maximum or the like, element by element."""
    _require_same_width(builder, step)
    builder.add(Merged(step.name, step.outputs[0], builder.all_read(step)), step.outputs[0])


def average(builder: WeightsBuilder, step: Step) -> None:
    """A merge of an equal share of each."""
    _require_same_width(builder, step)
    share = np.array([1 / len(step.inputs)])
    reads = tuple(
        builder.add_inner(Scaled(read, share, is_normalisation=False))
        for read in builder.all_read(step)
    )
    builder.add(Merged(step.name, step.outputs[0], reads), step.outputs[0])


def concatenation(builder: WeightsBuilder, step: Step) -> None:
    """Tensors side by side along the channels."""
    before, _ = builder.shapes(step)
    if step.operation.axis % len(before) != len(before) - 1:
        raise builder.refusal(
            step, f"along axis {step.operation.axis}; expected the channels' axis, the last"
        )
    builder.add(Concatenated(builder.all_read(step)), step.outputs[0])


def _require_same_width(builder: WeightsBuilder, step: Step) -> None:
    _, after = builder.shapes(step)
    for width in builder.widths_read(step):
        if width != after[-1]:
            raise builder.refusal(
                step,
                f"which joins a tensor of {width} channels with one of {after[-1]}; expected "
                "as many in both, since units cannot be told apart by one channel for all",
            )

"""What puts the values of a tensor in another shape."""

import math

from nn_clustering.networks.structure._channels import Flattened, Rearranged
from nn_clustering.networks.structure._walk import Step
from nn_clustering.networks.structure._weights_builder import Shape, WeightsBuilder
from nn_clustering.networks.structure.rules.unitwise import unitwise


def reshape(builder: WeightsBuilder, step: Step) -> None:
    """Channels left on the last axis, all values on one axis, or an input in any other shape."""
    before, after = builder.shapes(step)
    n_values = None if None in before[1:] else math.prod(before[1:])  # type: ignore[arg-type]
    if before[-1] == after[-1]:
        unitwise(builder, step)
    elif builder.reads_positions(step):
        raise builder.refusal(
            step, f"which makes {after} of maps that are flattened already; expected one flatten"
        )
    elif n_values is not None and after[-1] == n_values:
        flattened = Flattened(builder.read(step), step.outputs[0], _positions(before))
        builder.add(flattened, step.outputs[0])
    elif builder.reads_input(step) and after[-1] is not None:
        rearranged = Rearranged(builder.read(step), step.outputs[0], after[-1])
        builder.add(rearranged, step.outputs[0])
    else:
        raise builder.refusal(
            step,
            f"which makes {after} of {before}; expected all on one axis, or the channels left "
            "on the last",
        )


def _positions(shape: Shape) -> tuple[int, int]:
    """Return the rows and columns of maps of this shape."""
    positions = tuple(size for size in shape[1:-1] if size is not None)
    height, width = math.prod(positions[:-1]), math.prod(positions[-1:])
    # as of a convolution in one dimension
    return (width, height) if len(positions) == 1 else (height, width)

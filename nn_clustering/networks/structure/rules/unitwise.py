"""What keeps channels apart, on the last axis: activations, pooling, dropout, padding."""

from nn_clustering.networks.structure._walk import Step
from nn_clustering.networks.structure._weights_builder import NoUnits, WeightsBuilder


def unitwise(builder: WeightsBuilder, step: Step) -> None:
    """Pass channels on that the operation keeps apart."""
    read = builder.tensors_of_units(step)
    before, after = builder.shapes(step)
    if len(read) != 1 or len(step.outputs) != 1 or before[-1:] != after[-1:]:
        raise builder.refusal(
            step,
            f"which makes {after} of {before}; expected as many channels, on the last axis",
        )
    builder.pass_on(step)


def reduction(builder: WeightsBuilder, step: Step) -> None:
    """Mean, sum or extreme over positions."""
    before, _ = builder.shapes(step)
    axes = step.operation.axis
    axes = [axes] if isinstance(axes, int) else axes
    if axes is not None and {axis % len(before) for axis in axes} == {len(before) - 1}:
        builder.add_pattern(
            step,
            f"over the axes {axes}; expected positions, neither the batch nor the channels",
        )
        return
    if axes is None or not {axis % len(before) for axis in axes} <= set(range(1, len(before) - 1)):
        raise builder.refusal(
            step,
            f"over the axes {axes}; expected positions, neither the batch nor the channels",
        )
    unitwise(builder, step)


def comparison(builder: WeightsBuilder, step: Step) -> None:
    """A mask."""
    builder.add_pattern(step, "which makes a mask, which holds no units")


def constant(builder: WeightsBuilder, step: Step) -> None:
    """What hangs on the shape alone of what is read."""
    reason = "which makes constants of a shape, which are no units"
    builder.leave_out(step, NoUnits("constant", builder.refusal(step, reason)))

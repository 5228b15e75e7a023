"""What keeps channels apart, on the last axis: activations, pooling, dropout, padding."""

from nn_clustering.networks.structure._walk import Step
from nn_clustering.networks.structure._weights_builder import WeightsBuilder


def unitwise(builder: WeightsBuilder, step: Step) -> None:
    """Pass channels on that the operation keeps apart."""
    before, after = builder.shapes(step)
    if len(step.inputs) != 1 or len(step.outputs) != 1 or before[-1:] != after[-1:]:
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
    if axes is None or not {axis % len(before) for axis in axes} <= set(range(1, len(before) - 1)):
        raise builder.refusal(
            step,
            f"over the axes {axes}; expected positions, neither the batch nor the channels",
        )
    unitwise(builder, step)

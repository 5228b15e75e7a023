"""What multiplies channels by factors that are known: rescaling, and arithmetic with numbers."""

from typing import Any

import numpy as np

from nn_clustering.networks.structure._channels import Scaled
from nn_clustering.networks.structure._walk import Step, TensorId
from nn_clustering.networks.structure._weights_builder import WeightsBuilder
from nn_clustering.networks.structure.rules.merging import difference, merge, nonlinear_merge
from nn_clustering.networks.structure.rules.unitwise import unitwise
from nn_clustering.networks.structure.rules.variables import to_numpy


def add_scaled(
    builder: WeightsBuilder, step: Step, factors: Any, *, is_normalisation: bool
) -> None:
    """Add what a step reads times factors, one for each channel or one for all."""
    before, _ = builder.shapes(step)
    values = np.asarray(factors, np.float64)
    # any others stand at positions
    is_for_each = values.shape[-1:] == (values.size,) == before[-1:]
    if values.size != 1 and not is_for_each:
        raise builder.refusal(
            step,
            f"with {values.size} factors for {before[-1]} channels; expected one for each, "
            "or one for all",
        )
    made = Scaled(builder.read(step), values.ravel(), is_normalisation=is_normalisation)
    builder.add(made, step.outputs[0])


def rescaling(builder: WeightsBuilder, step: Step) -> None:
    """Every channel is multiplied; what is added joins no units."""
    scale = np.asarray(step.operation.scale, np.float64)
    if scale.size > 1 and scale.size != scale.shape[-1]:
        raise builder.refusal(
            step, f"with a scale of shape {scale.shape}; expected one number for each channel"
        )
    add_scaled(builder, step, scale, is_normalisation=False)


def layer_scale(builder: WeightsBuilder, step: Step) -> None:
    """Every channel is multiplied by a weight of its own."""
    add_scaled(builder, step, to_numpy(step.operation.gamma), is_normalisation=False)


def sum_or_constant(builder: WeightsBuilder, step: Step) -> None:
    """Two tensors are merged; a constant beside one changes no weights."""
    if len(builder.tensors_of_units(step)) > 1:
        merge(builder, step)
    else:
        unitwise(builder, step)


def difference_or_constant(builder: WeightsBuilder, step: Step) -> None:
    """Two tensors are merged; what is subtracted from a constant is reversed."""
    if len(builder.tensors_of_units(step)) > 1:
        difference(builder, step)
    elif not _begins_with_units(builder, step):
        negation(builder, step)
    else:
        unitwise(builder, step)


def negation(builder: WeightsBuilder, step: Step) -> None:
    """Every channel is reversed."""
    add_scaled(builder, step, -1.0, is_normalisation=False)


def extreme(builder: WeightsBuilder, step: Step) -> None:
    """Two tensors are merged; beside a constant it is a nonlinearity."""
    if len(builder.tensors_of_units(step)) > 1:
        nonlinear_merge(builder, step)
    else:
        unitwise(builder, step)
        builder.mark_nonlinear(builder.read(step))


def product(builder: WeightsBuilder, step: Step) -> None:
    """Two tensors are merged; a constant multiplies one."""
    if len(builder.tensors_of_units(step)) > 1:
        nonlinear_merge(builder, step)
    elif len(step.inputs) > 1:  # by what all units have in common
        unitwise(builder, step)
    else:
        add_scaled(builder, step, _constant(builder, step), is_normalisation=False)


def quotient(builder: WeightsBuilder, step: Step) -> None:
    """A constant divides a tensor."""
    if len(step.inputs) > 1 and builder.tensors_of_units(step) == step.inputs[:1]:
        unitwise(builder, step)  # by what all units have in common
        return
    if len(step.inputs) > 1 or not _begins_with_units(builder, step):
        raise builder.refusal(step, "which divides by channels; expected a constant divisor")
    add_scaled(builder, step, 1 / _constant(builder, step), is_normalisation=False)


def _constant(builder: WeightsBuilder, step: Step) -> Any:
    """Return the number, or the numbers, one for each channel, beside a tensor."""
    constants = [leaf for leaf in _arguments(step) if not isinstance(leaf, TensorId)]
    if len(constants) != 1:
        raise builder.refusal(
            step, "whose factor is not known here; expected a number, or another tensor"
        )
    return constants[0] if isinstance(constants[0], int | float) else to_numpy(constants[0])


def _begins_with_units(builder: WeightsBuilder, step: Step) -> bool:
    first = _arguments(step)[0]
    return isinstance(first, TensorId) and builder.no_units(first.number) is None


def _arguments(step: Step) -> list[Any]:
    import keras

    found: list[Any] = keras.tree.flatten((step.args, step.kwargs))
    return found

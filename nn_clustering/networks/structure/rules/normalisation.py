"""Normalisation: what of its factors is every channel's own."""

import math
from typing import Any

import numpy as np

from nn_clustering.errors import InvalidInputError
from nn_clustering.networks.structure._walk import Step
from nn_clustering.networks.structure._weights_builder import WeightsBuilder
from nn_clustering.networks.structure.rules.scaling import add_scaled
from nn_clustering.networks.structure.rules.unitwise import unitwise
from nn_clustering.networks.structure.rules.variables import to_numpy


def batch_normalisation(builder: WeightsBuilder, step: Step) -> None:
    """Batch norm multiplies by gamma / sqrt(moving variance + epsilon)."""
    layer = step.operation
    _require_last_axis(builder, step, layer.axis, layer.moving_variance)
    gamma = to_numpy(layer.gamma).astype(np.float64) if layer.scale else 1.0
    variance = to_numpy(layer.moving_variance).astype(np.float64)
    factors = gamma / np.sqrt(variance + layer.epsilon)
    add_scaled(builder, step, factors, is_normalisation=True)


def gamma_alone(builder: WeightsBuilder, step: Step) -> None:
    """Layer and group norm: what they divide by is common to many units, gamma is not."""
    layer = step.operation
    n_channels = builder.shapes(step)[0][-1]
    if getattr(layer, "groups", 1) in (-1, n_channels) and n_channels != 1:
        raise builder.refusal(
            step,
            f"with groups={layer.groups} of {n_channels} channels, which divides every channel by "
            "a number of its own that hangs on the input; expected groups of several channels",
        )
    if getattr(layer, "gamma", None) is None:
        unit_normalisation(builder, step)
        return
    _require_last_axis(builder, step, layer.axis, layer.gamma)
    add_scaled(builder, step, to_numpy(layer.gamma), is_normalisation=True)


def rms_normalisation(builder: WeightsBuilder, step: Step) -> None:
    """As layer norm, of which Keras calls gamma ``scale``."""
    layer = step.operation
    _require_last_axis(builder, step, layer.axis, layer.scale)
    add_scaled(builder, step, to_numpy(layer.scale), is_normalisation=True)


def unit_normalisation(builder: WeightsBuilder, step: Step) -> None:
    """What is divided by is common to all units, if it is a norm over them."""
    axes = _axes(builder, step, step.operation.axis)
    if len(builder.shapes(step)[0]) - 1 not in axes or 0 in axes:
        raise builder.refusal(
            step,
            f"over axis {step.operation.axis}, which divides every channel by a number of its own "
            "that hangs on the input; expected the channels' axis, the last, among them",
        )
    unitwise(builder, step)


def fixed_normalisation(builder: WeightsBuilder, step: Step) -> None:
    """A variance that was found before training; Keras divides by epsilon where it is 0."""
    import keras

    layer = step.operation
    variance = layer.variance
    if variance is not None and math.prod(variance.shape) > 1:
        _require_last_axis(builder, step, layer.axis, variance)
    exact = np.ones(1) if variance is None else to_numpy(variance).astype(np.float64)
    deviations = np.maximum(np.sqrt(exact), keras.config.epsilon())
    factors = deviations if layer.invert else 1 / deviations
    add_scaled(builder, step, factors, is_normalisation=True)


def _require_last_axis(builder: WeightsBuilder, step: Step, axis: Any, values: Any) -> None:
    before, _ = builder.shapes(step)
    if _axes(builder, step, axis) != {len(before) - 1}:
        raise InvalidInputError(
            f"layer {step.name!r} normalises {math.prod(values.shape)} values; expected one "
            f"for each of the {before[-1]} channels on the last axis, which is "
            f"{builder.source(step)}: check its axis"
        )


def _axes(builder: WeightsBuilder, step: Step, axis: Any) -> set[int]:
    """Return the axes that a layer names, counted from the first."""
    rank = len(builder.shapes(step)[0])
    return {one % rank for one in (axis if isinstance(axis, list | tuple) else [axis])}

"""Where in a network the values of its units stand, before and after their nonlinearity."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from nn_clustering.networks.structure._layer_kinds import layer_kind
from nn_clustering.networks.structure._walk import Step, Walk
from nn_clustering.networks.structure.rules.merging import concatenation
from nn_clustering.networks.structure.rules.reshaping import reshape


def around_nonlinearity(walk: Walk, tensor: int) -> tuple[int, int]:
    """Return the tensors before and after the first nonlinearity of units.

    It is the first activation that is reached from where the units arise through steps that read
    them alone and keep them apart, such as normalisation and pooling: not through a merge, a
    concatenation, a depthwise or any other weight layer. A softmax is none, as it joins units.

    Args:
        walk: The steps of the network.
        tensor: Number of the tensor where the units arise, on its last axis.

    Returns:
        The number of the tensor that the nonlinearity reads and of the one that it makes; twice
        ``tensor`` where there is none.
    """
    reached = {tensor}
    for step in walk.steps:
        kind = layer_kind(step.operation)
        if len(step.inputs) != 1 or step.inputs[0] not in reached:
            continue
        if kind.is_nonlinearity:
            if not kind.joins_units:
                return step.inputs[0], step.outputs[0]
            continue
        same_width = walk.shapes[step.outputs[0]][-1:] == walk.shapes[tensor][-1:]
        if same_width and not kind.kernels:
            reached.update(step.outputs)
    return tensor, tensor


@dataclass(frozen=True, eq=False)
class UnitPlaces:
    """A tensor, and the places on its last axis where units stand.

    Attributes:
        tensor: Its number.
        rows: The places of every unit, of shape (positions, units): one position but where maps
            were flattened.
    """

    tensor: int
    rows: NDArray[np.int64]

    @classmethod
    def all_of(cls, tensor: int, n_units: int) -> UnitPlaces:
        """Return the places of units that are the last axis, in its order."""
        return cls(tensor, np.arange(n_units).reshape(1, -1))


def before_nonlinearity(walk: Walk, places: UnitPlaces) -> tuple[UnitPlaces, UnitPlaces] | None:
    """Return where units stand before and after the last nonlinearity on the way to some places.

    The way leads back through the same kinds of steps as in :func:`around_nonlinearity`, and
    through reshapes and concatenations, of which it takes the one part that holds the units.

    Args:
        walk: The steps of the network.
        places: Where the units stand at last.

    Returns:
        What the nonlinearity reads and what it makes; None where there is none.
    """
    makers = {number: step for step in walk.steps for number in step.outputs}
    here: UnitPlaces | None = places
    while here is not None and here.tensor in makers:
        step = makers[here.tensor]
        kind = layer_kind(step.operation)
        if kind.is_nonlinearity:
            return None if kind.joins_units else (replace(here, tensor=step.inputs[0]), here)
        here = None if kind.kernels else _before(walk, step, here)
    return None


def _before(walk: Walk, step: Step, places: UnitPlaces) -> UnitPlaces | None:
    """Return where the units of some places stand in what a step reads; None if nowhere alone."""
    rule = layer_kind(step.operation).rule
    if rule is concatenation:
        return _in_a_part(walk, step, places)
    if len(step.inputs) != 1:
        return None
    before, after = walk.shapes[step.inputs[0]], walk.shapes[places.tensor]
    if before[-1] == after[-1]:
        return replace(places, tensor=step.inputs[0])
    if rule is not reshape or None in before[1:] or None in after[1:]:
        return None
    if len(after) == 2:
        return _before_flatten(step, places, before)
    return _before_unflatten(step, places, after) if len(before) == 2 else None


def _in_a_part(walk: Walk, step: Step, places: UnitPlaces) -> UnitPlaces | None:
    """Return the places in the one tensor of a concatenation that holds all of the units."""
    start = 0
    for number in step.inputs:
        stop = start + (walk.shapes[number][-1] or 0)
        if start <= places.rows.min(initial=stop) and places.rows.max(initial=-1) < stop:
            return UnitPlaces(number, places.rows - start)
        start = stop
    return None


def _before_flatten(
    step: Step, places: UnitPlaces, before: tuple[int | None, ...]
) -> UnitPlaces | None:
    width = before[-1] or 1
    channels = places.rows % width
    n_positions = math.prod(size or 1 for size in before[1:-1])
    if len(channels) != n_positions or (channels != channels[:1]).any():
        return None
    return UnitPlaces(step.inputs[0], channels[:1])


def _before_unflatten(
    step: Step, places: UnitPlaces, after: tuple[int | None, ...]
) -> UnitPlaces | None:
    if len(places.rows) != 1:
        return None
    positions = np.arange(math.prod(size or 1 for size in after[1:-1])).reshape(-1, 1)
    return UnitPlaces(step.inputs[0], positions * (after[-1] or 1) + places.rows)

"""Recurrent layers: units that read the layer before them, and one another at the time before."""

import numpy as np
from numpy.typing import NDArray

from nn_clustering.networks.structure._walk import Step
from nn_clustering.networks.structure._weights_builder import WeightsBuilder
from nn_clustering.networks.structure.rules.variables import kernel_of


def recurrent(builder: WeightsBuilder, step: Step) -> None:
    """Every unit reads every channel, and the state of every unit, by a weight for each gate."""
    reason = _why_unknown(step)
    if reason is not None:
        raise builder.refusal(step, reason)
    cell = step.operation.cell
    kernels = [kernel_of(builder, step, kernel) for kernel in (cell.kernel, cell.recurrent_kernel)]
    builder.add_recurrent(step, *(_by_gate(kernel, cell.units) for kernel in kernels))


def _by_gate(kernel: NDArray[np.floating], n_units: int) -> NDArray[np.floating]:
    """Return a kernel of shape (inputs, gates * units) as (gates, inputs, units)."""
    gates = kernel.reshape(len(kernel), -1, n_units)
    return np.ascontiguousarray(gates.transpose(1, 0, 2))


def _why_unknown(step: Step) -> str | None:
    """Return what of a recurrent layer there is no rule for, if anything."""
    layer = step.operation
    if layer.stateful:
        return "which is recurrent with stateful=True: its units go on from what was read before"
    if layer.return_state:
        return "which is recurrent and returns its states too; expected return_state=False"
    if len(step.inputs) != 1:
        return "which is recurrent and begins with states that it reads; expected none"
    if step.n_times:
        return "which is recurrent and called on slices; expected one that reads all times itself"
    return None

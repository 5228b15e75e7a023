"""The variables of a layer as arrays."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from nn_clustering.networks.structure._walk import Step
from nn_clustering.networks.structure._weights_builder import WeightsBuilder


def kernel_of(builder: WeightsBuilder, step: Step, variable: Any) -> NDArray[np.floating]:
    """Return a kernel of a step's layer.

    Raises:
        InvalidInputError: If the layer is quantised, or the kernel holds NaN or infinite weights.
    """
    if step.operation.quantization_mode is not None:
        raise builder.refusal(
            step,
            f"quantised to {step.operation.quantization_mode}; expected weights in floating "
            "point: read the network before it is quantised",
        )
    kernel = to_numpy(variable)
    if not np.isfinite(kernel).all():
        raise builder.wrong_values(step)
    return kernel


def to_numpy(variable: Any) -> NDArray[np.floating]:
    """Return a variable in single precision, or in double if that is what it has."""
    import keras

    array = keras.ops.convert_to_numpy(variable)
    found: NDArray[np.floating] = (
        array if array.dtype == np.float64 else array.astype(np.float32, copy=False)
    )
    return found

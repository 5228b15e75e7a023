"""The variables of a layer as arrays."""

from typing import Any

import numpy as np
from numpy.typing import NDArray


def to_numpy(variable: Any) -> NDArray[np.floating]:
    """Return a variable in single precision, or in double if that is what it has."""
    import keras

    array = keras.ops.convert_to_numpy(variable)
    found: NDArray[np.floating] = (
        array if array.dtype == np.float64 else array.astype(np.float32, copy=False)
    )
    return found

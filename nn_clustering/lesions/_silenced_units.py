"""Lesions as arrays: which units each silences."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def silenced_units(units: Sequence[NDArray[np.int64]], n_units: int) -> NDArray[np.bool_]:
    """Return lesions of a layer, one a row, shape (lesions, units): True where silenced."""
    silenced = np.zeros((len(units), n_units), bool)
    for row, chosen in zip(silenced, units, strict=True):
        row[chosen] = True
    return silenced

"""What is undefined, as a run's result holds it."""

from __future__ import annotations

import math


def none_if_nan(value: float) -> float | None:
    """Return None in the place of NaN: no number of a result is NaN."""
    return None if math.isnan(value) else value

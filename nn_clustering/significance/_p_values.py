"""p-values of permutation tests, and their combination (methods D4, G5, G7)."""

import numpy as np
import scipy.stats
from numpy.typing import ArrayLike

from nn_clustering.errors import InvalidInputError


def p_value(observed: float, null: ArrayLike, *, tail: str, count_ties: bool = True) -> float:
    """Return (r + 1) / (n + 1), r of the n null values being at least as extreme.

    Args:
        observed: The statistic of the real thing.
        null: Its values under the null hypothesis, shape (n,).
        tail: ``left`` if small values are extreme, ``right`` if large ones are.
        count_ties: Whether equal values count as extreme: valid and conservative. The studies
            counted strictly more extreme values only.

    Raises:
        InvalidInputError: If there is no null value, a value is NaN, or the tail is unknown.
    """
    values = np.asarray(null, float)
    if values.size == 0 or np.isnan(values).any() or np.isnan(observed):
        raise InvalidInputError(
            f"p-value of {observed} against {values.size} null values: expected at least one null "
            "value and no NaN"
        )
    if tail not in ("left", "right"):
        raise InvalidInputError(f"tail={tail!r}; expected left or right")
    extreme = values < observed if tail == "left" else values > observed
    if count_ties:
        extreme |= values == observed
    return (int(extreme.sum()) + 1) / (values.size + 1)


def fisher_combination(p_values: ArrayLike, n_null: int) -> float:
    """Combine independent permutation p-values into one by Fisher's method.

    A p-value of (r + 1)/(n + 1) is first moved down by half a rank, 1/(2(n + 1)), to the middle of
    the interval that it stands for (methods G7).

    Args:
        p_values: The p-values, shape (tests,); NaN for an empty list.
        n_null: Null values behind each of them.
    """
    p = np.asarray(p_values, float)
    if p.size == 0:
        return float("nan")
    shifted = p - 1 / (2 * (n_null + 1))
    return float(scipy.stats.combine_pvalues(shifted, method="fisher").pvalue)

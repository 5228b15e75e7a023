"""p-values of permutation tests, and effect sizes (methods D4, D5, G5)."""

import math

import numpy as np
from numpy.typing import ArrayLike

from nn_clustering.errors import InvalidInputError

# The smallest p-value that people are shown: below it, other draws of the same number change a
# combined p-value tenfold, and simulations do not reach (methods G7).
SMALLEST_SHOWN = 1e-4
# Each takes a millisecond at least: these are hours.
MOST_DRAWS = 10_000_000


def check_n_draws(name: str, n_draws: int, *, most: int = MOST_DRAWS) -> None:
    """Check a number of null values, which must be enough for a spread.

    Args:
        name: What the number is called.
        n_draws: The number.
        most: The largest that there may be.

    Raises:
        InvalidInputError: If it is no integer from 2 to the largest.
    """
    if isinstance(n_draws, bool) or not isinstance(n_draws, int) or n_draws < 2:
        raise InvalidInputError(
            f"{name}={n_draws!r}; expected an integer of 2 or more, of which there is a spread: n "
            "of them give no p-value below 1 / (n + 1), so that one of 0.05 takes 19"
        )
    if n_draws > most:
        raise InvalidInputError(f"{name}={n_draws}; expected an integer from 2 to {most}")


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
    return (n_extreme(observed, values, tail=tail, count_ties=count_ties) + 1) / (values.size + 1)


def n_extreme(observed: float, null: ArrayLike, *, tail: str, count_ties: bool = True) -> int:
    """Return how many null values are at least as extreme; arguments as :func:`p_value`."""
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
    return int(extreme.sum())


def p_in_words(p: float | None, name: str = "") -> str:
    """Return a p-value as it is shown to people, with no more digits than random draws carry.

    Args:
        p: The p-value; None or NaN where there is none.
        name: What stands before it, such as "p": "p = 0.012", "p < 0.0001"; without one it is
            "0.012", "< 0.0001".
    """
    if p is None or math.isnan(p):
        return f"{name} undefined".lstrip()
    if p < SMALLEST_SHOWN:
        return f"{name} < {SMALLEST_SHOWN:.4f}".lstrip()
    return f"{name} = {p:.2g}" if name else f"{p:.2g}"


def sequential_p_value(
    observed: float, null: ArrayLike, *, stop_at: int, tail: str, count_ties: bool = True
) -> float:
    """Return the p-value of null values that were drawn until enough of them were extreme.

    Drawing ends with the null value that is the h-th at least as extreme as the observed one, the
    l-th of all: p = h / l. If it ended before, after n values planned beforehand, p is that of
    :func:`p_value`. Under the null hypothesis no level is exceeded more often than it says, and
    without ties the attainable ones exactly as often (Besag and Clifford, "Sequential Monte Carlo
    p-values", 1991).

    Args:
        observed: The statistic of the real thing.
        null: Its values under the null hypothesis, in the order of drawing, shape (n,).
        stop_at: The number h of extreme values.
        tail: As in :func:`p_value`.
        count_ties: As in :func:`p_value`.

    Raises:
        InvalidInputError: As :func:`p_value`; or if there are more values than drawn so.
    """
    values = np.asarray(null, float)
    extreme = n_extreme(observed, values, tail=tail, count_ties=count_ties)
    if extreme < stop_at:
        return (extreme + 1) / (values.size + 1)
    ends = n_extreme(observed, values[-1:], tail=tail, count_ties=count_ties) == 1
    if extreme > stop_at or not ends:
        raise InvalidInputError(
            f"{values.size} null values, {extreme} of them extreme; expected none after number "
            f"{stop_at} of these"
        )
    return extreme / values.size


def cohens_d(first: ArrayLike, second: ArrayLike) -> float:
    """Return how far two samples are apart: (mean of first - mean of second) / pooled std (D5).

    The pooled variance is the sum of squared deviations from each sample's own mean, divided by
    the number of all values less two. NaN if that is undefined, or 0.
    """
    samples = [np.asarray(sample, float) for sample in (first, second)]
    n_free = sum(sample.size - 1 for sample in samples)
    if min(sample.size for sample in samples) == 0 or n_free < 1:
        return math.nan
    pooled = math.sqrt(sum(sample.var() * sample.size for sample in samples) / n_free)
    if pooled == 0:
        return math.nan
    return float((samples[0].mean() - samples[1].mean()) / pooled)

"""How sure a mean is: standard errors and bootstrap intervals."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from nn_clustering.errors import InvalidInputError
from nn_clustering.seeds import generator

# Enough for the second digit of an interval's width.
N_RESAMPLES = 9999
# Numbers drawn at a time (8 MB); all resamples of 700 values at once would take 56 MB.
_BATCH_VALUES = 1_000_000
# Values that differ by no more than this share of them are equal but for their last digits.
_ROUNDING = 1e-12


def bootstrap_interval(
    values: ArrayLike,
    *,
    confidence: float = 0.95,
    seed: int,
    n_resamples: int = N_RESAMPLES,
) -> tuple[float, float] | None:
    """Return an interval that holds the mean of what the values were drawn from.

    Bias-corrected and accelerated bootstrap (Efron 1987).

    Args:
        values: Independent values, shape (values,).
        confidence: How often the interval holds the mean.
        seed: Fixes the resamples.
        n_resamples: How many samples are drawn from the values, 2 or more.

    Returns:
        Its lower and its upper end, twice the value if all are equal; None of fewer than two.

    Raises:
        InvalidInputError: If a value is not finite, the confidence is not between 0 and 1, or there
            are less than two resamples.
    """
    import scipy.stats

    sample = np.asarray(values, float)
    if sample.ndim != 1 or not np.isfinite(sample).all():
        raise InvalidInputError(
            f"bootstrap of values {np.array2string(sample, threshold=6, edgeitems=2)}; expected "
            "finite numbers in a row"
        )
    if not 0 < confidence < 1:
        raise InvalidInputError(f"confidence={confidence!r}; expected a number between 0 and 1")
    if n_resamples < 2:
        raise InvalidInputError(
            f"n_resamples={n_resamples}; expected 2 or more, between which an interval lies"
        )
    if sample.size < 2:
        return None
    if np.ptp(sample) <= _ROUNDING * np.abs(sample).max():
        return float(sample[0]), float(sample[0])
    interval = scipy.stats.bootstrap(
        (sample,),
        np.mean,
        n_resamples=n_resamples,
        batch=max(_BATCH_VALUES // sample.size, 1),
        confidence_level=confidence,
        random_state=generator(seed, "bootstrap"),
        method="BCa",
    ).confidence_interval
    return float(interval.low), float(interval.high)


@dataclass(frozen=True)
class MeanEstimate:
    """The mean of some values that can be undefined, and how sure it is.

    Attributes:
        mean: Of the values that are defined; None if there is none.
        standard_error: Of the mean; None of fewer than two.
        low: Lower end of its 95% bootstrap interval; likewise.
        high: Upper end; likewise.
        median: Of the values that are defined; None if there is none.
        n_undefined: How many are NaN or infinite, and left out.
    """

    mean: float | None
    standard_error: float | None
    low: float | None
    high: float | None
    median: float | None
    n_undefined: int


def estimate_mean(values: ArrayLike, *, seed: int, n_resamples: int = N_RESAMPLES) -> MeanEstimate:
    """Estimate the mean of values of which some can be undefined (quirk 13).

    Args:
        values: Independent values, shape (values,); NaN and infinite ones count as undefined.
        seed: Fixes the bootstrap; see :func:`bootstrap_interval`.
        n_resamples: Of the bootstrap.
    """
    import scipy.stats

    sample = np.asarray(values, float)
    defined = sample[np.isfinite(sample)]
    low, high = bootstrap_interval(defined, seed=seed, n_resamples=n_resamples) or (None, None)
    return MeanEstimate(
        float(defined.mean()) if defined.size else None,
        float(scipy.stats.sem(defined)) if defined.size > 1 else None,
        low,
        high,
        float(np.median(defined)) if defined.size else None,
        int(sample.size - defined.size),
    )

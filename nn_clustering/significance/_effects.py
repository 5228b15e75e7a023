"""How much larger a statistic is than by chance: effects and their null (methods G9)."""

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

# Differences of such a share of the numbers that they are of come of rounding.
_ROUNDING = 1e-12


def relative_effects(true: ArrayLike, random_mean: ArrayLike) -> NDArray[np.float64]:
    """Return 2 T / (T + mean random T) for each sub-cluster: 2 is the most.

    It is 1 where both are equal, but that is not what it is on average if there is no effect: see
    :func:`left_out_effects`.

    Args:
        true: The statistic of the sub-clusters, of any shape.
        random_mean: Mean of the statistic over their random sub-clusters, same shape.

    Returns:
        Same shape; NaN where the denominator is 0 or a value is not finite.
    """
    true, random_mean = np.asarray(true, float), np.asarray(random_mean, float)
    total = true + random_mean
    defined = np.isfinite(total) & (np.abs(total) > 1e-12)
    found: NDArray[np.float64] = np.divide(
        2 * true, total, where=defined, out=np.full(total.shape, np.nan)
    )
    return found


def ratio_effects(true: ArrayLike, random_mean: ArrayLike) -> NDArray[np.float64]:
    """Return (mean random T) / T for each sub-cluster, the earlier study's effect (methods G9).

    Args:
        true: The statistic of the sub-clusters, of any shape.
        random_mean: Mean of the statistic over their random sub-clusters, same shape.

    Returns:
        Same shape; NaN where the denominator is 0 or a value is not finite.
    """
    true, random_mean = np.asarray(true, float), np.asarray(random_mean, float)
    defined = np.isfinite(true) & np.isfinite(random_mean) & (np.abs(true) > 1e-12)
    found: NDArray[np.float64] = np.divide(
        random_mean, true, where=defined, out=np.full(true.shape, np.nan)
    )
    return found


def relative_effects_each(true: ArrayLike, random: ArrayLike) -> NDArray[np.float64]:
    """Return the mean over random sub-clusters of 2 T / (T + random T), against each of them alone.

    The second study's effect of images (methods H4). Where nothing tells true and random apart, and
    neither is negative, it is 1 on average: with a and b in either place 2 a / (a + b) and
    2 b / (a + b) add up to 2.

    Args:
        true: The statistic of the sub-clusters, shape (sub-clusters,).
        random: Of their random ones, shape (sub-clusters, draws).

    Returns:
        Shape (sub-clusters,); a random one against which the effect is not defined is left out, NaN
        where none is left.
    """
    true, random = np.asarray(true, float), np.asarray(random, float)
    return finite_mean(relative_effects(np.broadcast_to(true[:, np.newaxis], random.shape), random))


def left_out_effects_each(random: ArrayLike) -> NDArray[np.float64]:
    """Return :func:`relative_effects_each` of random sub-clusters in the place of the true ones.

    Args:
        random: The statistic of the random sub-clusters, shape (sub-clusters, draws).

    Returns:
        Shape (sub-clusters, draws), each against the other draws; with a single one (sub-clusters,
        0).
    """
    random = np.asarray(random, float)
    if random.shape[1] < 2:
        return np.empty((len(random), 0))
    columns = [
        relative_effects_each(random[:, draw], np.delete(random, draw, axis=1))
        for draw in range(random.shape[1])
    ]
    return np.stack(columns, axis=1)


def finite_mean(values: ArrayLike) -> NDArray[np.float64]:
    """Return the mean over the last axis of the values that are finite; NaN where none is."""
    values = np.asarray(values, float)
    finite = np.isfinite(values)
    n_finite = finite.sum(axis=-1)
    total = np.where(finite, values, 0.0).sum(axis=-1)
    found: NDArray[np.float64] = np.divide(
        total, n_finite, where=n_finite > 0, out=np.full(total.shape, np.nan)
    )
    return found


def left_out_effects(
    random: ArrayLike,
    effects_of: Callable[[NDArray[np.float64], NDArray[np.float64]], NDArray[np.float64]],
) -> NDArray[np.float64]:
    """Return the effects of random sub-clusters in the place of the true ones (methods G9).

    Each draw stands in for the true partition, and the others alone are its random ones.

    Args:
        random: The statistic of the random sub-clusters, shape (sub-clusters, draws).
        effects_of: Gives the effects of statistics and of the means of their random ones, arrays of
            that shape.

    Returns:
        Shape (sub-clusters, draws); with a single draw, (sub-clusters, 0). Infinite statistics are
        left out of the means.
    """
    random = np.asarray(random, float)
    if random.shape[1] < 2:
        return np.empty((len(random), 0))
    finite = np.isfinite(random)
    values = np.where(finite, random, 0.0)
    totals = values.sum(axis=1, keepdims=True) - values
    counts = finite.sum(axis=1, keepdims=True) - finite
    means = np.divide(totals, counts, where=counts > 0, out=np.full(random.shape, np.nan))
    # what is left of a difference by rounding is 0, not just what is small: entropies can be
    largest = np.abs(values).max(axis=1, keepdims=True)
    means = np.where(np.abs(means) <= _ROUNDING * largest, 0.0, means)
    return effects_of(random, means)

"""Importance and coherence of sub-clusters from class accuracies (methods G5, G7, G9)."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nn_clustering.significance import fisher_combination


def class_mean(changes: ArrayLike) -> NDArray[np.float64]:
    """Return the mean over classes of changes of class accuracy, shape (..., classes) to (...).

    It is rounded to 12 digits: accuracies are counts over class sizes, so that smaller differences
    are those of the order in which numbers were added. Equal means are then ties, and 0 is 0.
    """
    return np.asarray(changes, float).mean(axis=-1).round(12)


def class_range(changes: ArrayLike) -> NDArray[np.float64]:
    """Return the spread of the class changes in units of their mean: how selective a lesion is.

    The changes of class accuracy are divided by their mean over classes; the range is the largest
    minus the smallest.

    Args:
        changes: Lesioned minus intact accuracy of every class, shape (..., classes).

    Returns:
        Shape (...): 0 where no class changes at all, infinite where changes average to 0.
    """
    changes = np.asarray(changes, float)
    spread = np.ptp(changes, axis=-1).round(12)
    mean = np.abs(class_mean(changes))
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(spread == 0, 0.0, spread / mean)


def relative_effects(true: ArrayLike, random_mean: ArrayLike) -> NDArray[np.float64]:
    """Return 2 T / (T + mean random T) for each sub-cluster: 1 is no effect, 2 the most.

    Args:
        true: The statistic of the sub-clusters, shape (sub-clusters,).
        random_mean: Mean of the statistic over their random sub-clusters, same shape.

    Returns:
        Same shape; NaN where the denominator is 0 or a value is not finite.
    """
    true, random_mean = np.asarray(true, float), np.asarray(random_mean, float)
    total = true + random_mean
    defined = np.isfinite(total) & (np.abs(total) > 1e-12)
    return np.divide(2 * true, total, where=defined, out=np.full(total.shape, np.nan))


def ratio_effects(true: ArrayLike, random_mean: ArrayLike) -> NDArray[np.float64]:
    """Return (mean random T) / T for each sub-cluster, the earlier study's effect (methods G9).

    Returns:
        Same shape; NaN where the denominator is 0 or a value is not finite.
    """
    true, random_mean = np.asarray(true, float), np.asarray(random_mean, float)
    defined = np.isfinite(true) & np.isfinite(random_mean) & (np.abs(true) > 1e-12)
    return np.divide(random_mean, true, where=defined, out=np.full(true.shape, np.nan))


@dataclass(frozen=True, eq=False)
class _Measure:
    """One measure of all sub-clusters of a network.

    Attributes:
        p_values: One a sub-cluster.
        effects: One a sub-cluster, NaN where undefined; 1 is no effect, above 1 an effect.
        ratios: The earlier study's effects, likewise.
        n_null: Random sub-clusters behind every p-value.
        n_infinite_null: Random sub-clusters, of all, whose statistic is infinite and was left out
            of the means behind the effects.
    """

    p_values: NDArray[np.float64]
    effects: NDArray[np.float64]
    ratios: NDArray[np.float64]
    n_null: int
    n_infinite_null: int = 0

    def summary(self) -> dict[str, float | int | None]:
        """Return the combined p-value, and mean, standard error and median of the effects.

        Effects and ratios with a denominator of 0 are left out and counted as ``n_undefined`` and
        ``n_undefined_ratio``.
        """
        effects = self.effects[np.isfinite(self.effects)]
        ratios = self.ratios[np.isfinite(self.ratios)]
        standard_error = effects.std(ddof=1) / np.sqrt(effects.size) if effects.size > 1 else None
        return {
            "fisher_p": fisher_combination(self.p_values, self.n_null),
            "effect": float(effects.mean()) if effects.size else None,
            "effect_standard_error": None if standard_error is None else float(standard_error),
            "effect_median": float(np.median(effects)) if effects.size else None,
            "effect_ratio": float(ratios.mean()) if ratios.size else None,
            "effect_ratio_median": float(np.median(ratios)) if ratios.size else None,
            "n_undefined": int(self.effects.size - effects.size),
            "n_undefined_ratio": int(self.ratios.size - ratios.size),
            "n_infinite_null": self.n_infinite_null,
            "n_null": self.n_null,
        }


class Importance(_Measure):
    """Does a lesion cost more accuracy than that of random units?"""


class Coherence(_Measure):
    """Does a lesion hit some classes more than that of random units?"""

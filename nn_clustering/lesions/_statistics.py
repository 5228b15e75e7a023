"""Importance and coherence of sub-clusters from changes of groups (methods G5, G7, G9)."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nn_clustering.significance import (
    chi_square_of_ranks,
    estimate_mean,
    fisher_combination,
    fisher_statistic,
    joint_p_value,
    p_value,
    stouffer_combination,
)


def class_mean(changes: ArrayLike, unit: float = 1.0) -> NDArray[np.float64]:
    """Return the mean over classes of changes of class accuracy, shape (..., classes) to (...).

    It is rounded to 12 digits: accuracies are counts over class sizes, so that smaller differences
    are those of the order in which numbers were added. Equal means are then ties, and 0 is 0.
    In a regression the groups of targets are what classes are here, and their errors accuracies.

    Args:
        changes: Lesioned minus intact accuracy of every class, or error of every group.
        unit: What 1 is to accuracies: the size of the errors.
    """
    means = np.asarray(changes, float).mean(axis=-1) / unit
    found: NDArray[np.float64] = (means.round(12) + 0.0) * unit  # not -0.0
    return found


def class_range(changes: ArrayLike, unit: float = 1.0) -> NDArray[np.float64]:
    """Return the spread of the class changes in units of their mean: how selective a lesion is.

    The changes of class accuracy are divided by their mean over classes; the range is the largest
    minus the smallest.

    Args:
        changes: Lesioned minus intact accuracy of every class, shape (..., classes).
        unit: As for :func:`class_mean`.

    Returns:
        Shape (...): 0 where no class changes at all, infinite where changes average to 0.
    """
    changes = np.asarray(changes, float) / unit
    spread = np.ptp(changes, axis=-1)
    mean = np.where(class_mean(changes) == 0, 0.0, np.abs(changes.mean(axis=-1)))
    with np.errstate(divide="ignore", invalid="ignore"):
        # rounded as a whole, so that lesions of one class have the same range whatever its size
        return np.where(spread.round(12) == 0, 0.0, (spread / mean).round(9))


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
    found: NDArray[np.float64] = np.divide(
        2 * true, total, where=defined, out=np.full(total.shape, np.nan)
    )
    return found


def ratio_effects(true: ArrayLike, random_mean: ArrayLike) -> NDArray[np.float64]:
    """Return (mean random T) / T for each sub-cluster, the earlier study's effect (methods G9).

    Returns:
        Same shape; NaN where the denominator is 0 or a value is not finite.
    """
    true, random_mean = np.asarray(true, float), np.asarray(random_mean, float)
    defined = np.isfinite(true) & np.isfinite(random_mean) & (np.abs(true) > 1e-12)
    found: NDArray[np.float64] = np.divide(
        random_mean, true, where=defined, out=np.full(true.shape, np.nan)
    )
    return found


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


@dataclass(frozen=True, eq=False)
class Measure:
    """Importance or coherence of all sub-clusters of a network.

    Attributes:
        p_values: Each sub-cluster's against its own random ones, shape (sub-clusters,).
        effects: NaN where undefined; 1 is no effect, above 1 an effect. Same shape.
        ratios: The earlier study's effects, likewise.
        combined: Which sub-clusters enter combined p-values and mean effects, same shape.
        joint_p: One p-value of the combined ones that allows for how they depend on each other;
            None where draws were not joint, or cannot tell.
        n_null: Random sub-clusters behind every p-value.
        n_infinite_null: Random sub-clusters of the combined ones whose statistic is infinite and
            was left out of the means behind the effects.
    """

    p_values: NDArray[np.float64]
    effects: NDArray[np.float64]
    ratios: NDArray[np.float64]
    combined: NDArray[np.bool_]
    joint_p: float | None
    n_null: int
    n_infinite_null: int = 0

    def summary(self, seed: int) -> dict[str, float | int | None]:
        """Return combined p-values, and mean, error, interval and median of the effects.

        Effects and ratios with a denominator of 0 are left out and counted as ``n_undefined`` and
        ``n_undefined_ratio``. Intervals are bootstrapped over sub-clusters.

        Args:
            seed: Fixes the bootstrap.
        """
        p_values = self.p_values[self.combined]
        effect = estimate_mean(self.effects[self.combined], seed=seed)
        ratio = estimate_mean(self.ratios[self.combined], seed=seed)
        combinations = {
            "fisher_p": fisher_combination,
            "stouffer_p": stouffer_combination,
            "chi_square_p": chi_square_of_ranks,
            "fisher_statistic": fisher_statistic,
        }
        return {
            "joint_p": self.joint_p,
            **{
                name: combine(p_values, self.n_null) if p_values.size else None
                for name, combine in combinations.items()
            },
            "effect": effect.mean,
            "effect_standard_error": effect.standard_error,
            "effect_low": effect.low,
            "effect_high": effect.high,
            "effect_median": effect.median,
            "effect_ratio": ratio.mean,
            "effect_ratio_low": ratio.low,
            "effect_ratio_high": ratio.high,
            "effect_ratio_median": ratio.median,
            "n_undefined": effect.n_undefined,
            "n_undefined_ratio": ratio.n_undefined,
            "n_infinite_null": self.n_infinite_null,
            "n_null": self.n_null,
            "n_combined": int(self.combined.sum()),
        }


def importance_measure(
    changes: ArrayLike,
    random_changes: ArrayLike,
    *,
    intact: float,
    harm: int,
    tail: str,
    count_ties: bool,
    jointly_drawn: bool,
    combined: NDArray[np.bool_],
) -> Measure:
    """Return how much more harm lesions of sub-clusters do than those of random units (G5, G9).

    The effect is 2 D / (D + mean random D) of the change D, and 0 unless both are harm. The ratio
    compares accuracy under the lesions, (mean random) / (true), or errors, (true) / (mean random):
    above 1 the sub-cluster's lesion is the worse one in both cases.

    Args:
        changes: Lesioned minus intact mean over groups (mean class accuracy, or mean squared
            error) for each sub-cluster, shape (sub-clusters,).
        random_changes: The same for random sub-clusters, shape (sub-clusters, shuffles).
        intact: The intact mean.
        harm: -1 if a negative change is harm (accuracy), 1 if a positive one is (error).
        tail: Of the p-values: which changes are extreme, ``left`` (negative) or ``right``.
        count_ties: Whether random changes equal to the true one are as extreme in the p-values.
        jointly_drawn: Whether column s of all sub-clusters of a layer comes from one permutation
            of the layer's labels, which a joint p-value needs.
        combined: Which sub-clusters enter combined p-values and mean effects, shape
            (sub-clusters,).

    Raises:
        InvalidInputError: If there is no random change, or a change is NaN.
    """
    true, random = np.asarray(changes, float), np.asarray(random_changes, float)
    mean = random.mean(axis=1).round(12)
    both_harm = (harm * true > 0) & (harm * mean > 0)
    lesioned = intact + true, intact + mean
    return Measure(
        _p_values(true, random, tail=tail, count_ties=count_ties),
        np.where(both_harm, relative_effects(true, mean), 0.0),
        ratio_effects(*(lesioned if harm < 0 else lesioned[::-1])),
        combined,
        _joint_p(true, random, tail=tail, of=combined) if jointly_drawn else None,
        random.shape[1],
    )


def coherence_measure(
    ranges: ArrayLike,
    random_ranges: ArrayLike,
    *,
    count_ties: bool,
    jointly_drawn: bool,
    combined: NDArray[np.bool_],
) -> Measure:
    """Return how much more selective lesions of sub-clusters are than those of random units (G9).

    The effect is 2 R / (R + mean random R) of the range R; see :func:`class_range`. The ratio is
    (mean random R) / R: BELOW 1 the sub-cluster's range is the larger one. Random ranges that are
    infinite are left out of the mean and counted; a true one leaves its effect undefined. In the
    p-values, which are right-tailed, infinities are larger than all else.

    Args:
        ranges: Of the sub-clusters, shape (sub-clusters,).
        random_ranges: Of their random sub-clusters, shape (sub-clusters, shuffles).
        count_ties: As for :func:`importance_measure`.
        jointly_drawn: Likewise.
        combined: Likewise.

    Raises:
        InvalidInputError: As :func:`importance_measure`.
    """
    true, random = np.asarray(ranges, float), np.asarray(random_ranges, float)
    mean = finite_mean(random)
    return Measure(
        _p_values(true, random, tail="right", count_ties=count_ties),
        relative_effects(true, mean),
        ratio_effects(true, mean),
        combined,
        _joint_p(true, random, tail="right", of=combined) if jointly_drawn else None,
        random.shape[1],
        int(np.isinf(random[combined]).sum()),
    )


def _p_values(
    true: NDArray[np.float64], random: NDArray[np.float64], *, tail: str, count_ties: bool
) -> NDArray[np.float64]:
    return np.array(
        [
            p_value(observed, null, tail=tail, count_ties=count_ties)
            for observed, null in zip(true.tolist(), random, strict=True)
        ]
    )


def _joint_p(
    true: NDArray[np.float64],
    random: NDArray[np.float64],
    *,
    tail: str,
    of: NDArray[np.bool_],
) -> float | None:
    return joint_p_value(true[of], random[of], tail=tail) if of.any() else None

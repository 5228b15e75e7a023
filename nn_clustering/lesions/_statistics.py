"""Importance and coherence of sub-clusters from changes of groups (methods G5, G7, G9)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nn_clustering.significance import (
    JointTest,
    chi_square_of_ranks,
    estimate_mean,
    fisher_combination,
    fisher_statistic,
    joint_test,
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
    changes = np.asarray(changes, float)
    if unit != 1:  # changes of a thousand classes by all random lesions are not copied
        changes = changes / unit
    spread = np.ptp(changes, axis=-1)
    mean = np.where(class_mean(changes) == 0, 0.0, np.abs(changes.mean(axis=-1)))
    with np.errstate(divide="ignore", invalid="ignore"):
        # rounded as a whole, so that lesions of one class have the same range whatever its size
        return np.where(spread.round(12) == 0, 0.0, (spread / mean).round(9))


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
    return effects_of(random, means.round(12) + 0.0)


@dataclass(frozen=True, eq=False)
class Measure:
    """Importance or coherence of all sub-clusters of a network.

    Attributes:
        p_values: Each sub-cluster's against its own random ones, shape (sub-clusters,).
        effects: NaN where undefined. Same shape.
        ratios: The earlier study's effects, likewise.
        null_effects: The effects that random sub-clusters have in the place of the true ones, shape
            (sub-clusters, draws): what effects are to be read beside, not 1. Without columns if
            there is a single draw.
        null_ratios: Likewise.
        combined: Which sub-clusters enter combined p-values and mean effects, shape
            (sub-clusters,).
        joint: The test of the combined ones together that allows for how they depend on each other;
            None where draws were not joint, or nothing is combined.
        n_null: Random sub-clusters behind every p-value.
        n_infinite_null: Random sub-clusters of the combined ones whose statistic is infinite and
            was left out of the means behind the effects.
    """

    p_values: NDArray[np.float64]
    effects: NDArray[np.float64]
    ratios: NDArray[np.float64]
    null_effects: NDArray[np.float64]
    null_ratios: NDArray[np.float64]
    combined: NDArray[np.bool_]
    joint: JointTest | None
    n_null: int
    n_infinite_null: int = 0

    @property
    def joint_p(self) -> float | None:
        """The p-value of :attr:`joint`."""
        return None if self.joint is None else self.joint.p_value

    def mean_null_effects(self) -> NDArray[np.float64]:
        """Return the mean effect that every draw has in the place of the true partition.

        Returns:
            Of the combined sub-clusters whose effect is defined, shape (draws,); NaN where none is.
        """
        return finite_mean(self.null_effects[self.combined].T)

    def mean_null_ratios(self) -> NDArray[np.float64]:
        """Return the same of the earlier study's effect."""
        return finite_mean(self.null_ratios[self.combined].T)

    def summary(self, seed: int) -> dict[str, float | int | None]:
        """Return combined p-values, and mean, error, interval and median of the effects.

        Beside the joint p-value stand the smallest one that the draws could give, how far the true
        partition's scores are above those of draws, and the number of layers. Effects and ratios
        with a denominator of 0 are left out and counted as ``n_undefined`` and
        ``n_undefined_ratio``. Intervals are bootstrapped over sub-clusters. What a draw has in the
        place of the true partition is ``effect_null`` on average, and ``effect_null_low`` to
        ``effect_null_high`` in 5 to 95% of the draws.

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
            "joint_p_smallest": None if self.joint is None else self.joint.smallest,
            "joint_z": None if self.joint is None else self.joint.z,
            "joint_layers": None if self.joint is None else self.joint.n_layers,
            **{
                name: combine(p_values, self.n_null) if p_values.size else None
                for name, combine in combinations.items()
            },
            "effect": effect.mean,
            "effect_standard_error": effect.standard_error,
            "effect_low": effect.low,
            "effect_high": effect.high,
            "effect_median": effect.median,
            **null_interval("effect_null", self.mean_null_effects()),
            "effect_ratio": ratio.mean,
            "effect_ratio_low": ratio.low,
            "effect_ratio_high": ratio.high,
            "effect_ratio_median": ratio.median,
            **null_interval("effect_ratio_null", self.mean_null_ratios()),
            "n_undefined": effect.n_undefined,
            "n_undefined_ratio": ratio.n_undefined,
            "n_infinite_null": self.n_infinite_null,
            "n_null": self.n_null,
            "n_combined": int(self.combined.sum()),
        }


def null_interval(name: str, of_draws: ArrayLike) -> dict[str, float | None]:
    """Return the mean of what draws have, and what 5 to 95% of them have, under names.

    Args:
        name: The mean's; the interval's are ``{name}_low`` and ``{name}_high``.
        of_draws: Shape (draws,); what is not finite is left out.

    Returns:
        The three numbers; None with fewer than two draws.
    """
    values = np.asarray(of_draws, float)
    values = values[np.isfinite(values)]
    keys = (name, f"{name}_low", f"{name}_high")
    if values.size < 2:
        return dict.fromkeys(keys)
    numbers = (values.mean(), *np.quantile(values, [0.05, 0.95]))
    return dict(zip(keys, map(float, numbers), strict=True))


def importance_measure(
    changes: ArrayLike,
    random_changes: ArrayLike,
    *,
    intact: float,
    harm: int,
    tail: str,
    count_ties: bool,
    layers: Sequence[str] | None,
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
        layers: Each sub-cluster's layer, if column s of all sub-clusters of a layer comes from one
            permutation of the layer's labels, which a joint p-value needs; else None.
        combined: Which sub-clusters enter combined p-values and mean effects, shape
            (sub-clusters,).

    Raises:
        InvalidInputError: If there is no random change, or a change is NaN.
    """
    true, random = np.asarray(changes, float), np.asarray(random_changes, float)
    mean = random.mean(axis=1).round(12)

    def effects(true: NDArray[np.float64], mean: NDArray[np.float64]) -> NDArray[np.float64]:
        both_harm = (harm * true > 0) & (harm * mean > 0)
        return np.where(both_harm, relative_effects(true, mean), 0.0)

    def ratios(true: NDArray[np.float64], mean: NDArray[np.float64]) -> NDArray[np.float64]:
        lesioned = intact + true, intact + mean
        return ratio_effects(*(lesioned if harm < 0 else lesioned[::-1]))

    return Measure(
        _p_values(true, random, tail=tail, count_ties=count_ties),
        effects(true, mean),
        ratios(true, mean),
        left_out_effects(random, effects),
        left_out_effects(random, ratios),
        combined,
        _joint(true, random, tail=tail, layers=layers, of=combined),
        random.shape[1],
    )


def coherence_measure(
    ranges: ArrayLike,
    random_ranges: ArrayLike,
    *,
    count_ties: bool,
    layers: Sequence[str] | None,
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
        layers: Likewise.
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
        left_out_effects(random, relative_effects),
        left_out_effects(random, ratio_effects),
        combined,
        _joint(true, random, tail="right", layers=layers, of=combined),
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


def _joint(
    true: NDArray[np.float64],
    random: NDArray[np.float64],
    *,
    tail: str,
    layers: Sequence[str] | None,
    of: NDArray[np.bool_],
) -> JointTest | None:
    if layers is None or not of.any():
        return None
    of_layers = [layer for layer, is_one in zip(layers, of.tolist(), strict=True) if is_one]
    return joint_test(true[of], random[of], tail=tail, layers=of_layers)

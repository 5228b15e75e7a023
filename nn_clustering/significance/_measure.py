"""One statistic of sub-clusters beside that of random ones (methods G7, G9)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nn_clustering.significance._bootstrap import estimate_mean
from nn_clustering.significance._combination import (
    chi_square_of_ranks,
    fisher_combination,
    fisher_statistic,
    stouffer_combination,
)
from nn_clustering.significance._effects import (
    finite_mean,
    left_out_effects,
    left_out_effects_each,
    ratio_effects,
    relative_effects,
    relative_effects_each,
)
from nn_clustering.significance._joint import JointTest, joint_test
from nn_clustering.significance._p_values import p_value

Effects = Callable[[NDArray[np.float64], NDArray[np.float64]], NDArray[np.float64]]


@dataclass(frozen=True, eq=False)
class Measure:
    """One statistic of all sub-clusters of a network, each beside that of its random ones.

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
        effects_each: Means of the effects against each random one alone, shape (sub-clusters,);
            None where they are not asked for.
        null_effects_each: The same of random sub-clusters in the place of the true ones, shape
            (sub-clusters, draws); None likewise.
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
    effects_each: NDArray[np.float64] | None = None
    null_effects_each: NDArray[np.float64] | None = None

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

    def columns(self, name: str) -> dict[str, NDArray[np.float64]]:
        """Return p-values and effects of the sub-clusters as columns of a table.

        Beside each effect stands, as ``_null``, the mean of those that the sub-cluster's random
        ones have in its place.

        Args:
            name: Of the measure, with which the columns' names begin.
        """
        each = {} if self.effects_each is None else {f"{name}_effect_each": self.effects_each}
        return {
            f"{name}_p": self.p_values,
            f"{name}_effect": self.effects,
            f"{name}_effect_null": finite_mean(self.null_effects),
            **each,
            f"{name}_ratio": self.ratios,
            f"{name}_ratio_null": finite_mean(self.null_ratios),
        }

    def columns_of_draws(self, name: str) -> dict[str, NDArray[np.float64]]:
        """Return the mean effects that draws have in the place of the true partition, as columns.

        Args:
            name: Of the measure, with which the columns' names begin.

        Returns:
            Means over the combined sub-clusters whose effect is defined, each of shape (draws,);
            NaN where none is.
        """
        each = {}
        if self.null_effects_each is not None:
            each = {f"{name}_effect_each": finite_mean(self.null_effects_each[self.combined].T)}
        return {
            f"{name}_effect": self.mean_null_effects(),
            f"{name}_ratio": self.mean_null_ratios(),
            **each,
        }

    def summary(self, seed: int) -> dict[str, float | int | None]:
        """Return combined p-values, and mean, error, interval and median of the effects.

        Beside the joint p-value stand the smallest one that the draws could give, how far the true
        partition's scores are above those of draws, and the number of layers. Effects and ratios
        with a denominator of 0 are left out and counted as ``n_undefined`` and
        ``n_undefined_ratio``. Intervals are bootstrapped over sub-clusters. What a draw has in the
        place of the true partition is ``effect_null`` on average, and ``effect_null_low`` to
        ``effect_null_high`` in 5 to 95% of the draws. Where there are effects against each random
        one alone, ``effect_each`` stands for them likewise.

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
            **self._summary_each(seed),
        }

    def _summary_each(self, seed: int) -> dict[str, float | int | None]:
        if self.effects_each is None:
            return {}
        effect = estimate_mean(self.effects_each[self.combined], seed=seed)
        of_draws = self.columns_of_draws("null")["null_effect_each"]
        return {
            "effect_each": effect.mean,
            "effect_each_standard_error": effect.standard_error,
            "effect_each_low": effect.low,
            "effect_each_high": effect.high,
            "effect_each_median": effect.median,
            **null_interval("effect_each_null", of_draws),
            "n_undefined_each": effect.n_undefined,
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


def measure_beside_random(
    true: ArrayLike,
    random: ArrayLike,
    *,
    tail: str,
    count_ties: bool,
    layers: Sequence[str] | None,
    combined: NDArray[np.bool_],
    random_mean: NDArray[np.float64] | None = None,
    effects: Effects = relative_effects,
    ratios: Effects = ratio_effects,
    each: bool = False,
) -> Measure:
    """Return a statistic of sub-clusters beside that of their random ones (methods G7, G9).

    Args:
        true: Of the sub-clusters, shape (sub-clusters,).
        random: Of their random ones, shape (sub-clusters, draws).
        tail: Which values are extreme, ``left`` or ``right``; infinities are larger than all else.
        count_ties: Whether random values equal to the true one are as extreme in the p-values.
        layers: Each sub-cluster's layer, if column s of all sub-clusters of a layer comes from one
            permutation of the layer's labels, which a joint p-value needs; else None.
        combined: Which sub-clusters enter combined p-values and mean effects, shape
            (sub-clusters,).
        random_mean: Mean over the random ones, shape (sub-clusters,); by default of those that are
            finite.
        effects: Gives effects of statistics and of the means of their random ones.
        ratios: Gives the earlier study's effects likewise.
        each: Whether effects against each random one alone are wanted too.

    Raises:
        InvalidInputError: If there is no random value, or a value is NaN.
    """
    true, random = np.asarray(true, float), np.asarray(random, float)
    mean = finite_mean(random) if random_mean is None else random_mean
    p_values = [
        p_value(observed, null, tail=tail, count_ties=count_ties)
        for observed, null in zip(true.tolist(), random, strict=True)
    ]
    joint = None
    if layers is not None and combined.any():
        of = [layer for layer, is_one in zip(layers, combined.tolist(), strict=True) if is_one]
        joint = joint_test(true[combined], random[combined], tail=tail, layers=of)
    return Measure(
        np.array(p_values),
        effects(true, mean),
        ratios(true, mean),
        left_out_effects(random, effects),
        left_out_effects(random, ratios),
        combined,
        joint,
        random.shape[1],
        int(np.isinf(random[combined]).sum()),
        relative_effects_each(true, random) if each else None,
        left_out_effects_each(random) if each else None,
    )


def statistic_columns(
    name: str, values: NDArray[np.float64] | None, measure: Measure | None
) -> dict[str, NDArray[np.float64]]:
    """Return the columns of a statistic of sub-clusters; none where it is not measured.

    Args:
        name: Of the statistic, which is part of the columns' names.
        values: Of sub-clusters (column 0) and random ones, shape (sub-clusters, 1 + draws).
        measure: What they say.
    """
    if values is None or measure is None:
        return {}
    return {
        name: values[:, 0],
        f"random_{name}": finite_mean(values[:, 1:]),
        **measure.columns(name),
    }

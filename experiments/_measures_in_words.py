"""What a measure of sub-clusters beside random ones says, for a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from nn_clustering.significance import SMALLEST_SHOWN, p_in_words


def measure_in_words(measure: Mapping[str, Any]) -> list[str]:
    """Return combined p-value and effect of a measure's summary, with what they rest on.

    Returns:
        Two lines, or one where nothing is combined.
    """
    if measure["n_combined"] == 0:
        return ["undefined"]
    return [_p_in_words(measure), _effect_in_words(measure)]


def _p_in_words(measure: Mapping[str, Any]) -> str:
    n_null, p = measure["n_null"], measure["joint_p"]
    if p is None:
        return (
            f"{p_in_words(measure['fisher_p'], 'Fisher p')} if sub-clusters were independent "
            f"(mean -ln p {measure['fisher_statistic']:.3g}, {n_null} random each)"
        )
    n_layers = measure["joint_layers"]
    if n_layers == 0:
        return f"{p_in_words(p, 'joint p')} (all of {n_null} draws are as extreme)"
    draws = f"{n_null} draws of {n_layers} layer{'' if n_layers == 1 else 's'}"
    if SMALLEST_SHOWN <= p <= measure["joint_p_smallest"]:
        draws = f"no less can be had of {draws}"
    z = measure["joint_z"]
    # + 0.0: no minus sign before 0.0
    in_words = "" if z is None else f"z = {round(z, 1) + 0.0:.1f} of summed scores, "
    return f"{p_in_words(p, 'joint p')} ({in_words}{draws})"


def _effect_in_words(measure: Mapping[str, Any]) -> str:
    if measure["effect"] is None:
        return "effect undefined"
    effect = f"effect {measure['effect']:.3f} (median {measure['effect_median']:.3f})"
    if measure["effect_null"] is None:
        return effect
    if measure["joint_p"] is None:  # draws that are no partitions have no interval of their means
        return f"{effect}; random sub-clusters in their place have {measure['effect_null']:.3f}"
    low, high = measure["effect_null_low"], measure["effect_null_high"]
    return (
        f"{effect}; random draws in place of the partition have {measure['effect_null']:.3f} "
        f"({low:.3f} to {high:.3f})"
    )


def random_ones_in_words(n_few_draws: int, n_shuffles: int) -> Iterator[str]:
    """Return what is to be known of the random sub-clusters, if anything.

    Args:
        n_few_draws: Sub-clusters of which there are fewer possible random ones.
        n_shuffles: Random ones of each.
    """
    if n_few_draws:
        yield (
            f"of {n_few_draws} sub-clusters there are fewer possible random ones than "
            f"n_shuffles={n_shuffles}: they were drawn repeatedly"
        )
    smallest = 1 / (n_shuffles + 1)
    if smallest > 0.05:
        yield (
            f"no sub-cluster's own p-value can be below {smallest:.2g}, whatever it does; choose "
            "n_shuffles=19 or more"
        )

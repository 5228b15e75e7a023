"""Importance and coherence of sub-clusters from changes of groups (methods G5, G7, G9)."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nn_clustering.significance import (
    Measure,
    measure_beside_random,
    ratio_effects,
    relative_effects,
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

    def effects(true: NDArray[np.float64], mean: NDArray[np.float64]) -> NDArray[np.float64]:
        both_harm = (harm * true > 0) & (harm * mean > 0)
        return np.where(both_harm, relative_effects(true, mean), 0.0)

    def ratios(true: NDArray[np.float64], mean: NDArray[np.float64]) -> NDArray[np.float64]:
        lesioned = intact + true, intact + mean
        return ratio_effects(*(lesioned if harm < 0 else lesioned[::-1]))

    return measure_beside_random(
        changes,
        random_changes,
        tail=tail,
        count_ties=count_ties,
        layers=layers,
        combined=combined,
        random_mean=np.asarray(random_changes, float).mean(axis=1).round(12),
        effects=effects,
        ratios=ratios,
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
    return measure_beside_random(
        ranges,
        random_ranges,
        tail="right",
        count_ties=count_ties,
        layers=layers,
        combined=combined,
    )

"""The kinds of sub-clusters that lesions tell apart (methods G10)."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

KINDS = (
    "complete",
    "small",
    "important",
    "prunable",
    "least important",
    "significant but small change",
    "change but not significant",
    "other",
)

# Sub-clusters of at most as many units are small: some 5% of the studies' layers of 256.
SMALL = 12

# A change of overall accuracy of at most this is drastic.
DRASTIC = -0.01


def kind_of(*, n_units: int, n_candidates: int, change: float, p: float, n_shuffles: int) -> str:
    """Return which of :data:`KINDS` a sub-cluster is: the first that is true of it.

    It is complete if it is all units of its layer that are not isolated, and small with 12 units or
    fewer. Else it depends on whether its lesion changes overall accuracy drastically, by -0.01 or
    less, and whether it is significant: no random sub-cluster was at least as bad. Important is
    what is both; prunable and least important what all random ones are at least as bad as.

    Args:
        n_units: Units of the sub-cluster.
        n_candidates: Units of its layer that are not isolated.
        change: Lesioned minus intact accuracy over all images.
        p: Its left-tailed p-value, (r + 1)/(n_shuffles + 1).
        n_shuffles: Random sub-clusters behind it.
    """
    drastic = change <= DRASTIC
    is_significant = bool(significant(p, n_shuffles))
    conditions = (
        n_units == n_candidates,
        n_units <= SMALL,
        is_significant and drastic,
        p == 1 and not drastic,
        p == 1,
        is_significant,
        drastic,
        True,
    )
    return KINDS[conditions.index(True)]


def significant(p_values: ArrayLike, n_shuffles: int) -> NDArray[np.bool_]:
    """Return which p-values are below 1 / n_shuffles: no random one was at least as extreme."""
    return np.asarray(p_values) < 1 / n_shuffles

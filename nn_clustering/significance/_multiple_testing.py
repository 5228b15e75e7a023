"""Which of many p-values are significant, if few false ones may be among them (methods G8)."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nn_clustering.errors import InvalidInputError


@dataclass(frozen=True, eq=False)
class FalseDiscoveryControl:
    """What the Benjamini-Hochberg procedure finds among several p-values.

    Attributes:
        critical_p: The largest significant p-value; 0 if none is.
        adjusted: The lowest level at which each p-value is significant, shape (tests,).
        significant: Which of them are, shape (tests,).
    """

    critical_p: float
    adjusted: NDArray[np.float64]
    significant: NDArray[np.bool_]


def benjamini_hochberg(p_values: ArrayLike, level: float = 0.05) -> FalseDiscoveryControl:
    """Find the significant ones among p-values, with the false discovery rate held (methods G8).

    Of the sorted p-values the largest p_i with p_i <= i level / N is critical, and all up to it are
    significant. If there is no such one, none is significant (quirk 17). Of those found, at most
    the share ``level`` is false on average, if tests are independent or depend positively.

    Args:
        p_values: Those of all tests of a study, shape (tests,).
        level: The false discovery rate.

    Raises:
        InvalidInputError: If there is no p-value, one is not from 0 to 1, or the level is not
            between 0 and 1.
    """
    import scipy.stats

    p = np.asarray(p_values, float)
    if p.ndim != 1 or p.size == 0 or not ((p >= 0) & (p <= 1)).all():
        raise InvalidInputError(
            f"p-values {np.array2string(p, threshold=6, edgeitems=2)}; expected at least one, each "
            "from 0 to 1"
        )
    if not 0 < level < 1:
        raise InvalidInputError(f"level={level!r}; expected a number between 0 and 1")
    in_order = np.sort(p)
    passing = in_order[in_order <= np.arange(1, p.size + 1) * level / p.size]
    critical_p = float(passing[-1]) if passing.size else 0.0
    significant = (p <= critical_p) if passing.size else np.zeros(p.size, bool)
    return FalseDiscoveryControl(critical_p, scipy.stats.false_discovery_control(p), significant)

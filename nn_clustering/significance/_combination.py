"""Many permutation p-values made one, each method with what it assumes (methods G7)."""

import math
from fractions import Fraction

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nn_clustering.errors import InvalidInputError

# A p-value of (r + 1)/(n + 1) may be off by so much of a rank: a number's last digits.
_RANK_TOLERANCE = 1e-6


def fisher_combination(p_values: ArrayLike, n_null: int) -> float:
    """Combine independent permutation p-values into one by Fisher's method.

    A p-value of (r + 1)/(n + 1) is first moved down by half a rank, 1/(2(n + 1)), to the middle of
    the interval that it stands for (methods G7). Its mean of -ln p is then a little too small
    (:func:`fisher_statistic_by_chance`), so that the combination of many tests is conservative.
    Where tests depend on each other, as those of the sub-clusters of one layer do, it is not
    calibrated at all: see :func:`joint_test`.

    Args:
        p_values: The p-values, shape (tests,).
        n_null: Null values behind each of them.

    Raises:
        InvalidInputError: If there is none, or one is not from 1/(n + 1) to 1.
    """
    import scipy.stats

    return float(scipy.stats.combine_pvalues(_shifted(p_values, n_null), method="fisher").pvalue)


def stouffer_combination(p_values: ArrayLike, n_null: int) -> float:
    """Combine independent permutation p-values into one by Stouffer's method (methods G7).

    The sum of normal scores of the p-values, moved down by half a rank as for
    :func:`fisher_combination`, is compared with a normal distribution.

    Args:
        p_values: As for :func:`fisher_combination`.
        n_null: Likewise.

    Raises:
        InvalidInputError: As :func:`fisher_combination`.
    """
    import scipy.stats

    return float(scipy.stats.combine_pvalues(_shifted(p_values, n_null), method="stouffer").pvalue)


def fisher_statistic(p_values: ArrayLike, n_null: int) -> float:
    """Return the mean of -ln p, of p-values moved down by half a rank (methods G7).

    By chance it is :func:`fisher_statistic_by_chance`.

    Args:
        p_values: As for :func:`fisher_combination`.
        n_null: Likewise.

    Raises:
        InvalidInputError: As :func:`fisher_combination`.
    """
    return float(-np.log(_shifted(p_values, n_null)).mean())


def fisher_statistic_by_chance(n_null: int) -> float:
    """Return the mean of -ln p over all ranks of n null values: a little less than 1.

    Raises:
        InvalidInputError: If there is no null value.
    """
    _check_n_null(n_null)
    return fisher_statistic(np.arange(1, n_null + 2) / (n_null + 1), n_null)


def chi_square_of_ranks(p_values: ArrayLike, n_null: int) -> float:
    """Test whether ranks among n null values are spread evenly over 0 to n (methods G7).

    A p-value of (r + 1)/(n + 1) has the rank r. The counts of the ranks are compared with equal
    ones by Pearson's chi-square with n degrees of freedom. It says that the tests differ from
    chance, not in which direction, and wants several tests a rank.

    Args:
        p_values: As for :func:`fisher_combination`.
        n_null: Likewise.

    Raises:
        InvalidInputError: As :func:`fisher_combination`, or if one is no multiple of 1/(n + 1).
    """
    import scipy.stats

    places = _checked(p_values, n_null) * (n_null + 1) - 1
    ranks = np.rint(places).astype(int)
    if np.abs(places - ranks).max() > _RANK_TOLERANCE:
        worst = int(np.abs(places - ranks).argmax())
        raise InvalidInputError(
            f"p-value {np.asarray(p_values, float)[worst]} of {n_null} null values; expected a "
            f"multiple of 1/{n_null + 1}"
        )
    return float(scipy.stats.chisquare(np.bincount(ranks, minlength=n_null + 1)).pvalue)


def bates_combination(p_values: ArrayLike) -> float:
    """Combine independent p-values into one by their mean (methods G7).

    Under the null hypothesis that mean has the Bates distribution, the one of the mean of as many
    uniform numbers; the combined p-value is its distribution function there. It asks whether
    p-values are small on the whole: a single tiny one counts for no more than another small one.

    The function's alternating sum cancels all digits of floating point from some 20 numbers on; it
    is added in integers here, since a floating-point mean is a fraction.

    Args:
        p_values: Continuous p-values of independent tests, such as networks trained apart; shape
            (tests,).

    Raises:
        InvalidInputError: If there is none, or one is not from 0 to 1.
    """
    p = np.asarray(p_values, float)
    if p.ndim != 1 or p.size == 0 or not ((p >= 0) & (p <= 1)).all():
        raise InvalidInputError(_unfit(p, "from 0 to 1"))
    total = sum((Fraction(value) for value in p.tolist()), Fraction(0))
    if 2 * total > p.size:  # the distribution is symmetric, and few terms are added below its mean
        return 1 - _irwin_hall(p.size - total, p.size)
    return _irwin_hall(total, p.size)


def _irwin_hall(total: Fraction, n: int) -> float:
    """Return P(the sum of n uniform numbers <= total), exactly but for the last rounding."""
    over = total.denominator
    terms = (
        (-1) ** k * math.comb(n, k) * (total.numerator - k * over) ** n
        for k in range(math.floor(total) + 1)
    )
    return float(Fraction(sum(terms), math.factorial(n) * over**n))


def _shifted(p_values: ArrayLike, n_null: int) -> NDArray[np.float64]:
    return _checked(p_values, n_null) - 1 / (2 * (n_null + 1))


def _checked(p_values: ArrayLike, n_null: int) -> NDArray[np.float64]:
    _check_n_null(n_null)
    p = np.asarray(p_values, float)
    lowest = (1 - _RANK_TOLERANCE) / (n_null + 1)
    if p.ndim != 1 or p.size == 0 or not ((p >= lowest) & (p <= 1)).all():
        raise InvalidInputError(_unfit(p, f"from 1/{n_null + 1} to 1, of {n_null} null values"))
    return p


def _check_n_null(n_null: int) -> None:
    if n_null < 1:
        raise InvalidInputError(f"p-values of {n_null} null values; expected 1 or more")


def _unfit(p: NDArray[np.float64], expected: str) -> str:
    if p.ndim == 1 and p.size:
        unfit = [value for value in p.tolist() if not 0 < value <= 1] or [p.min()]
        return f"p-value {unfit[0]} among {p.size}; expected each {expected}"
    return f"p-values of shape {p.shape}; expected at least one in a row, each {expected}"

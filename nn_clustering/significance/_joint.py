"""One p-value of many tests that share their random draws (methods G7)."""

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nn_clustering.errors import InvalidInputError

# Scores are whole multiples of this, so that their sums are exact, and equal where they should be.
_RESOLUTION = 1e-9
# Sums of several layers are told apart on so many steps; fewer make a p-value larger.
N_STEPS = 2**16


@dataclass(frozen=True)
class JointTest:
    """What many tests that share their random draws say together.

    Attributes:
        p_value: The p-value.
        z: How far the true states' sum of scores is above that of draws, in standard deviations of
            the draws' (n - 1); None where these have none.
        n_draws: Draws of every layer.
        n_layers: Layers whose states are not all equally extreme: the others say nothing.
    """

    p_value: float
    z: float | None
    n_draws: int
    n_layers: int

    @property
    def smallest(self) -> float:
        """The smallest p-value that so many draws of so many layers can give."""
        return float((self.n_draws + 1.0) ** -self.n_layers)


def joint_test(
    observed: ArrayLike, null: ArrayLike, *, tail: str, layers: Sequence[Hashable]
) -> JointTest:
    """Combine tests whose null values come from the same draws, however those of a layer depend.

    Draw s permutes the labels of a layer, and gives each of the layer's tests its null value s.
    Under the null hypothesis the true labels are one more permutation: the n + 1 states of the
    layer are exchangeable, and the true one is each of them with the same probability. Layers are
    permuted independently of each other, and a test looks at one of them in a network that stays as
    it is, so that which state is the true one is independent between layers. So the test is exact,
    with I_l independent and uniform on 0..n, 0 being the true state:

        p = P(sum_l L(l, I_l) >= sum_l L(l, 0)),

    L(l, s) being how extreme state s of layer l is: the sum over the layer's tests of the normal
    scores of the state's ranks (middle ranks for ties), so that neither scale nor outliers count.
    Whatever makes the tests of a layer depend (units that one sub-cluster has the others lack)
    makes all its states depend in the same way. Under the null hypothesis p is at most a with
    probability at most a, for every a, whatever the number of tests, their distribution or ties. It
    is (n + 1) to the power of minus the number of layers where all true states are the most extreme
    ones of their layers, and never smaller: with one layer, it is the p-value of a rank.

    The distribution of the sum is that of independent discrete variables, which is computed by
    convolution. Beyond 65,536 steps sums are rounded towards the extreme, in which p is only ever
    larger: by less than 0.1% for 4 layers and 19 draws, by less than 10% for 50 layers and 199.

    Args:
        observed: The statistic of each test, shape (tests,); infinities are fine.
        null: Its null values, shape (tests, draws): column s of a layer's tests is one draw.
        tail: ``left`` if small values are extreme, ``right`` if large ones are.
        layers: Whose draws each test shares, shape (tests,): names of layers, or (network, layer)
            of several networks.

    Returns:
        The test; its p-value is 1 if all states are equally extreme.

    Raises:
        InvalidInputError: If there is no test or no draw, shapes do not fit, a value is NaN, or the
            tail is unknown.
    """
    true, random = np.asarray(observed, float), np.asarray(null, float)
    _check(true, random, tail, layers)
    scores = _normal_scores(np.column_stack([true, random]), tail)
    sums = np.zeros((len(set(layers)), scores.shape[1]), np.int64)
    numbers = {layer: number for number, layer in enumerate(dict.fromkeys(layers))}
    np.add.at(sums, [numbers[layer] for layer in layers], scores)
    sums = sums[np.ptp(sums, axis=1) > 0]
    return JointTest(p_value_of_sum(sums), _standardised(sums), random.shape[1], len(sums))


def _check(
    true: NDArray[np.float64],
    random: NDArray[np.float64],
    tail: str,
    layers: Sequence[Hashable],
) -> None:
    if true.ndim != 1 or not true.size or random.ndim != 2 or len(random) != len(true):
        raise InvalidInputError(
            f"observed values of shape {true.shape} and null values of shape {random.shape}; "
            "expected (tests,) and (tests, draws), of at least one test"
        )
    if not random.shape[1]:
        raise InvalidInputError(f"null values of shape {random.shape}; expected one draw at least")
    if len(layers) != len(true):
        raise InvalidInputError(
            f"layers of {len(layers)} tests, observed values of {len(true)}; expected as many"
        )
    if np.isnan(true).any() or np.isnan(random).any():
        raise InvalidInputError("a NaN among the values of a joint test; expected none")
    if tail not in ("left", "right"):
        raise InvalidInputError(f"tail={tail!r}; expected left or right")


def _normal_scores(states: NDArray[np.float64], tail: str) -> NDArray[np.int64]:
    """Return normal scores of the ranks within each row, in whole steps of the resolution.

    The most extreme state has the largest.
    """
    import scipy.stats

    ranks = scipy.stats.rankdata(states if tail == "right" else -states, axis=1)
    scores = scipy.stats.norm.ppf((ranks - 0.5) / states.shape[1])
    found: NDArray[np.int64] = np.rint(scores / _RESOLUTION).astype(np.int64)
    return found


def _standardised(sums: NDArray[np.int64]) -> float | None:
    """Return the z of the true states (first column) among sums over layers of random ones."""
    n_draws = sums.shape[1] - 1
    if n_draws < 2:
        return None
    variance = sums[:, 1:].var(axis=1, ddof=1).sum()
    if variance == 0:
        return None
    return float((sums[:, 0] - sums[:, 1:].mean(axis=1)).sum() / math.sqrt(variance))


def p_value_of_sum(states: ArrayLike, *, n_steps: int = N_STEPS) -> float:
    """Return P(sum over rows of a random state of each >= the sum of the first states).

    Sums are added step by step, not by Fourier transforms: so tiny chances keep their digits.

    Args:
        states: Whole numbers, of which large ones are extreme, shape (rows, states).
        n_steps: How many sums are told apart; beyond, they are rounded towards the extreme, so that
            the p-value is only ever larger.

    Returns:
        The p-value; 1 if there is no row.
    """
    values = np.asarray(states, np.int64)
    differences = values - values[:, :1]
    # A sum that lies lower than all other rows together can raise is of no use, and none is higher.
    reach = int(differences.max(axis=1, initial=0).sum())
    step = max(1, -(-2 * reach // n_steps))
    steps = -(-differences // step)  # rounded up
    # Counts, divided by a power of two for each row: exact as long as they have at most 53 bits.
    n_rows, n_entries = steps.shape
    scale = 2.0 ** -math.ceil(math.log2(n_entries))
    counts, lowest = np.ones(1), 0
    to_come = int(steps.max(axis=1, initial=0).sum())
    for row in steps:
        to_come -= int(row.max())
        counts, lowest = scale * _convolved(counts, lowest, row, -to_come), -to_come
    return float(counts.sum() / (scale * n_entries) ** n_rows)


def _convolved(
    counts: NDArray[np.float64], lowest: int, row: NDArray[np.int64], needed: int
) -> NDArray[np.float64]:
    """Return how often the sums ``needed``, ``needed`` + 1, ... come up, with a row added.

    Args:
        counts: Of the sums ``lowest``, ``lowest`` + 1, ... so far.
        lowest: The lowest of them.
        row: Entries, each of which is added to each sum.
        needed: Lower sums are left out.
    """
    size = counts.size
    added = np.zeros(lowest + size + int(row.max()) - needed)
    entries, times = np.unique(row, return_counts=True)
    for start, n_times in zip((entries + (lowest - needed)).tolist(), times.tolist(), strict=True):
        several = counts if n_times == 1 else n_times * counts
        if start >= 0:
            added[start : start + size] += several
        elif start > -size:
            added[: start + size] += several[-start:]
    return added

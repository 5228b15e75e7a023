"""Which frequency of two cyclic inputs units answer to (methods J11)."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nn_clustering.errors import InvalidInputError

# Cycles of fewer values have one frequency alone, which all units would share.
_SHORTEST_CYCLE = 5


@dataclass(frozen=True, eq=False)
class UnitFrequencies:
    """What units answer to two cyclic inputs, by frequency.

    Attributes:
        power: Share of each unit's variance over all inputs that lies at each frequency, from 1 on,
            shape (units, frequencies); 0 of a unit that answers the same to all. Waves that have
            two frequencies, one in each input, count for none.
    """

    power: NDArray[np.float64]

    @property
    def dominant(self) -> NDArray[np.int64]:
        """The frequency with most power of every unit, the lowest of equals; 0 without any."""
        strongest: NDArray[np.int64] = self.power.argmax(axis=1) + 1
        return np.where(self.power.max(axis=1) > 0, strongest, 0)

    @property
    def share(self) -> NDArray[np.float64]:
        """The share of every unit's variance that its dominant frequency has, shape (units,)."""
        found: NDArray[np.float64] = self.power.max(axis=1)
        return found

    def by_cluster(self, labels: ArrayLike) -> NDArray[np.float64]:
        """Return the share of each cluster's units whose dominant frequency is this or that.

        Args:
            labels: The cluster of every unit, -1 of none, shape (units,).

        Returns:
            Shape (clusters, frequencies): rows add up to 1 but for units without a frequency; a
            cluster without units is a row of 0.

        Raises:
            InvalidInputError: If there are not as many labels as units.
        """
        labels, dominant = np.asarray(labels), self.dominant
        if labels.shape != dominant.shape:
            raise InvalidInputError(
                f"labels of shape {labels.shape}; expected one of each of {dominant.size} units"
            )
        counts = np.zeros((labels.max(initial=-1) + 1, self.power.shape[1]))
        counted = (labels >= 0) & (dominant > 0)
        np.add.at(counts, (labels[counted], dominant[counted] - 1), 1)
        sizes = np.bincount(labels[labels >= 0], minlength=len(counts))
        return counts / np.maximum(sizes, 1)[:, None]


def unit_frequencies(
    answers: NDArray[np.floating], first: ArrayLike, second: ArrayLike
) -> UnitFrequencies:
    """Return which frequencies units answer to, of two inputs that count round a cycle.

    A unit's answer to the inputs (a, b) is a sum of waves exp(2 pi i (k a + l b) / n). Those of
    frequency f are the waves of a alone and of b alone and those of both, for which k and l are f
    or -f, so cos(2 pi f a / n) cos(2 pi f b / n) is one of frequency f, as in the networks of
    "Progress measures for grokking via mechanistic interpretability" (arXiv 2301.05217).

    Args:
        answers: What the units answer to every pair once, shape (n * n, units).
        first: a of every row, integers from 0 to n - 1.
        second: b of every row.

    Raises:
        InvalidInputError: If a pair is missing, or there twice, or n is less than 5, or an answer
            is NaN or infinite.
    """
    answers = np.asarray(answers, np.float64)
    a, b = np.asarray(first), np.asarray(second)
    n = int(a.max(initial=0)) + 1
    pairs = set(zip(a.tolist(), b.tolist(), strict=False))
    expected = {(i, j) for i in range(n) for j in range(n)}
    if n < _SHORTEST_CYCLE or pairs != expected or not len(answers) == a.size == b.size == n**2:
        raise InvalidInputError(
            f"{len(answers)} answers to {len(pairs)} different pairs of numbers up to {n - 1}; "
            f"expected one to each pair of 0 to n - 1, n of {_SHORTEST_CYCLE} or more"
        )
    if not np.isfinite(answers).all():
        raise InvalidInputError("the answers hold NaN or infinite values; expected numbers")
    table = np.empty((n, n, answers.shape[1]))
    table[a, b] = answers
    # a constant leaves nothing but rounding
    varies = np.ptp(answers, axis=0) > 1e-6 * np.abs(answers).max(axis=0, initial=0)
    squares = np.abs(np.fft.fft2(table - table.mean(axis=(0, 1)), axes=(0, 1))) ** 2
    of_frequency = [_waves(squares, frequency) for frequency in range(1, (n - 1) // 2 + 1)]
    power = np.stack(of_frequency, axis=1) / np.maximum(squares.sum(axis=(0, 1)), 1e-300)[:, None]
    return UnitFrequencies(np.where(varies[:, None], power, 0))


def _waves(squares: NDArray[np.float64], frequency: int) -> NDArray[np.float64]:
    """Return the power of one frequency, shape (units,)."""
    places = (0, frequency, -frequency)
    power: NDArray[np.float64] = squares[np.ix_(places, places)].sum(axis=(0, 1))
    return power

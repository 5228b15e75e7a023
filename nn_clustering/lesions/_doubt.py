"""Which answers in bfloat16 are computed again in the network's own precision."""

from typing import Any

import numpy as np


class Doubt:
    """Up to which margins answers in bfloat16 are computed again, learnt from those that were.

    A margin is the right class' output minus the largest other, as a share of the largest of all.

    Attributes:
        bound: Answers with a smaller margin are in doubt: the largest error seen, with a factor for
            those not seen.
    """

    # The largest of some dozens of normal errors lies 2.5 standard deviations out, of a thousand
    # 3.3: the bound lies at 5.
    _FACTOR = 2.0
    _FACTOR_OF_MANY = 1.5
    _MANY = 1000
    _LEAST = 1e-3
    # the first answers that are computed both ways whatever their margin, and the share of those
    # later, in the beginning and when many errors are known
    _FIRST = 64
    _EVERY = 256
    _EVERY_OF_MANY = 1024
    # more are not worth it: an answer computed again takes twice as long as one in bfloat16
    _MOST_AGAIN = 0.4

    def __init__(self) -> None:
        self._largest = 0.0
        self._n_margins, self._n_again, self._n_errors = 0, 0, 0
        self._lowest = np.inf

    @property
    def bound(self) -> float:
        """Answers with a smaller margin are in doubt."""
        factor = self._FACTOR if self._n_errors < self._MANY else self._FACTOR_OF_MANY
        return max(self._LEAST, factor * self._largest)

    @property
    def held(self) -> bool:
        """Whether no error was seen above a bound that was in use."""
        return self._largest <= self._lowest

    @property
    def pays(self) -> bool:
        """Whether so few answers are in doubt that bfloat16 is faster."""
        enough = self._n_margins >= 16 * self._FIRST
        return not enough or self._n_again < self._MOST_AGAIN * self._n_margins

    def begin(self) -> None:
        """Forget the bounds that were in use, not what was learnt."""
        self._lowest = np.inf

    def sample(self, shape: tuple[int, ...]) -> Any:
        """Return which answers are computed both ways whatever their margin."""
        size = int(np.prod(shape))
        every = self._EVERY if self._n_errors < self._MANY else self._EVERY_OF_MANY
        if not self._n_margins:
            every = max(1, size // self._FIRST)
        numbers = np.arange(self._n_margins, self._n_margins + size)
        return (numbers % every == every // 2).reshape(shape)

    def learn(self, errors: Any) -> None:
        """Take errors of margins into account."""
        self._n_errors += len(errors)
        self._largest = max(self._largest, float(np.max(errors, initial=0.0)))

    def end(self, n_margins: int, n_again: int) -> None:
        """Note the bound that was in use in the end, and how many answers were in doubt."""
        self._n_margins += n_margins
        self._n_again += n_again
        self._lowest = min(self._lowest, self.bound)


class Rounding:
    """The doubt of tricks in the network's own precision, whose rounding is known."""

    # far above what rounding makes of it
    bound = 1e-3

    def sample(self, shape: tuple[int, ...]) -> Any:
        """Return that no answer is computed both ways."""
        return np.zeros(shape, bool)

    def learn(self, errors: Any) -> None:
        """Learn nothing."""

    def end(self, n_margins: int, n_again: int) -> None:
        """Note nothing."""

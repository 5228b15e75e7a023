"""Does the verdict of a shuffle test rest on the seed that the network was clustered with?"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nn_clustering.errors import InvalidInputError
from nn_clustering.significance._shuffle_test import VERDICTS, ShuffleTest


@dataclass(frozen=True, eq=False)
class OtherSeeds:
    """A shuffle test with the network clustered with other seeds; made by :func:`other_seeds`.

    Attributes:
        own_verdict: Verdict on the clustering that was tested, see :attr:`ShuffleTest.verdict`.
        verdicts: Those on the other clusterings of the network, one a seed; ``undecided`` where the
            test ended early, by what the tested clustering gave.
        p_values: Of the other clusterings, among the same shuffles, shape (seeds,).
        z_scores: Their z-scores, shape (seeds,); NaN if all shuffles have the same n-cut.
    """

    own_verdict: str
    verdicts: tuple[str, ...]
    p_values: NDArray[np.float64]
    z_scores: NDArray[np.float64]

    @property
    def rests_on_seed(self) -> bool:
        """Whether the clusterings, the tested one included, lead to more than one verdict."""
        return len({self.own_verdict, *self.verdicts} - {"undecided"}) > 1

    def summary(self) -> dict[str, Any]:
        """Return the extremes of p and z over the other seeds, and what verdicts they lead to."""
        undefined = bool(np.isnan(self.z_scores).any())
        return {
            "n_seeds": int(self.p_values.size),
            "p_smallest": float(self.p_values.min()),
            "p_largest": float(self.p_values.max()),
            "z_smallest": None if undefined else float(self.z_scores.min()),
            "z_largest": None if undefined else float(self.z_scores.max()),
            "verdicts": [one for one in VERDICTS if one in self.verdicts],
            "rests_on_seed": self.rests_on_seed,
        }


def other_seeds(test: ShuffleTest, ncuts: ArrayLike) -> OtherSeeds:
    """Compare clusterings of a network with other seeds with the shuffles of a test.

    Each p-value is (r + 1)/(n + 1) of the shuffles that were made, where those of the test ended
    early too.

    Args:
        test: The shuffle test.
        ncuts: The n-cut of the network by every other seed, shape (seeds,).

    Raises:
        InvalidInputError: If there is none.
    """
    values = np.asarray(ncuts, float)
    if values.ndim != 1 or not values.size:
        raise InvalidInputError(
            f"n-cuts of shape {values.shape}; expected one for each of some other seeds"
        )
    tests = [replace(test, ncut=float(value), stop_at=None) for value in values]
    return OtherSeeds(
        test.verdict,
        tuple("undecided" if test.stopped_early else one.verdict for one in tests),
        np.array([one.p_value for one in tests]),
        np.array([one.z_score for one in tests]),
    )

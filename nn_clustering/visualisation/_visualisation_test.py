"""What optimised inputs say of sub-clusters, each beside random ones (methods H2 to H4)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from nn_clustering.significance import (
    Measure,
    SubClusterTest,
    measure_beside_random,
    statistic_columns,
)

if TYPE_CHECKING:
    import pandas

    from nn_clustering.visualisation._top_sample_results import TopSamples


@dataclass(frozen=True, eq=False)
class Optimised:
    """Inputs that were optimised, one for each set of units, and how the network answers them.

    Attributes:
        scores: The objective on each input, not transformed, shape (inputs,).
        entropies: Of the network's output on each, by natural logarithms, shape (inputs,); None
            where it is not measured.
        dispersions: Standard deviation over the set's units of their value behind the nonlinearity,
            shape (inputs,).
        inputs: As the data set holds samples, pixels from 0 to 1, float32 of shape (inputs, *shape
            of a sample).
    """

    scores: NDArray[np.float64]
    entropies: NDArray[np.float64] | None
    dispersions: NDArray[np.float64]
    inputs: NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class VisualisationTest(SubClusterTest):
    """Inputs optimised for the sub-clusters of a network, each beside those for random ones.

    In every array of shape (sub-clusters, 1 + n_shuffles) column 0 is the sub-cluster itself.

    Attributes:
        scores: See :class:`Optimised`, shape (sub-clusters, 1 + n_shuffles).
        entropies: Likewise; None where they are not measured.
        dispersions: Likewise.
        inputs: Of the sub-clusters and of their first random ones, float32 of shape (sub-clusters,
            1 + n_kept, *shape of a sample).
    """

    scores: NDArray[np.float64]
    entropies: NDArray[np.float64] | None
    dispersions: NDArray[np.float64]
    inputs: NDArray[np.float32]

    @property
    def n_shuffles(self) -> int:
        """Random sub-clusters behind each sub-cluster."""
        return int(self.scores.shape[1] - 1)

    @property
    def n_kept(self) -> int:
        """Random sub-clusters of each sub-cluster whose inputs are kept."""
        return int(self.inputs.shape[1] - 1)

    @cached_property
    def score(self) -> Measure:
        """Do the units answer an input together more than random units do? Right-tailed."""
        return self.measure(self.scores, "right")

    @cached_property
    def entropy(self) -> Measure | None:
        """Is the network surer of the input's class than of random units' inputs? Left-tailed."""
        return None if self.entropies is None else self.measure(self.entropies, "left")

    @cached_property
    def dispersion(self) -> Measure:
        """Do the units answer their input more alike than random units theirs? Left-tailed."""
        return self.measure(self.dispersions, "left")

    def measure(self, values: NDArray[np.float64], tail: str) -> Measure:
        """Return a statistic of the sub-clusters beside that of their random ones.

        Args:
            values: Shape (sub-clusters, 1 + n_shuffles).
            tail: Which values are extreme, ``left`` or ``right``.
        """
        return measure_beside_random(
            values[:, 0],
            values[:, 1:],
            tail=tail,
            count_ties=self.count_ties,
            layers=self.permuted_layers,
            combined=self.combined,
            each=True,
        )

    def summaries(self, *, seed: int) -> dict[str, dict[str, float | int | None] | None]:
        """Return :meth:`Measure.summary` of score, entropy (None if not measured) and dispersion.

        Args:
            seed: Fixes the bootstrap.
        """
        return {
            "score": self.score.summary(seed),
            "entropy": None if self.entropy is None else self.entropy.summary(seed),
            "dispersion": self.dispersion.summary(seed),
        }

    def table(self, tops: TopSamples | None = None) -> pandas.DataFrame:
        """Return one row a sub-cluster: where it is, what its input says, how sure that is.

        For each of ``score``, ``entropy`` and ``dispersion`` there are the value, its mean over the
        random ones (``random_``), p-value, effects and what these are by chance (``_null``); see
        :meth:`Measure.columns`. ``possible_draws`` is 10^12 where there are more. What is not
        measured has no columns, and what is undefined is NaN.

        Args:
            tops: The samples that move the same sub-clusters most, whose columns follow.
        """
        import pandas

        return pandas.DataFrame(
            {
                **self.places(),
                "combined": self.combined,
                "possible_draws": self.possible_draws,
                **statistic_columns("score", self.scores, self.score),
                **statistic_columns("entropy", self.entropies, self.entropy),
                **statistic_columns("dispersion", self.dispersions, self.dispersion),
                **({} if tops is None else tops.columns()),
            }
        )

    def random_effects(self, tops: TopSamples | None = None) -> pandas.DataFrame:
        """Return one row a draw: the mean effects that it has in the place of the true partition.

        The columns are ``score_effect``, ``score_ratio`` and ``score_effect_each``, and the same of
        the other statistics that are measured: means over the sub-clusters that are combined, NaN
        where all are undefined. With ``draws="afresh"`` a row is of random sub-clusters that are no
        partition; see :meth:`LesionTest.random_effects`.

        Args:
            tops: The samples that move the same sub-clusters most, whose columns follow.
        """
        import pandas

        measures = {"score": self.score, "entropy": self.entropy, "dispersion": self.dispersion}
        if tops is not None:
            measures["top_entropy"] = tops.entropy
        columns: dict[str, NDArray[np.float64]] = {}
        for name, measure in measures.items():
            if measure is not None:
                columns |= measure.columns_of_draws(name)
        return pandas.DataFrame(columns)

"""What the samples that move sub-clusters most say of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from nn_clustering.partitions import SubCluster
from nn_clustering.significance import Measure, statistic_columns

if TYPE_CHECKING:
    import pandas


@dataclass(frozen=True, eq=False)
class TopSamples:
    """The samples that move each sub-cluster most, and how its optimised input agrees with them.

    Attributes:
        sub_clusters: Those of the test.
        indices: Numbers of the samples, the one with the largest objective first, of equal ones the
            first of the data set; shape (sub-clusters, n_top).
        objectives: The objective on each, same shape.
        classes: Class of each, same shape; None without classes.
        class_entropies: Entropy of the classes of the top samples of sub-clusters (column 0) and
            random ones, by natural logarithms, shape (sub-clusters, 1 + n_shuffles); None likewise.
        entropy: What these say, left-tailed: are the top samples of fewer classes than those of
            random units? None likewise.
        top_shares: Mean objective on the top samples, as a share of that on the optimised input,
            shape (sub-clusters,); NaN where that is not above 0.
        score_quantiles: Share of all samples on which the objective is at most that on the
            optimised input, shape (sub-clusters,).
        profile_correlations: Pearson's correlation over all units of the layer between what they
            answer to the optimised input and what they answer to the top samples on average, at the
            objective's position; shape (sub-clusters,). NaN where either is constant.
    """

    sub_clusters: tuple[SubCluster, ...]
    indices: NDArray[np.int64]
    objectives: NDArray[np.float64]
    classes: NDArray[np.int64] | None
    class_entropies: NDArray[np.float64] | None = field(repr=False)
    entropy: Measure | None = field(repr=False)
    top_shares: NDArray[np.float64]
    score_quantiles: NDArray[np.float64]
    profile_correlations: NDArray[np.float64]

    @property
    def n_top(self) -> int:
        """Samples of each sub-cluster."""
        return int(self.indices.shape[1])

    def columns(self) -> dict[str, NDArray[np.float64]]:
        """Return the columns of a table with a row a sub-cluster.

        They are ``top_entropy``, its mean over the random ones, p-value and effects (none of these
        without classes), ``top_share``, ``score_quantile`` and ``profile_correlation``.
        """
        return {
            **statistic_columns("top_entropy", self.class_entropies, self.entropy),
            "top_share": self.top_shares,
            "score_quantile": self.score_quantiles,
            "profile_correlation": self.profile_correlations,
        }

    def agreement(self) -> dict[str, float | None]:
        """Return the medians over sub-clusters of share, quantile and correlation.

        An input that nothing moved has a share of thousands. What is undefined is left out; None
        where all of it is.
        """
        medians: dict[str, float | None] = {}
        for name in ("top_share", "score_quantile", "profile_correlation"):
            values = self.columns()[name]
            defined = values[np.isfinite(values)]
            medians[name] = float(np.median(defined)) if defined.size else None
        return medians

    def table(self) -> pandas.DataFrame:
        """Return one row for each sub-cluster and top sample.

        The columns are ``layer`` and ``label`` of the sub-cluster, ``rank`` (from 1 on), ``sample``
        (its number in the data set, from 0 on), ``objective`` and, of classes, ``class``.
        """
        import pandas

        columns = {
            "layer": np.repeat([sub.layer for sub in self.sub_clusters], self.n_top).astype(object),
            "label": np.repeat([sub.label for sub in self.sub_clusters], self.n_top),
            "rank": np.tile(np.arange(1, self.n_top + 1), len(self.sub_clusters)),
            "sample": self.indices.ravel(),
            "objective": self.objectives.ravel(),
        }
        if self.classes is not None:
            columns["class"] = self.classes.ravel()
        return pandas.DataFrame(columns)

"""What lesions of two sub-clusters at once gave, and what that says (methods G11)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import combinations, combinations_with_replacement, permutations
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from nn_clustering.lesions._taxonomy import DRASTIC, significant
from nn_clustering.partitions import SubCluster
from nn_clustering.significance import p_value

if TYPE_CHECKING:
    import networkx
    import pandas

# Of the table, in which a row is a pair lesioned together or one given the other.
COLUMNS = (
    "lesion",
    "layer",
    "label",
    "n_units",
    "other_layer",
    "other_label",
    "other_n_units",
    "accuracy_change",
    "score",
    "random_score",
    "p",
    "important",
)


@dataclass(frozen=True, eq=False)
class DoubleLesionTest:
    """Lesions of pairs of sub-clusters, with both drawn at random, and with one of them.

    Changes are lesioned minus intact accuracy over all images, as fractions.

    Attributes:
        sub_clusters: Those of which pairs were lesioned, layer by layer.
        intact_overall: Accuracy of the intact network over all images.
        joint_changes: Of the lesion of sub-clusters i and j together, shape (sub-clusters,
            sub-clusters), symmetric. On the diagonal that of i alone.
        random_joint_changes: Of the lesion of random ones in the place of both, shape
            (sub-clusters, sub-clusters, n_shuffles), symmetric. On the diagonal of one random
            sub-cluster.
        random_conditional_changes: [i, j] of the lesion of j and of a random one in the place of i,
            same shape; NaN on the diagonal.
        count_ties: Whether equal values count in the p-values.
        overlap: Whether the two random sub-clusters of a pair in one layer could have units in
            common.
    """

    sub_clusters: tuple[SubCluster, ...]
    intact_overall: float
    joint_changes: NDArray[np.float64]
    random_joint_changes: NDArray[np.float64]
    random_conditional_changes: NDArray[np.float64]
    count_ties: bool = True
    overlap: bool = False

    @property
    def n_shuffles(self) -> int:
        """Random lesions behind each pair."""
        return int(self.random_joint_changes.shape[2])

    @property
    def changes(self) -> NDArray[np.float64]:
        """What the lesion of each sub-cluster alone changes, shape (sub-clusters,)."""
        return self.joint_changes.diagonal()

    @cached_property
    def joint_p(self) -> NDArray[np.float64]:
        """Left-tailed p-values of the joint changes, shape (sub-clusters, sub-clusters)."""
        n = len(self.sub_clusters)
        p_values = np.empty((n, n))
        for i, j in combinations_with_replacement(range(n), 2):
            p_values[i, j] = p_values[j, i] = self._p(i, j, self.random_joint_changes)
        return p_values

    @cached_property
    def joint_important(self) -> NDArray[np.bool_]:
        """Which pairs together are important, shape (sub-clusters, sub-clusters)."""
        return _important(self.joint_changes, self.joint_p, self.n_shuffles)

    @cached_property
    def conditional_scores(self) -> NDArray[np.float64]:
        """s(i|j) at [i, j]: what the lesion of i adds to that of j; NaN on the diagonal."""
        scores = (self.joint_changes - self.changes).round(12)
        np.fill_diagonal(scores, np.nan)
        return scores

    @cached_property
    def conditional_p(self) -> NDArray[np.float64]:
        """Left-tailed p-values of the scores, only i drawn at random; NaN on the diagonal."""
        n = len(self.sub_clusters)
        p_values = np.full((n, n), np.nan)
        for i, j in permutations(range(n), 2):
            # of the change of both: the score is that less the same number for all
            p_values[i, j] = self._p(i, j, self.random_conditional_changes)
        return p_values

    @cached_property
    def conditional_important(self) -> NDArray[np.bool_]:
        """[i, j]: whether i is important still where j is lesioned; False on the diagonal."""
        return _important(self.conditional_scores, self.conditional_p, self.n_shuffles)

    def table(self) -> pandas.DataFrame:
        """Return one row for every pair lesioned together, then one for every i given j.

        The first sub-cluster of a conditional row is i, the other one j. ``score`` is the joint
        change, or s(i|j); ``random_score`` its mean over the random lesions.
        """
        import pandas

        n = len(self.sub_clusters)
        rows = [
            self._row("joint", i, j, self.joint_changes, self.random_joint_changes)
            | {"p": self.joint_p[i, j], "important": self.joint_important[i, j]}
            for i, j in combinations_with_replacement(range(n), 2)
        ]
        random_scores = self.random_conditional_changes - self.changes[:, np.newaxis]
        rows += [
            self._row("conditional", i, j, self.conditional_scores, random_scores)
            | {"p": self.conditional_p[i, j], "important": self.conditional_important[i, j]}
            for i, j in permutations(range(n), 2)
        ]
        return pandas.DataFrame(rows, columns=list(COLUMNS))

    def dependencies(self) -> networkx.DiGraph:
        """Return which sub-clusters of different layers depend on each other.

        Two that are important alone are joined unless each is still important where the other is
        lesioned.

        Returns:
            A graph with the sub-clusters, (layer, label), as nodes; their attributes are ``layer``,
            ``label``, ``n_units`` and ``change`` (of the lesion of it alone). An edge leads from
            the earlier to the later in the order of ``sub_clusters``. Of an edge from i to j,
            ``source_fails`` is whether i given j is not important, with its score ``source_score``
            and p-value ``source_p``; ``target_fails``, ``target_score`` and ``target_p`` the same
            of j given i.
        """
        import networkx

        graph = networkx.DiGraph()
        for sub, change in zip(self.sub_clusters, self.changes, strict=True):
            graph.add_node(
                (sub.layer, sub.label),
                layer=sub.layer,
                label=sub.label,
                n_units=len(sub.units),
                change=float(change),
            )
        important = self.conditional_important
        alone = np.flatnonzero(self.joint_important.diagonal()).tolist()
        for i, j in combinations(alone, 2):
            source, target = self.sub_clusters[i], self.sub_clusters[j]
            if source.layer == target.layer or (important[i, j] and important[j, i]):
                continue
            graph.add_edge(
                (source.layer, source.label),
                (target.layer, target.label),
                **self._conditional("source", i, j),
                **self._conditional("target", j, i),
            )
        return graph

    def _conditional(self, end: str, i: int, j: int) -> dict[str, Any]:
        return {
            f"{end}_fails": not self.conditional_important[i, j],
            f"{end}_score": float(self.conditional_scores[i, j]),
            f"{end}_p": float(self.conditional_p[i, j]),
        }

    def _row(
        self, lesion: str, i: int, j: int, scores: NDArray[Any], random_scores: NDArray[Any]
    ) -> dict[str, Any]:
        first, other = self.sub_clusters[i], self.sub_clusters[j]
        return {
            "lesion": lesion,
            "layer": first.layer,
            "label": first.label,
            "n_units": len(first.units),
            "other_layer": other.layer,
            "other_label": other.label,
            "other_n_units": len(other.units),
            "accuracy_change": self.joint_changes[i, j],
            "score": scores[i, j],
            "random_score": random_scores[i, j].mean().round(12),
        }

    def _p(self, i: int, j: int, random_changes: NDArray[np.float64]) -> float:
        true, random = self.joint_changes[i, j], random_changes[i, j]
        return p_value(true, random, tail="left", count_ties=self.count_ties)


def _important(scores: NDArray[Any], p_values: NDArray[Any], n_shuffles: int) -> NDArray[np.bool_]:
    """Return where scores are drastic and significant, as in the taxonomy of single lesions."""
    return (scores <= DRASTIC) & significant(p_values, n_shuffles)

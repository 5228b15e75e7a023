"""What single lesions of sub-clusters gave, and what that says (methods G5, G9, G10)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from nn_clustering.lesions._class_changes import class_changes_table, extreme_classes, rounded
from nn_clustering.lesions._measures import CLASS, unit_of
from nn_clustering.lesions._statistics import (
    class_mean,
    class_range,
    coherence_measure,
    importance_measure,
)
from nn_clustering.lesions._taxonomy import kind_of
from nn_clustering.partitions import SubCluster
from nn_clustering.significance import Measure, SubClusterTest, finite_mean, p_value

if TYPE_CHECKING:
    import pandas


@dataclass(frozen=True, eq=False)
class SubClusterResult:
    """What the lesion of one sub-cluster gave, beside as many random units of its layer.

    Attributes:
        sub_cluster: The lesioned units.
        scores: What the engine said of the lesion (first row) and of the random ones, shape
            (n_shuffles + 1, scores).
        overall_change: Lesioned minus intact accuracy over all images, or mean squared error over
            all targets.
        mean_change: Mean over groups of the change.
        importance_p: p-value of the mean over groups.
        coherence_p: p-value of the range over groups.
    """

    sub_cluster: SubCluster
    scores: NDArray[Any]
    overall_change: float
    mean_change: float
    importance_p: float
    coherence_p: float


@dataclass(frozen=True, eq=False)
class LesionTest(SubClusterTest):
    """Single lesions of the sub-clusters of a network, each beside random sub-clusters.

    Changes are lesioned minus intact: of accuracies, as fractions (-0.01 is one percentage point
    lost), or of mean squared errors.

    Attributes:
        task: "classification" or "regression".
        groups: Names of the classes, or groups of answers, that have images, or of the groups of
            targets.
        intact: Accuracy of every class, or mean squared error of every group of targets, of the
            intact network; shape (groups,).
        intact_overall: Its accuracy over all images, or mean squared error over all targets.
        n_images: Images behind every group, shape (groups,).
        changes: Shape (sub-clusters, groups).
        random_changes: Of the random sub-clusters, shape (sub-clusters, n_shuffles, groups).
        overall_changes: Of accuracy over all images, or mean squared error over all targets; shape
            (sub-clusters,).
        random_overall_changes: Shape (sub-clusters, n_shuffles).
        harm: The sign of a change that does harm: -1 of accuracies, +1 of errors.
        tail: Which mean changes are extreme in the p-values, "left" or "right".
        group_kind: What a group is, in the singular: "class", "task", "group of targets".
    """

    task: str
    groups: tuple[str, ...]
    intact: NDArray[np.float64]
    intact_overall: float
    n_images: NDArray[np.int64]
    changes: NDArray[np.float64]
    random_changes: NDArray[np.float64]
    overall_changes: NDArray[np.float64]
    random_overall_changes: NDArray[np.float64]
    harm: int = -1
    tail: str = "left"
    group_kind: str = CLASS

    @property
    def n_shuffles(self) -> int:
        """Random sub-clusters behind each sub-cluster."""
        return int(self.random_changes.shape[1])

    @cached_property
    def unit(self) -> float:
        """What changes are measured by: 1 of accuracies, else the intact mean squared error."""
        return unit_of(self.task, self.intact)

    @cached_property
    def mean_changes(self) -> NDArray[np.float64]:
        """Mean over groups of every lesion's change, shape (sub-clusters,)."""
        return class_mean(self.changes, self.unit)

    @cached_property
    def random_mean_changes(self) -> NDArray[np.float64]:
        """The same of the random sub-clusters, shape (sub-clusters, n_shuffles)."""
        return class_mean(self.random_changes, self.unit)

    @cached_property
    def ranges(self) -> NDArray[np.float64]:
        """How selective every lesion is, see :func:`class_range`, shape (sub-clusters,)."""
        return class_range(self.changes, self.unit)

    @cached_property
    def random_ranges(self) -> NDArray[np.float64]:
        """The same of the random sub-clusters, shape (sub-clusters, n_shuffles)."""
        return class_range(self.random_changes, self.unit)

    @cached_property
    def importance(self) -> Measure:
        """Does a lesion cost more accuracy, or more error, than that of random units?"""
        return importance_measure(
            self.mean_changes / self.unit,
            self.random_mean_changes / self.unit,
            intact=float(self.intact.mean()) / self.unit,
            harm=self.harm,
            tail=self.tail,
            count_ties=self.count_ties,
            layers=self.permuted_layers,
            combined=self.combined,
        )

    @cached_property
    def coherence(self) -> Measure:
        """Does a lesion hit some groups more than that of random units?"""
        return coherence_measure(
            self.ranges,
            self.random_ranges,
            count_ties=self.count_ties,
            layers=self.permuted_layers,
            combined=self.combined,
        )

    @cached_property
    def overall_p(self) -> NDArray[np.float64]:
        """p-values of the overall changes, shape (sub-clusters,)."""
        return self._overall_p(self.tail)

    @cached_property
    def kinds(self) -> tuple[str, ...]:
        """The kind of every sub-cluster by overall accuracy, see :data:`KINDS` (methods G10).

        Always of the left tail; empty words in a regression, which has no kinds.
        """
        if self.task != "classification":
            return ("",) * len(self.sub_clusters)
        p_values = self._overall_p("left")
        return tuple(
            kind_of(
                n_units=int(self.sizes[index]),
                n_candidates=int(self.n_candidates[index]),
                change=float(self.overall_changes[index]),
                p=float(p_values[index]),
                n_shuffles=self.n_shuffles,
            )
            for index in range(len(self.sub_clusters))
        )

    def of_kind(self, kind: str) -> tuple[SubCluster, ...]:
        """Return the sub-clusters of one of :data:`KINDS`."""
        return tuple(
            sub for sub, found in zip(self.sub_clusters, self.kinds, strict=True) if found == kind
        )

    def table(self) -> pandas.DataFrame:
        """Return one row a sub-cluster: where it is, what its lesion changed, how sure that is.

        ``possible_draws`` is 10^12 where there are more. Random ranges that are infinite are left
        out of their means; what is undefined is NaN. Beside each effect stands, as ``_null``, the
        mean of those that the sub-cluster's random ones have in its place. Columns are as many
        whatever the number of classes, of which the ones that are harmed most and least are named;
        :meth:`class_changes` has them all.
        """
        import pandas

        overall = "accuracy_change" if self.task == "classification" else "error_change"
        return pandas.DataFrame(
            {
                **self.places(),
                "kind": self.kinds,
                "combined": self.combined,
                "possible_draws": self.possible_draws,
                overall: self.overall_changes,
                "overall_p": self.overall_p,
                "class_mean_change": self.mean_changes,
                "random_class_mean_change": class_mean(self.random_mean_changes, self.unit),
                **self.importance.columns("importance"),
                "class_range": self.ranges,
                "random_class_range": finite_mean(self.random_ranges),
                **self.coherence.columns("coherence"),
                **extreme_classes(self.groups, self.changes, self.harm),
            }
        )

    def class_changes(self) -> pandas.DataFrame:
        """Return one row for each sub-cluster and class (or group of answers, or of targets).

        The columns are ``layer`` and ``label`` of the sub-cluster, ``class``, ``n_images`` (of the
        class), ``intact`` and ``lesioned`` accuracy (or error), their difference ``change``, the
        mean change by the random sub-clusters, ``random_change``, and how many of these do at least
        as much harm to the class, ``n_random_as_harmful``.
        """
        as_harmful = [
            (self.harm * random >= self.harm * true).sum(axis=0)
            for true, random in zip(self.changes, self.random_changes, strict=True)
        ]
        return class_changes_table(
            {
                "layer": np.array([sub.layer for sub in self.sub_clusters], object),
                "label": [sub.label for sub in self.sub_clusters],
            },
            self.groups,
            self.n_images,
            self.intact,
            self.changes,
            self.unit,
            random_change=rounded(self.random_changes.mean(axis=1), self.unit),
            n_random_as_harmful=np.array(as_harmful),
        )

    def random_effects(self) -> pandas.DataFrame:
        """Return one row a draw: the mean effects that it has in the place of the true partition.

        The columns ``importance_effect``, ``importance_ratio``, ``coherence_effect`` and
        ``coherence_ratio`` are means over the sub-clusters that are combined, NaN where all are
        undefined. Without rows if there is a single draw. With ``draws="afresh"`` a row is of
        random sub-clusters that are no partition: the mean over rows is what it would be of
        partitions, the differences between rows are not.
        """
        import pandas

        return pandas.DataFrame(
            {
                **self.importance.columns_of_draws("importance"),
                **self.coherence.columns_of_draws("coherence"),
            }
        )

    def _overall_p(self, tail: str) -> NDArray[np.float64]:
        return np.array(
            [
                p_value(change, random, tail=tail, count_ties=self.count_ties)
                for change, random in zip(
                    self.overall_changes, self.random_overall_changes, strict=True
                )
            ]
        )

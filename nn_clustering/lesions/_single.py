"""Single lesions of every sub-cluster against random sub-clusters (methods G1, G2, G5)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas
from numpy.typing import NDArray

from nn_clustering.errors import InvalidInputError
from nn_clustering.lesions._checks import check_n_shuffles
from nn_clustering.lesions._engine import LesionEngine
from nn_clustering.lesions._statistics import (
    Coherence,
    Importance,
    class_mean,
    class_range,
    ratio_effects,
    relative_effects,
)
from nn_clustering.partitions import Partition, SubCluster
from nn_clustering.seeds import generator
from nn_clustering.significance import p_value


@dataclass(frozen=True, eq=False)
class SubClusterResult:
    """The lesion of one sub-cluster, and of as many random units of its layer.

    Attributes:
        sub_cluster: The lesioned units.
        class_changes: Lesioned minus intact accuracy of each class, shape (classes,).
        random_class_changes: The same for random sub-clusters, shape (n_shuffles, classes).
        overall_change: Lesioned minus intact accuracy over all images.
        importance_p: Left-tailed p-value of the mean class accuracy.
        coherence_p: Right-tailed p-value of the class range.
    """

    sub_cluster: SubCluster
    class_changes: NDArray[np.float64]
    random_class_changes: NDArray[np.float64]
    overall_change: float
    importance_p: float
    coherence_p: float

    @property
    def change(self) -> float:
        """Mean over classes of the change of class accuracy."""
        return float(class_mean(self.class_changes))

    @property
    def random_changes(self) -> NDArray[np.float64]:
        """The same for every random sub-cluster, shape (n_shuffles,)."""
        return class_mean(self.random_class_changes)

    @property
    def random_change_mean(self) -> float:
        """Mean of the random changes, to 12 digits: exactly 0 where they cancel."""
        return float(self.random_changes.mean().round(12))

    @property
    def range(self) -> float:
        """Class range of the lesion; see :func:`class_range`."""
        return float(class_range(self.class_changes))

    @property
    def random_ranges(self) -> NDArray[np.float64]:
        """The same for every random sub-cluster, shape (n_shuffles,)."""
        return class_range(self.random_class_changes)

    @property
    def random_range_mean(self) -> float:
        """Mean of the random ranges that are finite; NaN if none is."""
        finite = self.random_ranges[np.isfinite(self.random_ranges)]
        return float(finite.mean()) if finite.size else float("nan")


@dataclass(frozen=True, eq=False)
class LesionTest:
    """The single lesions of all sub-clusters of a network.

    Attributes:
        class_accuracies: Of the intact network, shape (classes,); NaN for a class without images.
        accuracy: Of the intact network over all images.
        results: One a sub-cluster.
        n_shuffles: Random sub-clusters behind each.
    """

    class_accuracies: NDArray[np.float64]
    accuracy: float
    results: tuple[SubClusterResult, ...]
    n_shuffles: int

    @property
    def importance(self) -> Importance:
        """Importance of all sub-clusters."""
        true = np.array([result.change for result in self.results])
        random = np.array([result.random_change_mean for result in self.results])
        # No importance where a lesion, or its random ones, did no harm.
        harmful = (true < 0) & (random < 0)
        effects = np.where(harmful, relative_effects(true, random), 0.0)
        return Importance(
            np.array([result.importance_p for result in self.results]),
            effects,
            ratio_effects(self._class_mean + true, self._class_mean + random),
            self.n_shuffles,
        )

    @property
    def coherence(self) -> Coherence:
        """Coherence of all sub-clusters."""
        true = np.array([result.range for result in self.results])
        random = np.array([result.random_range_mean for result in self.results])
        return Coherence(
            np.array([result.coherence_p for result in self.results]),
            relative_effects(true, random),
            ratio_effects(true, random),
            self.n_shuffles,
            sum(int(np.isinf(result.random_ranges).sum()) for result in self.results),
        )

    def table(self, class_names: Sequence[str]) -> pandas.DataFrame:
        """Return one row a sub-cluster: where it is, what its lesion changed, how sure that is.

        Accuracy changes are fractions (-0.01 is one percentage point lost).

        Args:
            class_names: Name of every class of the data set.
        """
        importance, coherence = self.importance, self.coherence
        present = [
            name
            for name, accuracy in zip(class_names, self.class_accuracies, strict=False)
            if np.isfinite(accuracy)
        ]
        return pandas.DataFrame(
            [
                {
                    "layer": result.sub_cluster.layer,
                    "label": result.sub_cluster.label,
                    "n_units": len(result.sub_cluster.units),
                    "accuracy_change": result.overall_change,
                    "class_mean_change": result.change,
                    "random_class_mean_change": result.random_change_mean,
                    "importance_p": result.importance_p,
                    "importance_effect": importance.effects[index],
                    "class_range": result.range,
                    "random_class_range": result.random_range_mean,
                    "coherence_p": result.coherence_p,
                    "coherence_effect": coherence.effects[index],
                    **{
                        f"change_{name}": change
                        for name, change in zip(present, result.class_changes, strict=True)
                    },
                }
                for index, result in enumerate(self.results)
            ]
        )

    @property
    def _class_mean(self) -> float:
        return float(np.nanmean(self.class_accuracies))


def lesion_test(
    engine: LesionEngine,
    partition: Partition,
    layers: tuple[str, ...],
    *,
    n_shuffles: int,
    seed: int,
    count_ties: bool = True,
    on_progress: Callable[[int], object] = lambda n_answers: None,
) -> LesionTest:
    """Lesion every sub-cluster of the given layers, and random ones of the same size.

    A random sub-cluster is drawn among the units of the layer that are not isolated, afresh for
    each sub-cluster and shuffle.

    Args:
        engine: The network and its test images.
        partition: The clusters of its units.
        layers: Names of the layers to lesion.
        n_shuffles: Random sub-clusters for each sub-cluster, 1 or more.
        seed: Fixes them.
        count_ties: Whether equal values count in the p-values.
        on_progress: Called with the number of answers (images times lesions) computed since the
            last call; there are (n_shuffles + 1) x images of them for each sub-cluster.

    Raises:
        InvalidInputError: If a value is out of range, the partition is not of this network, or
            there is no sub-cluster.
    """
    check_n_shuffles(n_shuffles)
    sub_clusters = partition.sub_clusters(layers)
    if not sub_clusters:
        raise InvalidInputError(
            f"the partition has no sub-cluster in layers {', '.join(layers) or 'none'}: nothing to "
            "lesion"
        )
    present = engine.class_sizes > 0
    sizes = engine.class_sizes[present]
    intact_counts = engine.intact()[present]
    intact = intact_counts / sizes
    results: list[SubClusterResult] = []
    for layer, labels in partition.by_layer():
        in_layer = [sub for sub in sub_clusters if sub.layer == layer.name]
        if not in_layer:
            continue
        keep = np.concatenate(
            [_masks(sub, labels, n_shuffles=n_shuffles, seed=seed) for sub in in_layer]
        )
        counts = engine.lesioned(layer.name, keep, on_progress=on_progress)[:, present]
        changes = (counts / sizes - intact).reshape(len(in_layer), n_shuffles + 1, -1)
        overall = (counts.sum(axis=1) - intact_counts.sum()) / sizes.sum()
        for index, sub_cluster in enumerate(in_layer):
            results.append(
                _result(
                    sub_cluster,
                    changes[index],
                    float(overall[index * (n_shuffles + 1)]),
                    count_ties=count_ties,
                )
            )
    accuracies = np.full(engine.n_classes, np.nan)
    accuracies[present] = intact
    accuracy = float(intact_counts.sum() / sizes.sum())
    return LesionTest(accuracies, accuracy, tuple(results), n_shuffles)


def _masks(
    sub_cluster: SubCluster, labels: NDArray[np.int32], *, n_shuffles: int, seed: int
) -> NDArray[np.float32]:
    """Return what works under the true lesion (first row) and under the random ones."""
    keep = np.ones((n_shuffles + 1, len(labels)), np.float32)
    keep[0, sub_cluster.units] = 0
    candidates = np.flatnonzero(labels >= 0)
    for shuffle in range(n_shuffles):
        random = generator(seed, "lesion", sub_cluster.layer, sub_cluster.label, shuffle)
        drawn = random.choice(candidates, len(sub_cluster.units), replace=False)
        keep[shuffle + 1, drawn] = 0
    return keep


def _result(
    sub_cluster: SubCluster,
    changes: NDArray[np.float64],
    overall_change: float,
    *,
    count_ties: bool,
) -> SubClusterResult:
    means, ranges = class_mean(changes), class_range(changes)
    return SubClusterResult(
        sub_cluster,
        changes[0],
        changes[1:],
        overall_change,
        p_value(means[0], means[1:], tail="left", count_ties=count_ties),
        p_value(ranges[0], ranges[1:], tail="right", count_ties=count_ties),
    )

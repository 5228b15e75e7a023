"""Lesions of two sub-clusters at once, joint and conditional (methods G11)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations_with_replacement, permutations
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from nn_clustering.errors import InvalidInputError
from nn_clustering.lesions._double_results import DoubleLesionTest
from nn_clustering.lesions._measures import check_known, overall_values
from nn_clustering.partitions import Partition, SubCluster, check_fit, unit_masks
from nn_clustering.seeds import generator
from nn_clustering.significance import check_n_shuffles

if TYPE_CHECKING:
    from nn_clustering.lesions._engine import LesionEngine

Units = NDArray[np.int64]


def n_double_tasks(n_sub_clusters: int) -> int:
    """Return how many pairs a double lesion test goes through: joint and conditional ones."""
    return n_sub_clusters * (n_sub_clusters + 1) // 2 + n_sub_clusters * (n_sub_clusters - 1)


def n_double_lesions(n_sub_clusters: int, n_shuffles: int) -> int:
    """Return how many lesions a double lesion test makes: what it costs, before it starts.

    For every joint pair the true one and ``n_shuffles`` random ones, for every conditional one,
    whose true lesion is that of the joint pair, the random ones.
    """
    n_joint = n_sub_clusters * (n_sub_clusters + 1) // 2
    return n_joint + n_double_tasks(n_sub_clusters) * n_shuffles


def double_lesion_test(
    engine: LesionEngine,
    partition: Partition,
    sub_clusters: Sequence[SubCluster],
    *,
    n_shuffles: int = 50,
    seed: int,
    overlap: bool = False,
    count_ties: bool = True,
    known: Mapping[int, NDArray[Any]] | None = None,
    on_scores: Callable[[int, NDArray[Any]], object] = lambda task, scores: None,
    on_progress: Callable[[int], object] = lambda n_answers: None,
) -> DoubleLesionTest:
    """Lesion all pairs of some sub-clusters, beside pairs of random ones.

    Joint: both sub-clusters of a pair are drawn at random, among the units of their layers that
    are not isolated; with itself a sub-cluster is lesioned, and drawn, alone. Conditional: one is
    kept, the other one drawn, not among the units of the first.

    Args:
        engine: The network and its test data, a classification.
        partition: The clusters of its units.
        sub_clusters: Which to pair, some of the partition's. There may be none.
        n_shuffles: Random lesions for each pair, 2 or more.
        seed: Fixes them, for each pair in its order, whatever the others.
        overlap: Whether the two random sub-clusters of a joint pair in one layer are drawn
            independently, so that they may have units in common; as in the studies (quirk 12).
        count_ties: Whether equal values count in the p-values.
        known: Scores of tasks, by index, that the same test gave before it was cut short; there are
            :func:`n_double_tasks`.
        on_scores: Called with index and scores of every task that was not known.
        on_progress: Called with the number of answers (images times lesions) computed since the
            last call; see :func:`n_double_lesions`.

    Raises:
        InvalidInputError: If a value is out of range, the task is a regression, or a sub-cluster is
            empty, given twice, or not the partition's.
    """
    check_n_shuffles(n_shuffles)
    if engine.task != "classification":
        raise InvalidInputError(
            f"double lesions of a {engine.task}; expected a classification, for they are measured "
            "by accuracy: make single lesions"
        )
    labels = {layer.name: labels for layer, labels in partition.by_layer()}
    _check_sub_clusters(sub_clusters, labels, engine)
    draw = _Pairs(tuple(sub_clusters), tuple(engine.layers), labels, n_shuffles, seed, overlap)
    tasks = draw.tasks()
    known = check_known(
        known, len(tasks), lambda task: (tasks[task].n_lesions(n_shuffles), engine.n_scores)
    )
    intact = engine.intact()
    shape = (len(sub_clusters), len(sub_clusters))
    joint = np.zeros(shape)
    random_joint = np.zeros((*shape, n_shuffles))
    random_conditional = np.full((*shape, n_shuffles), np.nan)
    for number, task in enumerate(tasks):
        if number in known:
            scores = known[number]
        else:
            scores = engine.lesioned(draw.silenced(task), on_progress=on_progress)
            on_scores(number, scores)
        changes = overall_values(scores - intact, engine.class_sizes)
        i, j = task.first, task.second
        if task.conditional:
            random_conditional[i, j] = changes
        else:
            joint[i, j] = joint[j, i] = changes[0]
            random_joint[i, j] = random_joint[j, i] = changes[1:]
    return DoubleLesionTest(
        tuple(sub_clusters),
        float(overall_values(intact, engine.class_sizes)),
        joint,
        random_joint,
        random_conditional,
        count_ties,
        overlap,
    )


def _check_sub_clusters(
    sub_clusters: Sequence[SubCluster], labels: Mapping[str, NDArray[Any]], engine: LesionEngine
) -> None:
    seen = set()
    for sub in sub_clusters:
        name = f"sub-cluster {sub.label} of layer {sub.layer!r}"
        if not len(sub.units):
            raise InvalidInputError(f"{name} is empty; expected one unit at least")
        if (sub.layer, sub.label) in seen:
            raise InvalidInputError(f"{name} is given twice; expected each once")
        seen.add((sub.layer, sub.label))
        of_layer = labels.get(sub.layer, np.empty(0, np.int32))
        if not np.array_equal(np.flatnonzero(of_layer == sub.label), sub.units):
            raise InvalidInputError(
                f"{name} is not the partition's; expected one of Partition.sub_clusters"
            )
        check_fit(engine.layers, sub.layer, len(of_layer))


@dataclass(frozen=True)
class _Task:
    """Two sub-clusters, by number: both drawn, or, if conditional, the first given the second."""

    first: int
    second: int
    conditional: bool

    def n_lesions(self, n_shuffles: int) -> int:
        return n_shuffles if self.conditional else n_shuffles + 1


@dataclass(frozen=True, eq=False)
class _Pairs:
    """Says which units the lesions of every pair silence."""

    sub_clusters: tuple[SubCluster, ...]
    layers: tuple[str, ...]
    labels: Mapping[str, NDArray[np.int32]]
    n_shuffles: int
    seed: int
    overlap: bool

    def tasks(self) -> list[_Task]:
        """Return all tasks, those that lesion the same layers after one another."""
        numbers = range(len(self.sub_clusters))
        tasks = [_Task(i, j, False) for i, j in combinations_with_replacement(numbers, 2)]
        tasks += [_Task(i, j, True) for i, j in permutations(numbers, 2)]

        def in_layers(task: _Task) -> list[int]:
            pair = self.sub_clusters[task.first], self.sub_clusters[task.second]
            return sorted(self.layers.index(sub.layer) for sub in pair)

        return sorted(tasks, key=in_layers)

    def silenced(self, task: _Task) -> dict[str, NDArray[np.bool_]]:
        """Return the lesions of a task, the true one of a joint pair first."""
        first, second = self.sub_clusters[task.first], self.sub_clusters[task.second]
        draw = self._conditional if task.conditional else self._joint
        pairs = [draw(first, second, shuffle) for shuffle in range(self.n_shuffles)]
        if not task.conditional:
            pairs.insert(0, (first.units, second.units))
        silenced: dict[str, NDArray[np.bool_]] = {}
        for sub, units in zip((first, second), zip(*pairs, strict=True), strict=True):
            lesions = unit_masks(units, len(self.labels[sub.layer]))
            silenced[sub.layer] = silenced.get(sub.layer, False) | lesions
        return {layer: silenced[layer] for layer in self.layers if layer in silenced}

    def _joint(self, first: SubCluster, second: SubCluster, shuffle: int) -> tuple[Units, Units]:
        random = self._generator("joint", first, second, shuffle)
        drawn = self._draw(random, first)
        if first is second:
            return drawn, drawn
        disjoint = first.layer == second.layer and not self.overlap
        return drawn, self._draw(random, second, without=drawn if disjoint else None)

    def _conditional(
        self, first: SubCluster, second: SubCluster, shuffle: int
    ) -> tuple[Units, Units]:
        random = self._generator("conditional", first, second, shuffle)
        same_layer = first.layer == second.layer
        return self._draw(random, first, without=second.units if same_layer else None), second.units

    def _draw(
        self, random: np.random.Generator, sub: SubCluster, without: Units | None = None
    ) -> Units:
        candidates = np.flatnonzero(self.labels[sub.layer] >= 0)
        if without is not None:
            candidates = np.setdiff1d(candidates, without)
        return random.choice(candidates, len(sub.units), replace=False)

    def _generator(
        self, purpose: str, first: SubCluster, second: SubCluster, shuffle: int
    ) -> np.random.Generator:
        pair = (first.layer, first.label, second.layer, second.label)
        return generator(self.seed, f"{purpose} lesion", *pair, shuffle)

"""Single lesions of every sub-cluster against random sub-clusters (methods G1, G2, G5)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from nn_clustering.lesions._measures import Groups, Scale, check_known
from nn_clustering.lesions._single_results import LesionTest, SubClusterResult
from nn_clustering.lesions._statistics import class_mean, class_range
from nn_clustering.partitions import (
    Partition,
    SizeFilter,
    SubCluster,
    check_draws,
    check_fit,
    check_possible_draws,
    select_sub_clusters,
    unit_masks,
    units_beside_random,
)
from nn_clustering.significance import check_n_shuffles, p_value

if TYPE_CHECKING:
    from nn_clustering.lesions._engine import LesionEngine


def lesion_test(
    engine: LesionEngine,
    partition: Partition,
    layers: Sequence[str],
    *,
    groups: Groups,
    n_shuffles: int,
    seed: int,
    draws: str = "joint",
    sizes: SizeFilter = SizeFilter(),  # noqa: B008 (frozen)
    count_ties: bool = True,
    known: Mapping[int, NDArray[Any]] | None = None,
    on_sub_cluster: Callable[[int, SubClusterResult], object] = lambda index, result: None,
    on_progress: Callable[[int], object] = lambda n_answers: None,
) -> LesionTest:
    """Lesion every sub-cluster of the given layers, and random ones of the same size.

    A random sub-cluster is drawn among the units of the layer that are not isolated. It depends on
    the seed, the layer and its number alone (and on the cluster, if drawn afresh), not on what
    else is lesioned.

    Args:
        engine: The network and its test data.
        partition: The clusters of its units.
        layers: Names of the layers to lesion.
        groups: What the lesions are measured by.
        n_shuffles: Random sub-clusters for each sub-cluster, 2 or more.
        seed: Fixes them.
        draws: "joint": draw s permutes the labels of a layer, so that the random sub-clusters of
            one draw are disjoint like the true ones, which the joint p-value needs; or "afresh" for
            each sub-cluster, as in the studies. Each random sub-cluster has the same distribution.
        sizes: Which sub-clusters are lesioned; the others stay in the permutation.
        count_ties: Whether equal values count in the p-values.
        known: Scores of sub-clusters, by index, that the same test gave before it was cut short.
        on_sub_cluster: Called with the index and the result of every sub-cluster, in order.
        on_progress: Called with the number of answers (images times lesions) computed since the
            last call; there are (n_shuffles + 1) x images of them for each sub-cluster that is not
            known.

    Raises:
        InvalidInputError: If a value is out of range, the partition or the groups do not fit the
            engine, there is no sub-cluster to lesion, or no sub-cluster of which ``n_shuffles``
            different random ones are possible.
    """
    check_n_shuffles(n_shuffles)
    check_draws(draws)
    chosen, n_left_out = select_sub_clusters(partition, layers, sizes)
    labels = {layer.name: labels for layer, labels in partition.by_layer()}
    for sub in chosen:
        check_fit(engine.layers, sub.layer, len(labels[sub.layer]))
    n_candidates = np.array([(labels[sub.layer] >= 0).sum() for sub in chosen])
    check_possible_draws(partition, layers, n_shuffles, sizes)
    known = check_known(known, len(chosen), lambda index: (n_shuffles + 1, engine.n_scores))
    scale = Scale.of_engine(engine, groups)
    changes = np.empty((len(chosen), n_shuffles + 1, len(groups.names)))
    overall = np.empty((len(chosen), n_shuffles + 1))
    for index, sub in enumerate(chosen):
        if index in known:
            scores = known[index]
        else:
            of_layer = labels[sub.layer]
            units = units_beside_random(
                of_layer, sub, n_shuffles=n_shuffles, seed=seed, draws=draws
            )
            silenced = {sub.layer: unit_masks(units, len(of_layer))}
            scores = engine.lesioned(silenced, on_progress=on_progress)
        changes[index], overall[index] = scale.changes(scores), scale.overall_changes(scores)
        result = _result(sub, scores, changes[index], overall[index], scale, count_ties)
        on_sub_cluster(index, result)
    return LesionTest(
        task=groups.task,
        groups=groups.names,
        group_kind=groups.kind,
        intact=scale.intact,
        intact_overall=scale.intact_overall,
        n_images=scale.n_images,
        sub_clusters=tuple(chosen),
        n_candidates=n_candidates,
        changes=changes[:, 0],
        random_changes=changes[:, 1:],
        overall_changes=overall[:, 0],
        random_overall_changes=overall[:, 1:],
        harm=groups.harm,
        tail=groups.tail,
        count_ties=count_ties,
        draws=draws,
        n_left_out=n_left_out,
    )


def _result(
    sub_cluster: SubCluster,
    scores: NDArray[Any],
    changes: NDArray[np.float64],
    overall: NDArray[np.float64],
    scale: Scale,
    count_ties: bool,
) -> SubClusterResult:
    means, ranges = class_mean(changes, scale.unit), class_range(changes, scale.unit)
    return SubClusterResult(
        sub_cluster,
        scores,
        float(overall[0]),
        float(means[0]),
        p_value(means[0], means[1:], tail=scale.groups.tail, count_ties=count_ties),
        p_value(ranges[0], ranges[1:], tail="right", count_ties=count_ties),
    )

"""The lesions that the stage makes, with what it logs and keeps of them as they go on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments._forecast import Forecast, ForecastBar
from experiments._kept_arrays import KeptScores, MayGoOn
from experiments._result_tables import add_long_table, add_table
from nn_clustering import datasets, lesions, partitions, reports

if TYPE_CHECKING:
    from nn_clustering.datasets import Dataset
    from nn_clustering.lesions import (
        Groups,
        LesionEngine,
        LesionTest,
        SubClusterResult,
        UnitLesions,
    )
    from nn_clustering.partitions import Partition
    from nn_clustering.tracking import StageRun


# Of so many groups the summary names the accuracy.
_MOST_NAMED = 8

# What the lesions of a classification can be measured by.
MEASURED_BY = ("class", "group")


def measures_by_group(dataset: Dataset, measure_by: str | None) -> datasets.Groups | None:
    """Return the groups by which right answers are counted; None where it is by class.

    Args:
        dataset: The data set.
        measure_by: One of :data:`MEASURED_BY`; None for groups where the data set has any.
    """
    return None if measure_by == "class" else dataset.groups


def groups_of(
    dataset: Dataset, engine: LesionEngine, *, tail: str | None, measure_by: str | None
) -> Groups:
    """Return what lesions are measured by.

    Those are classes, groups of answers, monomials of the polynomials, or targets.
    """
    by_group = measures_by_group(dataset, measure_by)
    if by_group is not None:
        return lesions.answers_in_groups(
            engine.class_sizes, by_group.names, kind=by_group.kind, tail=tail
        )
    if dataset.task == "classification":
        return lesions.classes_of(engine.class_sizes, dataset.class_names, tail=tail)
    if dataset.class_names == datasets.polynomial_names():
        return lesions.targets_in_groups(*datasets.monomial_membership(), tail=tail)
    return lesions.targets_in_groups(dataset.class_names, tail=tail)


def single_lesions(
    run: StageRun[MayGoOn],
    engine: LesionEngine,
    partition: Partition,
    layers: Sequence[str],
    groups: Groups,
) -> LesionTest:
    """Lesion all sub-clusters one by one; what each did is logged as it is known."""
    config = run.config
    sizes = partitions.SizeFilter(**config["sizes"])
    n_sub_clusters = len(partitions.select_sub_clusters(partition, layers, sizes)[0])
    n_lesions = n_sub_clusters * (config["n_shuffles"] + 1)
    with (
        KeptScores(run, "single", n_sub_clusters) as kept,
        _bar(run, engine, n_lesions, kept, "sub-clusters") as shown,
    ):
        n_answers = n_lesions * engine.n_images
        bar = ForecastBar(
            shown, Forecast(n_answers, f"{n_lesions:,} lesions", config["n_shuffles"])
        )

        def log(index: int, result: SubClusterResult) -> None:
            if index in kept.known:
                bar.skip(len(result.scores) * engine.n_images)
            else:
                kept.add(index, result.scores)
            overall = "accuracy" if groups.task == "classification" else "error"
            run.log(f"{overall}_change", result.overall_change, index)
            run.log("class_mean_change", result.mean_change, index)
            run.log("importance_p", result.importance_p, index)
            run.log("coherence_p", result.coherence_p, index)

        return lesions.lesion_test(
            engine,
            partition,
            layers,
            groups=groups,
            n_shuffles=config["n_shuffles"],
            seed=run.seed,
            draws=config["draws"],
            sizes=sizes,
            count_ties=config["count_ties"],
            known=kept.known,
            on_sub_cluster=log,
            on_progress=bar.update,
        )


def double_lesions(
    run: StageRun[MayGoOn],
    engine: LesionEngine,
    partition: Partition,
    test: LesionTest,
    title: str,
) -> dict[str, Any]:
    """Lesion pairs of sub-clusters, keep table and figures, and return what was found."""
    settings: Mapping[str, Any] = run.config["double"]
    sub_clusters = [
        sub
        for sub, kind in zip(test.sub_clusters, test.kinds, strict=True)
        if settings["sub_clusters"] == "all" or kind == "important"
    ]
    n_tasks = lesions.n_double_tasks(len(sub_clusters))
    n_lesions = lesions.n_double_lesions(len(sub_clusters), settings["n_shuffles"])
    with (
        KeptScores(run, "double", n_tasks) as kept,
        _bar(run, engine, n_lesions, kept, "pairs") as bar,
    ):
        bar.update(sum(map(len, kept.known.values())) * engine.n_images)
        double = lesions.double_lesion_test(
            engine,
            partition,
            sub_clusters,
            n_shuffles=settings["n_shuffles"],
            seed=run.seed,
            overlap=settings["overlap"],
            count_ties=run.config["count_ties"],
            known=kept.known,
            on_scores=kept.add,
            on_progress=bar.update,
        )
    add_table(run, "double_lesions", double.table())
    if len(sub_clusters) > 1:
        run.add_figure("double_lesions", reports.figure_of_double_lesions(double, title))
        run.add_figure("dependencies", reports.figure_of_dependencies(double, title))
    return {
        "n_sub_clusters": len(sub_clusters),
        "n_important_pairs": int(np.triu(double.joint_important, 1).sum()),
        "n_dependencies": double.dependencies().number_of_edges(),
    }


def single_units(
    run: StageRun[MayGoOn], engine: LesionEngine, layers: Sequence[str], groups: Groups
) -> UnitLesions:
    """Lesion every single unit of the layers."""
    n_units = sum(engine.layers[layer] for layer in layers)
    n_tasks = len(lesions.single_unit_tasks(engine.layers, layers))
    with (
        KeptScores(run, "unit", n_tasks) as kept,
        _bar(run, engine, n_units, kept, "parts of the single units") as bar,
    ):
        bar.update(sum(map(len, kept.known.values())) * engine.n_images)
        return lesions.single_unit_lesions(
            engine,
            layers,
            groups=groups,
            known=kept.known,
            on_scores=kept.add,
            on_progress=bar.update,
        )


def head_lesions(
    run: StageRun[MayGoOn],
    engine: LesionEngine,
    heads: Partition,
    groups: Groups,
    title: str,
) -> dict[str, Any]:
    """Lesion every head as a whole, keep tables and figure, and return what was found."""
    config = run.config
    n_heads = len(heads.sub_clusters())
    n_lesions = n_heads * (config["n_shuffles"] + 1)
    with (
        KeptScores(run, "head", n_heads) as kept,
        _bar(run, engine, n_lesions, kept, "heads") as bar,
    ):
        bar.update(sum(map(len, kept.known.values())) * engine.n_images)

        def log(index: int, result: SubClusterResult) -> None:
            if index not in kept.known:
                kept.add(index, result.scores)
            overall = "accuracy" if groups.task == "classification" else "error"
            run.log(f"head_{overall}_change", result.overall_change, index)
            run.log("head_importance_p", result.importance_p, index)
            run.log("head_coherence_p", result.coherence_p, index)

        found = lesions.HeadLesions(
            lesions.lesion_test(
                engine,
                heads,
                [layer.name for layer in heads.layers],
                groups=groups,
                n_shuffles=config["n_shuffles"],
                seed=run.seed,
                draws=config["draws"],
                count_ties=config["count_ties"],
                known=kept.known,
                on_sub_cluster=log,
                on_progress=bar.update,
            )
        )
    add_table(run, "heads", found.table())
    add_long_table(run, "head_class_changes", [found.class_changes()], found.test.changes.size)
    run.add_figure("heads", reports.figure_of_heads(found, title))
    return found.result(run.seed)


def measured_in_words(result: Mapping[str, Any]) -> str:
    """Return by which groups of answers lesions are measured, with the intact accuracies."""
    of_groups = zip(result["groups"], result["group_accuracy"], strict=True)
    shown = [f"{name} {accuracy:.4f}" for name, accuracy in of_groups]
    more = f", and {len(shown) - _MOST_NAMED} more" if len(shown) > _MOST_NAMED else ""
    named = ", ".join(shown[:_MOST_NAMED])
    return f"measured by {result['measured_by']}; accuracy of {named}{more}"


def _bar(
    run: StageRun[MayGoOn], engine: LesionEngine, n_lesions: int, kept: KeptScores, what: str
) -> Any:
    """Return a progress bar, after what another run has done is told (not into the bar)."""
    kept.tell(what)
    return run.progress(n_lesions * engine.n_images, "lesioned images")

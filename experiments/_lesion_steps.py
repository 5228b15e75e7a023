"""The lesions that the stage makes, with what it logs and keeps of them as they go on."""

from __future__ import annotations

import contextlib
import io
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments._kept_scores import KeptScores, MayGoOn
from nn_clustering import datasets, lesions, partitions, reports

if TYPE_CHECKING:
    import pandas

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

# Rows that spreadsheets open, under a row of names: longer tables are for programs alone.
MOST_CSV_ROWS = 1_048_575
# How long is worth a word, and how long is measured for it.
_LONG_SECONDS = 10
_MEASURED_SECONDS = 1
# The studies' number of random sub-clusters, for a first look.
_FEW_SHUFFLES = 19


def groups_of(dataset: Dataset, engine: LesionEngine, tail: str | None) -> Groups:
    """Return what lesions are measured by: classes, monomials of the polynomials, or targets."""
    if dataset.task == "classification":
        return lesions.classes_of(engine.class_sizes, dataset.class_names, tail=tail)
    if dataset.class_names == datasets.polynomial_names():
        return lesions.targets_in_groups(*datasets.monomial_membership(), tail=tail)
    return lesions.targets_in_groups(dataset.class_names, tail=tail)


def residual_rule(config: Mapping[str, Any]) -> str:
    """Return the rule by which a clustering's layers of units are named (methods C4).

    Args:
        config: Of a clustering, also of a former version, which knew but one rule.
    """
    settings = config["graph"]
    rule: str = settings.get("residual", "one_set")
    return rule if settings.get("source", "weights") == "weights" else "one_set"


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
        _bar(run, engine, n_lesions, kept, "sub-clusters") as bar,
    ):
        forecast = Forecast(n_lesions, engine.n_images, config["n_shuffles"])

        def advance(n_answers: int) -> None:
            bar.update(n_answers)
            told = forecast.update(n_answers)
            if told is not None:
                bar.clear()
                print(told, flush=True)

        def log(index: int, result: SubClusterResult) -> None:
            if index in kept.known:
                bar.update(len(result.scores) * engine.n_images)
                forecast.skip(len(result.scores) * engine.n_images)
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
            on_progress=advance,
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


class Forecast:
    """Says once how long lesions will take, by the time that the first ones took, if that is long.

    The first lesions of a layer wait for its function to be compiled, so that only what follows
    them is measured; what is said is of the terminal, and enters no result.
    """

    def __init__(self, n_lesions: int, n_images: int, n_shuffles: int) -> None:
        self._n_lesions, self._n_answers = n_lesions, n_lesions * n_images
        self._n_shuffles = n_shuffles
        self._n_done = self._n_measured = 0
        self._since: float | None = None
        self._is_over = False

    def update(self, n_answers: int) -> str | None:
        """Take what was computed since the last call; return what there is to say, once."""
        now = time.perf_counter()
        self._n_done += n_answers
        if self._is_over:
            return None
        if self._since is None:
            self._since = now
            return None
        self._n_measured += n_answers
        if now - self._since < _MEASURED_SECONDS:
            return None
        self._is_over = True
        seconds = (now - self._since) / self._n_measured * (self._n_answers - self._n_done)
        return self._in_words(seconds) if seconds >= _LONG_SECONDS else None

    def skip(self, n_answers: int) -> None:
        """Take what was known before."""
        self._n_done += n_answers

    def _in_words(self, seconds: float) -> str:
        words = f"some {seconds:.0f} s" if seconds < 120 else f"some {seconds / 60:.0f} minutes"
        told = f"{words} more for {self._n_lesions:,} lesions"
        if self._n_shuffles <= _FEW_SHUFFLES:
            return told
        share = (_FEW_SHUFFLES + 1) / (self._n_shuffles + 1)
        return f"{told}; n_shuffles={_FEW_SHUFFLES} would take {share:.0%} of the time"


def add_table(run: StageRun, name: str, table: pandas.DataFrame) -> None:
    """Store a table with the run, as CSV for people and as Parquet for programs."""
    add_long_table(run, name, [table], len(table))


def add_long_table(
    run: StageRun, name: str, tables: Iterable[pandas.DataFrame], n_rows: int
) -> None:
    """Store a table that can have millions of rows: one too long for people has no CSV.

    Args:
        run: The run.
        name: Of the files, without what they end with.
        tables: The rows, some at a time, all with the same columns.
        n_rows: Number of rows in all.
    """
    import pyarrow
    from pyarrow import parquet

    content, text = io.BytesIO(), io.StringIO()
    with contextlib.ExitStack() as stack:
        writer = None
        for table in tables:
            rows = pyarrow.Table.from_pandas(table, preserve_index=False)
            if n_rows <= MOST_CSV_ROWS:
                table.to_csv(text, index=False, header=writer is None)
            if writer is None:
                writer = stack.enter_context(parquet.ParquetWriter(content, rows.schema))
            writer.write_table(rows)
    if n_rows <= MOST_CSV_ROWS:
        run.add_artifact(f"{name}.csv", text.getvalue().encode())
    run.add_artifact(f"{name}.parquet", content.getvalue())


def _bar(
    run: StageRun[MayGoOn], engine: LesionEngine, n_lesions: int, kept: KeptScores, what: str
) -> Any:
    """Return a progress bar, after what another run has done is told (not into the bar)."""
    unfinished = run.inputs.unfinished
    if unfinished is not None:
        print(
            f"going on with run {unfinished.value.id} after {len(kept.known)} of "
            f"{kept.n_tasks} {what}"
        )
    return run.progress(n_lesions * engine.n_images, "lesioned images")

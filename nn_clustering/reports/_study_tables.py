"""All tables of a study."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from nn_clustering.reports._clusterability_table import (
    clusterability_table,
    label_text,
    mean_and_spread,
)
from nn_clustering.reports._lesion_table import LESIONS
from nn_clustering.reports._study_results import (
    CLUSTER_STAGE,
    NETWORK_STAGES,
    TEST_STAGES,
    conditions_of,
    file_word,
)
from nn_clustering.reports._study_table import StudyTable
from nn_clustering.reports._sub_cluster_tables import sub_cluster_table
from nn_clustering.reports._visualisation_table import VISUALISATIONS

if TYPE_CHECKING:
    import pandas

    from nn_clustering.reports._study_results import StudyResults
    from nn_clustering.tracking import RunStore

# Columns that the table of a stage without one of its own has at most.
_MOST_FIGURES = 6


def study_tables(
    results: StudyResults,
    store: RunStore,
    *,
    level: float = 0.05,
    seed: int = 0,
    n_resamples: int = 9999,
) -> tuple[StudyTable, ...]:
    """Return the tables of a study: clusterability, tests of sub-clusters, and of other stages.

    Args:
        results: Of the study.
        store: Where its runs are.
        level: The false discovery rate of the tests of sub-clusters.
        seed: Fixes the bootstraps.
        n_resamples: Of each bootstrap.
    """
    tests = [
        sub_cluster_table(results, store, test, level=level, seed=seed, n_resamples=n_resamples)
        for test in (LESIONS, VISUALISATIONS)
    ]
    found = [clusterability_table(results), *tests]
    return (*(table for table in found if table is not None), *_of_other_steps(results))


def _of_other_steps(results: StudyResults) -> list[StudyTable]:
    if results.cells.empty:
        return []
    known = {CLUSTER_STAGE, *TEST_STAGES}
    if not results.networks.empty:
        known |= set(NETWORK_STAGES)
    others = results.cells[~results.cells["stage"].isin(known)]
    tables = [figures_table(results, str(step)) for step in dict.fromkeys(others["step"])]
    return [table for table in tables if table is not None]


def figures_table(results: StudyResults, step: str) -> StudyTable | None:
    """Return the main figures of a step's runs, a row a condition; None where it has none.

    These are the first numbers of the results; others are in the cells' own table.
    """
    import pandas

    cells = results.cells[results.cells["step"] == step]
    conditions = conditions_of(cells, results.label_columns)
    labels = [name for name in results.labels if any(name in one for one, _ in conditions)]
    # a label says already what the result repeats
    figures = _numbers_of(results, cells, {f"result.{name}" for name in labels})
    if not figures:
        return None
    rows: list[dict[str, Any]] = []
    lines = []
    for found, group in conditions:
        row = {**{name: found.get(name) for name in labels}, "n_runs": len(group)}
        texts = [*(label_text(found.get(name)) for name in labels), str(len(group))]
        for figure in figures:
            mean, spread = _mean_and_std(group[figure].tolist())
            name = figure.removeprefix("result.")
            row |= {name: mean, f"{name}_std": spread}
            texts.append(mean_and_spread(mean, spread, ".4g"))
        rows.append(row)
        lines.append(tuple(texts))
    names = [figure.removeprefix("result.").replace("_", " ") for figure in figures]
    return StudyTable(
        f"step_{file_word(step)}",
        f"{results.title}: {step.replace('_', ' ')}",
        pandas.DataFrame(rows),
        (*labels, "runs", *names),
        tuple(lines),
        ("Mean ± standard deviation over runs.",),
    )


def _numbers_of(results: StudyResults, cells: pandas.DataFrame, but: Collection[str]) -> list[str]:
    """Return the columns of the first numbers of results, those of the result itself first."""
    names = dict.fromkeys(
        name for run_id in cells["run"] for name in _keys(results.runs[run_id].result, "result")
    )
    numbers = [
        name
        for name in names
        if name in cells
        and name not in but
        and all(type(value) in (int, float, type(None)) for value in cells[name])
        and cells[name].notna().any()
    ]
    return sorted(numbers, key=lambda name: name.count("."))[:_MOST_FIGURES]


def _keys(result: Any, path: str) -> Iterator[str]:
    if isinstance(result, Mapping):
        for key, value in result.items():
            yield from _keys(value, f"{path}.{key}")
    else:
        yield path


def _mean_and_std(values: Sequence[float | None]) -> tuple[float | None, float | None]:
    import numpy as np

    known = [value for value in values if value is not None and not math.isnan(value)]
    mean = float(np.mean(known)) if known else None
    return mean, float(np.std(known, ddof=1)) if len(known) > 1 else None

"""Which run reads which: a tree a network, grouped by condition."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from nn_clustering.reports._study_results import LABEL, StudyResults, condition_in_words
from nn_clustering.reports.page._html import plain

# The figures that a run of a stage is known by: the column of its result, and what it is called.
_FIGURES = {
    "cluster": (("result.ncut", "n-cut"),),
    "shuffle_test": (("result.z_score", "z"), ("result.p_value", "p")),
    "lesion": (("result.importance.joint_p", "importance joint p"),),
    "visualise": (("result.score.joint_p", "score joint p"),),
}


@dataclass(frozen=True)
class Node:
    """A run in its tree.

    Attributes:
        run: Its id.
        step: The step that it is of.
        words: What tells it from its siblings, and its main figures.
        children: Runs that read it.
    """

    run: Any
    step: str
    words: str
    children: list[Node] = field(default_factory=list)

    @property
    def n_runs(self) -> int:
        """Of the tree."""
        return 1 + sum(child.n_runs for child in self.children)


@dataclass(frozen=True)
class StepSummary:
    """What has been done of a step.

    Attributes:
        name: The step's.
        reads: Names of the steps whose runs it reads.
        n_done: Cells that have a completed run.
        n_missing: Cells that have none.
        seconds: How long the runs took, all together.
    """

    name: str
    reads: tuple[str, ...]
    n_done: int
    n_missing: int
    seconds: float


def lineage(results: StudyResults) -> list[tuple[str, list[Node]]]:
    """Return the trees of all runs by the condition of the first of each, in the study's order."""
    nodes: dict[str, Node] = {}
    groups: dict[str, list[Node]] = {}
    rows = {row["cell"]: row for row in results.cells.to_dict("records")}
    for name, row in rows.items():
        above = rows.get(row["parent"])
        node = nodes[name] = Node(plain(row["run"]), row["step"], _words(row, above, results))
        if above is not None:
            nodes[row["parent"]].children.append(node)
        else:
            groups.setdefault(condition_in_words(_labels(row, results)), []).append(node)
    return list(groups.items())


def step_summaries(results: StudyResults) -> list[StepSummary]:
    """Return what has been done of each step, in the study's order."""
    missing = Counter(name.partition(": ")[0] for name in results.missing)
    steps: dict[str, StepSummary] = {}
    rows = results.cells.to_dict("records")
    step_of = {row["cell"]: row["step"] for row in rows}
    for step in dict.fromkeys([*(row["step"] for row in rows), *missing]):
        own = [row for row in rows if row["step"] == step]
        reads = dict.fromkeys(step_of[row["parent"]] for row in own if row["parent"] in step_of)
        seconds = sum(plain(row["seconds"]) or 0.0 for row in own)
        steps[step] = StepSummary(step, tuple(reads), len(own), missing[step], seconds)
    return list(steps.values())


def _labels(row: Mapping[Any, Any], results: StudyResults) -> dict[str, Any]:
    labels = {label: plain(row[f"{LABEL}{label}"]) for label in results.labels}
    return {label: value for label, value in labels.items() if value is not None}


def _words(row: Mapping[Any, Any], above: Mapping[Any, Any] | None, results: StudyResults) -> str:
    labels = _labels(row, results)
    if above is not None:
        known = _labels(above, results)
        labels = {label: value for label, value in labels.items() if known.get(label) != value}
    words = [f"{label}={value}" for label, value in labels.items()] if above is not None else []
    if above is None or row["seed"] != above["seed"]:
        words.append(f"seed {row['seed']}")
    for column, title in _FIGURES.get(row["stage"], ()):
        value = plain(row.get(column))
        if isinstance(value, int | float):
            words.append(f"{title} {value:.4g}")
    return ", ".join(words)

"""The page's two large tables, of networks and of runs, as its script draws them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from nn_clustering.reports._study_results import (
    LABEL,
    NETWORK_STAGES,
    OF_MEASURE,
    OF_SUB_CLUSTERS,
    StudyResults,
)
from nn_clustering.reports.page._html import plain

if TYPE_CHECKING:
    import pandas

TITLES = {
    "ncut": "n-cut",
    "shuffled_mean": "null mean",
    "shuffled_std": "null std",
    "z_score": "z",
    "p_value": "p",
    "n_clusters": "clusters",
    "n_shuffles": "shuffles",
}
_ENDS = {"p": "Fisher p", "joint_p": "joint p", "effect": "effect"}
# Of a digest of code, digits that tell it from others.
CODE_DIGITS = 8
# Of the run that a figure of a network comes from, the column with its id.
_RUN_OF = {
    "accuracy": "network",
    "ncut": "cluster_run",
    "n_clusters": "cluster_run",
    **dict.fromkeys(
        (
            *("shuffled_mean", "shuffled_std", "z_score", "p_value", "n_shuffles", "fragile"),
            "shuffle_test_run",
        ),
        "shuffle_test_run",
    ),
    **{
        f"{measure}_{end}": f"{stage}_run"
        for stage, measures in OF_SUB_CLUSTERS.items()
        for measure in measures
        for end in OF_MEASURE
    },
}
# What a run's config has that says nothing of what it computes, or is in another column.
_NO_SETTINGS = ("seed", "tags", "reuse", "resume", "n_repeats", "n_workers", "checkpoint_every")


def networks_table(results: StudyResults) -> dict[str, Any]:
    """Return the networks: every figure with the run that it is from."""
    table = results.networks
    hidden = {f"{stage}_run" for stage in NETWORK_STAGES}  # column `network` has them
    columns = [
        _network_column(name)
        for name in map(str, table)
        if name not in hidden and _has(table, name)
    ]
    columns.sort(key=_rank)
    return _content(table, columns)


def runs_table(results: StudyResults) -> dict[str, Any]:
    """Return all stored runs: what they are, the config keys that differ, and their figures.

    Config and figures are ``detail``: shown where the rows that are shown are of one stage.
    """
    table = results.cells
    facts = ["run", "step", *results.label_columns, "seed", "parent_run", "status", "start_time"]
    facts += ["seconds", "host", "code"]
    columns = [_run_column(name, results) for name in facts if _has(table, name)]
    figures = [name for name in map(str, table) if name.startswith("result.")]
    for name in [*differing_settings(results), *figures]:
        if _has(table, name):
            title = name.partition(".")[2]
            kind = _kind(table[name], title)
            run = "run" if name in figures else None
            columns.append(_column(name, title, kind, run=run, is_detail=True))
    return _content(table, columns)


def differing_settings(results: StudyResults) -> list[str]:
    """Return the config columns in which runs of one step differ, but for seeds and links."""
    links = {f"config.{stage}_run" for stage in (*NETWORK_STAGES, "cluster")}
    grid = {f"config.{label.rpartition('.')[2]}" for label in results.labels}
    grid |= {f"config.{label}" for label in results.labels}
    known = results.cells.groupby("step", sort=False) if len(results.cells) else ()
    names = [
        name
        for name in map(str, results.cells)
        if name.startswith("config.")
        and name.removeprefix("config.") not in _NO_SETTINGS
        and name not in links | grid
    ]
    differing: dict[str, None] = {}
    for _, group in known:
        texts: pandas.DataFrame = group[names].map(repr)
        differing |= dict.fromkeys(name for name in names if texts[name].nunique() > 1)
    return [name for name in names if name in differing]


def _content(table: pandas.DataFrame, columns: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    values = [_values(table[column["key"]].tolist(), column["key"]) for column in columns]
    return {"columns": columns, "rows": [list(row) for row in zip(*values, strict=True)]}


def _rank(column: Mapping[str, Any]) -> int:
    """Return where a column stands: first the run that a row is called by, last other runs."""
    return 0 if column["key"] == "cluster_run" else 2 if column["kind"] == "run" else 1


def _values(values: Iterable[Any], key: str) -> list[Any]:
    shown = map(plain, values)
    return [one[:CODE_DIGITS] if key == "code" and one else one for one in shown]


def _network_column(name: str) -> dict[str, Any]:
    if name.startswith(LABEL):
        return _column(name, name.removeprefix(LABEL), "text", is_choice=True)
    if name.endswith("_run") or name == "network":
        title = "network's run" if name == "network" else name.replace("_", " ")
        return _column(name, title, "run", run=name)
    kind = "p" if is_p_value(name) else "text" if name == "fragile" else "number"
    return _column(name, figure_title(name), kind, run=_RUN_OF.get(name))


def is_p_value(name: str) -> bool:
    """Return whether a figure of networks is a p-value."""
    return name == "p_value" or name.endswith("_p")


def figure_title(name: str) -> str:
    """Return what people read above a figure of networks."""
    for end, words in sorted(_ENDS.items(), key=lambda entry: -len(entry[0])):
        measure = name.removesuffix(f"_{end}")
        if measure != name and measure not in ("", "n"):
            return f"{measure} {words}"
    return TITLES.get(name, name.replace("_", " "))


def _run_column(name: str, results: StudyResults) -> dict[str, Any]:
    kinds = {"seconds": "seconds", "status": "status", "seed": "number"}
    titles = {"seconds": "time", "parent_run": "reads run", "start_time": "started (UTC)"}
    return _column(
        name,
        titles.get(name, name.removeprefix(LABEL)),
        kinds.get(name, "text"),
        run=name if name in ("run", "parent_run") else None,
        is_choice=name in ("step", "status", *results.label_columns),
    )


def _column(
    key: str,
    title: str,
    kind: str,
    *,
    run: str | None = None,
    is_choice: bool = False,
    is_detail: bool = False,
) -> dict[str, Any]:
    column: dict[str, Any] = {"key": key, "title": title, "kind": kind}
    if run is not None:
        column["run"] = run
    if is_choice:
        column["choice"] = True
    if is_detail:
        column["detail"] = True
    return column


def _kind(values: Iterable[Any], title: str) -> str:
    known = [value for value in values if not _is_missing(value)]
    if not all(isinstance(value, int | float) and not isinstance(value, bool) for value in known):
        return "text"
    return "p" if title.rpartition(".")[2] in ("p_value", "joint_p", "fisher_p") else "number"


def _has(table: pandas.DataFrame, name: str) -> bool:
    return name in table and not all(map(_is_missing, table[name]))


def _is_missing(value: Any) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))

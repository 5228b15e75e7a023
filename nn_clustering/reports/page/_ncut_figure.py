"""n-cuts beside their null distributions, a line a condition: a figure for Plotly."""

from __future__ import annotations

import html
import textwrap
from collections.abc import Sequence
from typing import Any

from nn_clustering.reports._clusterability_table import published_of
from nn_clustering.reports._study_results import StudyResults, condition_in_words, conditions_of
from nn_clustering.reports.page._html import plain

TRUE, NULL, PUBLISHED = "#117aff", "#8a8f98", "#fd4e00"
_LEVEL = 0.05
# Where a network stands, its condition in words, and its row.
_Network = tuple[float, str, dict[Any, Any]]
_ROW, _LOW_ROW, _LEAST = 46, 28, 150  # pixels
_MANY = 30


def ncut_figure(results: StudyResults) -> dict[str, Any] | None:
    """Return the figure's traces and layout; None where no network has an n-cut.

    Conditions are beneath each other, so that their names can be read; networks of one condition
    beneath each other in its line.
    """
    networks = results.networks
    if networks.empty or not networks["ncut"].notna().any():
        return None
    conditions = conditions_of(networks, results.label_columns)
    names = [condition_in_words(labels) or results.title for labels, _ in conditions]
    rows = [
        (place + _offset(number, len(group)), name, row)
        for place, (name, (_, group)) in enumerate(zip(names, conditions, strict=True))
        for number, row in enumerate(group.to_dict("records"))
    ]
    traces = [_null(rows), *_ncuts(rows), *_published(results, [one for one, _ in conditions])]
    return {"traces": [trace for trace in traces if trace["x"]], "layout": _layout(names)}


def _offset(number: int, n_networks: int) -> float:
    return 0.0 if n_networks < 2 else 0.62 * (number / (n_networks - 1) - 0.5)


def _null(rows: Sequence[_Network]) -> dict[str, Any]:
    tested = [entry for entry in rows if plain(entry[2]["shuffled_mean"]) is not None]
    return {
        "type": "scatter",
        "mode": "markers",
        "name": "null: mean ± 2 standard deviations",
        "x": [plain(row["shuffled_mean"]) for _, _, row in tested],
        "y": [place for place, _, _ in tested],
        "error_x": {
            "type": "data",
            "array": [2 * (plain(row["shuffled_std"]) or 0.0) for _, _, row in tested],
            "color": NULL,
            "thickness": 3,
            "width": 0,
        },
        "marker": {"symbol": "line-ns", "size": 9, "line": {"color": NULL, "width": 3}},
        **_hover(tested, "shuffle_test_run"),
    }


def _ncuts(rows: Sequence[_Network]) -> list[dict[str, Any]]:
    below: list[_Network] = []
    others: list[_Network] = []
    for entry in rows:
        p = plain(entry[2]["p_value"])
        if plain(entry[2]["ncut"]) is not None:
            (below if p is not None and p <= _LEVEL else others).append(entry)
    return [
        _points(below, f"n-cut, p ≤ {_LEVEL}", {"symbol": "circle", "color": TRUE}),
        _points(
            others,
            f"n-cut, p > {_LEVEL} or not tested",
            {"symbol": "circle-open", "color": TRUE, "line": {"width": 2}},
        ),
    ]


def _points(rows: Sequence[_Network], name: str, marker: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "markers",
        "name": name,
        "x": [plain(row["ncut"]) for _, _, row in rows],
        "y": [place for place, _, _ in rows],
        "marker": {"size": 9, **marker},
        **_hover(rows, "cluster_run"),
    }


def _hover(rows: Sequence[_Network], run: str) -> dict[str, Any]:
    return {
        "customdata": [plain(row.get(run)) for _, _, row in rows],
        "text": [_words(name, row, run) for _, name, row in rows],
        "hovertemplate": "%{text}<extra></extra>",
    }


def _words(name: str, row: dict[Any, Any], run: str) -> str:
    """Return what is said of a network; Plotly reads it as some HTML, so it is escaped."""
    figures = (
        ("n-cut", row["ncut"], ".4f"),
        ("null mean", row["shuffled_mean"], ".4f"),
        ("null std", row["shuffled_std"], ".4f"),
        ("z", row["z_score"], ".2f"),
        ("p", row["p_value"], ".4f"),
    )
    known = [f"{word} {value:{form}}" for word, value, form in figures if plain(value) is not None]
    lines = [name, f"seed {row['seed']}", *known, f"run {row.get(run)} (click to open)"]
    return "<br>".join(_escaped(line) for line in lines)


def _published(results: StudyResults, conditions: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    means = [published_of(labels, results.published) for labels in conditions]
    looks = (("ncut", "n-cut", "diamond"), ("shuffled_mean", "null mean", "diamond-open"))
    return [
        {
            "type": "scatter",
            "mode": "markers",
            "name": f"published {words}",
            "x": [found[key] for found in means if key in found],
            "y": [place for place, found in enumerate(means) if key in found],
            "marker": {"symbol": symbol, "size": 11, "color": PUBLISHED, "line": {"width": 2}},
            "hovertemplate": f"published {words}: %{{x}}<extra></extra>",
        }
        for key, words, symbol in looks
    ]


def _layout(names: Sequence[str]) -> dict[str, Any]:
    texts = ["<br>".join(map(_escaped, textwrap.wrap(name, 26)[:3])) for name in names]
    return {
        "height": _LEAST + (_ROW if len(names) <= _MANY else _LOW_ROW) * len(names),
        "margin": {"l": 10, "r": 10, "t": 10, "b": 40},
        "hovermode": "closest",
        "legend": {"orientation": "h", "y": 1, "yanchor": "bottom", "x": 0, "xanchor": "left"},
        "xaxis": {"title": {"text": "n-cut"}, "zeroline": False, "automargin": True},
        "yaxis": {
            "tickvals": list(range(len(names))),
            "ticktext": texts,
            "range": [len(names) - 0.45, -0.55],
            "automargin": True,
            "zeroline": False,
            "fixedrange": len(names) < 20,
        },
    }


def _escaped(text: str) -> str:
    return html.escape(text, quote=False)

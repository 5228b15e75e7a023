"""Figures of a study: its conditions side by side."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from nn_clustering.errors import DamagedArtifactError, RunNotFoundError
from nn_clustering.reports._clusterability_table import published_of
from nn_clustering.reports._figure_text import add_title, counted, name_ticks_plainly
from nn_clustering.reports._palette import cluster_colours
from nn_clustering.reports._study_curves import figure_of_study_curves
from nn_clustering.reports._study_results import (
    LABEL,
    OF_SUB_CLUSTERS,
    condition_in_words,
    conditions_of,
    file_word,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from nn_clustering.reports._study_results import StudyResults
    from nn_clustering.tracking import RunId, RunStore

_NETWORK, _NULL, _PUBLISHED = "#d62728", "#4292c6", "black"
_WIDTH_OF_NAMES = 34  # letters
_ROOM_OF_NETWORKS = 0.62  # of the distance between two conditions
_MOST_BARS = 20
_ROUNDING = 1e-9
# Conditions whose networks are drawn: more cannot be looked at side by side.
_MOST_NETWORKS = 12
_PIXELS = 900  # of the longer side of a network's picture
_MARKERS = "osD^vP*X"


def study_figures(results: StudyResults, store: RunStore) -> Iterator[tuple[str, Figure]]:
    """Yield the figures of a study that its stored runs have something for, with their names.

    Args:
        results: Of the study.
        store: Where its runs are.
    """
    made = {
        "ncuts": figure_of_ncuts(results),
        "learning_curves": figure_of_study_curves(results, store),
        "p_values": figure_of_p_values(results),
    }
    yield from ((name, figure) for name, figure in made.items() if figure is not None)
    for label in numeric_labels(results):
        yield f"by_{file_word(label)}", figure_by_label(results, label)
    gathered = figure_of_networks(results)
    if gathered is not None:
        yield "networks", gathered


def figure_of_ncuts(results: StudyResults) -> Figure | None:
    """Draw n-cuts of networks beside their null distributions, a row a condition.

    Each network is a point, on a line with the mean of its null distribution ± a standard
    deviation; the published means are marked. None where no network has an n-cut.
    """
    networks = results.networks[results.networks["ncut"].notna()]
    if networks.empty:
        return None
    conditions = conditions_of(networks, results.label_columns)
    names = [_wrapped(condition_in_words(labels) or results.title) for labels, _ in conditions]
    n_lines = sum(1 + 0.45 * name.count("\n") for name in names)
    figure = Figure(figsize=(7.5, 1.5 + 0.42 * n_lines), layout="constrained")
    axes = figure.subplots()
    handles: dict[str, Any] = {}
    for place, (labels, group) in enumerate(conditions):
        handles |= _draw_condition(axes, place, group)
        handles |= _mark_published(axes, place, published_of(labels, results.published))
    axes.set_yticks(range(len(names)), names, fontsize=8)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.set_xlabel("n-cut")
    axes.grid(axis="x", color="0.9", linewidth=0.8)
    axes.set_axisbelow(True)
    for place in range(1, len(names)):
        axes.axhline(place - 0.5, color="0.9", linewidth=0.8, zorder=0)
    against = " against the null distribution" if networks["shuffled_mean"].notna().any() else ""
    add_title(figure, f"{results.title}: n-cut{against}")
    figure.legend(handles.values(), handles, loc="outside lower center", ncols=2, fontsize=8)
    return figure


def _draw_condition(axes: Axes, place: int, group: pandas.DataFrame) -> dict[str, Any]:
    """Draw the networks of a condition below each other; returns what the legend has of them."""
    n = len(group)
    heights = place + (_ROOM_OF_NETWORKS * (np.arange(n) - (n - 1) / 2) / max(n, 3))
    is_tested = group["shuffled_mean"].notna().to_numpy()
    handles: dict[str, Any] = {}
    if is_tested.any():
        tested = group[is_tested]
        axes.hlines(heights[is_tested], tested["ncut"], tested["shuffled_mean"], "0.75", lw=0.8)
        bars = axes.errorbar(
            tested["shuffled_mean"], heights[is_tested], xerr=tested["shuffled_std"].fillna(0),
            fmt="|", color=_NULL, markersize=7, elinewidth=2.4,
        )  # fmt: skip
        handles["null distribution, mean ± std"] = bars
    (points,) = axes.plot(group["ncut"], heights, "o", color=_NETWORK, markersize=4)
    return {"a network": points, **handles}


def _mark_published(axes: Axes, place: int, means: Mapping[str, float]) -> dict[str, Line2D]:
    look: dict[str, Any] = {"linestyle": "", "markerfacecolor": "none", "markersize": 8}
    found = {}
    for measure, marker, colour, name in (
        ("ncut", "D", _PUBLISHED, "published n-cut"),
        ("shuffled_mean", "s", _NULL, "published null mean"),
    ):
        if measure in means:
            (mark,) = axes.plot(
                [means[measure]], [place], marker=marker, markeredgecolor=colour, **look
            )
            found[name] = mark
    return found


def figure_of_p_values(results: StudyResults) -> Figure | None:
    """Draw p-values of shuffle tests, and of sub-clusters, as histograms.

    A line is what they were if nothing but chance acted. None where there are no p-values.
    """
    panels = _p_values(results)
    if not panels:
        return None
    n_columns = min(len(panels), 3)
    n_rows = -(-len(panels) // n_columns)
    size = (1 + 3.1 * max(n_columns, 1.6), 1.2 + 2.3 * n_rows)
    figure = Figure(figsize=size, layout="constrained")
    places = figure.subplots(n_rows, n_columns, squeeze=False).ravel()
    line = None
    for axes, (name, (what, p_values, n_draws)) in zip(places, panels.items(), strict=False):
        n_bars = _n_bars(n_draws)
        # p is a whole number of 1 / (draws + 1), the largest of a bar included
        places_of_bars = np.ceil(p_values * n_bars - _ROUNDING).astype(int) - 1
        axes.bar(
            (np.arange(n_bars) + 0.5) / n_bars,
            np.bincount(places_of_bars.clip(0, n_bars - 1), minlength=n_bars),
            width=1 / n_bars, color="#9ecae1", edgecolor="white", linewidth=0.5,
        )  # fmt: skip
        line = axes.axhline(p_values.size / n_bars, color=_NETWORK, linestyle="--", linewidth=1.2)
        axes.set_title(f"{name}, {counted(p_values.size, what)}", fontsize=9)
        axes.set_xlabel("p")
        axes.set_ylabel(f"{what}s")
        axes.set_xlim(0, 1)
        axes.yaxis.set_major_locator(MaxNLocator(integer=True))
        name_ticks_plainly(axes.xaxis)
    for axes in places[len(panels) :]:
        axes.remove()
    add_title(figure, f"{results.title}: p-values")
    if line is not None:
        figure.legend([line], ["by chance alone"], loc="outside lower center", fontsize=8)
    return figure


def _n_bars(n_draws: int | None) -> int:
    """Return a number of bars of which each has room for equally many p-values, if one is near."""
    if n_draws is None:
        return _MOST_BARS
    fitting = [n for n in range(_MOST_BARS, 4, -1) if (n_draws + 1) % n == 0]
    return fitting[0] if fitting else _MOST_BARS


def _p_values(results: StudyResults) -> dict[str, tuple[str, NDArray[np.float64], int | None]]:
    """Return by name what has p-values, these, and the draws behind each if all have as many."""
    found: dict[str, tuple[str, NDArray[np.float64], int | None]] = {}
    tested = results.networks[results.networks["p_value"].notna()]
    if len(tested):
        n_draws = _same(tested["n_shuffles"])
        found["shuffle tests"] = ("network", tested["p_value"].to_numpy(float), n_draws)
    for stage, measures in OF_SUB_CLUSTERS.items():
        run_ids = dict.fromkeys(results.networks[f"{stage}_run"].dropna())
        tables = [table for run_id in run_ids for table in _sub_clusters(results, run_id)]
        for measure in measures:
            parts = [
                table.loc[table["combined"], f"{measure}_p"]
                for table in tables
                if {"combined", f"{measure}_p"} <= set(table.columns)
            ]
            values = np.concatenate([part.to_numpy(float) for part in parts] or [np.empty(0)])
            values = values[np.isfinite(values)]
            summaries = [results.runs[run_id].result.get(measure) or {} for run_id in run_ids]
            if values.size:
                n_draws = _same(summary.get("n_null") for summary in summaries)
                found[measure] = ("sub-cluster", values, n_draws)
    return found


def _same(values: Iterable[Any]) -> int | None:
    known = set(values)
    return int(known.pop()) if len(known) == 1 and None not in known else None


def _sub_clusters(results: StudyResults, run_id: RunId) -> Iterator[pandas.DataFrame]:
    """Yield the table of a run's sub-clusters, if it is there."""
    try:
        yield pandas.read_csv(io.BytesIO(results.runs[run_id].artifact("sub_clusters.csv")))
    except (RunNotFoundError, DamagedArtifactError):
        return


def numeric_labels(results: StudyResults) -> list[str]:
    """Return the labels that are numbers, with several values each, a curve can be drawn over."""
    found = []
    for label in results.labels:
        values = results.networks[f"{LABEL}{label}"].dropna()
        if values.nunique() > 1 and all(type(value) in (int, float) for value in values):
            found.append(label)
    return found


def figure_by_label(results: StudyResults, label: str) -> Figure:
    """Draw n-cut, beside the mean of its null distribution, and z over a numeric label.

    Each network is a point; lines are means over the networks of a condition.
    """
    column = f"{LABEL}{label}"
    networks = results.networks[results.networks[column].notna()]
    others = [name for name in results.label_columns if name != column]
    conditions = conditions_of(networks, others)
    measures = {"ncut": "n-cut", "z_score": "z"}
    measures = {key: name for key, name in measures.items() if networks[key].notna().any()}
    figure = Figure(figsize=(1 + 4.2 * len(measures), 4.2), layout="constrained")
    panels = figure.subplots(1, max(len(measures), 1), squeeze=False)[0]
    handles: dict[str, Line2D] = {}
    for axes, (measure, name) in zip(panels, measures.items(), strict=False):
        for place, (labels, group) in enumerate(conditions):
            colour, marker = look_of(place)
            x = group[column].astype(float)
            axes.plot(x, group[measure], marker, color=colour, markersize=3.5, alpha=0.6)
            line = _mean_line(axes, x, group[measure], color=colour)
            handles[condition_in_words(labels) or results.title] = line
            if measure == "ncut" and group["shuffled_mean"].notna().any():
                _mean_line(axes, x, group["shuffled_mean"], color=colour, linestyle="--")
                handles["null mean"] = Line2D([], [], color="0.4", linestyle="--")
        axes.set_xlabel(label.replace("_", " "))
        axes.set_ylabel(name)
        name_ticks_plainly(axes.yaxis)
        if measure == "z_score":
            axes.axhline(0, color="0.8", linewidth=0.8, zorder=0)
        axes.xaxis.set_major_locator(MaxNLocator(integer=bool((x % 1 == 0).all())))
    add_title(figure, f"{results.title}: over {label.replace('_', ' ')}")
    names = [textwrap.shorten(name, 60, placeholder=" …") for name in handles]
    figure.legend(handles.values(), names, loc="outside lower center", ncols=2, fontsize=8)
    return figure


def _mean_line(axes: Axes, x: pandas.Series, y: pandas.Series, **look: Any) -> Line2D:
    means = y.astype(float).groupby(x).mean()
    (line,) = axes.plot(means.index, means, linewidth=1.4, **look)
    return line


def look_of(place: int) -> tuple[tuple[float, float, float, float], str]:
    """Return colour and marker of a condition; more conditions than colours differ in markers."""
    colours = cluster_colours(8)
    return colours[place % 8], _MARKERS[place // 8 % len(_MARKERS)]


def figure_of_networks(results: StudyResults) -> Figure | None:
    """Gather the drawings of clustered networks, the first one of each condition.

    None where no clustering has a drawing.
    """
    drawn = []
    for labels, group in conditions_of(results.networks, results.label_columns):
        picture = _picture(results, group["cluster_run"].iloc[0])
        if picture is not None:
            drawn.append((condition_in_words(labels) or results.title, group.iloc[0], picture))
    if not drawn:
        return None
    shown = drawn[:_MOST_NETWORKS]
    n_columns = min(len(shown), 2 if len(shown) in (2, 4) else 3)
    n_rows = -(-len(shown) // n_columns)
    ratio = max(picture.shape[0] / picture.shape[1] for *_, picture in shown)
    width = 10 / n_columns if n_columns > 1 else 6.5
    size = (n_columns * width, 0.6 + n_rows * (width * ratio + 0.45))
    figure = Figure(figsize=size, layout="constrained")
    places = figure.subplots(n_rows, n_columns, squeeze=False).ravel()
    for axes, (name, row, picture) in zip(places, shown, strict=False):
        axes.imshow(picture, interpolation="antialiased")
        lines = [*textwrap.wrap(name, int(12 * width)), f"n-cut {row['ncut']:.3f}"]
        axes.set_title("\n".join(lines), fontsize=8)
    for axes in places:
        axes.axis("off")
    more = (
        f" (the first {len(shown)} of {len(drawn)} conditions)" if len(drawn) > len(shown) else ""
    )
    add_title(figure, f"{results.title}: clustered networks, one of each condition{more}")
    return figure


def _picture(results: StudyResults, run_id: RunId) -> NDArray[np.uint8] | None:
    """Return the drawing of a clustering, made small."""
    from PIL import Image

    try:
        content = results.runs[run_id].artifact("network.png")
    except (RunNotFoundError, DamagedArtifactError):
        return None
    with Image.open(io.BytesIO(content)) as picture:
        small = picture.convert("RGB")
        small.thumbnail((_PIXELS, _PIXELS))
        return np.asarray(small)


def _wrapped(name: str) -> str:
    return "\n".join(textwrap.wrap(name, _WIDTH_OF_NAMES)) or name

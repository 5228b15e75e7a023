"""Figures of the single lesions of sub-clusters."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from nn_clustering.reports._figure_text import add_title, several
from nn_clustering.reports._sub_cluster_figure_parts import (
    HARM,
    RANDOM,
    Change,
    LayerSpan,
    Significance,
    add_colour_bar,
    colour_norm,
    draw_heat_map,
    layer_spans,
    linear_limit,
    name_sub_clusters,
    scale_axis,
    shortened,
    with_scale,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Normalize
    from numpy.typing import NDArray

    from nn_clustering.lesions import LesionTest

# More sub-clusters than this have the names of their layers only.
_MOST_NAMED = 200
# About how many stand in one row.
_NAMED_A_ROW = 48
_UNNAMED_A_ROW = 110
# Figures wider than this, in inches, have legends in two columns.
_WIDE = 11
# More classes than this cannot all be named below a heat map; of more there are as many.
_MOST_CLASSES = 50
_CLASSES_OF_MANY = 40
# Inches and columns of a heat map of all classes, sorted.
_SORTED = 1.8
_SORTED_COLUMNS = 120
# Inches of the column of marks.
_MARKED = 0.45
# Of sub-clusters: significant also if corrected for all, only if not, and not at all.
_MARKS = (
    {"marker": "D", "markerfacecolor": HARM, "markeredgecolor": HARM},
    {"marker": "D", "markerfacecolor": "white", "markeredgecolor": HARM},
    {"marker": "o", "markerfacecolor": "white", "markeredgecolor": "#525252"},
)


def figure_of_lesions(test: LesionTest, title: str) -> Figure:
    """Draw the change by every sub-cluster's lesion beside that by its random lesions.

    Marks tell whose importance is significant, corrected for all of them and not. Many sub-clusters
    go into several rows.

    Args:
        test: The lesion test.
        title: Of the figure.
    """
    change = Change.of_task(test.task, test.group_kind)
    true, random = change.factor * test.mean_changes, change.factor * test.random_mean_changes
    count = len(true)
    named = count <= _MOST_NAMED
    rows = _rows(layer_spans(test.sub_clusters), _NAMED_A_ROW if named else _UNNAMED_A_ROW)
    longest = max(len(row) for row in rows)
    inches = max((0.19 if named else 0.08) * longest, 4.8)
    # long names of layers are written upwards
    of_names = 0.06 * max(len(shortened(sub.layer)) - 12 for sub in test.sub_clusters)
    height = 1.4 + ((4.2 if len(rows) == 1 else 2.7) + max(of_names, 0)) * len(rows)
    figure = Figure(figsize=(inches + 1.2, height), layout="constrained")
    panels = figure.subplots(len(rows), 1, sharey=True, squeeze=False)[:, 0]
    found = Significance.of_measure(test.importance)
    for axes, row in zip(panels, rows, strict=True):
        _draw_dots(axes, found, row, (true, random), large=named)
        subs = test.sub_clusters[row.start : row.stop]
        for span in layer_spans(subs)[1:]:
            axes.axvline(span.start - 0.5, color="#d9d9d9", linewidth=0.8, zorder=0)
        name_sub_clusters(axes.xaxis, subs, inches * len(row) / longest)
        axes.set_xlim(-0.7, longest - 0.3)
    shown = np.concatenate([true, random.ravel()])
    limit = scale_axis(panels[0], shown, linear_limit(shown, test.task))
    panels[-1].set_xlabel("cluster (units), layer" if named else "sub-clusters of the layers")
    _label_changes(figure, panels.tolist(), with_scale(change.of_mean, limit))
    add_title(figure, title)
    handles = [
        Line2D([], [], linestyle="", marker="o", color=RANDOM, markersize=4),
        *(
            Line2D([], [], linestyle="", markersize=5, **mark)  # type: ignore[arg-type]
            for mark in _MARKS
        ),
    ]
    labels = [
        "as many random units of the layer",
        *(f"sub-cluster, importance {words}" for words in found.in_words),
    ]
    n_columns = 2 if figure.get_figwidth() > _WIDE else 1
    figure.legend(handles, labels, loc="outside lower center", ncols=n_columns, fontsize=8)
    return figure


def _label_changes(figure: Figure, panels: NDArray[Any], label: str) -> None:
    """Say once what the vertical axes are: beside the one, or in the middle of several."""
    if len(panels) == 1:
        panels[0].set_ylabel(label)
    else:
        figure.supylabel(label, fontsize=10, multialignment="center")


def _rows(spans: Sequence[LayerSpan], most: int) -> list[range]:
    """Divide places into rows of about the same length, if possible between two layers.

    Layers of more places than ``most`` are divided.
    """
    n_rows = math.ceil(spans[-1].end / most)
    fair = spans[-1].end / n_rows
    starts = [start for span in spans for start in range(span.start, span.end, most)]
    ends = [*starts[1:], spans[-1].end]
    # each to the row that its middle lies in, if all were of the same length
    of_row = [int((start + end) / 2 / fair) for start, end in zip(starts, ends, strict=True)]
    begins = [starts[of_row.index(row)] for row in sorted(set(of_row))]
    return [range(start, stop) for start, stop in pairwise([*begins, spans[-1].end])]


def _draw_dots(
    axes: Axes,
    found: Significance,
    row: range,
    changes: tuple[NDArray[np.float64], NDArray[np.float64]],
    *,
    large: bool,
) -> None:
    true, random = (values[row.start : row.stop] for values in changes)
    places = np.arange(len(row))
    axes.scatter(
        np.repeat(places, random.shape[1]), random.ravel(), s=9 if large else 2, color=RANDOM
    )
    kinds = (found.corrected, found.uncorrected, ~(found.corrected | found.uncorrected))
    for mark, of_kind in zip(_MARKS, kinds, strict=True):
        at = np.flatnonzero(of_kind[row.start : row.stop])
        axes.scatter(
            places[at],
            true[at],
            s=28 if large else 6,
            marker=mark["marker"],
            linewidths=1 if large else 0.5,
            edgecolors=mark["markeredgecolor"],
            facecolors=mark["markerfacecolor"],
            zorder=3,
        )
    axes.axhline(0, color="black", linewidth=0.6, zorder=0)


def figure_of_class_changes(test: LesionTest, title: str) -> Figure:
    """Draw the change of every class (or group of targets) by every lesion as a heat map.

    Rows are sub-clusters, layer by layer; dots beside them mark small p-values if there are any,
    filled ones those that are small also if corrected for all sub-clusters. Colours are logarithmic
    beyond small changes, so that one drastic lesion does not hide the others. Of more classes than
    can be named those are shown that lesions harm most beyond their mean over classes, in their
    order; beside them stand the changes of all classes, each row sorted.

    Args:
        test: The lesion test.
        title: Of the figure.
    """
    change = Change.of_task(test.task, test.group_kind)
    changes = change.factor * test.changes
    n_rows, n_classes = changes.shape
    shown = _singled_out(test)
    down = n_rows * min(0.16, max(14 / n_rows, 0.02))
    across = max(len(shown) * min(0.3, 7 / len(shown)), 2.2)
    all_sorted = len(shown) < n_classes
    found = [Significance.of_measure(measure) for measure in (test.importance, test.coherence)]
    marked = any((of.corrected | of.uncorrected).any() for of in found)
    widths = (across, *((_SORTED,) if all_sorted else ()), *((_MARKED,) if marked else ()))
    names = [shortened(test.groups[index]) for index in shown]
    turned = max(map(len, names)) * 0.09 > across / len(shown)
    of_names = 0.07 * max(map(len, names)) if turned else 0.2
    figure = Figure(
        figsize=(max(sum(widths) + 3.4, 6), max(down + 1.6 + of_names, 4)), layout="constrained"
    )
    panels = figure.subplots(1, len(widths), sharey=True, width_ratios=widths, squeeze=False)[0]
    heat = panels[0]
    norm = colour_norm(changes, test.task)
    draw_heat_map(heat, changes[:, shown], test.task, norm)
    if all_sorted:
        _draw_sorted(panels[1], changes, test, norm)
        heat.set_title(_which_in_words(len(shown), n_classes, change.group), fontsize=8)
    for axes in panels[: 1 + all_sorted]:
        for span in layer_spans(test.sub_clusters)[1:]:
            axes.axhline(span.start - 0.5, color="black", linewidth=0.5)
    named = name_sub_clusters(heat.yaxis, test.sub_clusters, down)
    heat.set_ylabel("layer, cluster (units)" if named else "sub-clusters of the layers")
    heat.set_xticks(range(len(shown)), names, fontsize=7, rotation=90 if turned else 0)
    heat.set_xlabel(change.group)
    if marked:
        _mark_p_values(panels[-1], found, size=min(18, 900 * down / n_rows**1.5))
    add_colour_bar(figure, heat, panels[-1], change.of_group)
    _explain_p_values(figure, found[0], marked=marked)
    add_title(figure, title)
    return figure


def _singled_out(test: LesionTest) -> NDArray[np.intp]:
    """Return which classes are shown, ascending: all if they can be named.

    Of more each lesion names the class that it harms most beyond its mean over classes, those that
    do so by most first; then each its second, and so on.
    """
    n_classes = len(test.groups)
    if n_classes <= _MOST_CLASSES:
        return np.arange(n_classes)
    beyond = test.harm * (test.changes - test.mean_changes[:, np.newaxis])
    ranked = np.argsort(-beyond, axis=1, kind="stable")[:, :_CLASSES_OF_MANY]
    harms = np.take_along_axis(beyond, ranked, axis=1)
    order = np.argsort(-harms, axis=0, kind="stable")
    named = np.take_along_axis(ranked, order, axis=0).T.ravel()
    _, first = np.unique(named, return_index=True)
    return np.sort(named[np.sort(first)[:_CLASSES_OF_MANY]])


def _which_in_words(n_shown: int, n_classes: int, group: str) -> str:
    return f"{n_shown} of {n_classes:,} {several(group)}"


def _draw_sorted(
    axes: Axes, changes: NDArray[np.float64], test: LesionTest, norm: Normalize
) -> None:
    """Draw the changes of all classes, each row from the one most harmed to the one least."""
    n_classes = changes.shape[1]
    ordered = np.sort(changes, axis=1)[:, :: -test.harm]
    # not more columns than points of the picture, the ends among them
    kept = np.linspace(0, n_classes - 1, min(n_classes, _SORTED_COLUMNS)).round().astype(int)
    draw_heat_map(axes, ordered[:, kept], test.task, norm)
    axes.tick_params(axis="y", which="both", left=False, labelleft=False)
    ends = (0, (len(kept) - 1) / 2, len(kept) - 1)
    axes.set_xticks(ends, ["most harmed", "median", "least harmed"], fontsize=7, rotation=90)
    axes.set_title(f"all {n_classes:,}, sorted", fontsize=8)


def _mark_p_values(axes: Axes, measures: Sequence[Significance], size: float) -> None:
    """Mark the sub-clusters of small p-values, in a column for importance and one for coherence."""
    for column, found in enumerate(measures):
        for of_kind, inside in ((found.corrected, "black"), (found.uncorrected, "white")):
            places = np.flatnonzero(of_kind)
            axes.scatter(
                np.full(places.size, column),
                places,
                s=size,
                facecolors=inside,
                edgecolors="black",
                linewidths=0.8,
            )
    axes.set_xticks([0, 1], ["importance", "coherence"], rotation=90, fontsize=7)
    axes.set_xlim(-0.6, 1.6)
    axes.tick_params(axis="y", which="both", left=False, labelleft=False)


def _explain_p_values(figure: Figure, found: Significance, *, marked: bool) -> None:
    """Say what the marks are, or why there are none."""
    if not marked:
        nothing = Line2D([], [], linestyle="")
        told = f"importance and coherence: {found.in_words[2]} of all sub-clusters"
        figure.legend([nothing], [told], loc="outside lower center", fontsize=8, handlelength=0)
        return
    dot = {"linestyle": "", "marker": "o", "color": "black", "markersize": 4}
    handles = [
        Line2D([], [], **dot),  # type: ignore[arg-type]
        Line2D([], [], markerfacecolor="white", **dot),  # type: ignore[arg-type]
    ]
    figure.legend(handles, found.in_words[:2], loc="outside lower center", fontsize=8)

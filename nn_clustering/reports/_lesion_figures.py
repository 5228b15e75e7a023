"""Figures of the single lesions of sub-clusters."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from nn_clustering.reports._lesion_figure_parts import (
    HARM,
    LEVEL,
    RANDOM,
    Change,
    LayerSpan,
    add_colour_bar,
    add_title,
    draw_heat_map,
    layer_spans,
    linear_limit,
    name_sub_clusters,
    scale_axis,
    shortened,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from nn_clustering.lesions import LesionTest

# More sub-clusters than this have the names of their layers only.
_MOST_NAMED = 200
# About how many stand in one row.
_NAMED_A_ROW = 48
_UNNAMED_A_ROW = 110


def figure_of_lesions(test: LesionTest, title: str) -> Figure:
    """Draw the change by every sub-cluster's lesion beside that by its random lesions.

    Many sub-clusters go into several rows.

    Args:
        test: The lesion test.
        title: Of the figure.
    """
    change = Change.of_task(test.task)
    true, random = change.factor * test.mean_changes, change.factor * test.random_mean_changes
    count = len(true)
    named = count <= _MOST_NAMED
    rows = _rows(layer_spans(test.sub_clusters), _NAMED_A_ROW if named else _UNNAMED_A_ROW)
    longest = max(len(row) for row in rows)
    inches = max((0.19 if named else 0.08) * longest, 4.8)
    # long names of layers are written upwards
    of_names = 0.06 * max(len(shortened(sub.layer)) - 12 for sub in test.sub_clusters)
    height = 1.1 + ((4.2 if len(rows) == 1 else 2.7) + max(of_names, 0)) * len(rows)
    figure = Figure(figsize=(inches + 1.2, height), layout="constrained")
    panels = figure.subplots(len(rows), 1, sharey=True, squeeze=False)[:, 0]
    for axes, row in zip(panels, rows, strict=True):
        _draw_dots(axes, test, row, (true, random), large=named)
        subs = test.sub_clusters[row.start : row.stop]
        for span in layer_spans(subs)[1:]:
            axes.axvline(span.start - 0.5, color="#d9d9d9", linewidth=0.8, zorder=0)
        name_sub_clusters(axes.xaxis, subs, inches * len(row) / longest)
        axes.set_xlim(-0.7, longest - 0.3)
    shown = np.concatenate([true, random.ravel()])
    scale_axis(panels[0], shown, linear_limit(shown, test.task))
    panels[-1].set_xlabel("cluster (units), layer" if named else "sub-clusters of the layers")
    figure.supylabel(change.of_mean, fontsize=10, multialignment="center")
    add_title(figure, title)
    dot = {"linestyle": "", "marker": "D", "color": HARM, "markersize": 5}
    handles = [
        Line2D([], [], linestyle="", marker="o", color=RANDOM, markersize=4),
        Line2D([], [], **dot),  # type: ignore[arg-type]
        Line2D([], [], markerfacecolor="white", **dot),  # type: ignore[arg-type]
    ]
    labels = [
        "as many random units of the layer",
        f"sub-cluster, importance p ≤ {LEVEL}",
        f"p > {LEVEL}",
    ]
    figure.legend(handles, labels, loc="outside lower center", ncols=3, fontsize=8)
    return figure


def _rows(spans: Sequence[LayerSpan], most: int) -> list[range]:
    """Divide places into rows of about the same length, if possible between two layers.

    Layers of more places than ``most`` are divided.
    """
    fair = spans[-1].end / math.ceil(spans[-1].end / most)
    rows = [range(0)]
    for span in spans:
        pieces = [
            range(start, min(start + most, span.end)) for start in range(span.start, span.end, most)
        ]
        for piece in pieces:
            if rows[-1] and len(rows[-1]) + len(piece) / 2 > fair:
                rows.append(piece)
            else:
                rows[-1] = range(rows[-1].start if rows[-1] else piece.start, piece.stop)
    return rows


def _draw_dots(
    axes: Axes,
    test: LesionTest,
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
    important = test.importance.p_values[row.start : row.stop] <= LEVEL
    axes.scatter(
        places,
        true,
        s=28 if large else 6,
        marker="D",
        linewidths=1 if large else 0.5,
        edgecolors=HARM,
        facecolors=[HARM if filled else "white" for filled in important],
        zorder=3,
    )
    axes.axhline(0, color="black", linewidth=0.6, zorder=0)


def figure_of_class_changes(test: LesionTest, title: str) -> Figure:
    """Draw the change of every class (or group of targets) by every lesion as a heat map.

    Rows are sub-clusters, layer by layer; dots beside them mark small p-values. Colours are
    logarithmic beyond small changes, so that one drastic lesion does not hide the others.

    Args:
        test: The lesion test.
        title: Of the figure.
    """
    change = Change.of_task(test.task)
    n_rows, n_columns = test.changes.shape
    down = n_rows * min(0.16, max(14 / n_rows, 0.02))
    across = max(n_columns * min(0.3, 7 / n_columns), 2.2)
    figure = Figure(figsize=(max(across + 3.6, 6), max(down + 1.8, 4)), layout="constrained")
    heat, marks = figure.subplots(1, 2, sharey=True, width_ratios=(across, 0.45))
    draw_heat_map(heat, change.factor * test.changes, test.task)
    for span in layer_spans(test.sub_clusters)[1:]:
        heat.axhline(span.start - 0.5, color="black", linewidth=0.5)
    named = name_sub_clusters(heat.yaxis, test.sub_clusters, down)
    heat.set_ylabel("layer, cluster (units)" if named else "sub-clusters of the layers")
    _label_groups(heat, test.groups, across)
    heat.set_xlabel(change.group)
    _mark_p_values(marks, test, size=min(18, 900 * down / n_rows**1.5))
    add_colour_bar(figure, heat, marks, change.of_group)
    add_title(figure, title)
    return figure


def _label_groups(axes: Axes, names: Sequence[str], inches: float) -> None:
    every = math.ceil(0.13 * len(names) / inches)
    shown = [shortened(name) for name in names[::every]]
    turned = max(map(len, shown)) * 0.09 > every * inches / len(names)
    axes.set_xticks(range(0, len(names), every), shown, fontsize=7, rotation=90 if turned else 0)


def _mark_p_values(axes: Axes, test: LesionTest, size: float) -> None:
    """Mark the sub-clusters of small p-values, in a column for each measure."""
    for column, measure in enumerate((test.importance, test.coherence)):
        places = np.flatnonzero(measure.p_values <= LEVEL)
        axes.scatter(np.full(places.size, column), places, s=size, color="black")
    axes.set_xticks([0, 1], ["importance", "coherence"], rotation=90, fontsize=7)
    axes.set_xlim(-0.6, 1.6)
    axes.tick_params(axis="y", which="both", left=False, labelleft=False)
    axes.set_title(f"p ≤ {LEVEL}", fontsize=7)

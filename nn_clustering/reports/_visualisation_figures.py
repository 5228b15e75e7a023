"""Figure of what inputs optimised for sub-clusters say, beside random sub-clusters."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from nn_clustering.reports._figure_text import add_title, set_plain_ticks
from nn_clustering.reports._lesion_figure_parts import (
    HARM,
    LEVEL,
    RANDOM,
    empty_figure,
    layer_spans,
    name_sub_clusters,
    shortened,
    ticks_of_scale,
)
from nn_clustering.reports._lesion_null_figures import standardised_by_draws
from nn_clustering.significance import fisher_combination, p_in_words

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from nn_clustering.significance import Measure
    from nn_clustering.visualisation import VisualisationTest

# The scale is linear up to so many standard deviations, which random values seldom exceed, and
# logarithmic beyond.
_LINEAR = 3.0
# Inches of a sub-cluster's row, and the least that has room for its name; of all rows where there
# are many, a page, and more than that if all are named then.
_ROW, _NAMED_ROW, _PAGE, _LONGEST = 0.16, 0.12, 9.0, 12.0
_LARGE = 120  # more sub-clusters than this have smaller marks
_NOT_COMBINED = "#8c8c8c"


@dataclass(frozen=True, eq=False)
class _Panel:
    """One measure.

    Attributes:
        name: What it measures.
        values: Of the sub-clusters (column 0) and their random ones, shape (sub-clusters, 1 +
            n_shuffles).
        measure: What they say.
        extreme: The side on which extreme values lie.
    """

    name: str
    values: NDArray[np.float64]
    measure: Measure
    extreme: str


def figure_of_visualisation_nulls(test: VisualisationTest, title: str) -> Figure:
    """Draw score and entropy of every sub-cluster beside those of its random ones.

    A row is a sub-cluster, layer by layer. Values are in standard deviations (n - 1) of those of
    its random ones from their mean, which its own has no part in, so that layers and sizes can be
    compared: on a linear scale up to three of them, a logarithmic one beyond. Above stand the
    p-values of all that are combined.

    Args:
        test: The test.
        title: Of the figure.
    """
    if not test.sub_clusters:
        return empty_figure("no sub-clusters", title)
    panels = [_Panel("score", test.scores, test.score, "right")]
    if test.entropies is not None and test.entropy is not None:
        panels.append(_Panel("output entropy", test.entropies, test.entropy, "left"))
    count = len(test.sub_clusters)
    down = _height(count)
    # long names of layers take up room of their own
    of_names = 0.065 * max(len(shortened(sub.layer)) for sub in test.sub_clusters)
    width = max(1.1 + of_names + 2.6 * len(panels), 5.0)
    figure = Figure(figsize=(width, down + 2.2), layout="constrained")
    drawn = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    has_others = not test.combined.all()
    for axes, panel in zip(drawn, panels, strict=True):
        _draw(axes, panel, large=count <= _LARGE)
        for span in layer_spans(test.sub_clusters)[1:]:
            axes.axhline(span.start - 0.5, color="#bfbfbf", linewidth=0.6, zorder=0)
    for axes in drawn[1:]:
        axes.tick_params(axis="y", which="both", left=False, labelleft=False)
    named = name_sub_clusters(drawn[0].yaxis, test.sub_clusters, down)
    of_rows = "layer, cluster (units)" if named else "sub-clusters of the layers"
    drawn[0].set_ylabel(of_rows, fontsize=8)
    drawn[0].set_ylim(count - 0.4, -0.6)
    _explain(figure, has_others=has_others, n_columns=2 if len(panels) > 1 else 1)
    add_title(figure, title)
    return figure


def _height(count: int) -> float:
    """Return the inches of so many rows."""
    named = count * _NAMED_ROW
    return min(count * _ROW, max(named, _PAGE) if named <= _LONGEST else _PAGE)


def _draw(axes: Axes, panel: _Panel, *, large: bool) -> None:
    scores, used = standardised_by_draws(panel.values)
    rows = np.flatnonzero(used)
    n_draws = scores.shape[1] - 1
    axes.axvline(0, color="black", linewidth=0.6, zorder=0)
    axes.scatter(
        scores[:, 1:].ravel(),
        np.repeat(rows, n_draws),
        s=7 if large else 2,
        color=RANDOM,
        linewidths=0,
        rasterized=not large,  # tens of thousands of dots
    )
    is_small = panel.measure.p_values[rows] <= LEVEL
    is_combined = panel.measure.combined[rows]
    edges = [HARM if one else _NOT_COMBINED for one in is_combined.tolist()]
    faces = [
        edge if small else "white" for edge, small in zip(edges, is_small.tolist(), strict=True)
    ]
    axes.scatter(
        scores[:, 0],
        rows,
        s=22 if large else 6,
        marker="D",
        linewidths=0.9 if large else 0.5,
        edgecolors=edges,
        facecolors=faces,
        zorder=3,
    )
    _scale(axes, scores)
    axes.set_xlabel(
        f"{panel.name}, in sd of the random ones\n({panel.extreme} is extreme)", fontsize=8
    )
    axes.tick_params(axis="x", labelsize=7.5)
    notes = [f"{panel.name}: {_combined_in_words(panel.measure)}"]
    if n_left_out := int((~used).sum()):
        notes.append(f"({n_left_out} left out: random ones without spread)")
    axes.set_title("\n".join(notes), fontsize=7.5)


def _scale(axes: Axes, scores: NDArray[np.float64]) -> None:
    """Make the horizontal axis linear in the middle, logarithmic beyond if anything lies there."""
    low, high = scores.min(initial=-_LINEAR), scores.max(initial=_LINEAR)
    if max(-low, high) <= 2 * _LINEAR:
        axes.set_xlim(low - 0.4, high + 0.4)
        return
    axes.set_xscale("symlog", linthresh=_LINEAR, linscale=1.5)
    margin = 1.4 * (max(-low, high) / _LINEAR) ** 0.06  # on a long scale a larger one
    axes.set_xlim(margin * low, margin * high)
    ticks = ticks_of_scale(_LINEAR, max(-low, high))
    decades = [tick for tick in ticks if f"{abs(tick):e}".startswith("1") or abs(tick) <= _LINEAR]
    every = math.ceil(len(decades) / 9)
    shown = [tick for tick in decades if low <= tick <= high]
    set_plain_ticks(axes.xaxis, shown[::every] if every > 1 else shown)


def _combined_in_words(measure: Measure) -> str:
    p_values = measure.p_values[measure.combined]
    if not p_values.size:
        return "nothing to combine"
    fisher = fisher_combination(p_values, measure.n_null)
    joint = f"{p_in_words(measure.joint_p, 'joint p')}, " if measure.joint is not None else ""
    return f"{joint}{p_in_words(fisher, 'Fisher p')}"


def _explain(figure: Figure, *, has_others: bool, n_columns: int) -> None:
    dot = {"linestyle": "", "marker": "D", "markersize": 4.5}
    handles = [
        Line2D([], [], linestyle="", marker="o", color=RANDOM, markersize=3.5),
        Line2D([], [], color=HARM, **dot),  # type: ignore[arg-type]
        Line2D([], [], color=HARM, markerfacecolor="white", **dot),  # type: ignore[arg-type]
    ]
    labels = [
        "as many random units of the layer",
        f"sub-cluster, p ≤ {LEVEL}, not corrected",
        f"p > {LEVEL}",
    ]
    if has_others:
        grey = Line2D([], [], color=_NOT_COMBINED, markerfacecolor="white", **dot)  # type: ignore[arg-type]
        handles.append(grey)
        labels.append("not combined: all of its layer's units")
    figure.legend(handles, labels, loc="outside lower center", ncols=n_columns, fontsize=7.5)

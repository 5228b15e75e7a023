"""Figure of what inputs optimised for sub-clusters say, beside random sub-clusters."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from nn_clustering.reports._figure_text import add_title, name_ticks_plainly, set_plain_ticks
from nn_clustering.reports._lesion_figure_parts import (
    HARM,
    RANDOM,
    Significance,
    empty_figure,
    layer_spans,
    name_sub_clusters,
    shortened,
    ticks_of_scale,
)
from nn_clustering.reports._lesion_null_figures import combined_in_words, standardised_by_draws

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
_GREY = "#525252"
# Of sub-clusters: significant also if corrected for all, only if not, not at all; and what is not
# combined with others: shape, inside and outside.
_MARKS = (("D", HARM, HARM), ("D", "white", HARM), ("o", "white", _GREY), ("s", "white", _GREY))


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
    figure = Figure(figsize=(width, down + 2.5), layout="constrained")
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
    _explain(figure, Significance.of(test.score.p_values), has_others=has_others)
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
    for (shape, inside, outside), of_kind in zip(_MARKS, _kinds(panel.measure), strict=True):
        at = of_kind[rows]
        axes.scatter(
            scores[at, 0],
            rows[at],
            s=22 if large else 6,
            marker=shape,
            linewidths=0.9 if large else 0.5,
            edgecolors=outside,
            facecolors=inside,
            zorder=3,
        )
    scale = f"{panel.extreme} is extreme{_scale(axes, scores)}"
    axes.set_xlabel(f"{panel.name} (sd of the random ones;\n{scale})", fontsize=8)
    axes.tick_params(axis="x", labelsize=7.5)
    measure = panel.measure
    in_words = combined_in_words(measure) if measure.combined.any() else "nothing to combine"
    notes = [f"{panel.name}: {in_words}"]
    if n_left_out := int((~used).sum()):
        notes.append(f"({n_left_out} left out: random ones without spread)")
    axes.set_title("\n".join(notes), fontsize=7.5)


def _kinds(measure: Measure) -> tuple[NDArray[np.bool_], ...]:
    """Return which sub-clusters have which mark."""
    found, combined = Significance.of(measure.p_values), measure.combined
    others = combined & ~found.corrected & ~found.uncorrected
    return combined & found.corrected, combined & found.uncorrected, others, ~combined


def _scale(axes: Axes, scores: NDArray[np.float64]) -> str:
    """Make the horizontal axis linear in the middle, logarithmic beyond if anything lies there.

    Returns:
        What is to be said of it.
    """
    low, high = scores.min(initial=-_LINEAR), scores.max(initial=_LINEAR)
    if max(-low, high) <= 2 * _LINEAR:
        axes.set_xlim(low - 0.4, high + 0.4)
        name_ticks_plainly(axes.xaxis)
        return ""
    axes.set_xscale("symlog", linthresh=_LINEAR, linscale=1.5)
    margin = 1.4 * (max(-low, high) / _LINEAR) ** 0.06  # on a long scale a larger one
    axes.set_xlim(margin * low, margin * high)
    ticks = ticks_of_scale(_LINEAR, max(-low, high))
    decades = [tick for tick in ticks if f"{abs(tick):e}".startswith("1") or abs(tick) <= _LINEAR]
    every = math.ceil(len(decades) / 9)
    shown = [tick for tick in decades if low <= tick <= high]
    set_plain_ticks(axes.xaxis, shown[::every])
    return f", logarithmic beyond \N{PLUS-MINUS SIGN}{_LINEAR:g}"


def _explain(figure: Figure, found: Significance, *, has_others: bool) -> None:
    marks = [("o", RANDOM, RANDOM), *_MARKS[: None if has_others else -1]]
    handles = [
        Line2D(
            [],
            [],
            linestyle="",
            marker=shape,
            markerfacecolor=inside,
            markeredgecolor=outside,
            markersize=4,
        )
        for shape, inside, outside in marks
    ]
    labels = [
        "as many random units of the layer",
        *(f"sub-cluster, {words}" for words in found.in_words),
        "all units of its layer, of which nothing can be said",
    ]
    figure.legend(handles, labels[: len(handles)], loc="outside lower center", fontsize=7.5)

"""Figure of what inputs optimised for sub-clusters say, beside random sub-clusters."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from nn_clustering.reports._figure_text import (
    add_title,
    name_ticks_plainly,
    plain_number,
    set_plain_ticks,
)
from nn_clustering.reports._lesion_null_figures import combined_in_words, standardised_by_draws
from nn_clustering.reports._sub_cluster_figure_parts import (
    HARM,
    RANDOM,
    Significance,
    empty_figure,
    layer_spans,
    name_sub_clusters,
    shortened,
    ticks_of_scale,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from nn_clustering.significance import Measure
    from nn_clustering.visualisation import VisualisationTest

# Scales are linear up to here and logarithmic beyond: for scores what random ones seldom exceed,
# for entropies the least that matters.
_LINEAR, _LEAST_NATS = 3.0, 1e-6
# Entropies that lie farther apart than this have a logarithmic scale.
_FAR_APART = 30.0
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
        unit: Of the values.
        values: Of sub-clusters (column 0) and their random ones, as shown, shape (rows, 1 +
            n_shuffles).
        rows: Which sub-clusters these are.
        measure: What they say.
        extreme: The side on which extreme values lie.
        linear: Up to where the scale is linear; None for all of it.
    """

    name: str
    unit: str
    values: NDArray[np.float64]
    rows: NDArray[np.intp]
    measure: Measure
    extreme: str
    linear: float | None

    @classmethod
    def of_scores(cls, test: VisualisationTest) -> _Panel:
        """Return scores in standard deviations of the random ones, where these have any."""
        values, used = standardised_by_draws(test.scores)
        linear = _LINEAR if np.abs(values).max(initial=0) > 2 * _LINEAR else None
        unit = "sd of the random ones"
        return cls("score", unit, values, np.flatnonzero(used), test.score, "right", linear)

    @classmethod
    def of_entropies(cls, entropies: NDArray[np.float64], measure: Measure) -> _Panel:
        """Return entropies as they are: what is sure differs by orders of magnitude."""
        linear = None
        if np.quantile(entropies, 0.1) * _FAR_APART < entropies.max(initial=0):
            least = max(np.quantile(entropies, 0.1), _LEAST_NATS)
            linear = 10.0 ** math.floor(math.log10(least) + 1e-9)
        rows = np.arange(len(entropies))
        return cls("output entropy", "nats", entropies, rows, measure, "left", linear)


def figure_of_visualisation_nulls(test: VisualisationTest, title: str) -> Figure:
    """Draw score and entropy of every sub-cluster beside those of its random ones.

    A row is a sub-cluster, layer by layer. Scores are in standard deviations (n - 1) of those of
    its random ones from their mean, which its own has no part in, so that layers and sizes can be
    compared; entropies are as they are. Scales are logarithmic beyond small values where they must
    be. Above stand the p-values of all sub-clusters together.

    Args:
        test: The test.
        title: Of the figure.
    """
    if not test.sub_clusters:
        return empty_figure("no sub-clusters", title)
    panels = [_Panel.of_scores(test)]
    if test.entropies is not None and test.entropy is not None:
        panels.append(_Panel.of_entropies(test.entropies, test.entropy))
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
    found = Significance.of(test.score.p_values[test.combined])
    _explain(figure, found, has_others=has_others)
    add_title(figure, title)
    return figure


def _height(count: int) -> float:
    """Return the inches of so many rows."""
    named = count * _NAMED_ROW
    return min(count * _ROW, max(named, _PAGE) if named <= _LONGEST else _PAGE)


def _draw(axes: Axes, panel: _Panel, *, large: bool) -> None:
    values, rows = panel.values, panel.rows
    n_draws = values.shape[1] - 1
    axes.axvline(0, color="black", linewidth=0.6, zorder=0)
    axes.scatter(
        values[:, 1:].ravel(),
        np.repeat(rows, n_draws),
        s=7 if large else 2,
        color=RANDOM,
        linewidths=0,
        rasterized=not large,  # tens of thousands of dots
    )
    for (shape, inside, outside), of_kind in zip(_MARKS, _kinds(panel.measure), strict=True):
        at = of_kind[rows]
        axes.scatter(
            values[at, 0],
            rows[at],
            s=22 if large else 6,
            marker=shape,
            linewidths=0.9 if large else 0.5,
            edgecolors=outside,
            facecolors=inside,
            zorder=3,
        )
    scale = f"{panel.extreme} is extreme{_scale(axes, panel)}"
    axes.set_xlabel(f"{panel.name} ({panel.unit};\n{scale})", fontsize=8)
    axes.tick_params(axis="x", labelsize=7.5)
    measure = panel.measure
    in_words = combined_in_words(measure) if measure.combined.any() else "nothing to combine"
    notes = [f"{panel.name}: {in_words}"]
    if n_left_out := measure.p_values.size - rows.size:
        notes.append(f"({n_left_out} left out: random ones without spread)")
    axes.set_title("\n".join(notes), fontsize=7.5)


def _kinds(measure: Measure) -> tuple[NDArray[np.bool_], ...]:
    """Return which sub-clusters have which mark."""
    found, combined = Significance.of_measure(measure), measure.combined
    others = combined & ~found.corrected & ~found.uncorrected
    return found.corrected, found.uncorrected, others, ~combined


def _scale(axes: Axes, panel: _Panel) -> str:
    """Make the horizontal axis linear in the middle, and logarithmic beyond if need be.

    Returns:
        What is to be said of it.
    """
    low, high = panel.values.min(initial=0), panel.values.max(initial=1)
    if panel.linear is None:
        if panel.values.size and panel.values.min() > high / 2:  # from 0 on, marks would hide dots
            low, high = float(panel.values.min()), float(panel.values.max())
        margin = 0.06 * (high - low) or 0.06 * high
        axes.set_xlim(low - margin, high + margin)
        name_ticks_plainly(axes.xaxis)
        return ""
    linear = panel.linear
    axes.set_xscale("symlog", linthresh=linear, linscale=1.5 if linear > 1 else 0.5)
    margin = 1.4 * (max(-low, high) / linear) ** 0.06  # on a long scale a larger one
    low = min(low, -0.5 * linear)
    axes.set_xlim(margin * low, margin * high)
    decades = [
        tick
        for tick in ticks_of_scale(linear, max(-low, high))
        if tick > linear and f"{tick:e}".startswith("1")
    ]
    # as many as have room beside each other, and always 0
    every = max(math.ceil(len(decades) / (3 if low < -linear or linear < 1 else 5)), 1)
    shown = decades[every - 1 :: every]
    if linear > 1:
        shown = [linear, *shown]
    ticks = [*(-tick for tick in reversed(shown)), 0.0, *shown]
    set_plain_ticks(axes.xaxis, [tick for tick in ticks if low <= tick <= high])
    return f", logarithmic beyond {plain_number(linear)}"


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

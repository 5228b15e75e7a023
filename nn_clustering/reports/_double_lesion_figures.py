"""Figure of lesions of two sub-clusters at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from nn_clustering.lesions import DRASTIC
from nn_clustering.reports._figure_text import add_title, counted, plain_number
from nn_clustering.reports._sub_cluster_figure_parts import (
    BENJAMINI_HOCHBERG,
    LEVEL,
    NO_PAIRS,
    Significance,
    add_colour_bar,
    draw_heat_map,
    empty_figure,
    layer_spans,
    name_sub_clusters,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from nn_clustering.lesions import DoubleLesionTest


def figure_of_double_lesions(double: DoubleLesionTest, title: str) -> Figure:
    """Draw the change of accuracy by the lesion of every two sub-clusters as a matrix.

    On the diagonal is that by each alone; a dot marks what is important (methods G11), a filled one
    where its p-value is significant also if corrected for all lesions.

    Args:
        double: The double lesion test.
        title: Of the figure.
    """
    count = len(double.sub_clusters)
    if not count:
        return empty_figure(NO_PAIRS, title)
    inches = max(count * min(0.2, 12 / count), 2.4)
    figure = Figure(figsize=(max(inches + 3, 6), inches + 2.2), layout="constrained")
    axes = figure.subplots()
    draw_heat_map(axes, 100 * double.joint_changes, "classification")
    axes.set_aspect("equal")
    for span in layer_spans(double.sub_clusters)[1:]:
        axes.axhline(span.start - 0.5, color="black", linewidth=0.5)
        axes.axvline(span.start - 0.5, color="black", linewidth=0.5)
    _mark_important(figure, axes, double)
    for axis in (axes.xaxis, axes.yaxis):
        named = name_sub_clusters(axis, double.sub_clusters, inches)
        axis.set_label_text("layer, cluster (units)" if named else "sub-clusters of the layers")
    add_colour_bar(figure, axes, axes, "change of accuracy (percentage points)")
    add_title(figure, title)
    return figure


def _mark_important(figure: Figure, axes: Axes, double: DoubleLesionTest) -> None:
    """Mark important pairs, and say what the marks are."""
    count = len(double.sub_clusters)
    once = np.triu_indices(count)  # each pair, and each sub-cluster alone
    corrected = np.zeros((count, count), bool)
    corrected[once] = Significance.of(double.joint_p[once]).corrected
    corrected |= corrected.T
    n_lesions = counted(once[0].size, "lesion")
    survives = f"also p ≤ {LEVEL} corrected for {n_lesions} ({BENJAMINI_HOCHBERG})"
    size, handles = min(14, 4000 / count**2), []
    # filled marks have an outline that stands out from dark cells
    for marked, inside, outside, told in (
        (corrected, "black", "white", survives),
        (~corrected, "white", "black", f"not corrected for {n_lesions}"),
    ):
        rows, columns = np.nonzero(double.joint_important & marked)
        axes.scatter(columns, rows, s=size, c=inside, edgecolors=outside, linewidths=0.6)
        dot = Line2D([], [], linestyle="", marker="o", color="black", markerfacecolor=inside)
        dot.set(label=told, markersize=4)
        handles.append(dot)
    figure.legend(
        handles=handles,
        title=importance_in_words(double.n_shuffles),
        loc="outside lower center",
        fontsize=8,
        title_fontsize=8,
    )


def importance_in_words(n_shuffles: int) -> str:
    """Return what makes lesions of pairs important (methods G11)."""
    least = plain_number(100 * DRASTIC)
    return f"important: p < 1/{n_shuffles}, and {least} percentage point or less"

"""Figure of lesions of two sub-clusters at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure

from nn_clustering.reports._lesion_figure_parts import (
    NO_PAIRS,
    add_colour_bar,
    add_title,
    draw_heat_map,
    empty_figure,
    layer_spans,
    name_sub_clusters,
)

if TYPE_CHECKING:
    from nn_clustering.lesions import DoubleLesionTest


def figure_of_double_lesions(double: DoubleLesionTest, title: str) -> Figure:
    """Draw the change of accuracy by the lesion of every two sub-clusters as a matrix.

    On the diagonal is that by each alone; a dot marks what is important (methods G11).

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
    rows, columns = np.nonzero(double.joint_important)
    axes.scatter(columns, rows, s=min(12, 4000 / count**2), color="black")
    for axis in (axes.xaxis, axes.yaxis):
        named = name_sub_clusters(axis, double.sub_clusters, inches)
        axis.set_label_text("layer, cluster (units)" if named else "sub-clusters of the layers")
    add_colour_bar(figure, axes, axes, "change of accuracy (percentage points)")
    n_important = int(np.triu(double.joint_important, 1).sum())
    n_pairs = count * (count - 1) // 2
    axes.set_title(f"dots: important, {n_important} of {n_pairs} pairs", fontsize=9)
    add_title(figure, title)
    return figure

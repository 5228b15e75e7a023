"""Figure of a partition."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from nn_clustering.reports._figure_text import add_title
from nn_clustering.reports._palette import (
    ISOLATED_COLOUR,
    cluster_colours,
    cluster_hatches,
    ink_on,
)
from nn_clustering.reports._sub_cluster_figure_parts import shortened

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from nn_clustering.partitions import Partition


# More layers than this stand below each other, and so do some of longer names.
_MOST_ABREAST = 10
_LONGEST_ABREAST = 13
_LEGEND_LINES = 20


def figure_of_clusters(partition: Partition, title: str) -> Figure:
    """Draw how many units of each layer are in each cluster, as stacked shares.

    Layers stand side by side, or below each other if they are many or have long names. Clusters
    of which another has the colour are hatched.
    """
    layers = list(partition.by_layer())
    names = [shortened(layer.name) for layer, _ in layers]
    abreast = len(layers) <= _MOST_ABREAST and max(map(len, names)) <= _LONGEST_ABREAST
    n_columns = 1 + partition.n_clusters // _LEGEND_LINES
    of_legend = 0.8 * n_columns
    if abreast:  # clusters above each other want height for their hatches
        height = min(4.5 + 0.1 * max(partition.n_clusters - 8, 0), 8)
        size = (1.6 + 0.95 * max(len(layers), 2) + of_legend, height)
    else:
        size = (6.2 + of_legend, max(1.2 + 0.17 * len(layers), 4.5))
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots()
    handles = _draw_shares(axes, partition, abreast=abreast)
    places, sizes = range(len(layers)), [layer.n_units for layer, _ in layers]
    if abreast:
        told = [f"{name}\n{count}" for name, count in zip(names, sizes, strict=True)]
        axes.set_xticks(places, told, fontsize=9)
        axes.set_ylabel("share of the layer's units")
        axes.set_xlim(-0.6, len(layers) - 0.4)
        axes.set_ylim(0, 1)
    else:
        told = [f"{name}  {count}" for name, count in zip(names, sizes, strict=True)]
        axes.set_yticks(places, told, fontsize=7)
        axes.set_xlabel("share of the layer's units")
        axes.set_xlim(0, 1)
        axes.set_ylim(len(layers) - 0.5, -0.5)
    add_title(figure, title)
    axes.legend(
        handles=handles[::-1] if abreast else handles,
        title="cluster",
        loc="upper left",
        bbox_to_anchor=(1.01, 1),
        borderaxespad=0,
        frameon=False,
        fontsize=8,
        ncols=n_columns,
        handlelength=2.4,
        handleheight=1.2,
        columnspacing=1.2,
    )
    return figure


def _draw_shares(axes: Axes, partition: Partition, *, abreast: bool) -> list[Patch]:
    """Draw a stack of shares for each layer, upwards or to the right; return what explains it."""
    layers = list(partition.by_layer())
    looks = _looks(partition.n_clusters)
    start = np.zeros(len(layers))
    handles = []
    for label in [*range(partition.n_clusters), -1]:
        counts = np.array([(labels == label).sum() for _, labels in layers])
        if label == -1 and not counts.any():
            continue
        share = counts / [layer.n_units for layer, _ in layers]
        if abreast:
            axes.bar(range(len(layers)), share, bottom=start, **looks[label])
        else:
            axes.barh(range(len(layers)), share, left=start, **looks[label])
        start += share
        name = "isolated" if label == -1 else str(label)
        handles.append(Patch(label=name, **looks[label]))
    return handles


def _looks(n_clusters: int) -> list[dict[str, Any]]:
    """Return how bars look: one look a cluster, and in the last place that of isolated units."""
    colours = cluster_colours(n_clusters)
    return [
        # hatches have the colour of the edge, which itself is not drawn
        {"facecolor": colour, "hatch": hatch, "edgecolor": ink_on(colour), "linewidth": 0}
        for colour, hatch in zip(colours, cluster_hatches(n_clusters), strict=True)
    ] + [{"facecolor": ISOLATED_COLOUR, "linewidth": 0}]

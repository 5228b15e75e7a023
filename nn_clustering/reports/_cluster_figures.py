"""Figure of a partition."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure

from nn_clustering.reports._lesion_figure_parts import shortened
from nn_clustering.reports.drawing._network import ISOLATED_COLOUR, cluster_colours

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from nn_clustering.partitions import Partition


# More layers than this stand below each other, and so do some of longer names.
_MOST_ABREAST = 10
_LONGEST_ABREAST = 13


def figure_of_clusters(partition: Partition, title: str) -> Figure:
    """Draw how many units of each layer are in each cluster, as stacked shares.

    Layers stand side by side, or below each other if they are many or have long names.
    """
    layers = list(partition.by_layer())
    names = [shortened(layer.name) for layer, _ in layers]
    abreast = len(layers) <= _MOST_ABREAST and max(map(len, names)) <= _LONGEST_ABREAST
    # titles need 6 inches; a column of the legend holds 16 clusters
    n_columns = 1 + partition.n_clusters // 16
    if abreast:
        size = (max(1.6 + 1.1 * len(layers) + n_columns, 6), 4.5)
    else:
        size = (7.0 + n_columns, max(1.2 + 0.17 * len(layers), 4.5))
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots()
    _draw_shares(axes, partition, abreast=abreast)
    places, sizes = range(len(layers)), [layer.n_units for layer, _ in layers]
    if abreast:
        told = [f"{name}\n{count}" for name, count in zip(names, sizes, strict=True)]
        axes.set_xticks(places, told, fontsize=9)
        axes.set_ylabel("share of the layer's units")
        axes.set_ylim(0, 1)
    else:
        told = [f"{name}  {count}" for name, count in zip(names, sizes, strict=True)]
        axes.set_yticks(places, told, fontsize=7)
        axes.set_xlabel("share of the layer's units")
        axes.set_xlim(0, 1)
        axes.set_ylim(len(layers) - 0.5, -0.5)
    figure.suptitle(title, fontsize=10)
    figure.legend(
        title="cluster",
        loc="outside right upper",
        fontsize=8,
        reverse=abreast,
        ncols=n_columns,
    )
    return figure


def _draw_shares(axes: Axes, partition: Partition, *, abreast: bool) -> None:
    """Draw a stack of shares for each layer, upwards or to the right."""
    layers = list(partition.by_layer())
    colours = [*cluster_colours(partition.n_clusters), ISOLATED_COLOUR]
    start = np.zeros(len(layers))
    for label in [*range(partition.n_clusters), -1]:
        counts = np.array([(labels == label).sum() for _, labels in layers])
        if label == -1 and not counts.any():
            continue
        share = counts / [layer.n_units for layer, _ in layers]
        name = "isolated" if label == -1 else str(label)
        look = {"color": colours[label], "label": name}
        if abreast:
            axes.bar(range(len(layers)), share, bottom=start, **look)
        else:
            axes.barh(range(len(layers)), share, left=start, **look)
        start += share

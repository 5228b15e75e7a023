"""Figure of a partition."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure

from nn_clustering.reports.drawing._network import ISOLATED_COLOUR, cluster_colours

if TYPE_CHECKING:
    from nn_clustering.partitions import Partition


def figure_of_clusters(partition: Partition, title: str) -> Figure:
    """Draw how many units of each layer are in each cluster, as stacked shares."""
    layers = list(partition.by_layer())
    colours = [*cluster_colours(partition.n_clusters), ISOLATED_COLOUR]
    # titles need 6 inches; a column of the legend holds 16 clusters
    n_columns = 1 + partition.n_clusters // 16
    width = max(1.6 + 1.1 * len(layers) + n_columns, 6)
    figure = Figure(figsize=(width, 4.5), layout="constrained")
    axes = figure.subplots()
    bottom = np.zeros(len(layers))
    for label in [*range(partition.n_clusters), -1]:
        counts = np.array([(labels == label).sum() for _, labels in layers])
        if label == -1 and not counts.any():
            continue
        share = counts / [layer.n_units for layer, _ in layers]
        name = "isolated" if label == -1 else str(label)
        axes.bar(range(len(layers)), share, bottom=bottom, color=colours[label], label=name)
        bottom += share
    axes.set_xticks(
        range(len(layers)), [f"{layer.name}\n{layer.n_units}" for layer, _ in layers], fontsize=9
    )
    axes.set_ylabel("share of the layer's units")
    axes.set_ylim(0, 1)
    figure.suptitle(title, fontsize=10)
    figure.legend(
        title="cluster", loc="outside right upper", fontsize=8, reverse=True, ncols=n_columns
    )
    return figure

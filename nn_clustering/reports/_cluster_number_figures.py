"""Figure of n-cut and eigenvalues over the number of clusters."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from nn_clustering.reports._figure_text import add_title

if TYPE_CHECKING:
    from nn_clustering.partitions import ClusterNumbers


def figure_of_cluster_numbers(numbers: ClusterNumbers, title: str) -> Figure:
    """Draw n-cut / k, the Laplacian's eigenvalues and the eigengap of every k, one above the other.

    A line marks the k of the largest eigengap.
    """
    figure = Figure(figsize=(6, 6.5), layout="constrained")
    panels = figure.subplots(3, 1, sharex=True)
    places = np.arange(1, numbers.eigenvalues.size + 1)
    panels[0].plot(numbers.ks, numbers.ncuts_per_cluster, color="#08519c", marker="o", markersize=4)
    panels[0].set_ylabel("n-cut / k")
    panels[0].set_ylim(bottom=0)
    panels[1].plot(places, numbers.eigenvalues, color="#08519c", marker="o", markersize=4, ls="")
    panels[1].set_ylabel("eigenvalue number k\nof the Laplacian")
    panels[2].bar(numbers.ks, numbers.eigengaps, color="#9ecae1", width=0.6)
    panels[2].set_ylabel("eigengap to\nnumber k + 1")
    panels[2].set_xlabel("number of clusters k")
    panels[2].set_xlim(0.5, max(numbers.ks) + 1.5)
    panels[2].xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    if numbers.suggested is not None:
        for axes in panels:
            line = axes.axvline(numbers.suggested, color="#d62728", linewidth=1, zorder=0)
        told = f"k of the largest eigengap, {numbers.suggested}"
        figure.legend([line], [told], loc="outside lower center", fontsize=8)
    add_title(figure, title)
    return figure

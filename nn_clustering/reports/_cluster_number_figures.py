"""Figure of n-cut and eigenvalues over the number of clusters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from nn_clustering.reports._figure_text import add_title

if TYPE_CHECKING:
    from nn_clustering.partitions import ClusterNumbers


def figure_of_cluster_numbers(numbers: ClusterNumbers, title: str) -> Figure:
    """Draw n-cut / k, the Laplacian's eigenvalues and the eigengap of every k, one above the other.

    A line marks the k of the largest eigengap, where there are several to choose from. What no k
    has is left out, and what some lack is said below.
    """
    cuts, gaps = numbers.ncuts_per_cluster, numbers.eigengaps
    # a bar alone says nothing that the eigenvalues do not
    has_cuts, has_gaps = bool(np.isfinite(cuts).any()), int(np.isfinite(gaps).sum()) > 1
    n_panels = 1 + has_cuts + has_gaps
    figure = Figure(figsize=(6, 0.8 + 1.9 * n_panels), layout="constrained")
    panels = iter(figure.subplots(n_panels, 1, sharex=True, squeeze=False)[:, 0])
    look: dict[str, Any] = {"color": "#08519c", "marker": "o", "markersize": 4}
    if has_cuts:
        axes = next(panels)
        axes.plot(numbers.ks, cuts, **look)
        axes.set_ylabel("n-cut / k")
        most = np.nanmax(cuts) or 1.0
        axes.set_ylim(-0.06 * most, 1.12 * most)  # marks at 0 are whole
    axes = next(panels)
    axes.plot(np.arange(1, numbers.eigenvalues.size + 1), numbers.eigenvalues, ls="", **look)
    axes.set_ylabel("eigenvalue number k\nof the Laplacian")
    if has_gaps:
        axes = next(panels)
        axes.bar(numbers.ks, gaps, color="#9ecae1", width=0.6)
        axes.set_ylabel("eigengap to\nnumber k + 1")
    axes.set_xlabel("number of clusters k")
    axes.set_xlim(0.5, max(numbers.ks) + 1.5)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    told = {}
    if has_gaps and numbers.suggested is not None:
        for axes in figure.axes:
            line = axes.axvline(numbers.suggested, color="#d62728", linewidth=1, zorder=0)
        told[f"k of the largest eigengap, {numbers.suggested}"] = line
    without = [str(k) for k, cut in zip(numbers.ks, cuts, strict=True) if not np.isfinite(cut)]
    if without:
        told[f"no n-cut of k = {', '.join(without)}"] = Line2D([], [], linestyle="")
    if told:
        figure.legend(list(told.values()), list(told), loc="outside lower center", fontsize=8)
    add_title(figure, title)
    return figure

"""Figure of the frequencies that clusters carry (methods J11)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from nn_clustering.reports._figure_text import add_title

# In inches.
_CELL, _LEAST_WIDTH = 0.22, 1.8
# The least share of any cluster's units that makes a frequency worth a column.
_LEAST_SHARE = 0.05


def figure_of_frequencies(shares: Mapping[str, NDArray[np.float64]], title: str) -> Figure:
    """Draw the share of each cluster's units whose dominant frequency is this or that.

    A panel has the frequencies that some cluster there has at least 5% of its units at.

    Args:
        shares: By what to call it, such as a network's seed or layer, the result of
            :meth:`nn_clustering.graphs.UnitFrequencies.by_cluster`.
        title: Of the figure.
    """
    columns = {
        name: np.flatnonzero(of_one.max(axis=0, initial=0) >= _LEAST_SHARE)
        for name, of_one in shares.items()
    }
    widths = [max(_CELL * found.size, _LEAST_WIDTH) for found in columns.values()]
    height = _CELL * max(len(of_one) for of_one in shares.values())
    size = (sum(widths) + 0.7 * len(widths) + 0.9, height + 1.3)
    figure = Figure(figsize=size, layout="constrained")
    panels = figure.subplots(1, len(shares), squeeze=False, width_ratios=widths)[0]
    image = None
    for axes, (name, found) in zip(panels, columns.items(), strict=True):
        image = axes.imshow(shares[name][:, found], cmap="Blues", vmin=0, vmax=1, aspect="auto")
        axes.set_xticks(range(found.size), (found + 1).tolist(), fontsize=7, rotation=90)
        axes.set_yticks(range(len(shares[name])), range(len(shares[name])), fontsize=7)
        axes.set_title(name, fontsize=9)
        axes.set_xlabel("frequency", fontsize=8)
    panels[0].set_ylabel("cluster", fontsize=8)
    if image is not None:
        bar = figure.colorbar(image, ax=panels.tolist(), fraction=0.05, aspect=12)
        bar.set_label("share of units", fontsize=8)
    add_title(figure, title)
    return figure

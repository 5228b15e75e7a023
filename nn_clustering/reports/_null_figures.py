"""Figures of null distributions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from nn_clustering.significance import ShuffleTest

# N-cuts that differ by no more than such a share of themselves are equal but for rounding.
_ROUNDING = 1e-9


def figure_of_null_distribution(
    test: ShuffleTest,
    title: str,
    *,
    name: str = "shuffles",
    against: tuple[str, NDArray[np.float64]] | None = None,
    of_other_seeds: NDArray[np.float64] | None = None,
    remarks: str = "",
) -> Figure:
    """Draw the n-cuts of the shuffles as a histogram, and the network's own as a line.

    Args:
        test: The shuffle test.
        title: Of the figure.
        name: What to call the shuffles.
        against: The name and the n-cuts of another null distribution, to be drawn beside; bars
            are then shares of each, since one can have many more shuffles.
        of_other_seeds: N-cuts of the network, clustered with other seeds; marked as thin lines.
        remarks: What follows z and p under the title.
    """
    figure = Figure(figsize=(6, 4.2), layout="constrained")
    axes = figure.subplots()
    nulls = [(name, test.shuffled_ncuts, "#9ecae1")]
    if against is not None:
        nulls.append((*against, "#fdae6b"))
    for of_null, ncuts, colour in nulls:
        weights = None if against is None else np.full(ncuts.size, 1 / ncuts.size)
        label = f"{ncuts.size} {of_null}"
        axes.hist(ncuts, bins=_bins(ncuts), weights=weights, color=colour, alpha=0.6, label=label)
    axes.axvline(test.ncut, color="#d62728", linewidth=2, label="the network")
    for index, value in enumerate(() if of_other_seeds is None else of_other_seeds):
        once = "" if index else "the network, other seeds"
        axes.axvline(value, color="#d62728", linewidth=0.9, linestyle=(0, (4, 3)), label=once)
    axes.set_xlabel("n-cut")
    if against is None:
        axes.set_ylabel("shuffles")
        axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    else:
        axes.set_ylabel("share of the shuffles")
    axes.margins(x=0.08)
    z_score = "undefined" if np.isnan(test.z_score) else f"{test.z_score:.2f}"
    figures = f"z = {z_score}, p = {test.p_value:.3g}{remarks}"
    axes.set_title(f"{title}\n{figures}", fontsize=10)
    figure.legend(loc="outside lower center", ncols=2, fontsize=9)
    return figure


def figure_of_random_networks(ncuts: Sequence[float], title: str) -> Figure:
    """Draw the n-cuts of fresh networks as a histogram, and their mean as a line.

    Args:
        ncuts: One of each network, two or more.
        title: Of the figure.
    """
    values = np.asarray(ncuts)
    standard_error = values.std(ddof=1) / np.sqrt(values.size)
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    axes.hist(values, bins=_bins(values), color="#9ecae1", label=f"{values.size} networks")
    axes.axvline(values.mean(), color="#d62728", linewidth=2, label="mean")
    axes.set_xlabel("n-cut")
    axes.set_ylabel("networks")
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes.margins(x=0.08)
    axes.set_title(
        f"{title}\nmean {values.mean():.4f}, standard error {standard_error:.4f}", fontsize=10
    )
    figure.legend(loc="outside lower center", ncols=2, fontsize=9)
    return figure


def _bins(ncuts: NDArray[np.float64]) -> list[float]:
    """Return the edges of a histogram's bars; n-cuts that differ by rounding are in one of them."""
    n_bars = int(np.clip(ncuts.size // 4, 5, 40))
    low, high = ncuts.min(), ncuts.max()
    if high - low < _ROUNDING * max(abs(low), abs(high)):
        low, high = low - 0.5, high + 0.5
    edges: list[float] = np.linspace(low, high, n_bars + 1).tolist()
    return edges

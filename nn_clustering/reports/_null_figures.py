"""Figures of null distributions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from nn_clustering.reports._figure_text import add_title, number
from nn_clustering.significance import other_seeds

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from nn_clustering.significance import ShuffleTest

# N-cuts that differ by no more than such a share of themselves are equal but for rounding.
_ROUNDING = 1e-9
_NETWORK = "#d62728"
# Blue and orange stay apart in every kind of colour vision; where they overlap, so do hatches.
_NULLS = (("#9ecae1", None), ("#fdae6b", "///"))
# Bars of less than such a share of the axis are too narrow for lines between them.
_NARROW = 1 / 200


def figure_of_null_distribution(
    test: ShuffleTest,
    title: str,
    *,
    name: str = "shuffles",
    against: tuple[str, NDArray[np.float64]] | None = None,
    of_other_seeds: NDArray[np.float64] | None = None,
    cohens_d: float | None = None,
    lowest_starts_p: float | None = None,
) -> Figure:
    """Draw the n-cuts of the shuffles as a histogram, and the network's own as a line.

    The legend gives z and p, and the smallest and the largest p over the other seeds; a z or d that
    is undefined is left out.

    Args:
        test: The shuffle test.
        title: Of the figure.
        name: What to call the shuffles.
        against: The name and the n-cuts of another null distribution, to be drawn beside; bars
            are then shares of each, since one can have many more shuffles.
        of_other_seeds: N-cuts of the network, clustered with other seeds; marked as thin lines.
        cohens_d: Of the shuffles, less the other null distribution.
        lowest_starts_p: The p-value by the lowest of all k-means starts, where it differs so much
            that it is to be told.
    """
    figure = Figure(figsize=(6, 4.2), layout="constrained")
    axes = figure.subplots()
    nulls = [(name, test.shuffled_ncuts), *([] if against is None else [against])]
    for (of_null, ncuts), (colour, hatch) in zip(nulls, _NULLS, strict=False):
        bins = _bins(ncuts)
        reach = max(bins[-1], test.ncut) - min(bins[0], test.ncut)
        # bars too narrow to be seen are outlined in their own colour
        narrow = bins[1] - bins[0] < _NARROW * reach
        between = (colour, 1.5) if narrow else ("white", 0.5)
        axes.hist(
            ncuts,
            bins=bins,
            weights=None if against is None else np.full(ncuts.size, 1 / ncuts.size),
            color=colour,
            alpha=0.6,
            hatch=hatch,
            edgecolor=between[0] if hatch is None else "#a63603",
            linewidth=between[1] if hatch is None or narrow else 0,
            label=f"{ncuts.size:,} {of_null if ncuts.size > 1 else _one_of(of_null)}",
        )
    _mark_network(axes, test, of_other_seeds)
    axes.set_xlabel("n-cut")
    if against is None:
        axes.set_ylabel(name.split(" (", maxsplit=1)[0])
        axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    else:
        axes.set_ylabel("share of each")
    axes.margins(x=0.08)
    add_title(figure, title)
    handles, labels = axes.get_legend_handles_labels()
    for what, value, spec in (
        ("Cohen's d", cohens_d, ".2f"),
        ("by the lowest starts: p", lowest_starts_p, ".3g"),
    ):
        if value is not None and not np.isnan(value):
            handles.append(Line2D([], [], linestyle=""))
            labels.append(f"{what} = {number(value, spec)}")
    figure.legend(handles, labels, loc="outside lower center", ncols=2, fontsize=8)
    return figure


def _one_of(name: str) -> str:
    """Return what one of several is called, whose name may go on in parentheses."""
    several, *rest = name.split(" (", maxsplit=1)
    return " (".join([several.removesuffix("s"), *rest])


def _mark_network(
    axes: Axes, test: ShuffleTest, of_other_seeds: NDArray[np.float64] | None
) -> None:
    """Draw the n-cut of the network, and those with other seeds, as lines."""
    z = "" if np.isnan(test.z_score) else f"z = {number(test.z_score, '.2f')}, "
    label = f"the network ({z}p = {number(test.p_value, '.3g')})"
    axes.axvline(test.ncut, color=_NETWORK, linewidth=2, label=label)
    if of_other_seeds is None or not of_other_seeds.size:
        return
    p_values = other_seeds(test, of_other_seeds).p_values
    ends = dict.fromkeys(number(p, ".3g") for p in (p_values.min(), p_values.max()))
    label = f"the network, other seeds (p = {' to '.join(ends)})"
    for value in of_other_seeds:
        axes.axvline(value, color=_NETWORK, linewidth=0.9, linestyle=(0, (4, 3)), label=label)
        label = ""


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
    axes.hist(
        values,
        bins=_bins(values),
        color=_NULLS[0][0],
        edgecolor="white",
        linewidth=0.5,
        label=f"{values.size:,} networks",
    )
    mean = f"mean {values.mean():.4f} (standard error {standard_error:.4f})"
    axes.axvline(values.mean(), color=_NETWORK, linewidth=2, label=mean)
    axes.set_xlabel("n-cut")
    axes.set_ylabel("networks")
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes.margins(x=0.08)
    add_title(figure, title)
    figure.legend(loc="outside lower center", ncols=2, fontsize=8)
    return figure


def _bins(ncuts: NDArray[np.float64]) -> list[float]:
    """Return the edges of a histogram's bars; n-cuts that differ by rounding are in one of them."""
    n_bars = int(np.clip(ncuts.size // 4, 5, 40))
    low, high = ncuts.min(), ncuts.max()
    if high - low < _ROUNDING * max(abs(low), abs(high)):
        low, high = low - 0.5, high + 0.5
    edges: list[float] = np.linspace(low, high, n_bars + 1).tolist()
    return edges

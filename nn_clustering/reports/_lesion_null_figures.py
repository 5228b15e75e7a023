"""Figure of where sub-clusters stand among their random ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import scipy.stats
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from nn_clustering.reports._figure_text import MINUS, add_title
from nn_clustering.reports._sub_cluster_figure_parts import HARM, RANDOM, empty_figure
from nn_clustering.significance import fisher_combination, p_in_words

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from nn_clustering.lesions import LesionTest
    from nn_clustering.significance import Measure

_MOST_BARS = 25
# In standard deviations of the random sub-clusters; what is farther is drawn at the edge, counted.
_FARTHEST = 6.0


def figure_of_lesion_nulls(test: LesionTest, title: str) -> Figure:
    """Draw where the sub-clusters stand in their null distributions, for both measures.

    On the left how many random sub-clusters are at least as extreme as the true one: if it is one
    like them, every number is equally frequent. On the right the statistic of the true and the
    random ones, in standard deviations (n - 1) of the random ones from their mean, which the true
    one has no part in. What lies farther out than six is drawn at the edge, and counted there.
    Sub-clusters that do not enter combined p-values are left out, and so is a panel in which there
    would be nothing.

    Args:
        test: The lesion test.
        title: Of the figure.
    """
    measures = [
        (name, measure, np.column_stack([true, random])[measure.combined] * sign)
        for name, measure, true, random, sign in (
            (
                "importance",
                test.importance,
                test.mean_changes,
                test.random_mean_changes,
                1 if test.tail == "right" else -1,
            ),
            ("coherence", test.coherence, test.ranges, test.random_ranges, 1),
        )
        if measure.combined.any()
    ]
    if not measures:
        return empty_figure("no sub-clusters whose p-values can be combined", title)
    figure = Figure(figsize=(7.6, 0.6 + 2.9 * len(measures)), layout="constrained")
    grid = figure.add_gridspec(len(measures), 2)
    told: dict[str, Artist] = {}
    for row, (name, measure, states) in enumerate(measures):
        has_values = standardised_by_draws(states)[1].any()
        panels = [figure.add_subplot(grid[row, 0] if has_values else grid[row, :])]
        _draw_ranks(panels[0], measure)
        panels[0].set_title(f"{name}: {combined_in_words(measure)}", fontsize=9)
        if has_values:
            panels.append(figure.add_subplot(grid[row, 1]))
            _draw_standardised(panels[1], states, name)
        for axes in panels:
            handles, labels = axes.get_legend_handles_labels()
            told |= dict(zip(labels, handles, strict=True))
    figure.legend(list(told.values()), list(told), loc="outside lower center", ncols=3, fontsize=8)
    add_title(figure, title)
    return figure


def combined_in_words(measure: Measure) -> str:
    """Return the p-values of all sub-clusters together that can be combined."""
    p_values = measure.p_values[measure.combined]
    fisher = fisher_combination(p_values, measure.n_null)
    joint = [] if measure.joint is None else [p_in_words(measure.joint_p, "joint p")]
    return ", ".join([*joint, p_in_words(fisher, "Fisher p")])


def _draw_ranks(axes: Axes, measure: Measure) -> None:
    """Draw how many sub-clusters have how many random ones at least as extreme."""
    n_ranks = measure.n_null + 1
    ranks = np.rint(measure.p_values[measure.combined] * n_ranks).astype(int) - 1
    edges = np.unique(np.linspace(0, n_ranks, min(n_ranks, _MOST_BARS) + 1).round()) - 0.5
    expected = np.diff(edges) / n_ranks
    low, high = scipy.stats.binom.interval(0.95, ranks.size, expected)
    axes.hist(ranks, edges.tolist(), color=HARM, alpha=0.85, rwidth=0.85, label="sub-clusters")
    axes.stairs(
        high,
        edges,
        baseline=low,
        fill=True,
        color="#d9d9d9",
        zorder=0,
        label="95% of chance counts",
    )
    axes.stairs(
        ranks.size * expected, edges, color="black", baseline=None, label="expected by chance"
    )
    axes.set_xlabel(f"random sub-clusters at least as extreme, of {measure.n_null:,}")
    axes.set_ylabel("sub-clusters")
    axes.set_xlim(edges[0], edges[-1])
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(integer=True))


def _draw_standardised(axes: Axes, states: NDArray[np.float64], name: str) -> None:
    """Draw the values of the true sub-clusters (first column) and of the random ones.

    Values are extreme to the right. Rows with something infinite, or whose random values have no
    spread, are left out and counted.
    """
    scores, used = standardised_by_draws(states)
    n_bins = int(np.clip(used.sum() // 4, 7, 25))
    shown = np.clip(scores, -_FARTHEST, _FARTHEST)
    ends = min(shown.min(initial=-1.0), -1.0), max(shown.max(initial=1.0), 1.0)
    bins = np.linspace(*ends, n_bins + 1).tolist()
    for column, label, colour in (
        (slice(1, None), "random sub-clusters", RANDOM),
        (slice(0, 1), "sub-clusters", HARM),
    ):
        values = shown[:, column].ravel()
        weights = np.full(values.size, 1 / max(values.size, 1))
        if column.stop is None:
            axes.hist(values, bins, weights=weights, color=colour, label=label)
        else:
            axes.hist(values, bins, weights=weights, color=colour, histtype="step", linewidth=1.6)
    _mark_cut(axes, scores)
    n_used = f"{used.sum():,}" if used.all() else f"{used.sum():,} of {used.size:,}"
    axes.set_title(f"{n_used} sub-cluster{'' if used.size == 1 else 's'}", fontsize=9)
    axes.set_xlabel(f"{name} (sd of the random ones)")
    axes.set_ylabel("share of each")


def standardised_by_draws(
    states: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return values in standard deviations (n - 1) of the draws from their mean.

    Args:
        states: The true value (first column) and those of the draws, shape (rows, 1 + draws).

    Returns:
        The values of the rows that can be standardised, and which these are, shape (rows,): all
        values finite, two draws at least, and not all draws equal.
    """
    draws = states[:, 1:]
    if draws.shape[1] < 2:
        return states[:0], np.zeros(len(states), bool)
    with np.errstate(invalid="ignore"):
        spreads = draws.std(axis=1, ddof=1)
        # what rounding makes of equal numbers is no spread
        used = np.isfinite(states).all(axis=1) & (spreads > 1e-12)
    means = draws[used].mean(axis=1, keepdims=True)
    return (states[used] - means) / spreads[used, np.newaxis], used


def _mark_cut(axes: Axes, scores: NDArray[np.float64]) -> None:
    """Say at each edge how many true and random values lie beyond it."""
    for is_cut, side, sign in (
        (scores < -_FARTHEST, "left", f"< {MINUS}"),
        (scores > _FARTHEST, "right", "> "),
    ):
        n_true, n_random = int(is_cut[:, 0].sum()), int(is_cut[:, 1:].sum())
        if not n_true + n_random:
            continue
        axes.margins(y=0.3)  # for the words above the bars
        edge = -_FARTHEST if side == "left" else _FARTHEST
        axes.axvline(edge, color="black", linestyle=":", linewidth=1)
        axes.text(
            0.06 if side == "left" else 0.92,
            0.97,
            f"{sign}{_FARTHEST:g}: {n_true} true, {n_random} random",
            transform=axes.transAxes,
            ha=side,
            va="top",
            fontsize=7,
        )

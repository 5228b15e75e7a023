"""Figures of a training, a partition and a null distribution."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter

from nn_clustering.reports.drawing._network import ISOLATED_COLOUR, cluster_colours

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from nn_clustering.partitions import Partition
    from nn_clustering.significance import ShuffleTest
    from nn_clustering.training import EpochResult


def figure_of_learning_curves(curves: Mapping[str, Sequence[EpochResult]], title: str) -> Figure:
    """Draw loss and accuracy over the epochs of all phases, one phase after the other.

    Args:
        curves: The epochs of each phase, in order.
        title: Of the figure.
    """
    epochs = [epoch for of_phase in curves.values() for epoch in of_phase]
    measures = {"loss": "loss", "accuracy": "accuracy (%)"}
    if epochs[0].test_accuracy is None:
        del measures["accuracy"]
    figure = Figure(figsize=(1.2 + 4.6 * len(measures), 3.6), layout="constrained")
    panels = figure.subplots(1, len(measures), squeeze=False)[0]
    for axes, (measure, label) in zip(panels, measures.items(), strict=True):
        for split, colour in (("train", "#6baed6"), ("test", "#d62728")):
            values = np.array([getattr(epoch, f"{split}_{measure}") for epoch in epochs])
            if measure == "accuracy":
                values = 100 * values
            axes.plot(
                range(1, len(epochs) + 1),
                values,
                color=colour,
                marker="." if len(epochs) <= 60 else "",  # a single epoch makes no line
                label=split if axes is panels[0] else None,
            )
        if measure == "loss" and min(min(e.train_loss, e.test_loss) for e in epochs) > 0:
            axes.set_yscale("log")
            # plain numbers; the default's mathematical type wants fonts that not every machine has
            axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axes.yaxis.set_major_formatter("{x:g}")
            axes.yaxis.set_minor_formatter(NullFormatter())
        _mark_phases(axes, curves)
        axes.set_xlabel("epoch")
        axes.set_ylabel(label)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    figure.suptitle(title, fontsize=10)
    figure.legend(loc="outside right upper", fontsize=9)
    return figure


def _mark_phases(axes: Axes, curves: Mapping[str, Sequence[EpochResult]]) -> None:
    start = 0.5
    for name, of_phase in curves.items():
        end = start + len(of_phase)
        place = ((start + end) / 2, 1.01)
        axes.annotate(name, place, xycoords=axes.get_xaxis_transform(), ha="center", fontsize=8)
        if start > 1:
            axes.axvline(start, color="grey", linewidth=0.8, linestyle=":")
        start = end


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
        bins = int(np.clip(ncuts.size // 4, 5, 40))
        weights = None if against is None else np.full(ncuts.size, 1 / ncuts.size)
        label = f"{ncuts.size} {of_null}"
        axes.hist(ncuts, bins=bins, weights=weights, color=colour, alpha=0.6, label=label)
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
    bins = int(np.clip(values.size // 4, 5, 40))
    axes.hist(values, bins=bins, color="#9ecae1", label=f"{values.size} networks")
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

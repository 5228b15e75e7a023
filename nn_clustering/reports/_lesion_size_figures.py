"""Figure of what lesions of sub-clusters change against how large they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib import colormaps
from matplotlib.cm import ScalarMappable
from matplotlib.colors import BoundaryNorm, ListedColormap
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import LogLocator, NullFormatter

from nn_clustering.lesions import KINDS
from nn_clustering.reports._lesion_figure_parts import (
    LEVEL,
    Change,
    LayerSpan,
    add_title,
    layer_spans,
    linear_limit,
    scale_axis,
    shortened,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from nn_clustering.lesions import LesionTest

_MARKERS = dict(zip(KINDS, "PoDsv^Xp", strict=True))
# In a regression, which has no such kinds.
_SIGNIFICANT, _NOT_SIGNIFICANT = f"importance p ≤ {LEVEL}", f"p > {LEVEL}"
# More layers than this are told apart by a colour bar.
_MOST_IN_LEGEND = 8
# Names beside a colour bar.
_MOST_NAMES = 24


def figure_of_importance_by_size(test: LesionTest, title: str) -> Figure:
    """Draw the change by every sub-cluster's lesion against its share of the layer.

    Of each layer a line joins the mean changes by random sub-clusters, and a band spans their
    least and largest. Colours are layers, shapes are kinds (methods G10; in a regression, whether
    importance is significant).

    Args:
        test: The lesion test.
        title: Of the figure.
    """
    change = Change.of_task(test.task)
    true, random = change.factor * test.mean_changes, change.factor * test.random_mean_changes
    shares = 100 * test.sizes / test.n_candidates
    spans = layer_spans(test.sub_clusters)
    colours = colormaps["viridis"](np.linspace(0, 0.95, len(spans)))
    figure = Figure(figsize=(8, 5.2), layout="constrained")
    axes = figure.subplots()
    for span, colour in zip(spans, colours, strict=True):
        order = span.start + np.argsort(shares[span.start : span.end], kind="stable")
        _draw_random(axes, shares[order], random[order], colour, alpha=max(0.4 / len(spans), 0.05))
    kinds = np.array(_kinds(test))
    markers = {kind: marker for kind, marker in _markers(test.task).items() if kind in kinds}
    of_layer = np.repeat(colours, [span.end - span.start for span in spans], axis=0)
    for kind, marker in markers.items():
        at = kinds == kind
        axes.scatter(
            shares[at],
            true[at],
            s=32 if len(true) <= 200 else 12,
            marker=marker,
            c=of_layer[at],
            edgecolors="black",
            linewidths=0.4,
            zorder=3,
        )
    axes.axhline(0, color="black", linewidth=0.6, zorder=0)
    _scale_shares(axes, shares)
    shown = np.column_stack([true, random])
    scale_axis(axes, shown, linear_limit(shown, test.task))
    axes.set_ylabel(change.of_mean)
    _explain(figure, axes, spans, colours, markers)
    add_title(figure, title)
    return figure


def _kinds(test: LesionTest) -> Sequence[str]:
    if test.task == "classification":
        return test.kinds
    significant = test.importance.p_values <= LEVEL
    return [_SIGNIFICANT if found else _NOT_SIGNIFICANT for found in significant]


def _markers(task: str) -> Mapping[str, str]:
    return _MARKERS if task == "classification" else {_SIGNIFICANT: "D", _NOT_SIGNIFICANT: "o"}


def _draw_random(
    axes: Axes,
    shares: NDArray[np.float64],
    random: NDArray[np.float64],
    colour: NDArray[np.float64],
    *,
    alpha: float,
) -> None:
    """Draw mean and range of the random changes of a layer, shares ascending."""
    # sub-clusters of the same size have one place: what is drawn there is of all of them
    places, first = np.unique(shares, return_index=True)
    pieces = np.split(random, first[1:])
    low, high = [piece.min() for piece in pieces], [piece.max() for piece in pieces]
    if len(places) == 1:  # a band of no width is not to be seen
        axes.vlines(places, low, high, color=colour, linewidth=4, alpha=alpha)
    axes.fill_between(places, low, high, color=colour, alpha=alpha, linewidth=0)
    axes.plot(
        places,
        [piece.mean() for piece in pieces],
        color=colour,
        linewidth=1,
        linestyle="--",
        marker="_",
        markersize=5,
    )


def _scale_shares(axes: Axes, shares: NDArray[np.float64]) -> None:
    axes.set_xlabel("share of the units of the layer that are not isolated (%)")
    if shares.max() > 10 * shares.min():
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter("{x:g}")
        axes.xaxis.set_minor_formatter(NullFormatter())


def _explain(
    figure: Figure,
    axes: Axes,
    spans: Sequence[LayerSpan],
    colours: NDArray[np.float64],
    markers: Mapping[str, str],
) -> None:
    """Add legends of kinds, of what is random, and of layers (or a colour bar of many)."""
    grey = "#737373"
    handles: list[Line2D | Patch] = [
        Line2D([], [], linestyle="", marker=marker, color=grey, markersize=6, label=kind)
        for kind, marker in markers.items()
    ]
    handles.append(Line2D([], [], color=grey, linestyle="--", linewidth=1, label="random, mean"))
    handles.append(Patch(color=grey, alpha=0.25, linewidth=0, label="random, range"))
    figure.legend(handles=handles, loc="outside lower center", ncols=3, fontsize=8)
    names = [shortened(span.name) for span in spans]
    if len(spans) <= _MOST_IN_LEGEND:
        of_layers = [
            Line2D([], [], linestyle="", marker="o", color=colour, label=name)
            for name, colour in zip(names, colours, strict=True)
        ]
        figure.legend(handles=of_layers, title="layer", loc="outside right upper", fontsize=8)
        return
    norm = BoundaryNorm(np.arange(len(spans) + 1) - 0.5, len(spans))
    every = -(-len(spans) // _MOST_NAMES)
    bar = figure.colorbar(
        ScalarMappable(norm, ListedColormap(colours)), ax=axes, ticks=range(0, len(spans), every)
    )
    bar.ax.set_yticklabels(names[::every], fontsize=7)
    bar.ax.minorticks_off()
    bar.ax.set_title("layer", fontsize=9)
    bar.ax.invert_yaxis()

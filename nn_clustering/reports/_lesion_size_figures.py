"""Figure of what lesions of sub-clusters change against how large they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import LogLocator, NullFormatter

from nn_clustering.lesions import KINDS
from nn_clustering.reports._figure_text import add_title
from nn_clustering.reports._lesion_figure_parts import (
    LEVEL,
    Change,
    LayerSpan,
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
# More layers than this go into several panels, of so many at most.
_MOST_IN_PANEL = 8
_LAYERS_OF_MANY = 6


def figure_of_importance_by_size(test: LesionTest, title: str) -> Figure:
    """Draw the change by every sub-cluster's lesion against its share of the layer.

    Of each layer a line joins the mean changes by random sub-clusters, and a band spans their
    least and largest. Colours are layers, shapes are kinds (methods G10; in a regression, whether
    importance is significant). Many layers go into several panels, in their order.

    Args:
        test: The lesion test.
        title: Of the figure.
    """
    change = Change.of_task(test.task)
    true, random = change.factor * test.mean_changes, change.factor * test.random_mean_changes
    shares = 100 * test.sizes / test.n_candidates
    spans = layer_spans(test.sub_clusters)
    many = len(spans) > _MOST_IN_PANEL
    n_panels = -(-len(spans) // (_LAYERS_OF_MANY if many else _MOST_IN_PANEL))
    n_rows = -(-n_panels // 2)
    figure = Figure(figsize=(11, 1.4 + 2.7 * n_rows) if many else (8, 5.2), layout="constrained")
    panels = figure.subplots(
        n_rows, 2 if many else 1, sharex=True, sharey=True, squeeze=False
    ).ravel()
    kinds = np.array(_kinds(test))
    markers = {kind: marker for kind, marker in _markers(test.task).items() if kind in kinds}
    for axes, of_panel in zip(
        panels, np.array_split(np.arange(len(spans)), n_panels), strict=False
    ):
        _draw_layers(axes, (shares, true, random), [spans[at] for at in of_panel], kinds, markers)
        if many:
            axes.legend(loc="upper left", bbox_to_anchor=(1, 1), fontsize=7, frameon=False)
    for axes in panels[n_panels:]:
        axes.set_axis_off()
        panels[n_panels - 2].xaxis.set_tick_params(labelbottom=True)
    _scale_shares(panels[0], shares)
    shown = np.column_stack([true, random])
    scale_axis(panels[0], shown, linear_limit(shown, test.task))
    _label(figure, panels[:n_panels], change, many=many)
    _explain(figure, markers)
    if not many:
        figure.legend(title="layer", loc="outside right upper", fontsize=8)
    add_title(figure, title)
    return figure


def _draw_layers(
    axes: Axes,
    values: tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]],
    spans: Sequence[LayerSpan],
    kinds: NDArray[np.str_],
    markers: Mapping[str, str],
) -> None:
    """Draw some layers' sub-clusters: their shares, changes and random changes."""
    shares, true, random = values
    colours = colormaps["viridis"](np.linspace(0, 0.95, len(spans)))
    for span, colour in zip(spans, colours, strict=True):
        order = span.start + np.argsort(shares[span.start : span.end], kind="stable")
        _draw_random(axes, shares[order], random[order], colour, alpha=max(0.4 / len(spans), 0.05))
        axes.scatter([], [], color=colour, label=shortened(span.name))
    of_panel = np.arange(spans[0].start, spans[-1].end)
    of_layer = np.repeat(colours, [span.end - span.start for span in spans], axis=0)
    for kind, marker in markers.items():
        at = kinds[of_panel] == kind
        axes.scatter(
            shares[of_panel[at]],
            true[of_panel[at]],
            s=32 if len(of_panel) <= 200 else 12,
            marker=marker,
            c=of_layer[at],
            edgecolors="black",
            linewidths=0.4,
            zorder=3,
        )
    axes.axhline(0, color="black", linewidth=0.6, zorder=0)


def _label(figure: Figure, panels: NDArray[Any], change: Change, *, many: bool) -> None:
    """Say what the axes are, once."""
    of_shares = ("share of the units of the layer", "that are not isolated (%)")
    if many:
        for axes in panels[-2:]:  # the lowest of both columns
            axes.set_xlabel("\n".join(of_shares))
        figure.supylabel(change.of_mean, fontsize=10, multialignment="center")
    else:
        panels[0].set_xlabel(" ".join(of_shares))
        panels[0].set_ylabel(change.of_mean)


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
    if shares.max() > 10 * shares.min():
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter("{x:g}")
        axes.xaxis.set_minor_formatter(NullFormatter())


def _explain(figure: Figure, markers: Mapping[str, str]) -> None:
    """Add a legend of kinds, and of what is random."""
    grey = "#737373"
    handles: list[Line2D | Patch] = [
        Line2D([], [], linestyle="", marker=marker, color=grey, markersize=6, label=kind)
        for kind, marker in markers.items()
    ]
    handles.append(Line2D([], [], color=grey, linestyle="--", linewidth=1, label="random, mean"))
    handles.append(Patch(color=grey, alpha=0.25, linewidth=0, label="random, range"))
    figure.legend(handles=handles, loc="outside lower center", ncols=3, fontsize=8)

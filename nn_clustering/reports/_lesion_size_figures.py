"""Figure of what lesions of sub-clusters change against how large they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, NullFormatter
from matplotlib.transforms import offset_copy

from nn_clustering.lesions import KINDS
from nn_clustering.reports._figure_text import add_title, counted
from nn_clustering.reports._palette import cluster_colours
from nn_clustering.reports._sub_cluster_figure_parts import (
    Change,
    LayerSpan,
    Significance,
    layer_spans,
    linear_limit,
    scale_axis,
    shortened,
    with_scale,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from nn_clustering.lesions import LesionTest

_MARKERS = dict(zip(KINDS, "PoDsv^Xp", strict=True))
# In a regression, which has no such kinds: of importance, corrected, not corrected, not at all.
_MARKERS_OF_REGRESSION = "Dso"
# More layers than this go into several panels, of so many at most: as many as have colours.
_MOST_IN_PANEL = 8
_LAYERS_OF_MANY = 6
# More sub-clusters than this in a panel have smaller marks.
_MOST_LARGE = 200
# Points from a mark to its random ones, and from those of one to those of another; of marks that
# are nearer to each other, random ones stand in lanes, of which there are so many.
_BESIDE, _LANE, _MOST_LANES = 5.0, 3.2, 12
# Characters of a kind's name: longer ones stand below each other in the legend.
_LONGEST_ABREAST = 40


@dataclass(frozen=True, eq=False)
class _Shown:
    """What is shown of every sub-cluster.

    Attributes:
        shares: Its share of the layer in percent, shape (sub-clusters,).
        true: The change by its lesion, as shown, shape (sub-clusters,).
        random: Those by its random ones, shape (sub-clusters, draws).
        kinds: What kind it is, shape (sub-clusters,).
        markers: The marker of every kind that there is.
        of_kinds: What tells the kinds, for the legend.
    """

    shares: NDArray[np.float64]
    true: NDArray[np.float64]
    random: NDArray[np.float64]
    kinds: NDArray[np.str_]
    markers: Mapping[str, str]
    of_kinds: str

    @classmethod
    def of(cls, test: LesionTest, factor: float) -> _Shown:
        """Return what is shown of a test."""
        if test.task == "classification":
            kinds, markers = np.array(test.kinds), _MARKERS
            count = counted(len(kinds), "sub-cluster")
            told = (
                f"kind (p of {counted(test.n_shuffles, 'random one')}, not corrected for {count})"
            )
        else:
            found = Significance.of_measure(test.importance)
            which = np.select([found.corrected, found.uncorrected], [0, 1], 2)
            kinds, told = np.array(found.in_words)[which], "importance"
            markers = dict(zip(found.in_words, _MARKERS_OF_REGRESSION, strict=True))
        return cls(
            shares=100 * test.sizes / test.n_candidates,
            true=factor * test.mean_changes,
            random=factor * test.random_mean_changes,
            kinds=kinds,
            markers={kind: marker for kind, marker in markers.items() if kind in kinds},
            of_kinds=told,
        )

    @property
    def is_logarithmic(self) -> bool:
        """Whether shares differ so much that their axis is logarithmic."""
        return bool(self.shares.max() > 10 * self.shares.min())


def figure_of_importance_by_size(test: LesionTest, title: str) -> Figure:
    """Draw the change by every sub-cluster's lesion against its share of the layer.

    To the right of every sub-cluster's mark stand its random ones: a bar from the least to the
    largest change, with a line at their mean. Colours are layers, shapes are kinds (methods G10; in
    a regression, whether importance is significant). Many layers go into several panels, in their
    order.

    Args:
        test: The lesion test.
        title: Of the figure.
    """
    change = Change.of_task(test.task, test.group_kind)
    shown = _Shown.of(test, change.factor)
    spans = layer_spans(test.sub_clusters)
    many = len(spans) > _MOST_IN_PANEL
    n_panels = -(-len(spans) // (_LAYERS_OF_MANY if many else _MOST_IN_PANEL))
    n_rows = -(-n_panels // 2)
    figure = Figure(figsize=(11, 1.4 + 2.7 * n_rows) if many else (8, 5.2), layout="constrained")
    panels = figure.subplots(
        n_rows, 2 if many else 1, sharex=True, sharey=True, squeeze=False
    ).ravel()
    parts = np.array_split(np.arange(len(spans)), n_panels)
    drawn = [(axes, [spans[at] for at in part]) for axes, part in zip(panels, parts, strict=False)]
    for axes, of_panel in drawn:
        _draw_layers(axes, shown, of_panel)
        axes.legend(
            title=None if many else "layer",
            loc="upper left",
            bbox_to_anchor=(1.01, 1),
            borderaxespad=0,
            fontsize=7 if many else 8,
            frameon=False,
        )
    for axes in panels[n_panels:]:
        axes.set_axis_off()
        panels[n_panels - 2].xaxis.set_tick_params(labelbottom=True)
    _scale_shares(panels[0], shown)
    changes = np.column_stack([shown.true, shown.random])
    limit = scale_axis(panels[0], changes, linear_limit(changes, test.task))
    of_change = with_scale(change.of_mean, limit)
    _label(figure, panels[:n_panels], of_change, shown, many=many)
    _explain(figure, panels[n_panels:], shown)
    add_title(figure, title)
    _draw_random_beside(figure, drawn, shown)
    return figure


def _draw_random_beside(
    figure: Figure, drawn: Sequence[tuple[Axes, Sequence[LayerSpan]]], shown: _Shown
) -> None:
    """Draw the random changes to the right of the marks, where these came to stand.

    Args:
        figure: The figure, with all that decides where axes are.
        drawn: The axes, and the layers on each.
        shown: What is shown.
    """
    figure.draw_without_rendering()  # lays out
    _make_room(drawn, shown)
    for axes, spans in drawn:
        of_panel = np.arange(spans[0].start, spans[-1].end)
        lanes = np.zeros(len(shown.shares), int)
        lanes[of_panel] = _lanes(_in_points(axes, shown.shares[of_panel]))
        is_large = len(of_panel) <= _MOST_LARGE
        for span, colour in zip(spans, cluster_colours(len(spans)), strict=True):
            for lane in np.unique(lanes[span.start : span.end]):
                at = span.start + np.flatnonzero(lanes[span.start : span.end] == lane)
                look = (colour, _BESIDE + _LANE * lane)
                _draw_random(axes, shown, at, look, is_large=is_large)


def _make_room(drawn: Sequence[tuple[Axes, Sequence[LayerSpan]]], shown: _Shown) -> None:
    """Move the right end of the axes, which all share, so that random ones are within."""
    first = drawn[0][0]
    width = 72 * first.get_window_extent().width / first.figure.dpi
    reach = 0.0
    for axes, spans in drawn:
        places = _in_points(axes, shown.shares[spans[0].start : spans[-1].end])
        reach = max(reach, float((places + _BESIDE + _LANE * (_lanes(places) + 2)).max()))
    end = first.transAxes.transform((max(reach / width, 1.0), 0))
    first.set_xlim(right=first.transData.inverted().transform(end)[0])


def _in_points(axes: Axes, shares: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return how far from the left edge shares are, in points."""
    figure = cast("Figure", axes.get_figure())
    ends = np.column_stack([shares, np.ones(len(shares))])
    places: NDArray[np.float64] = axes.transData.transform(ends)[:, 0]
    from_edge: NDArray[np.float64] = (places - axes.get_window_extent().x0) * 72 / figure.dpi
    return from_edge


def _lanes(places: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return in which lane beside its mark each sub-cluster's random ones hide no others.

    If there is none left it is that with the fewest others.

    Args:
        places: Of the marks, in points, shape (sub-clusters,).
    """
    lanes = np.zeros(len(places), int)
    taken = np.empty(0)
    for index in np.argsort(places, kind="stable").tolist():
        wanted = places[index] + _LANE * np.arange(_MOST_LANES)
        near = np.abs(wanted[:, np.newaxis] - taken) < 0.95 * _LANE
        lanes[index] = np.argmin(near.sum(axis=1))
        taken = np.append(taken, wanted[lanes[index]])
    return lanes


def _draw_layers(axes: Axes, shown: _Shown, spans: Sequence[LayerSpan]) -> None:
    """Draw some layers' sub-clusters: their shares, changes and random changes."""
    colours = cluster_colours(len(spans))
    of_panel = np.arange(spans[0].start, spans[-1].end)
    is_large = len(of_panel) <= _MOST_LARGE
    for span, colour in zip(spans, colours, strict=True):
        axes.scatter([], [], color=[colour], marker="s", label=shortened(span.name))
    of_layer = np.repeat(colours, [span.end - span.start for span in spans], axis=0)
    for kind, marker in shown.markers.items():
        at = shown.kinds[of_panel] == kind
        axes.scatter(
            shown.shares[of_panel[at]],
            shown.true[of_panel[at]],
            s=32 if is_large else 12,
            marker=marker,
            c=of_layer[at],
            edgecolors="black",
            linewidths=0.4,
            zorder=3,
        )
    axes.axhline(0, color="black", linewidth=0.6, zorder=0)
    random = shown.random[of_panel]
    ends = np.concatenate([random.min(axis=1), random.max(axis=1)])
    axes.update_datalim(np.column_stack([np.tile(shown.shares[of_panel], 2), ends]))


def _draw_random(
    axes: Axes,
    shown: _Shown,
    at: NDArray[np.int64],
    look: tuple[Sequence[float], float],
    *,
    is_large: bool,
) -> None:
    """Draw mean and range of the random changes of some sub-clusters.

    Args:
        axes: Where.
        shown: What is shown.
        at: Which sub-clusters.
        look: The colour, and how many points they stand to the right of the marks.
        is_large: Whether there is room.
    """
    shares, random = shown.shares[at], shown.random[at]
    colour, beside = look
    ends = np.stack([random.min(axis=1), random.max(axis=1)], axis=1)
    figure = cast("Figure", axes.get_figure())
    where = offset_copy(axes.transData, figure, x=beside, y=0, units="points")
    bars = np.stack([np.repeat(shares[:, None], 2, axis=1), ends], axis=2)
    axes.add_collection(
        LineCollection(
            bars.tolist(),
            label="_random range",
            colors=[colour],
            linewidths=2.2 if is_large else 1.2,
            alpha=0.5,
            transform=where,
            zorder=1,
        ),
        autolim=False,
    )
    means = Line2D(
        shares,
        random.mean(axis=1),
        label="_random mean",
        linestyle="",
        marker="_",
        markersize=6 if is_large else 4,
        markeredgewidth=1.2,
        color=colour,
        transform=where,
        zorder=2,
    )
    axes.add_artist(means)  # marks beside their place do not move the limits


def _label(
    figure: Figure, panels: NDArray[Any], of_change: str, shown: _Shown, *, many: bool
) -> None:
    """Say what the axes are, once."""
    scale = "%, logarithmic" if shown.is_logarithmic else "%"
    of_shares = ("share of the units of the layer", f"that are not isolated ({scale})")
    if many:
        for axes in panels[-2:]:  # the lowest of both columns
            axes.set_xlabel("\n".join(of_shares))
        figure.supylabel(of_change, fontsize=10, multialignment="center")
    else:
        panels[0].set_xlabel(" ".join(of_shares))
        panels[0].set_ylabel(of_change)


def _scale_shares(axes: Axes, shown: _Shown) -> None:
    if not shown.is_logarithmic:
        return
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_formatter(NullFormatter())


def _explain(figure: Figure, empty: NDArray[Any], shown: _Shown) -> None:
    """Add a legend of kinds, and of what is random, into an empty panel if there is one."""
    grey = "#737373"
    handles = [
        Line2D([], [], linestyle="", marker=marker, color=grey, markersize=6, label=kind)
        for kind, marker in shown.markers.items()
    ]
    bar: dict[str, Any] = {"marker": "|", "markersize": 10, "markeredgewidth": 2.2, "alpha": 0.5}
    line: dict[str, Any] = {"marker": "_", "markersize": 7, "markeredgewidth": 1.2}
    for mark, told in ((line, "mean"), (bar, "range")):
        label = f"as many random units, {told}"
        handles.append(Line2D([], [], linestyle="", color=grey, label=label, **mark))
    look: dict[str, Any] = {"handles": handles, "title": shown.of_kinds, "fontsize": 8}
    if empty.size:
        empty[0].legend(**look, title_fontsize=8, loc="center", frameon=False)
        return
    n_columns = 1 if len(max(shown.markers, key=len)) > _LONGEST_ABREAST else 3
    figure.legend(**look, title_fontsize=8, loc="outside lower center", ncols=n_columns)

"""Numbers beside the sub-clusters in the drawing of a network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.collections import LineCollection, PolyCollection

from nn_clustering.reports._sub_cluster_figure_parts import spread

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from nn_clustering.reports.drawing._layout import Column

LABEL_TYPE = 6.0
LABEL_LINE = 6.2  # numbers have no descenders
_CLEAR = 1.2  # from the column
_LEADER = 5.0
_DIGIT = 4.0  # width, with what is clear of it
# Numbers nearer than this to where they belong need no line that leads there.
_NEAR = 0.8


def label_clusters(axes: Axes, column: Column, bottom: float, height: float) -> int:
    """Write the cluster of every sub-cluster to the left of it.

    Numbers that would lie on each other move apart, with lines to where they belong. Where there
    is no room for all of them, the smallest sub-clusters have none.

    Args:
        axes: Where to draw, in points.
        column: The column.
        bottom: Lower end of the row.
        height: Of the row.

    Returns:
        How many sub-clusters have no number.
    """
    spans = {label: span for label, span in column.spans.items() if label >= 0}
    by_size = sorted(spans, key=lambda label: spans[label][0] - spans[label][1])
    shown = sorted(by_size[: int(height / LABEL_LINE)], key=lambda label: spans[label])
    middles = [sum(spans[label]) / 2 for label in shown]
    half = LABEL_LINE / 2
    places = spread(middles, LABEL_LINE, bottom + half, bottom + height - half).tolist()
    is_moved = bool(np.abs(np.subtract(places, middles)).max(initial=0) > _NEAR)
    right = column.left - _CLEAR - (_LEADER if is_moved else 0)
    _clear(axes, right, places, max(map(len, map(str, shown)), default=0))
    for label, place in zip(shown, places, strict=True):
        axes.text(
            round(right, 2),
            round(place, 2),
            str(label),
            label="number",
            ha="right",
            va="center_baseline",
            fontsize=LABEL_TYPE,
            color="#808080" if column.is_repeat else "black",
            zorder=6,
        )
    if is_moved:
        _lead(axes, column.left - _CLEAR / 2, right, places, middles)
    return len(spans) - len(shown)


def _clear(axes: Axes, right: float, places: Sequence[float], n_digits: int) -> None:
    """Make what lies below numbers pale: bands, in the colours of other clusters too."""
    left, half = right - _DIGIT * n_digits, LABEL_LINE / 2
    boxes = [
        [(left, place - half), (left, place + half), (right, place + half), (right, place - half)]
        for place in places
    ]
    # a box each: one all over the column would hide more of the bands
    axes.add_collection(
        PolyCollection(
            [np.round(box, 2) for box in boxes],
            label="below numbers",
            facecolors="white",
            linewidths=0,
            alpha=0.7,
            clip_on=False,
            zorder=5,
        ),
        autolim=False,
    )


def _lead(
    axes: Axes, left: float, right: float, places: Sequence[float], middles: Sequence[float]
) -> None:
    ends = [
        [(left, middle), (right + 0.4, place)]
        for middle, place in zip(middles, places, strict=True)
    ]
    lines = LineCollection(
        np.round(ends, 2).tolist(),
        label="leaders",
        colors="black",
        linewidths=0.3,
        clip_on=False,
        zorder=5,
    )
    axes.add_collection(lines, autolim=False)

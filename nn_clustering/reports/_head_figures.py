"""Figure of lesions of whole heads."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from nn_clustering.reports._figure_text import add_title, several
from nn_clustering.reports._sub_cluster_figure_parts import (
    Change,
    Significance,
    add_colour_bar,
    colour_norm,
    draw_heat_map,
    shortened,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from nn_clustering.lesions import HeadLesions

# More groups have no panels of their own, beside that of their mean.
_MOST_PANELS = 6
# Inches of a head, and of a layer.
_CELL = 0.3
# Inches of all heads of all panels at most, and of a head's number.
_WIDEST = 26.0
_NUMBER = 0.17
# Where a layer has no such head.
_NONE = "#d9d9d9"


def figure_of_heads(heads: HeadLesions, title: str) -> Figure:
    """Draw the change by the lesion of every head, layers below each other.

    On the left is the mean over classes or groups, with marks where a head does more harm than as
    many random value channels of its layer (p of importance); beside it stand the groups, if they
    are few.

    Args:
        heads: The lesions.
        title: Of the figure.
    """
    test = heads.test
    change = Change.of_task(test.task, test.group_kind)
    layers = list(dict.fromkeys(layer for layer, _ in heads.names))
    shown = {f"mean over {several(test.group_kind)}": test.mean_changes}
    if len(test.groups) <= _MOST_PANELS:
        shown.update(zip(test.groups, test.changes.T, strict=True))
    at = np.array([(layers.index(layer), head) for layer, head in heads.names])
    n_heads = int(at[:, 1].max()) + 1
    cell = min(_CELL, _WIDEST / (n_heads * len(shown)))
    across, down = max(cell * n_heads, 1.4), max(_CELL * len(layers), 1.0)
    told = [shortened(name) for name in without_common_end(layers)]
    of_names = 0.075 * max(map(len, told))
    figure = Figure(
        figsize=(max(across * len(shown) + of_names + 1.8, 6), down + 2.4), layout="constrained"
    )
    panels = figure.subplots(1, len(shown), sharey=True, squeeze=False)[0]
    norm = colour_norm(change.factor * np.stack(list(shown.values())), test.task)
    for axes, (name, changes) in zip(panels, shown.items(), strict=True):
        grid = np.full((len(layers), n_heads), np.nan)
        grid[at[:, 0], at[:, 1]] = change.factor * changes
        draw_heat_map(axes, grid, test.task, norm)
        axes.set_facecolor(_NONE)
        axes.set_title(shortened(name), fontsize=8)
        axes.set_xticks(range(0, n_heads, math.ceil(_NUMBER / cell)))
        axes.tick_params(labelsize=7)
        axes.set_xlabel("head", fontsize=8)
    panels[0].set_yticks(range(len(layers)), told)
    _mark(figure, panels[0], at, Significance.of_measure(test.importance, "head"))
    add_colour_bar(figure, panels[0], panels[-1], change.of_group)
    add_title(figure, title)
    return figure


def without_common_end(names: Sequence[str]) -> list[str]:
    """Return names of layers without the last parts that are the same in all of several."""
    parts = [name.split("/") for name in names]
    while len(parts) > 1 and min(map(len, parts)) > 1 and len({part[-1] for part in parts}) == 1:
        parts = [part[:-1] for part in parts]
    return ["/".join(part) for part in parts]


def _mark(figure: Figure, axes: Axes, at: NDArray[np.int64], found: Significance) -> None:
    """Mark heads of small p-values, and say what the marks are, or that there are none."""
    handles, marks = (
        [],
        ((found.corrected, "black", "white"), (found.uncorrected, "white", "black")),
    )
    for chosen, inside, outside in marks:
        rows, columns = at[chosen].T
        axes.scatter(columns, rows, s=18, c=inside, edgecolors=outside, linewidths=0.8)
        dot = {"linestyle": "", "marker": "o", "color": "black", "markersize": 4}
        handles.append(Line2D([], [], markerfacecolor=inside, **dot))  # type: ignore[arg-type]
    words = [f"importance {text}" for text in found.in_words[:2]]
    is_marked = (found.corrected | found.uncorrected).any()
    if not is_marked:
        handles = [Line2D([], [], linestyle="")]
        words = [f"importance: {found.in_words[2]} of all heads"]
    length = None if is_marked else 0
    figure.legend(handles, words, loc="outside lower center", fontsize=8, handlelength=length)

"""The page on which a network is drawn: rows of columns, their names and a legend."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.patches import Patch
from matplotlib.textpath import TextToPath

from nn_clustering.reports._palette import has_repeated_colours
from nn_clustering.reports.drawing._arcs import arcs_height, lay_arcs
from nn_clustering.reports.drawing._artists import (
    Drawing,
    Drawn,
    draw_arcs,
    draw_edges,
    draw_units,
)
from nn_clustering.reports.drawing._cluster_labels import LABEL_LINE, label_clusters
from nn_clustering.reports.drawing._layout import (
    MARGIN,
    PAGE_WIDTH,
    Column,
    column_spacing,
    place_row,
    row_heights,
    rows_of_layers,
)

_SMALL_TYPE = 7.0
_UPRIGHT_TYPE = 6.0
_TYPE = 8.0
_LINE = 1.3  # height of a line, in sizes of the type
_LEGEND_LINE = 1.5
_LEGEND_COLUMNS = 8
_LONGEST_NAME = 24  # characters


def draw_page(drawing: Drawing) -> Figure:
    """Draw all on a page that is 17 cm wide and as high as need be.

    Sub-clusters have numbers where clusters repeat colours. The figure's label is a caption.
    """
    figure = Figure()
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    lower, drawn = _draw_rows(axes, drawing)
    handles = _legend_handles(drawing)
    n_legend_lines = -(-len(handles) // _LEGEND_COLUMNS) + 1
    legend_top = lower
    lower -= (n_legend_lines * _TYPE * _LEGEND_LINE if handles else 0) + MARGIN
    # Whole points, or else places in an SVG file would have more decimals than they need.
    height = float(np.ceil(-lower))
    figure.set_size_inches(PAGE_WIDTH / 72, height / 72)
    axes.set(xlim=(0, PAGE_WIDTH), ylim=(-height, 0))
    if handles:
        _add_legend(figure, handles, 1 + legend_top / height)
    figure.set_label(" ".join(_sentences(drawing, drawn)))
    return figure


def _draw_rows(axes: Axes, drawing: Drawing) -> tuple[float, Drawn]:
    """Draw the rows from 0 down; return how far down they reach, and what was drawn."""
    texts = [_label(drawing, layer) for layer in range(len(drawing.graph.layers))]
    rows = rows_of_layers(len(texts))
    spacing = column_spacing(rows)
    widest = max((_text_width(line, _SMALL_TYPE) for text in texts for line in text), default=0)
    is_upright = widest > spacing - 3
    label_height = (
        max(_text_width("  ".join(text), _UPRIGHT_TYPE) for text in texts)
        if is_upright
        else _SMALL_TYPE * _LINE * max(map(len, texts), default=0)
    )
    lower = -MARGIN
    drawn = Drawn()
    is_labelled = has_repeated_colours(drawing.n_clusters)
    of_labels = [LABEL_LINE * most for most in _most_clusters(drawing, rows)] if is_labelled else []
    heights = row_heights(drawing.graph, rows, of_labels or [0.0] * len(rows))
    for layers, height in zip(rows, heights, strict=True):
        arcs = lay_arcs(drawing.graph, layers)
        top = lower - arcs_height(arcs)
        columns = place_row(
            drawing.graph,
            drawing.labels,
            layers,
            spacing=spacing,
            bottom=top - height,
            height=height,
        )
        drawn |= draw_edges(axes, drawing, columns, spacing)
        drawn |= draw_arcs(axes, drawing, arcs, columns, top)
        for column in columns:
            draw_units(axes, drawing, column)
            if is_labelled:
                n_without = label_clusters(axes, column, top - height, height)
                n_without *= not column.is_repeat
                drawn |= Drawn(frozenset({"numbers"}), n_without_number=n_without)
            _write_label(axes, texts[column.layer], column, top - height - 5, is_upright)
        lower = top - height - label_height - 12
    return lower, drawn


def _most_clusters(drawing: Drawing, rows: Sequence[range]) -> list[int]:
    """Return of each row how many clusters the layer has that has units of most of them."""
    return [
        max((np.unique(drawing.labels_of(layer)).size for layer in row), default=0) for row in rows
    ]


def _label(drawing: Drawing, layer: int) -> list[str]:
    name, n_units = drawing.graph.layers[layer].name, drawing.graph.layers[layer].n_units
    if len(name) > _LONGEST_NAME:
        half = _LONGEST_NAME // 2
        name = f"{name[:half]}…{name[-half + 1 :]}"
    n_isolated = int((drawing.labels_of(layer) < 0).sum())
    return [name, f"{n_units}", *([f"({n_isolated} isolated)"] if n_isolated else [])]


def _text_width(text: str, size: float) -> float:
    font = FontProperties(size=size)
    return float(TextToPath().get_text_width_height_descent(text, font, ismath=False)[0])


def _write_label(
    axes: Axes, text: list[str], column: Column, upper: float, is_upright: bool
) -> None:
    style: dict[str, Any] = {
        "fontsize": _UPRIGHT_TYPE if is_upright else _SMALL_TYPE,
        "color": "#808080" if column.is_repeat else "black",
        "style": "italic" if column.is_repeat else "normal",
        "ha": "center",
        "parse_math": False,
    }
    if is_upright:
        axes.text(column.centre, upper, "  ".join(text), rotation=90, va="top", **style)
        return
    for index, line in enumerate(text):
        lower = upper - _SMALL_TYPE * (1 + _LINE * index)
        axes.text(column.centre, lower, line, va="baseline", **style)


def _legend_handles(drawing: Drawing) -> list[Patch]:
    """List the clusters in the order in which their units lie in a column."""
    sizes = np.bincount(drawing.labels + 1, minlength=drawing.n_clusters + 1).tolist()
    handles = [
        Patch(color=drawing.colours[label], label=f"{label} ({sizes[label + 1]})")
        for label in reversed(range(drawing.n_clusters))
    ]
    if sizes[0]:
        handles.append(Patch(color=drawing.colours[-1], label=f"isolated ({sizes[0]})"))
    return handles


def _add_legend(figure: Figure, handles: list[Patch], top: float) -> None:
    n_lines = -(-len(handles) // _LEGEND_COLUMNS)
    n_columns = -(-len(handles) // n_lines)
    # matplotlib fills column by column, but a reader reads line by line
    by_column = [handle for start in range(n_columns) for handle in handles[start::n_columns]]
    figure.legend(
        handles=by_column,
        title="cluster (units)",
        title_fontsize=_TYPE,
        fontsize=_TYPE,
        loc="upper center",
        bbox_to_anchor=(0.5, top),
        frameon=False,
        ncols=n_columns,
        columnspacing=1.2,
        labelspacing=0.5,
        handlelength=1,
        handleheight=0.8,
        borderpad=0,
        borderaxespad=0,
    )


def _sentences(drawing: Drawing, drawn: Drawn) -> Iterator[str]:
    """Say how to read what is drawn, and what is left out."""
    yield "A column is a layer, a dot a unit."
    if (drawing.labels < 0).any():
        yield "Isolated units lie at the bottom."
    if "bands" in drawn.kinds:
        yield (
            "A band takes up its share of the weight on that side of a sub-cluster: coloured "
            "within a cluster, grey between clusters."
        )
    if "lines" in drawn.kinds:
        yield (
            f"Lines are edges between units, up to {drawing.n_edges} of two layers, the wider the "
            "stronger: coloured within a cluster, grey between clusters."
        )
    if "chords" in drawn.kinds:
        yield "What comes back to its column stands for edges within the layer."
    if "arcs" in drawn.kinds:
        yield (
            "An arc joins layers that do not stand side by side; its coloured stripes are the "
            "shares of the weight within clusters."
        )
    rows = rows_of_layers(len(drawing.graph.layers))
    if len(rows) > 1:
        yield "A row begins, in pale, with the layer that ends the row above."
    if "numbers" in drawn.kinds:
        yield "Numbers are clusters, some of which have one colour."
    unseen = 1 - drawn.shown / drawn.weight if drawn.weight else 0.0
    if unseen >= 0.005:
        yield f"Left out: the thinnest bands, {unseen:.0%} of the weight."
    n_distant = sum(
        abs(block.source - block.target) > 1 and bool(block.weights.any())
        for block in drawing.graph.edges
    )
    n_without_room = n_distant - sum(len(lay_arcs(drawing.graph, row)) for row in rows)
    if n_without_room:
        yield (
            f"Left out for want of room: edges of {n_without_room} pairs of layers that do not "
            "stand side by side."
        )
    if drawn.n_without_number:
        yield f"Left out for want of room: the numbers of {drawn.n_without_number} sub-clusters."

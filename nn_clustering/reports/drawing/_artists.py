"""The marks in the drawing of a network: dots, bands, lines and arcs."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.path import Path
from numpy.typing import NDArray

from nn_clustering.graphs import Edges, UnitGraph
from nn_clustering.reports.drawing._arcs import Arc, arc_paths
from nn_clustering.reports.drawing._bands import (
    Band,
    band_path,
    bands_between,
    chord_paths,
    chords_within,
    weights_between_clusters,
    widest_bands,
)
from nn_clustering.reports.drawing._layout import Column

_BETWEEN_COLOUR = "#b0b0b0"
_BETWEEN_ARC_COLOUR = "#d4d4d4"  # no other shines through it
_DEEPEST_CHORD = 100.0
_CHORD_SHARE = 0.3  # of the room from column to column
_MOST_BANDS = 4800  # in an SVG file of a megabyte

Colour = tuple[float, float, float, float]


@dataclass(frozen=True, eq=False)
class Drawing:
    """What is to be drawn.

    Attributes:
        graph: The graph.
        labels: Cluster of every unit, -1 where isolated.
        colours: One colour a cluster, and in the last place that of isolated units.
        n_edges: Edges drawn unit by unit between two layers, at most.
    """

    graph: UnitGraph
    labels: NDArray[np.integer]
    colours: Sequence[Colour]
    n_edges: int

    @property
    def n_clusters(self) -> int:
        """The number of clusters that have a colour."""
        return len(self.colours) - 1

    @property
    def n_bands(self) -> int:
        """The number of bands that there may be between two layers."""
        return _MOST_BANDS // max(len(self.graph.layers), 1)

    def labels_of(self, layer: int) -> NDArray[np.integer]:
        """Return the cluster of every unit of a layer."""
        return self.labels[self.graph.units(layer)]

    def totals(self, block: Edges) -> NDArray[np.float64]:
        """Return the total weight between each two sub-clusters of two layers."""
        return weights_between_clusters(
            block.weights,
            self.labels_of(block.source),
            self.labels_of(block.target),
            self.n_clusters,
        )


@dataclass(frozen=True)
class Drawn:
    """What has been drawn, for the caption to explain.

    Attributes:
        kinds: Among "lines", "bands", "chords" (within a layer), "arcs" and "numbers".
        weight: Of all edges that bands were to stand for.
        shown: Of that, what the bands stand for that are drawn.
        n_without_number: Sub-clusters that there was no room to number.
    """

    kinds: frozenset[str] = field(default_factory=frozenset)
    weight: float = 0.0
    shown: float = 0.0
    n_without_number: int = 0

    def __or__(self, other: "Drawn") -> "Drawn":
        return Drawn(
            self.kinds | other.kinds,
            self.weight + other.weight,
            self.shown + other.shown,
            self.n_without_number + other.n_without_number,
        )


def draw_units(axes: Axes, drawing: Drawing, column: Column) -> None:
    """Draw a dot for every unit of a column."""
    labels = drawing.labels_of(column.layer)
    # One path a sub-cluster, of strokes all but without length whose round caps are the dots:
    # a fifth of the size that one marker a unit has in an SVG file.
    paths = []
    for label in column.spans:
        vertices = np.repeat(np.round(column.units[labels == label], 2), 2, axis=0)
        vertices[1::2, 0] += 0.01
        paths.append(Path(vertices, np.resize([Path.MOVETO, Path.LINETO], len(vertices))))
    _add_paths(
        axes,
        "repeated units" if column.is_repeat else "units",
        paths,
        edgecolors=[drawing.colours[label] for label in column.spans],
        linewidths=column.diameter,
        alpha=0.4 if column.is_repeat else 1.0,
        capstyle="round",
        zorder=4,
    )


def draw_edges(axes: Axes, drawing: Drawing, columns: Sequence[Column], spacing: float) -> Drawn:
    """Draw the edges within the layers of a row and between those that stand side by side.

    Args:
        axes: Where to draw, in points.
        drawing: What to draw.
        columns: The row's columns.
        spacing: From column to column.
    """
    by_layer = {column.layer: column for column in columns}
    with_chords = {block.source for block in drawing.graph.edges if block.is_within_layer}
    # Curves within a layer and lines from it to the next would hide each other.
    by_unit = len(columns) == 1 or not with_chords & by_layer.keys()
    depth = _DEEPEST_CHORD if len(columns) == 1 else _CHORD_SHARE * spacing
    starts = {column.layer: column.right for column in columns}
    for column in columns[:-1]:
        if column.layer in with_chords:
            starts[column.layer] += depth + 2
            _draw_spine(axes, drawing, column, starts[column.layer])
    drawn = Drawn()
    for block in map(_from_left_to_right, drawing.graph.edges):
        source, target = by_layer.get(block.source), by_layer.get(block.target)
        if source is None or target is None or block.target - block.source > 1:
            continue
        if block.is_within_layer and source.is_repeat:
            continue
        if by_unit and source.is_single_file and target.is_single_file:
            drawn |= _draw_lines(axes, drawing, block, (source, target), depth)
        elif block.is_within_layer:
            drawn |= _draw_chords(axes, drawing, block, source, depth)
        else:
            every = bands_between(drawing.totals(block), source, target)
            bands = widest_bands(every, drawing.n_bands)
            paths = [band_path(band, starts[block.source], target.left) for band in bands]
            drawn |= _draw_bands(axes, drawing, block, bands, paths)
    return drawn


def _from_left_to_right(block: Edges) -> Edges:
    if block.source <= block.target:
        return block
    return Edges(block.target, block.source, block.weights.T)


def _draw_spine(axes: Axes, drawing: Drawing, column: Column, x: float) -> None:
    """Show a column's sub-clusters again where the bands to the next layer begin."""
    _add_paths(
        axes,
        "spine",
        [Path([(x, low), (x, high)]) for low, high in column.spans.values()],
        edgecolors=[drawing.colours[label] for label in column.spans],
        linewidths=1.2,
        zorder=3,
    )


def _draw_chords(axes: Axes, drawing: Drawing, block: Edges, column: Column, depth: float) -> Drawn:
    chords = widest_bands(chords_within(drawing.totals(block), column), drawing.n_bands)
    paths = chord_paths(chords, column.right, depth)
    drawn = _draw_bands(axes, drawing, block, chords, paths)
    return drawn | Drawn(frozenset({"chords"} if drawn.kinds else ()))


def _draw_bands(
    axes: Axes, drawing: Drawing, block: Edges, bands: list[Band], paths: list[Path]
) -> Drawn:
    for is_within in (False, True):
        chosen = [
            (path, drawing.colours[band.source] if is_within else _BETWEEN_COLOUR)
            for band, path in zip(bands, paths, strict=True)
            if band.is_within_cluster == is_within
        ]
        _add_paths(
            axes,
            "bands within clusters" if is_within else "bands between clusters",
            [path for path, _ in chosen],
            facecolors=[colour for _, colour in chosen],
            linewidths=0,
            alpha=0.75 if is_within else 0.25,
            zorder=2 if is_within else 1,
        )
    weight = float(block.weights.sum(dtype=np.float64))
    kinds = frozenset({"bands"} if weight else ())
    return Drawn(kinds, weight, sum(band.weight for band in bands))


def _draw_lines(
    axes: Axes, drawing: Drawing, block: Edges, columns: tuple[Column, Column], depth: float
) -> Drawn:
    """Draw the strongest edges unit by unit, the strongest last, between clusters below all."""
    weights = np.triu(block.weights) if block.is_within_layer else block.weights
    source, target = _strongest(weights, drawing.n_edges)
    if not source.size:
        return Drawn()
    within = drawing.labels_of(block.source)[source] == drawing.labels_of(block.target)[target]
    order = np.argsort(within, kind="stable")
    source, target, within = source[order], target[order], within[order]
    starts, ends = columns[0].units[source], columns[1].units[target]
    _add_paths(
        axes,
        "lines",
        _loops(starts, ends, depth) if block.is_within_layer else _straight(starts, ends),
        edgecolors=[
            drawing.colours[label] if is_within else _BETWEEN_COLOUR
            for label, is_within in zip(
                drawing.labels_of(block.source)[source], within, strict=True
            )
        ],
        linewidths=0.2 + 1.3 * weights[source, target] / weights.max(),
        alpha=0.5,
        zorder=1,
    )
    return Drawn(frozenset({"lines", *(["chords"] if block.is_within_layer else [])}))


def _strongest(
    weights: NDArray[np.floating], n: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the ends of the n strongest edges, or of all there are, the strongest last."""
    flat = weights.ravel()
    count = min(n, int(np.count_nonzero(flat)))
    chosen = np.argsort(flat, kind="stable")[flat.size - count :]
    source, target = np.unravel_index(chosen, weights.shape)
    return source, target


def _straight(starts: NDArray[np.float64], ends: NDArray[np.float64]) -> list[Path]:
    return [Path(np.round(pair, 2)) for pair in zip(starts, ends, strict=True)]


def _loops(starts: NDArray[np.float64], ends: NDArray[np.float64], depth: float) -> list[Path]:
    """Return curves from unit to unit of one column, the longer the further to the right."""
    heights = np.abs(starts[:, 1] - ends[:, 1])
    # A cubic curve reaches three quarters of the way to its control points.
    out = starts[:, 0] + depth * np.sqrt(heights / heights.max()) * 4 / 3
    corners = (starts, np.c_[out, starts[:, 1]], np.c_[out, ends[:, 1]], ends)
    codes = [Path.MOVETO, *[Path.CURVE4] * 3]
    return [Path(vertices, codes) for vertices in np.round(np.stack(corners, axis=1), 2)]


def draw_arcs(
    axes: Axes, drawing: Drawing, arcs: list[Arc], columns: Sequence[Column], bottom: float
) -> Drawn:
    """Draw the edges between layers that do not stand side by side, above the columns.

    Args:
        axes: Where to draw, in points.
        drawing: What to draw.
        arcs: The blocks of edges.
        columns: The row's columns.
        bottom: Upper end of the row's tallest column.
    """
    by_layer = {column.layer: column for column in columns}
    for arc in arcs:
        totals = drawing.totals(arc.block)
        shares = np.append(totals.diagonal(), totals.sum() - totals.trace()) / totals.sum()
        source, target = (by_layer[layer] for layer in arc.layers)
        paths, widths = arc_paths(arc, source, target, bottom, shares)
        colours = [*drawing.colours[:-1], _BETWEEN_ARC_COLOUR]
        _add_paths(
            axes,
            "arc",
            paths,
            edgecolors=[colours[index] for index in np.flatnonzero(shares > 0)],
            linewidths=widths,
            capstyle="butt",
            zorder=0,
        )
    return Drawn(frozenset({"arcs"} if arcs else ()))


def _add_paths(axes: Axes, label: str, paths: list[Path], **style: Any) -> None:
    if not paths:
        return
    colours: dict[str, Any] = {"facecolors": "none", "edgecolors": "none"} | style
    # Snapping to pixels would make dots vanish.
    axes.add_collection(
        PathCollection(paths, label=label, clip_on=False, snap=False, **colours), autolim=False
    )

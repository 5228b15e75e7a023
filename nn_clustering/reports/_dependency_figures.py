"""Figure of which sub-clusters depend on each other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import FancyArrowPatch

from nn_clustering.reports._double_lesion_figures import importance_in_words
from nn_clustering.reports._figure_text import add_title, counted
from nn_clustering.reports._palette import cluster_colours
from nn_clustering.reports._sub_cluster_figure_parts import (
    NO_PAIRS,
    empty_figure,
    shortened,
)

if TYPE_CHECKING:
    import networkx
    from matplotlib.axes import Axes

    from nn_clustering.lesions import DoubleLesionTest

# Of an edge: whether the source, and whether the target, no longer matters where the other one is
# lesioned; with the colour and the line to draw it in.
_EDGES = {
    (True, True): ("neither is important where the other is lesioned", "black", "solid"),
    (True, False): (
        "the earlier is not important where the later is lesioned",
        "#0072b2",
        (0, (5, 2)),
    ),
    (False, True): (
        "the later is not important where the earlier is lesioned",
        "#d55e00",
        (0, (1.2, 1.2)),
    ),
}
_WIDEST = 13.0  # inches between the first and the last layer
# Of more dependencies than so many the strongest are drawn; fewer where rows are few, so that
# arrows lie over each other.
_MOST_EDGES, _EDGES_A_ROW, _LEAST_EDGES = 150, 16, 30
# Columns of no more rows than this, if there are more columns, leave so many rows of room above and
# below for arcs.
_FLAT, _LONG, _ARC = 4, 12, 1.6


def figure_of_dependencies(double: DoubleLesionTest, title: str) -> Figure:
    """Draw which sub-clusters of different layers depend on each other (methods G11).

    Columns are layers from input to output. A dot is a sub-cluster: its size the number of units,
    its colour and number the cluster. An arrow leads to the later of two of which one or both no
    longer matter where the other is lesioned. Of more than 150 (fewer where layers have few
    sub-clusters, whose arrows lie over each other) the strongest are drawn, and it is said how many
    there are: those in which the lesion of the other takes most of what one costs.

    Args:
        double: The double lesion test.
        title: Of the figure.
    """
    graph = double.dependencies()
    if not len(graph):
        return empty_figure(NO_PAIRS, title)
    n_edges = graph.number_of_edges()
    tallest = max(Counter(layer for _, layer in graph.nodes(data="layer")).values())
    most = min(max(_EDGES_A_ROW * tallest, _LEAST_EDGES), _MOST_EDGES)
    graph.remove_edges_from(_by_strength(graph)[most:])
    columns = _columns(graph)
    arc = _ARC if tallest <= _FLAT and len(columns) > _LONG else 0.0
    across = min(1.5, _WIDEST / len(columns))
    down = min(0.75, 9 / tallest)
    names = [graph.nodes[column[0]]["layer"] for column in columns]
    turned = max(map(len, names)) * 0.08 > across
    of_names = 0.08 * min(max(map(len, names)), 26) if turned else 0.2
    size = (
        max(across * len(columns) + 1, 6),
        max(down * (tallest + 2 * arc), 1.5) + of_names + 1.8,
    )
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots()
    places = {
        node: (float(x), _height(index, len(column), tallest))
        for x, column in enumerate(columns)
        for index, node in enumerate(column)
    }
    sizes = _dot_areas(graph, diameter=min(0.42, 0.8 * down, 0.8 * across))
    bow = _Bow(across / down, (tallest - 1) / 2, arc / len(columns))
    _draw_edges(axes, graph, places, sizes, bow)
    _draw_nodes(axes, graph, places, sizes)
    _set_columns(axes, [shortened(name) for name in names], turned=turned)
    axes.set_xlim(-0.6, len(columns) - 0.4)
    axes.set_ylim(tallest - 0.4 + arc, -0.6 - arc)
    _explain_edges(figure, axes, graph, n_edges, double)
    add_title(figure, title)
    return figure


def _columns(graph: networkx.DiGraph) -> list[list[Hashable]]:
    """Return the nodes of each layer, those that are joined at about the same height."""
    layers = dict.fromkeys(layer for _, layer in graph.nodes(data="layer"))
    columns = [[node for node in graph if graph.nodes[node]["layer"] == name] for name in layers]
    tallest = max(map(len, columns))
    # the usual sweeps: each node to the mean height of its neighbours, forth and back
    for column in [*columns, *reversed(columns)] * 4:
        heights = {
            node: _height(index, len(of_layer), tallest)
            for of_layer in columns
            for index, node in enumerate(of_layer)
        }

        def wanted(node: Hashable, heights: dict[Hashable, float] = heights) -> float:
            neighbours = [*graph.predecessors(node), *graph.successors(node)]
            return float(np.mean([heights[other] for other in neighbours or [node]]))

        column.sort(key=wanted)
    return columns


def _height(index: int, count: int, tallest: int) -> float:
    """Return the height of a node of a column that is centred beside the tallest one."""
    return index + (tallest - count) / 2


def _dot_areas(graph: networkx.DiGraph, diameter: float) -> dict[Hashable, float]:
    """Return the areas of the dots in square points: by units, the smallest still to be seen."""
    units = dict(graph.nodes(data="n_units"))
    largest = (72 * diameter) ** 2
    most = max(units.values())
    return {node: largest * max(count / most, 0.3) for node, count in units.items()}


def _draw_nodes(
    axes: Axes,
    graph: networkx.DiGraph,
    places: dict[Hashable, tuple[float, float]],
    areas: dict[Hashable, float],
) -> None:
    labels = [label for _, label in graph.nodes(data="label")]
    colours = cluster_colours(max(labels) + 1)
    for node, label in graph.nodes(data="label"):
        x, y = places[node]
        axes.scatter(x, y, s=areas[node], color=colours[label], edgecolors="black", linewidths=0.6)
        red, green, blue, _ = colours[label]
        dark = 0.3 * red + 0.59 * green + 0.11 * blue < 0.5
        size = float(np.clip(0.45 * np.sqrt(areas[node]), 5, 9))
        axes.text(
            x,
            y,
            str(label),
            ha="center",
            va="center_baseline",
            fontsize=size,
            color="white" if dark else "black",
            zorder=4,
        )


@dataclass(frozen=True)
class _Bow:
    """How far arrows bend.

    Attributes:
        stretch: How far columns are apart, in distances of rows.
        middle: The height in the middle.
        rise: How many rows an arrow along a row rises for every column that it passes; 0 where
            there is no room.
    """

    stretch: float
    middle: float
    rise: float

    def bend(self, start: tuple[float, float], end: tuple[float, float]) -> float:
        """Return by which share of its length an arrow bends downwards."""
        (x, y), (to_x, to_y) = start, end
        length = float(np.hypot(self.stretch * (to_x - x), to_y - y))
        if to_x - x <= 1:
            return 0.0
        if self.rise and y == to_y:  # away from the other rows, the farther the longer
            return (0.6 + 2 * self.rise * (to_x - x)) / length * (1 if y > self.middle else -1)
        if self.rise and abs(y - to_y) <= 1:  # there is nothing to pass between neighbouring rows
            return 0.0
        # past the dots of the layers in between, by less than half a row
        return min(0.12, 0.8 / length) * (1 if y <= to_y else -1)


def _draw_edges(
    axes: Axes,
    graph: networkx.DiGraph,
    places: dict[Hashable, tuple[float, float]],
    areas: dict[Hashable, float],
    bow: _Bow,
) -> None:
    for source, target, edge in graph.edges(data=True):
        start, end = places[source], places[target]
        _, colour, line = _EDGES[edge["source_fails"], edge["target_fails"]]
        axes.add_patch(
            FancyArrowPatch(
                start,
                end,
                connectionstyle=f"arc3,rad={bow.bend(start, end)}",
                shrinkA=np.sqrt(areas[source]) / 2 + 1,
                shrinkB=np.sqrt(areas[target]) / 2 + 1,
                arrowstyle="->",
                mutation_scale=9,
                color=colour,
                linestyle=line,
                linewidth=1,
                alpha=0.85 if graph.number_of_edges() <= 80 else 0.45,
            )
        )


def _set_columns(axes: Axes, names: Sequence[str], *, turned: bool) -> None:
    axes.set_xticks(range(len(names)), names, fontsize=8, rotation=90 if turned else 0)
    axes.set_xlabel("layer (number: cluster, size: units)")
    axes.set_yticks([])
    axes.tick_params(axis="x", length=0)
    axes.spines[["left", "right", "top"]].set_visible(False)


def _by_strength(graph: networkx.DiGraph) -> list[tuple[Hashable, Hashable]]:
    """Return the edges, from that in which the other's lesion takes most of what one costs."""
    changes = dict(graph.nodes(data="change"))

    def taken(edge: tuple[Hashable, Hashable, dict[str, Any]]) -> float:
        source, target, found = edge
        ends = {"source": source, "target": target}
        return max(
            float(found[f"{end}_score"] - changes[node])
            for end, node in ends.items()
            if found[f"{end}_fails"]
        )

    edges = sorted(graph.edges(data=True), key=taken, reverse=True)
    return [(source, target) for source, target, _ in edges]


def _explain_edges(
    figure: Figure, axes: Axes, graph: networkx.DiGraph, n_edges: int, double: DoubleLesionTest
) -> None:
    """Say what the lines mean, and by which of how many p-values."""
    if not n_edges:
        axes.set_title("no dependencies", fontsize=9)
        return
    if n_edges > graph.number_of_edges():
        told = f"the {graph.number_of_edges()} strongest of {n_edges:,} dependencies"
        axes.set_title(told, fontsize=9)
    found = {(edge["source_fails"], edge["target_fails"]) for *_, edge in graph.edges(data=True)}
    handles = [
        Line2D([], [], color=colour, linestyle=line, label=meaning)
        for fails, (meaning, colour, line) in _EDGES.items()
        if fails in found
    ]
    count = len(double.sub_clusters)
    figure.legend(
        handles=handles,
        title=f"{importance_in_words(double.n_shuffles)};\n"
        f"not corrected for {counted(count * (count - 1), 'conditional lesion')}",
        loc="outside lower center",
        fontsize=8,
        title_fontsize=8,
    )

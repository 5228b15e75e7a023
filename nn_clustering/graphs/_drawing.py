"""A drawing of a clustered network: layers as columns, clusters as colours."""

from typing import TYPE_CHECKING

import networkx
import numpy as np
from numpy.typing import NDArray

from nn_clustering.errors import InvalidInputError
from nn_clustering.graphs._unit_graph import UnitGraph

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ISOLATED_COLOUR = "#d9d9d9"
BETWEEN_COLOUR = "#b0b0b0"


def cluster_colours(n_clusters: int) -> list[tuple[float, float, float, float]]:
    """Return one colour a cluster, as red, green, blue, alpha: all different and none grey.

    Neighbours in the list differ clearly, since they lie side by side in the figures.
    """
    from matplotlib import colormaps
    from matplotlib.colors import hsv_to_rgb

    if n_clusters <= 9:
        return [colormaps["tab10"](index) for index in (0, 1, 2, 3, 4, 5, 6, 8, 9)[:n_clusters]]
    # Steps of the golden ratio spread any number of hues evenly and neighbours far apart; strong,
    # pale and dark (and from 21 on dull) take turns to part the hues that come close.
    styles = [(0.85, 0.85), (0.5, 0.95), (0.95, 0.5), (0.55, 0.7)][: 3 if n_clusters <= 20 else 4]
    hues = np.arange(n_clusters) * (np.sqrt(5) - 1) / 2 % 1
    saturations, values = (np.resize(column, n_clusters) for column in zip(*styles, strict=True))
    colours = hsv_to_rgb(np.column_stack([hues, saturations, values]))
    return [(float(red), float(green), float(blue), 1.0) for red, green, blue in colours]


def draw_network(graph: UnitGraph, labels: NDArray[np.integer], *, n_edges: int = 400) -> "Figure":
    """Draw a graph with its units coloured by cluster.

    Within a layer the units are sorted by cluster, isolated ones at the bottom. Between two layers
    only the strongest edges are drawn, the wider the stronger: in the cluster's colour within a
    cluster, grey and below the others between clusters.

    Args:
        graph: The graph.
        labels: Cluster of every unit, -1 where isolated; shape (n_units,).
        n_edges: Edges drawn between two layers, at most.

    Raises:
        InvalidInputError: If there is not one label a unit.
    """
    from matplotlib.figure import Figure

    if labels.shape != (graph.n_units,):
        raise InvalidInputError(
            f"labels of shape {labels.shape}; expected one for each of {graph.n_units} units"
        )
    colours = cluster_colours(int(labels.max(initial=0)) + 1)
    positions = _positions(graph, labels)
    drawn = _drawn_graph(graph, labels, colours, n_edges)
    # Many layers share a width that a page can still show.
    figure = Figure(figsize=(min(3 + 1.7 * len(graph.layers), 16), 7), layout="constrained")
    axes = figure.subplots()
    edges = sorted(drawn.edges(data=True), key=lambda edge: edge[2]["within"])
    networkx.draw_networkx_edges(
        drawn,
        positions,
        ax=axes,
        edgelist=[(source, target) for source, target, _ in edges],
        width=[edge["width"] for *_, edge in edges],
        edge_color=[edge["color"] for *_, edge in edges],
        alpha=0.5,
    )
    networkx.draw_networkx_nodes(
        drawn,
        positions,
        ax=axes,
        nodelist=list(range(graph.n_units)),
        node_size=[
            size
            for layer in graph.layers
            for size in [float(np.clip(5000 / max(layer.n_units, 1), 14, 120))] * layer.n_units
        ],
        node_color=[colours[label] if label >= 0 else ISOLATED_COLOUR for label in labels],
        linewidths=0,
    )
    for index, layer in enumerate(graph.layers):
        axes.text(index, -0.04, f"{layer.name}\n{layer.n_units}", ha="center", va="top", fontsize=9)
    axes.set_ylim(-0.12, 1.03)
    axes.set_axis_off()
    axes.set_title(
        f"units by cluster, and the strongest edges (up to {n_edges} between two layers)",
        fontsize=10,
    )
    _add_legend(figure, colours, has_isolated=bool((labels < 0).any()))
    return figure


def _drawn_graph(
    graph: UnitGraph,
    labels: NDArray[np.integer],
    colours: list[tuple[float, float, float, float]],
    n_edges: int,
) -> networkx.Graph:
    """Return all units and the strongest edges, with width and colour of each edge."""
    drawn = networkx.Graph()
    drawn.add_nodes_from(range(graph.n_units))
    for block in graph.edges:
        for source, target, weight in _strongest(block.weights, n_edges):
            ends = (
                int(graph.offsets[block.source]) + source,
                int(graph.offsets[block.target]) + target,
            )
            within = bool(labels[ends[0]] == labels[ends[1]])
            colour = colours[labels[ends[0]]] if within else BETWEEN_COLOUR
            width = 0.2 + 1.3 * weight / block.weights.max()
            drawn.add_edge(*ends, width=width, color=colour, within=within)
    return drawn


def _add_legend(
    figure: "Figure", colours: list[tuple[float, float, float, float]], *, has_isolated: bool
) -> None:
    """List the clusters in the order in which their units lie in a column."""
    from matplotlib.patches import Patch

    handles = [Patch(color=colour, label=str(label)) for label, colour in enumerate(colours)][::-1]
    if has_isolated:
        handles.append(Patch(color=ISOLATED_COLOUR, label="isolated"))
    figure.legend(
        handles=handles,
        title="cluster",
        loc="outside right center",
        fontsize=8,
        frameon=False,
        ncols=1 + len(handles) // 32,
    )


def _positions(graph: UnitGraph, labels: NDArray[np.integer]) -> dict[int, tuple[float, float]]:
    """Place a layer's units in a column, by cluster, isolated units at the bottom."""
    positions = {}
    for index, layer in enumerate(graph.layers):
        units = graph.units(index)
        order = np.argsort(-labels[units], kind="stable")
        # the top is 1, the bottom 0; a unit that is alone is in the middle
        heights = np.linspace(1, 0, layer.n_units) if layer.n_units > 1 else [0.5]
        for unit, height in zip(order, heights, strict=False):
            positions[units.start + int(unit)] = (float(index), float(height))
    return positions


def _strongest(weights: NDArray[np.floating], n: int) -> list[tuple[int, int, float]]:
    flat = weights.ravel()
    count = min(n, int(np.count_nonzero(flat)))
    chosen = np.argpartition(-flat, count - 1)[:count] if count else np.array([], int)
    chosen = chosen[np.argsort(flat[chosen])]  # the strongest last, on top
    return [
        (int(source), int(target), float(flat[index]))
        for index, source, target in zip(
            chosen, *np.unravel_index(chosen, weights.shape), strict=True
        )
    ]

"""A drawing of a clustered network: layers as columns, clusters as colours."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from nn_clustering.errors import InvalidInputError
from nn_clustering.graphs._unit_graph import UnitGraph

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ISOLATED_COLOUR = "#d9d9d9"
BETWEEN_COLOUR = "#b0b0b0"


def cluster_colours(n_clusters: int) -> list[tuple[float, float, float, float]]:
    """Return one colour a cluster, as red, green, blue, alpha; all different."""
    from matplotlib import colormaps

    if n_clusters <= 10:
        return [colormaps["tab10"](index) for index in range(n_clusters)]
    if n_clusters <= 20:
        # strong colours first, then their pale companions
        order = [*range(0, 20, 2), *range(1, 20, 2)]
        return [colormaps["tab20"](order[index]) for index in range(n_clusters)]
    return [colormaps["turbo"](share) for share in np.linspace(0.03, 0.97, n_clusters)]


def draw_network(graph: UnitGraph, labels: NDArray[np.integer], *, n_edges: int = 400) -> "Figure":
    """Draw a graph with its units coloured by cluster.

    Within a layer the units are sorted by cluster. Between two layers only the strongest edges are
    drawn, as wide as their weight: in the cluster's colour within a cluster, grey between clusters.

    Args:
        graph: The graph.
        labels: Cluster of every unit, -1 where isolated; shape (n_units,).
        n_edges: Edges drawn between two layers, at most.

    Raises:
        InvalidInputError: If there is not one label a unit.
    """
    import networkx
    from matplotlib.figure import Figure

    if labels.shape != (graph.n_units,):
        raise InvalidInputError(
            f"labels of shape {labels.shape}; expected one for each of {graph.n_units} units"
        )
    colours = cluster_colours(int(labels.max(initial=0)) + 1)
    positions = _positions(graph, labels)
    drawn = networkx.Graph()
    drawn.add_nodes_from(range(graph.n_units))
    for block in graph.edges:
        for source, target, weight in _strongest(block.weights, n_edges):
            ends = graph.offsets[block.source] + source, graph.offsets[block.target] + target
            within = labels[ends[0]] == labels[ends[1]]
            colour = colours[labels[ends[0]]] if within else BETWEEN_COLOUR
            width = 0.2 + 1.3 * weight / block.weights.max()
            drawn.add_edge(*map(int, ends), width=width, color=colour)

    largest = max(layer.n_units for layer in graph.layers)
    figure = Figure(figsize=(2 + 1.7 * len(graph.layers), 7), layout="constrained")
    axes = figure.subplots()
    edges = list(drawn.edges(data=True))
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
        node_size=float(np.clip(6000 / largest, 4, 120)),
        node_color=[colours[label] if label >= 0 else ISOLATED_COLOUR for label in labels],
        linewidths=0,
    )
    for index, layer in enumerate(graph.layers):
        axes.text(index, -0.06, f"{layer.name}\n{layer.n_units}", ha="center", va="top", fontsize=9)
    axes.set_ylim(-0.16, 1.03)
    axes.set_axis_off()
    axes.set_title(
        f"units by cluster, and the {n_edges} strongest edges between two layers", fontsize=10
    )
    return figure


def _positions(graph: UnitGraph, labels: NDArray[np.integer]) -> dict[int, tuple[float, float]]:
    """Place a layer's units in a column, by cluster, isolated units at the bottom."""
    positions = {}
    for index, layer in enumerate(graph.layers):
        units = graph.units(index)
        order = np.argsort(-labels[units], kind="stable")
        height = 1.0 if layer.n_units > 1 else 0.0
        for rank, unit in enumerate(order):
            y = 1 - height * rank / max(layer.n_units - 1, 1) if height else 0.5
            positions[units.start + int(unit)] = (float(index), y)
    return positions


def _strongest(weights: NDArray[np.float64], n: int) -> list[tuple[int, int, float]]:
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

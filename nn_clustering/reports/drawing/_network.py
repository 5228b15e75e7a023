"""A drawing of a clustered network: layers as columns, clusters as colours."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from nn_clustering.errors import InvalidInputError
from nn_clustering.graphs import UnitGraph

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ISOLATED_COLOUR = "#d9d9d9"


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
    """Draw a graph with its units coloured by cluster, to be printed 17 cm wide.

    A column is a layer. Within it the units are sorted by cluster, isolated ones at the bottom;
    they lie one above the other while they can be told apart, then several in a line.

    Between two columns of units one above the other the strongest edges are drawn, the wider the
    stronger. Otherwise bands join the sub-clusters. A band takes as much of a side of a
    sub-cluster as is its share of the weight on that side: what is coloured stays within the
    cluster, what is grey is cut. Layers that do not stand side by side are joined by arcs above
    the columns, striped by the same shares; edges within a layer are drawn to the right of it.
    A note at the foot says what is left out.

    Args:
        graph: The graph.
        labels: Cluster of every unit, -1 where isolated; shape (n_units,).
        n_edges: Edges drawn unit by unit between two layers, at most.

    Raises:
        InvalidInputError: If there is not one label a unit.
    """
    from matplotlib.colors import to_rgba

    from nn_clustering.reports.drawing._artists import Drawing
    from nn_clustering.reports.drawing._page_layout import draw_page

    if labels.shape != (graph.n_units,):
        raise InvalidInputError(
            f"labels of shape {labels.shape}; expected one for each of {graph.n_units} units"
        )
    colours = cluster_colours(int(labels.max(initial=-1)) + 1)
    return draw_page(Drawing(graph, labels, [*colours, to_rgba(ISOLATED_COLOUR)], n_edges))

"""A drawing of a clustered network: layers as columns, clusters as colours."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from nn_clustering.errors import InvalidInputError
from nn_clustering.graphs import UnitGraph
from nn_clustering.reports._palette import ISOLATED_COLOUR, cluster_colours

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw_network(graph: UnitGraph, labels: NDArray[np.integer], *, n_edges: int = 400) -> "Figure":
    """Draw a graph with its units coloured by cluster, to be printed 17 cm wide.

    A column is a layer. Within it the units are sorted by cluster, isolated ones at the bottom;
    they lie one above the other while they can be told apart, then several in a line.

    Between two columns of units one above the other the strongest edges are drawn, the wider the
    stronger. Otherwise bands join the sub-clusters. A band takes as much of a side of a
    sub-cluster as is its share of the weight on that side: what is coloured stays within the
    cluster, what is grey is cut. Layers that do not stand side by side are joined by arcs above
    the columns, striped by the same shares; edges within a layer are drawn to the right of it.
    Beside sub-clusters stand the numbers of their clusters where several have one colour.

    The figure's label is a caption: how what is drawn is to be read, and what is left out.

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

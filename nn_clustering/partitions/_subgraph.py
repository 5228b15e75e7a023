"""The graph of some of a graph's units."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from nn_clustering.graphs import UnitGraph


def subgraph(graph: UnitGraph, kept: NDArray[np.bool_]) -> UnitGraph:
    """Return the graph of some units and the edges among them; layers keep their place.

    Args:
        graph: The graph.
        kept: Whether each unit is kept, shape (n_units,).
    """
    parts = [kept[graph.units(index)] for index in range(len(graph.layers))]
    layers = tuple(
        replace(layer, n_units=int(part.sum()))
        for layer, part in zip(graph.layers, parts, strict=True)
    )
    edges = tuple(block.among(parts[block.source], parts[block.target]) for block in graph.edges)
    return replace(graph, layers=layers, edges=edges)

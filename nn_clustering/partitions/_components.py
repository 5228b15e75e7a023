"""Connected components of a unit graph."""

import numpy as np
from numpy.typing import NDArray

from nn_clustering.graphs import UnitGraph


def connected_components(graph: UnitGraph) -> NDArray[np.int64]:
    """Return the connected component of every unit, numbered from 0, shape (n_units,).

    Nearly every graph is connected, which a few products with its weight matrices show; only what
    the first unit does not reach is looked at edge by edge.
    """
    import scipy.sparse.csgraph

    reached = _reached_from_first_unit(graph)
    components = np.zeros(graph.n_units, np.int64)
    if not reached.all():
        rest = graph.with_weights(
            [np.where(reached[graph.units(b.source), None], 0, b.weights) for b in graph.edges]
        )
        found = scipy.sparse.csgraph.connected_components(rest.adjacency(), directed=False)[1]
        components[~reached] = 1 + np.unique(found[~reached], return_inverse=True)[1]
    return components


def _reached_from_first_unit(graph: UnitGraph) -> NDArray[np.bool_]:
    """Return which units some path joins to the first one."""
    reached = np.zeros(graph.n_units, np.float32)
    reached[:1] = 1
    # There and back again: one pass forwards already goes through all layers of a chain.
    blocks = [*graph.edges, *reversed(graph.edges)]
    n_reached = 0
    while n_reached < reached.sum() < graph.n_units:
        n_reached = int(reached.sum())
        for block in blocks:
            source, target = graph.units(block.source), graph.units(block.target)
            # nearly always all of them are, after the first few
            if reached[source].all() and reached[target].all():
                continue
            weights = block.weights
            reached[target] += reached[source] @ weights > 0
            reached[source] += weights @ reached[target] > 0
            np.minimum(reached, 1, out=reached)
    return reached > 0

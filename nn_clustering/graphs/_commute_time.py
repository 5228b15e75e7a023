"""The commute-time variant of a graph (methods C9)."""

from dataclasses import replace
from itertools import combinations_with_replacement

import numpy as np
from numpy.typing import NDArray

from nn_clustering.errors import InvalidInputError
from nn_clustering.graphs._unit_graph import Edges, UnitGraph

# Every unit is joined to every other: a matrix of so many units squared takes 0.8 GB.
_MOST_UNITS = 10_000

# Of a connected graph's fundamental matrix. With larger entries fewer than some six digits of the
# differences between them would be right.
_LARGEST_ENTRY = 1e9


def commute_time_graph(graph: UnitGraph) -> UnitGraph:
    """Join every two units by how well the whole graph, not one edge, connects them.

    The edge between the units i and j weighs vol / (l_ii + l_jj - 2 l_ij), with l the
    pseudo-inverse of the unnormalised Laplacian and vol the sum of all degrees. The difference
    l_ii + l_jj - 2 l_ij is the resistance between them if edges are conductances; vol times it is
    the time that a random walk on a connected graph takes from one to the other and back.

    Between units of different components the resistance is infinite and there is no edge; within
    one, the resistance is that of the component on its own. Isolated units stay isolated, dead ones
    among them without any edge.

    Args:
        graph: Any graph of up to 10,000 units; memory and time grow with the square and the cube.

    Returns:
        The graph of the same layers, with float64 edges between and within all of them.

    Raises:
        InvalidInputError: If there are more units, or parts of the graph hang together by weights
            too small, beside the others, for the resistance to be computed.
    """
    import scipy.sparse.csgraph

    if graph.n_units > _MOST_UNITS:
        raise InvalidInputError(
            f"commute times of {graph.n_units} units; expected {_MOST_UNITS} or fewer, as every "
            "unit is joined to every other: leave commute_time out, or take a smaller network"
        )
    graph = graph.with_dead_cut_off()
    adjacency = graph.adjacency().astype(np.float64)
    weights = np.zeros((graph.n_units, graph.n_units))
    volume = graph.degrees.sum()
    _, component_of = scipy.sparse.csgraph.connected_components(adjacency, directed=False)
    for component in np.unique(component_of[~graph.isolated]):
        units = np.flatnonzero(component_of == component)
        own = adjacency[units][:, units].toarray()
        weights[np.ix_(units, units)] = volume * _conductances(own)
    pairs = combinations_with_replacement(range(len(graph.layers)), 2)
    return replace(
        graph,
        edges=tuple(
            Edges(source, target, weights[graph.units(source), graph.units(target)].copy())
            for source, target in pairs
        ),
    )


def _conductances(adjacency: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return 1 / (l_ii + l_jj - 2 l_ij) of a connected graph, with a zero diagonal.

    Any generalised inverse of the Laplacian L = D - A gives the same differences. That of
    L + d d' / vol, with the degrees d, is taken through its scaled copy, the normalised Laplacian
    plus the projection onto its null vector: it can be inverted whatever the scale of the degrees.
    """
    import scipy.linalg

    degrees = adjacency.sum(axis=1)
    roots = np.sqrt(degrees)
    shifted = np.outer(roots / degrees.sum(), roots)
    shifted -= adjacency / roots / roots[:, None]
    shifted[np.diag_indices_from(shifted)] += 1
    factor, failed = scipy.linalg.lapack.dpotrf(shifted.T, overwrite_a=True)
    if not failed:
        # the upper triangle, zeros below it
        inverse, failed = scipy.linalg.lapack.dpotri(factor, overwrite_c=True)
    if failed or inverse.diagonal().max() > _LARGEST_ENTRY:
        raise InvalidInputError(
            f"{len(degrees)} units hang together by weights too small beside the others for "
            f"their commute times (smallest {adjacency[adjacency > 0].min():.3g}, largest "
            f"{adjacency.max():.3g}): prune the smallest, or leave commute_time out"
        )
    inverse /= roots
    inverse /= roots[:, None]
    diagonal = inverse.diagonal().copy()
    np.fill_diagonal(inverse, 0)
    inverse += inverse.T
    resistances = np.add.outer(diagonal, diagonal)
    resistances -= 2 * inverse
    np.fill_diagonal(resistances, np.inf)
    found: NDArray[np.float64] = np.divide(1, resistances, out=resistances)
    return found

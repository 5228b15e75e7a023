"""The edges of a graph whose linear sets of units are left out."""

from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from nn_clustering.errors import InvalidInputError
from nn_clustering.graphs._contraction import Factors
from nn_clustering.graphs._selection import Selection
from nn_clustering.graphs._single_precision import MOST_IN_DOUBLE, MOST_IN_SINGLE
from nn_clustering.graphs._unit_graph import Edges
from nn_clustering.machine import in_units, memory_bytes
from nn_clustering.networks.structure import NetworkWeights, Origin
from nn_clustering.threads import one_thread

# Products that are computed side by side.
_AT_ONCE = 2


def contracted_edges(
    network: NetworkWeights, selection: Selection, kernel_norm: str, *, is_single: bool
) -> tuple[Edges, ...]:
    """Return the edges between the sets of units that are kept.

    Args:
        network: The network's weights.
        selection: Which sets these are.
        kernel_norm: Norm of weights of several positions.
        is_single: Whether the network is in single precision: then small graphs are computed in
            double and rounded to it, larger ones computed in it, and the largest held in half
            precision.

    Raises:
        InvalidInputError: If they take more than half of the memory that there is.
    """
    assert selection.contraction is not None
    index = {origin: place for place, origin in enumerate(selection.origins)}
    pairs = selection.contraction.pairs(selection.origins)
    n_weights = sum(source.n_units * target.n_units for source, target in pairs)
    _check_memory(network, pairs, n_weights, is_single=is_single)
    in_double = not is_single or n_weights <= MOST_IN_DOUBLE
    blocks = selection.contraction.blocks(
        selection.origins,
        selection.shared_factors,
        kernel_norm,
        np.float64 if in_double else np.float32,
    )
    # each product by one thread, so that no digit depends on how many cores there are
    with one_thread(), ThreadPoolExecutor(_AT_ONCE) as threads:
        pending = [
            threads.submit(
                _edges, index[source], index[target], made, n_weights, is_single=is_single
            )
            for source, target, made in blocks
        ]
        edges = [made.result() for made in pending]
    return tuple(sorted(edges, key=lambda block: (block.source, block.target)))


def _check_memory(
    network: NetworkWeights,
    pairs: Collection[tuple[Origin, Origin]],
    n_weights: int,
    *,
    is_single: bool,
) -> None:
    """Check that products of which the network itself holds only the factors can be held."""
    n_bytes = n_weights * _bytes_of_weight(n_weights, is_single=is_single)
    if n_bytes <= memory_bytes() / 2:
        return
    source, target = max(pairs, key=lambda pair: pair[0].n_units * pair[1].n_units)
    raise InvalidInputError(
        f"the graph of network {network.name!r} has {n_weights:,} edges, which take "
        f"{in_units(n_bytes)}, and there are {in_units(memory_bytes())} of memory; expected half "
        f"of that at most: most edges join the {source.n_units:,} units of "
        f"{network.name_of(source)!r} to the {target.n_units:,} of {network.name_of(target)!r}; "
        "leave out tokens and outputs (graph.inputs, graph.outputs), or take graph.residual=units"
    )


def _bytes_of_weight(n_weights: int, *, is_single: bool) -> int:
    if not is_single or n_weights <= MOST_IN_DOUBLE:
        return 8
    return 4 if n_weights <= MOST_IN_SINGLE else 2


def _edges(
    source: int,
    target: int,
    made: NDArray[np.floating] | Factors,
    n_weights: int,
    *,
    is_single: bool,
) -> Edges:
    if is_single and n_weights > MOST_IN_SINGLE and not isinstance(made, np.ndarray):
        left, right = made
        return Edges.half_of_product(source, target, left, right)
    weights = made if isinstance(made, np.ndarray) else np.abs(made[0] @ made[1])
    if not is_single:
        return Edges(source, target, weights)
    with np.errstate(over="ignore"):
        single = weights.astype(np.float32, copy=False)
    if not np.isfinite(single).all():
        return Edges(source, target, weights)
    if n_weights > MOST_IN_SINGLE:
        return Edges.half(source, target, single)
    stored = single.astype(np.float64) if n_weights <= MOST_IN_DOUBLE else single
    return Edges(source, target, stored)

"""A shuffle that keeps every unit's strength: the sum of its weights towards each other layer."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nn_clustering.errors import InvalidInputError
from nn_clustering.significance._rewiring import can_be_rewired, rewired_support

# Relative error of the worst unit's strength: below what single precision tells apart.
_TOLERANCE = 1e-6
# Steps of fitting at places drawn anew. Layers of trained networks, pruned ones too, take 2 to 10.
_N_STEPS = 100
# More of them where the sums are almost right.
_MORE_STEPS = 1000
# How often places are drawn, with ever more units left out whose strengths were out of reach.
_N_ROUNDS = 50
# At their own places they are within reach, though slowly where weights differ by many orders.
_MOST_STEPS = 5000
_LEAST_EXACT = 1e-2


def with_strengths_kept(
    weights: NDArray[np.floating], random: np.random.Generator, *, within_layer: bool = False
) -> NDArray[np.floating]:
    """Return a weight matrix shuffled such that the sums of all rows and columns stay.

    A weight is what the strengths of its two units ask for, times the rest. The rest, the matrix
    with its rows and columns scaled to a mean of 1 over their edges, is permuted, and rows and
    columns are scaled back to their sums (by iterative proportional fitting: Deming and Stephan
    1940, Sinkhorn and Knopp 1967). The places of the edges are drawn anew as well, such that rows
    and columns keep their numbers. Where sums are out of reach at the new places (a unit with a
    single edge can ask for more than its new neighbour has), the edges of those furthest from
    theirs are put back, and the others' drawn again. Within a layer all places stay.

    Args:
        weights: Non-negative, of shape (source units, target units).
        random: Where the randomness comes from.
        within_layer: Whether the matrix is symmetric, with a zero diagonal, and has to stay so.

    Raises:
        InvalidInputError: If the sums cannot be kept to within 1%.
    """
    kept = np.asarray(weights, np.float64)
    support = kept != 0
    rest = kept.copy()
    _fit(rest, support.astype(np.float64), _N_STEPS, within_layer=within_layer)
    shuffled = None if within_layer else _at_new_places(kept, rest, random)
    if shuffled is None:
        once = np.triu(support) if within_layer else support
        shuffled = _permuted(rest[once], once, random)
        if within_layer:
            shuffled += shuffled.T
        error = _fit(shuffled, kept, _MOST_STEPS, within_layer=within_layer).worst
        if not error <= _LEAST_EXACT:
            raise InvalidInputError(
                f"method=layer_strength: the weights of a unit still add up to {error:.0%} more or "
                f"less than in the network after {_MOST_STEPS} steps; expected weights that differ "
                "by fewer orders of magnitude; take method=layer or rewiring"
            )
    return shuffled.astype(weights.dtype)


def _at_new_places(
    kept: NDArray[np.float64], rest: NDArray[np.float64], random: np.random.Generator
) -> NDArray[np.float64] | None:
    """Return the shuffle with the edges at other places; None where they cannot be moved."""
    support = kept != 0
    free_rows, free_columns = (np.ones(n, bool) for n in support.shape)
    for _ in range(_N_ROUNDS):
        free = np.ix_(free_rows, free_columns)
        if not can_be_rewired(support[free]):
            return None
        places = support.copy()
        places[free] = rewired_support(support[free], random)
        shuffled = _permuted(rest[support], places, random)
        errors = _fit(shuffled, kept, _N_STEPS)
        if _TOLERANCE < errors.worst <= _LEAST_EXACT:  # on the way, if slowly
            errors = _fit(shuffled, kept, _MORE_STEPS)
        if errors.worst <= _TOLERANCE:
            return shuffled
        # those that are worst; what is wrong with others can be the worst ones' doing
        free_rows &= errors.of_rows <= errors.worst / 2
        free_columns &= errors.of_columns <= errors.worst / 2
    return None


def leave_strengths_a_choice(weights: NDArray[np.floating], *, within_layer: bool = False) -> bool:
    """Whether there is another matrix with non-zero entries there and the same sums.

    There is none if and only if the edges are no more than what the sums tell: those of a forest,
    and within a layer one more for each component with an odd cycle.
    """
    support = weights != 0
    n_rows, n_columns = support.shape
    n_edges = int(np.count_nonzero(support))
    if within_layer:
        n_edges //= 2
        return n_edges > n_rows or bool(n_edges > n_rows - _n_bipartite_parts(support))
    if n_edges >= n_rows + n_columns:
        return True
    return bool(n_edges > n_rows + n_columns - _n_parts_of_both_sides(support))


def _n_bipartite_parts(support: NDArray[np.bool_]) -> int:
    """Return how many components of a symmetric matrix have no odd cycle."""
    import scipy.sparse.csgraph

    # a component without an odd cycle falls in two if each unit is taken once a side
    n_parts = scipy.sparse.csgraph.connected_components(scipy.sparse.coo_array(support))[0]
    return _n_parts_of_both_sides(support) - int(n_parts)


def _n_parts_of_both_sides(support: NDArray[np.bool_]) -> int:
    """Return how many components there are of rows and columns, joined where entries are."""
    import scipy.sparse.csgraph

    rows, columns = np.nonzero(support)
    n_rows, n_units = len(support), sum(support.shape)
    joined = scipy.sparse.coo_array(
        (np.ones(rows.size), (rows, n_rows + columns)), shape=(n_units, n_units)
    )
    return int(scipy.sparse.csgraph.connected_components(joined, directed=False)[0])


def _permuted(
    values: NDArray[np.float64], places: NDArray[np.bool_], random: np.random.Generator
) -> NDArray[np.float64]:
    """Return a matrix with values at some places, in a random order."""
    shuffled = np.zeros(places.shape)
    shuffled[places] = random.permutation(values)
    return shuffled


@dataclass(frozen=True, eq=False)
class _Errors:
    """By how much, relatively, the sums of rows and of columns are wrong before the last scaling.

    Attributes:
        of_rows: Shape (rows,).
        of_columns: Shape (columns,).
    """

    of_rows: NDArray[np.float64]
    of_columns: NDArray[np.float64]

    @property
    def worst(self) -> float:
        return float(np.concatenate([self.of_rows, self.of_columns]).max(initial=0))


def _fit(
    weights: NDArray[np.float64],
    sums_of: NDArray[np.float64],
    n_steps: int,
    *,
    within_layer: bool = False,
) -> _Errors:
    """Scale rows and columns, in place, to the sums of another matrix."""
    rows, columns = sums_of.sum(axis=1), sums_of.sum(axis=0)
    for _ in range(n_steps):
        by_row = _ratios(rows, weights.sum(axis=1))
        if within_layer:
            root = np.sqrt(by_row)
            weights *= root[:, None] * root  # one product, so that both halves are equal
            by_column = by_row
        else:
            weights *= by_row[:, None]
            by_column = _ratios(columns, weights.sum(axis=0))
            weights *= by_column
        errors = _Errors(np.abs(by_row - (rows > 0)), np.abs(by_column - (columns > 0)))
        if errors.worst <= _TOLERANCE:
            break
    return errors


def _ratios(
    numerators: NDArray[np.float64], denominators: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the quotients, 0 where nothing is divided by 0."""
    return np.divide(
        numerators, denominators, out=np.zeros(numerators.shape), where=denominators > 0
    )

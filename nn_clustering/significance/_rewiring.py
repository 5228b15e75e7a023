"""Rewiring of a bipartite graph: every unit keeps its number of edges, all else is random."""

import numpy as np
from numpy.typing import NDArray

# In each, every unit trades with another one. In matrices of the size and sparsity of pruned
# networks' the share of edges that are where they were has its value by chance after 10 to 20.
_N_TRADES = 30


def rewired(weights: NDArray[np.floating], random: np.random.Generator) -> NDArray[np.floating]:
    """Return a weight matrix with its non-zero entries at other places.

    The places are drawn uniformly from all that leave the number of non-zero entries of every row
    and of every column as it is. A row keeps its entries, in a random order.
    """
    support = weights != 0
    new_support = rewired_support(support, random)
    rows = np.nonzero(support)[0]
    shuffled = np.zeros_like(weights)
    # Both supports list row after row, and have as many places in each.
    shuffled[new_support] = weights[support][_order_within(rows, random)]
    return shuffled


def can_be_rewired(support: NDArray[np.bool_]) -> bool:
    """Whether there is another matrix with as many entries in every row and every column.

    There is none if and only if the rows, ordered by their numbers of entries, each contain the
    one before (Ryser 1957), as in a full matrix.
    """
    rows = support[np.argsort(np.count_nonzero(support, axis=1), kind="stable")]
    return bool((rows[:-1] & ~rows[1:]).any())


def rewired_support(support: NDArray[np.bool_], random: np.random.Generator) -> NDArray[np.bool_]:
    """Draw a matrix with the row and column sums of another one, by global curveball trades.

    All rows trade in random pairs: entries that only one row of a pair has are dealt out anew
    between the two, each keeping its number. This leads to the uniform distribution (Carstens,
    "Proof of uniform sampling of binary matrices with fixed row sums and column sums for the fast
    curveball algorithm", 2015; Carstens et al., "Parallel and I/O-efficient randomisation of
    massive networks using global curveball trades", 2018).
    """
    is_wide = support.shape[0] <= support.shape[1]
    rows = np.array(support if is_wide else support.T, order="C")  # fewer rows meet sooner
    n_pairs = len(rows) // 2
    for _ in range(_N_TRADES):
        order = random.permutation(len(rows))
        first, second = order[:n_pairs], order[n_pairs : 2 * n_pairs]
        rows[first], rows[second] = _trade(rows[first], rows[second], random)
    return rows if is_wide else rows.T


def _trade(
    first: NDArray[np.bool_], second: NDArray[np.bool_], random: np.random.Generator
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Deal out what only one of two rows has between them, for many pairs of rows at once."""
    pairs, columns = np.nonzero(first ^ second)
    n_of_first = np.count_nonzero(first & ~second, axis=1)
    starts = np.searchsorted(pairs, np.arange(len(first)))
    # Dealt in a random order: to the first row of the pair until it has its number.
    order = _order_within(pairs, random)
    to_first = order[np.arange(pairs.size) - starts[pairs] < n_of_first[pairs]]
    both = first & second
    first, second = both, both | (first ^ second)
    first[pairs[to_first], columns[to_first]] = True
    second[pairs[to_first], columns[to_first]] = False
    return first, second


def _order_within(groups: NDArray[np.integer], random: np.random.Generator) -> NDArray[np.integer]:
    """Return an order that is random within each group; the groups are sorted, and stay so."""
    return np.argsort(groups + random.random(groups.size))

"""Work on large graphs in two threads, whatever the number of cores: no digit depends on it."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from nn_clustering.graphs import Edges

_LANES = 2

Found = TypeVar("Found")


def in_lanes(edges: Sequence[Edges], work: Callable[[Sequence[Edges]], Found]) -> list[Found]:
    """Return what work makes of the edges, of all at once or of two shares of them.

    Linear algebra is to run with one thread, so that every share is worked on by one.

    Args:
        edges: The edges.
        work: Is called with some of them, in two threads at once where any are in half precision.

    Returns:
        What it makes of each share, in an order that is always the same.
    """
    if not any(block.is_half for block in edges):
        return [work(edges)]
    shares: list[list[Edges]] = [[] for _ in range(_LANES)]
    for block in sorted(edges, key=lambda block: -block.stored.size):
        min(shares, key=_size).append(block)
    with ThreadPoolExecutor(_LANES) as threads:
        return list(threads.map(work, shares))


def _size(edges: Sequence[Edges]) -> int:
    return sum(block.stored.size for block in edges)

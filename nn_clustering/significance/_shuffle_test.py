"""Is a network more clusterable than its shuffles? (methods D)."""

import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from joblib import Parallel, delayed
from numpy.typing import NDArray

from nn_clustering.errors import InvalidInputError
from nn_clustering.graphs import UnitGraph
from nn_clustering.partitions import ncut, spectral_partition
from nn_clustering.seeds import generator, integer_seed
from nn_clustering.significance._p_values import p_value
from nn_clustering.significance._shuffles import check_shuffle, shuffle


@dataclass(frozen=True, eq=False)
class ShuffleTest:
    """A network's n-cut beside the n-cuts of its shuffles.

    Attributes:
        ncut: The network's own n-cut.
        shuffled_ncuts: The n-cut of every shuffle, shape (n_shuffles,).
        count_ties: Whether shuffles with an equal n-cut count in the p-value.
    """

    ncut: float
    shuffled_ncuts: NDArray[np.float64]
    count_ties: bool = True

    @property
    def mean(self) -> float:
        """Mean n-cut of the shuffles."""
        return float(self.shuffled_ncuts.mean())

    @property
    def std(self) -> float:
        """Population standard deviation of the shuffles' n-cuts."""
        return float(self.shuffled_ncuts.std())

    @property
    def z_score(self) -> float:
        """(ncut - mean) / std; NaN if all shuffles have the same n-cut."""
        return (self.ncut - self.mean) / self.std if self.std > 0 else float("nan")

    @property
    def p_value(self) -> float:
        """Left-tailed p-value of the network's n-cut among its shuffles (methods D4)."""
        return p_value(self.ncut, self.shuffled_ncuts, tail="left", count_ties=self.count_ties)


def check_shuffle_test(*, n_shuffles: int, method: str, n_workers: int) -> None:
    """Check the numbers of a shuffle test before its graph is there.

    Raises:
        InvalidInputError: If a value is out of range.
    """
    check_shuffle(method)
    for name, value in (("n_shuffles", n_shuffles), ("n_workers", n_workers)):
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise InvalidInputError(f"{name}={value!r}; expected an integer of 1 or more")


def shuffle_test(
    graph: UnitGraph,
    own_ncut: float,
    n_clusters: int,
    *,
    n_shuffles: int,
    method: str = "layer",
    n_init: int = 5,
    select: str = "ncut",
    seed: int,
    n_workers: int = 1,
    reconnect_last_layer: bool = False,
    count_ties: bool = True,
    on_shuffle: Callable[[int, float], None] = lambda index, ncut: None,
) -> ShuffleTest:
    """Cluster a graph's shuffles like the graph itself, and compare their n-cuts.

    Args:
        graph: The graph of the network, isolated units included.
        own_ncut: N-cut of its own partition, made with the same ``n_clusters``, ``n_init`` and
            ``select``.
        n_clusters: Number of clusters.
        n_shuffles: Number of shuffles.
        method: How to shuffle; see :func:`shuffle`.
        n_init: Number of k-means starts.
        select: Which start to keep; see ``spectral_partition``.
        seed: Fixes every shuffle, whatever the number of workers.
        n_workers: Number of shuffles clustered side by side.
        reconnect_last_layer: Whether weights may be shuffled to units of the last layer that are
            isolated in the network, as the studies' code did (quirk 11).
        count_ties: Whether shuffles with an equal n-cut count in the p-value.
        on_shuffle: Called with the index and the n-cut of every shuffle, in order.

    Raises:
        InvalidInputError: If a value is out of range.
    """
    check_shuffle_test(n_shuffles=n_shuffles, method=method, n_workers=n_workers)
    shuffled = graph.without_isolated(but_in_last_layer=reconnect_last_layer)
    ncuts: list[float] = []
    for value in shuffled_ncuts(
        shuffled,
        n_clusters,
        n_shuffles=n_shuffles,
        method=method,
        n_init=n_init,
        select=select,
        seed=seed,
        n_workers=n_workers,
    ):
        on_shuffle(len(ncuts), value)
        ncuts.append(value)
    return ShuffleTest(own_ncut, np.array(ncuts), count_ties)


def shuffled_ncuts(
    graph: UnitGraph,
    n_clusters: int,
    *,
    n_shuffles: int,
    method: str,
    n_init: int,
    select: str,
    seed: int,
    n_workers: int = 1,
) -> Iterator[float]:
    """Yield the n-cut of every shuffle of a graph, in order; see :func:`shuffle_test`."""
    # Processes, since most of the time goes into calls that hold the interpreter's lock.
    with Parallel(n_jobs=n_workers, return_as="generator") as parallel:
        ncuts = parallel(
            delayed(_shuffled_ncut)(graph, n_clusters, method, n_init, select, seed, index)
            for index in range(n_shuffles)
        )
        try:
            # not "yield from", which would close joblib's generator before the warning is silenced
            for value in ncuts:  # noqa: UP028
                yield value
        finally:
            with warnings.catch_warnings():
                # whoever stops early knows that shuffles are cancelled
                warnings.simplefilter("ignore", UserWarning)
                ncuts.close()


def _shuffled_ncut(
    graph: UnitGraph, n_clusters: int, method: str, n_init: int, select: str, seed: int, index: int
) -> float:
    shuffled = shuffle(graph, method, generator(seed, "shuffle", index))
    start = integer_seed(seed, "shuffle clustering", index)
    partition = spectral_partition(shuffled, n_clusters, seed=start, n_init=n_init, select=select)
    return ncut(shuffled, partition.labels)

"""Is a network more clusterable than it would be by chance? (methods D)."""

import os
import warnings
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nn_clustering.errors import InvalidInputError
from nn_clustering.graphs import UnitGraph
from nn_clustering.machine import most_workers
from nn_clustering.partitions import Partition, SpectralClustering, ncut
from nn_clustering.seeds import generator, integer_seed
from nn_clustering.significance._null_models import FreshNetworks, NullModel, check_null_model
from nn_clustering.significance._p_values import (
    check_n_draws,
    n_extreme,
    p_value,
    sequential_p_value,
)
from nn_clustering.threads import one_thread

if TYPE_CHECKING:
    from joblib import Parallel

# N-cuts of single precision graphs are known to some seven digits. Equal ones, as the 0 of clusters
# that nothing joins, differ in what comes after.
_DIGITS = 6

# The largest p-value of a verdict.
SIGNIFICANT = 0.05

# What a network can be beside its shuffles: more clusterable, neither more nor less, less; or there
# are too few shuffles to tell.
VERDICTS = ("more", "neither", "less", "undecided")

# The n-cut of the lowest start, where the clustering does not tell.
_UNKNOWN = float("nan")

# Arrays of more bytes reach worker processes as files in memory, written once, not once a task.
_SENT_ONCE = 2**14


class Clustering(Protocol):
    """Clusters a graph; a function that worker processes can import, or a partial of one."""

    def __call__(self, graph: UnitGraph, /, *, seed: int) -> Partition | SpectralClustering:
        """Return the partition that a seed fixes; or it with the n-cuts of its k-means starts."""


@dataclass(frozen=True, eq=False)
class ShuffleTest:
    """A network's n-cut beside the n-cuts of its shuffles.

    Attributes:
        ncut: The network's own n-cut.
        shuffled_ncuts: The n-cut of every shuffle, in order, shape (n_shuffles,).
        count_ties: Whether shuffles with an equal n-cut count in the p-value.
        stop_at: Number of shuffles at least as extreme as the network after which none was made
            any more; None where all that were planned were made whatever they gave.
        population_std: Whether the standard deviation divides by n, as the studies' did, not by
            n - 1.
        lowest_ncuts: The n-cut of every shuffle by the k-means start of the lowest n-cut, whichever
            was kept, shape (n_shuffles,); None where the clustering does not tell.
    """

    ncut: float
    shuffled_ncuts: NDArray[np.float64]
    count_ties: bool = True
    stop_at: int | None = None
    population_std: bool = False
    lowest_ncuts: NDArray[np.float64] | None = None

    @property
    def n_shuffles(self) -> int:
        """The number of shuffles."""
        return self.shuffled_ncuts.size

    @property
    def mean(self) -> float:
        """Mean n-cut of the shuffles."""
        return float(self.shuffled_ncuts.mean())

    @property
    def std(self) -> float:
        """Standard deviation of the shuffles' n-cuts (n - 1); NaN of a single one."""
        if self.n_shuffles < 2:
            return float("nan")
        return float(self.shuffled_ncuts.std(ddof=0 if self.population_std else 1))

    @property
    def z_score(self) -> float:
        """(ncut - mean) / std; NaN if all shuffles have the same n-cut."""
        same = np.ptp(self.shuffled_ncuts.round(_DIGITS)) == 0
        return float("nan") if same else (self.ncut - self.mean) / self.std

    def of_lowest_starts(self, ncut: float) -> "ShuffleTest | None":
        """Return the same test, had the k-means start of the lowest n-cut been kept everywhere.

        Args:
            ncut: The network's n-cut by that start.

        Returns:
            The test, all of whose shuffles count, where those of this one ended early too; None
            where the clustering does not tell the n-cuts of its starts.
        """
        if self.lowest_ncuts is None:
            return None
        return replace(
            self, ncut=ncut, shuffled_ncuts=self.lowest_ncuts, stop_at=None, lowest_ncuts=None
        )

    @property
    def n_extreme(self) -> int:
        """The number of shuffles whose n-cut is at most the network's."""
        return n_extreme(
            *_compared(self.ncut, self.shuffled_ncuts), tail="left", count_ties=self.count_ties
        )

    @property
    def verdict(self) -> str:
        """One of :data:`VERDICTS`: what the network is beside its shuffles.

        It is ``more`` clusterable with a p-value of 0.05 at most, and ``less`` if that of the other
        tail is so small, which a test that ended early does not look at. Fewer than 19 shuffles,
        which can give no such p-value, leave it ``undecided``.
        """
        if self.p_value <= SIGNIFICANT:
            return "more"
        if self.stopped_early:
            return "neither"
        if 1 / (self.n_shuffles + 1) > SIGNIFICANT:
            return "undecided"
        right = p_value(
            *_compared(self.ncut, self.shuffled_ncuts), tail="right", count_ties=self.count_ties
        )
        return "less" if right <= SIGNIFICANT else "neither"

    @property
    def stopped_early(self) -> bool:
        """Whether enough shuffles were extreme to settle the p-value."""
        return self.stop_at is not None and self.n_extreme >= self.stop_at

    @property
    def p_value(self) -> float:
        """Left-tailed p-value of the network's n-cut among its shuffles (methods D4)."""
        chosen: dict[str, Any] = {"tail": "left", "count_ties": self.count_ties}
        if self.stop_at is None:
            return p_value(*_compared(self.ncut, self.shuffled_ncuts), **chosen)
        return sequential_p_value(
            *_compared(self.ncut, self.shuffled_ncuts), stop_at=self.stop_at, **chosen
        )


def _compared(own: float, shuffled: ArrayLike) -> tuple[float, NDArray[np.float64]]:
    """Return a network's n-cut and shuffles', equal where nothing but rounding tells them apart."""
    return float(np.round(own, _DIGITS)), np.round(np.asarray(shuffled, float), _DIGITS)


def check_shuffle_test(
    *,
    n_shuffles: int,
    method: str,
    n_workers: int,
    kernels: str | None = None,
    stop_at: int | None = None,
) -> None:
    """Check the settings of a shuffle test before its graph is there.

    Raises:
        InvalidInputError: If a value is unknown or out of range.
    """
    check_null_model(method, kernels=kernels)
    _check_numbers(n_shuffles=n_shuffles, n_workers=n_workers, stop_at=stop_at)


def _check_numbers(*, n_shuffles: int, n_workers: int, stop_at: int | None) -> None:
    check_n_draws("n_shuffles", n_shuffles)
    if isinstance(n_workers, bool) or not isinstance(n_workers, int) or n_workers < 1:
        raise InvalidInputError(f"n_workers={n_workers!r}; expected an integer of 1 or more")
    if n_workers > most_workers():
        raise InvalidInputError(
            f"n_workers={n_workers}; expected an integer from 1 to {most_workers()} on this "
            f"machine of {os.cpu_count()} processors"
        )
    if stop_at is None:
        return
    # stopped after one shuffle there would be no spread
    if isinstance(stop_at, bool) or not isinstance(stop_at, int) or not 2 <= stop_at <= n_shuffles:
        raise InvalidInputError(
            f"stop_at={stop_at!r}; expected an integer from 2 to n_shuffles={n_shuffles}"
        )


def shuffle_test(
    null: NullModel,
    cluster: Clustering,
    own_ncut: float,
    *,
    n_shuffles: int,
    seed: int,
    n_workers: int = 1,
    count_ties: bool = True,
    stop_at: int | None = None,
    volume_constant: float = 0.0,
    known: Mapping[int, float] | None = None,
    known_lowest: Mapping[int, float] | None = None,
    on_shuffle: Callable[[int, float, float], object] = lambda index, ncut, lowest: None,
) -> ShuffleTest:
    """Cluster a graph's shuffles like the graph itself, and compare their n-cuts.

    Args:
        null: Makes the shuffles.
        cluster: Clusters them as the graph was.
        own_ncut: N-cut of the graph's own partition.
        n_shuffles: Number of shuffles, 2 or more.
        seed: Fixes every shuffle, whatever the number of workers.
        n_workers: Number of processes that cluster shuffles side by side.
        count_ties: Whether shuffles with an equal n-cut count in the p-value.
        stop_at: Stop with the shuffle that is the ``stop_at``-th whose n-cut is at most the
            graph's; ``n_shuffles`` is then the most that are made. What is settled so is a large
            p-value, to a relative standard error of about 1 / sqrt(stop_at): a small one needs all
            shuffles. See :func:`sequential_p_value`.
        volume_constant: Of the n-cuts, as ``own_ncut`` has it; see
            :func:`~nn_clustering.partitions.ncut`.
        known: N-cuts of shuffles, by index, that the same test gave before it was cut short.
        known_lowest: Those of their k-means starts of the lowest n-cut.
        on_shuffle: Called with the index of every shuffle, in order, its n-cut and that of its
            k-means start of the lowest n-cut, NaN where ``cluster`` does not tell.

    Raises:
        InvalidInputError: If a value is out of range, or a shuffle cannot be clustered.
    """
    _check_numbers(n_shuffles=n_shuffles, n_workers=n_workers, stop_at=stop_at)
    known = known or {}
    missing = [index for index in range(n_shuffles) if index not in known]
    known_lowest = known_lowest or {}
    recipe = _Recipe(cluster, null.method, seed, volume_constant)
    computed = _shuffled(null, recipe, missing, n_workers)
    ncuts: list[float] = []
    lowest: list[float] = []
    n_found = 0
    for index in range(n_shuffles):
        value, of_lowest = (
            (known[index], known_lowest.get(index, _UNKNOWN)) if index in known else next(computed)
        )
        on_shuffle(index, value, of_lowest)
        ncuts.append(value)
        lowest.append(of_lowest)
        n_found += n_extreme(*_compared(own_ncut, [value]), tail="left", count_ties=count_ties)
        if n_found == stop_at:
            break
    computed.close()
    lowest_ncuts = None if np.isnan(lowest).any() else np.array(lowest)
    return ShuffleTest(own_ncut, np.array(ncuts), count_ties, stop_at, lowest_ncuts=lowest_ncuts)


def shuffled_ncuts(
    null: NullModel,
    cluster: Clustering,
    indices: Iterable[int],
    *,
    seed: int,
    n_workers: int = 1,
    volume_constant: float = 0.0,
) -> Generator[float, None, None]:
    """Yield the n-cut of shuffles, in the order of their indices; see :func:`shuffle_test`."""
    recipe = _Recipe(cluster, null.method, seed, volume_constant)
    with closing(_shuffled(null, recipe, indices, n_workers)) as computed:
        for value, _ in computed:
            yield value


def _shuffled(
    null: NullModel, recipe: "_Recipe", indices: Iterable[int], n_workers: int
) -> Generator[tuple[float, float], None, None]:
    """Yield the n-cuts of shuffles, of the start that is kept and of the lowest."""
    from joblib import delayed

    if isinstance(null, FreshNetworks):
        yield from _of_fresh_networks(null, recipe, list(indices), n_workers)
        return
    tasks = (delayed(_shuffled_ncut)(null, recipe, index) for index in indices)
    with worker_pool(n_workers) as parallel:
        ncuts = parallel(tasks)
        try:
            # not "yield from", which would close joblib's generator before the warning is silenced
            for value in ncuts:  # noqa: UP028
                yield value
        finally:
            with warnings.catch_warnings():
                # whoever stops early knows that shuffles are cancelled
                warnings.simplefilter("ignore", UserWarning)
                ncuts.close()


@dataclass(frozen=True, eq=False)
class _Recipe:
    """How the n-cut of every graph of a null model is found.

    Attributes:
        cluster: Clusters them.
        method: Name of the null model, for messages.
        seed: Fixes every draw and its clustering.
        volume_constant: Of the n-cuts.
    """

    cluster: Clustering
    method: str
    seed: int
    volume_constant: float

    def random(self, index: int) -> np.random.Generator:
        """Return where the randomness of a draw comes from."""
        return generator(self.seed, "shuffle", index)

    def ncuts(self, graph: UnitGraph, index: int) -> tuple[float, float]:
        """Return the n-cut of one of the graphs, and that of its lowest start, NaN if untold."""
        # One thread here too, so that no digit depends on the number of workers.
        with one_thread():
            try:
                found = self.cluster(
                    graph, seed=integer_seed(self.seed, "shuffle clustering", index)
                )
            except InvalidInputError as error:
                raise InvalidInputError(
                    f"shuffle {index} ({self.method}) cannot be clustered like the graph: {error}"
                ) from error
            if isinstance(found, SpectralClustering):
                labels, lowest = found.partition.labels, float(found.start_ncuts.min())
            else:
                labels, lowest = found.labels, _UNKNOWN
            return ncut(graph, labels, volume_constant=self.volume_constant), lowest


def _of_fresh_networks(
    null: FreshNetworks, recipe: _Recipe, indices: list[int], n_workers: int
) -> Iterator[tuple[float, float]]:
    """Yield n-cuts of networks that are built here, as many at once as there are workers."""
    from joblib import delayed

    with worker_pool(n_workers) as parallel:
        for start in range(0, len(indices), n_workers):
            chunk = indices[start : start + n_workers]
            graphs = [null.draw(recipe.random(index)) for index in chunk]
            yield from parallel(
                delayed(recipe.ncuts)(graph, index)
                for graph, index in zip(graphs, chunk, strict=True)
            )


def worker_pool(n_workers: int) -> "Parallel":
    """Return the processes that cluster shuffles, for a ``with``; they stay for the next test.

    Processes, since threads gain nothing: much of the time goes into calls that hold the
    interpreter's lock. Each computes with one thread, so that they do not take each other's cores.
    """
    from joblib import Parallel, parallel_config

    with parallel_config("loky", inner_max_num_threads=1):
        return Parallel(n_workers, return_as="generator", max_nbytes=_SENT_ONCE)


def _shuffled_ncut(null: NullModel, recipe: _Recipe, index: int) -> tuple[float, float]:
    return recipe.ncuts(null.draw(recipe.random(index)), index)

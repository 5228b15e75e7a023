"""The shuffle test against scikit-learn's spectral clustering of the same shuffles."""

import dataclasses
import time
from functools import partial

import numpy as np
import scipy.sparse
from joblib import delayed
from sklearn.cluster import SpectralClustering
from threadpoolctl import threadpool_limits

from benchmarks._timing import Comparison, compare
from nn_clustering.graphs import UnitGraph
from nn_clustering.partitions import leading_eigenvectors, ncut, spectral_partition
from nn_clustering.partitions._ncut import ncuts
from nn_clustering.partitions._spectral import k_means_starts
from nn_clustering.seeds import generator
from nn_clustering.significance import shuffle, shuffled_edges, shuffled_ncuts, worker_pool

N_CLUSTERS = 12
N_INIT = 5

# How much larger than the peer's our mean n-cut may be.
_TOLERATED = 1.001


def benchmark_shuffling(
    graph: UnitGraph, name: str, *, n_shuffles: int, n_workers: int, runs: int
) -> Comparison:
    """Compare with scikit-learn set as in the studies: arpack, 25 k-means starts."""
    null = shuffled_edges(graph, "layer")
    cluster = partial(spectral_partition, n_clusters=N_CLUSTERS, n_init=N_INIT)
    found: dict[str, list[float]] = {}
    # The processes of both, which are the same ones, are started before the clock.
    list(worker_pool(n_workers)(delayed(time.sleep)(0.1) for _ in range(n_workers)))

    def ours() -> None:
        found["ours"] = list(
            shuffled_ncuts(null, cluster, range(n_shuffles), seed=0, n_workers=n_workers)
        )

    def theirs() -> None:
        tasks = (delayed(ncut_by_scikit_learn)(null.graph, i) for i in range(n_shuffles))
        found["theirs"] = list(worker_pool(n_workers)(tasks))

    comparison = compare(
        f"shuffle test: {n_shuffles} shuffles of {name} ({null.graph.n_units} units, k = "
        f"{N_CLUSTERS}), {n_workers} process(es) each",
        "scikit-learn's SpectralClustering (arpack, 25 k-means starts) of the same shuffles",
        ours,
        theirs,
        runs=runs,
    )
    note = f"{compared_ncuts(**found)}\n  {shares_of_time(null.graph)}"
    return dataclasses.replace(comparison, note=note)


def compared_ncuts(ours: list[float], theirs: list[float]) -> str:
    """Return both mean n-cuts, and whether ours is no worse."""
    mean, peers = float(np.mean(ours)), float(np.mean(theirs))
    verdict = "no worse" if mean <= _TOLERATED * peers else "WORSE by more than 0.1%"
    return (
        f"mean n-cut {mean:.4f}{_error(ours)}, the peer's {peers:.4f}{_error(theirs)} (lower is "
        f"better): {verdict}"
    )


def _error(values: list[float]) -> str:
    """Return the standard error of the mean, of more than one value."""
    n = len(values)
    return f" +- {np.std(values, ddof=1) / np.sqrt(n):.4f}" if n > 1 else ""


def shares_of_time(graph: UnitGraph, n_shuffles: int = 10, n_init: int = N_INIT) -> str:
    """Return what the time of one shuffle goes into, in one process."""
    with threadpool_limits(1):  # as in the shuffle test
        every = [_seconds_of_parts(graph, index, n_init) for index in range(n_shuffles)]
    seconds = np.median(every, axis=0)
    parts = ("shuffling", "eigenproblem", "k-means", "n-cuts")
    shares = ", ".join(
        f"{part} {share:.0%}" for part, share in zip(parts, seconds / seconds.sum(), strict=True)
    )
    return f"{1000 * seconds.sum():.1f} ms a shuffle: {shares}"


def _seconds_of_parts(graph: UnitGraph, index: int, n_init: int) -> np.ndarray:
    times = [time.perf_counter()]

    def lap() -> None:
        times.append(time.perf_counter())

    shuffled = shuffle(graph, "layer", generator(0, "shuffle", index)).without_isolated()
    lap()
    vectors = leading_eigenvectors(shuffled, N_CLUSTERS)[1]
    lap()
    embedding = vectors / np.sqrt(shuffled.degrees)[:, None]
    labels = k_means_starts(vectors, embedding, seed=index, n_init=n_init, select="ncut")[0]
    lap()
    # of all starts in the clustering, and of the one that is kept after it
    ncuts(shuffled, labels)
    ncut(shuffled, labels[0])
    lap()
    return np.diff(times)


def ncut_by_scikit_learn(graph: UnitGraph, index: int) -> float:
    """Return the n-cut that scikit-learn finds of one shuffle."""
    shuffled = shuffle(graph, "layer", generator(0, "shuffle", index)).without_isolated()
    return ncut(shuffled, labels_by_scikit_learn(shuffled, index))


def labels_by_scikit_learn(graph: UnitGraph, seed: int) -> np.ndarray:
    """Cluster a graph as the studies did."""
    adjacency = scipy.sparse.csr_matrix(graph.adjacency())
    adjacency.indices = adjacency.indices.astype(np.int32)
    adjacency.indptr = adjacency.indptr.astype(np.int32)
    return SpectralClustering(
        N_CLUSTERS, affinity="precomputed", eigen_solver="arpack", n_init=25, random_state=seed
    ).fit_predict(adjacency)

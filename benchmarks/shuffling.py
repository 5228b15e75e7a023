"""The shuffle test against scikit-learn's spectral clustering of the same shuffles."""

import dataclasses

import numpy as np
import scipy.sparse
from joblib import Parallel, delayed
from sklearn.cluster import SpectralClustering

from benchmarks._timing import Comparison, compare
from nn_clustering.graphs import UnitGraph
from nn_clustering.partitions import ncut
from nn_clustering.seeds import generator
from nn_clustering.significance import shuffle, shuffled_ncuts

N_CLUSTERS = 12


def benchmark_shuffling(
    graph: UnitGraph, name: str, *, n_shuffles: int, n_workers: int, runs: int
) -> Comparison:
    """Compare with scikit-learn set as in the studies: arpack, 25 k-means starts."""
    connected = graph.without_isolated()
    found: dict[str, list[float]] = {}
    # The processes of both are started before the clock.
    Parallel(n_jobs=n_workers)(
        delayed(_one_by_scikit_learn)(connected, i) for i in range(n_workers)
    )

    def ours() -> None:
        found["ours"] = list(
            shuffled_ncuts(
                connected,
                N_CLUSTERS,
                n_shuffles=n_shuffles,
                method="layer",
                n_init=5,
                select="ncut",
                seed=0,
                n_workers=n_workers,
            )
        )

    def theirs() -> None:
        found["theirs"] = Parallel(n_jobs=n_workers)(
            delayed(_one_by_scikit_learn)(connected, index) for index in range(n_shuffles)
        )

    comparison = compare(
        f"shuffle test: {n_shuffles} shuffles of {name} ({connected.n_units} units, k = "
        f"{N_CLUSTERS}), {n_workers} processes each",
        "scikit-learn's SpectralClustering (arpack, 25 k-means starts) of the same shuffles",
        ours,
        theirs,
        runs=runs,
    )
    means = {side: float(np.mean(values)) for side, values in found.items()}
    note = f"mean n-cut {means['ours']:.4f}, the peer's {means['theirs']:.4f} (lower is better)"
    return dataclasses.replace(comparison, note=note)


def _one_by_scikit_learn(graph: UnitGraph, index: int) -> float:
    shuffled = shuffle(graph, "layer", generator(0, "shuffle", index)).without_isolated()
    adjacency = scipy.sparse.csr_matrix(shuffled.adjacency())
    adjacency.indices = adjacency.indices.astype(np.int32)
    adjacency.indptr = adjacency.indptr.astype(np.int32)
    labels = SpectralClustering(
        N_CLUSTERS, affinity="precomputed", eigen_solver="arpack", n_init=25, random_state=index
    ).fit_predict(adjacency)
    return ncut(shuffled, labels)

"""Test whether a network is more clusterable than its shuffles.

python experiments/shuffle_test.py with cluster_run=latest n_shuffles=200
"""

import os
from typing import Any

from joblib import Parallel, delayed

from experiments import PROJECT
from nn_clustering.graphs import UnitGraph
from nn_clustering.reports import figure_of_null_distribution
from nn_clustering.significance import check_shuffle_test
from nn_clustering.significance import shuffle_test as test_by_shuffling
from nn_clustering.tracking.experiment import StageExperiment, StageRun

experiment = StageExperiment("shuffle_test", base_dir=PROJECT)
experiment.configure(PROJECT)


@experiment.stage
def shuffle_test(run: StageRun) -> dict[str, Any]:
    """Cluster shuffled networks; the result holds n-cut, null mean and std, z-score, p-value."""
    config = run.config
    n_workers = config["n_workers"] if config["n_workers"] is not None else os.cpu_count() or 1
    check_shuffle_test(
        n_shuffles=config["n_shuffles"], method=config["method"], n_workers=n_workers
    )
    clustered = run.read_run("cluster_run", "cluster")
    graph = UnitGraph.from_npz(clustered.artifact("graph.npz"))

    with run.uncaptured():
        Parallel(n_workers)(delayed(abs)(index) for index in range(n_workers))
    with run.progress(config["n_shuffles"], "shuffles") as bar:

        def log(index: int, value: float) -> None:
            run.log("shuffled_ncut", value, index)
            bar.update()

        test = test_by_shuffling(
            graph,
            clustered.result["ncut"],
            clustered.config["n_clusters"],
            **clustered.config["kmeans"],
            n_shuffles=config["n_shuffles"],
            method=config["method"],
            reconnect_last_layer=config["reconnect_last_layer"],
            count_ties=config["count_ties"],
            seed=run.seed,
            n_workers=n_workers,
            on_shuffle=log,
        )
    title = f"run {clustered.id}: n-cut and its null distribution ({config['method']})"
    run.add_figure("null_distribution.png", figure_of_null_distribution(test, title))
    print(
        f"\nn-cut {test.ncut:.4f}, shuffled {test.mean:.4f} (std {test.std:.4f}): "
        f"z = {test.z_score:.2f}, p = {test.p_value:.3g} of {config['n_shuffles']} shuffles"
    )
    return {
        "ncut": test.ncut,
        "shuffled_mean": test.mean,
        "shuffled_std": test.std,
        "z_score": test.z_score,
        "p_value": test.p_value,
        "n_shuffles": config["n_shuffles"],
    }


if __name__ == "__main__":
    experiment.run_commandline()

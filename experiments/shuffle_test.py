"""Test whether a network is more clusterable than its shuffles.

python experiments/shuffle_test.py with cluster_run=latest n_shuffles=200
"""

import os
from collections.abc import Mapping
from typing import Any

from joblib import Parallel, delayed

from experiments import PROJECT
from nn_clustering.graphs import UnitGraph
from nn_clustering.reports import figure_of_null_distribution
from nn_clustering.significance import check_shuffle_test
from nn_clustering.significance import shuffle_test as test_by_shuffling
from nn_clustering.tracking.experiment import Input, StageExperiment, StageRun
from nn_clustering.tracking.store import Run

experiment = StageExperiment("shuffle_test", base_dir=PROJECT)
experiment.configure(PROJECT)


def inputs(run: StageRun) -> dict[str, Input]:
    """Check the numbers and read the clustered graph."""
    check_shuffle_test(
        n_shuffles=run.config["n_shuffles"],
        method=run.config["method"],
        n_workers=_n_workers(run.config),
    )
    clustered = run.read_run("cluster_run", "cluster")
    content = clustered.artifact("graph.npz")
    return {
        "cluster_run": Input(clustered, clustered.id),
        "graph": Input.of_bytes(content, UnitGraph.from_npz(content)),
    }


def summary(run: StageRun, result: Mapping[str, Any]) -> None:
    """Print the network's n-cut beside those of its shuffles."""
    print(
        f"\nn-cut {result['ncut']:.4f}, shuffled {result['shuffled_mean']:.4f} "
        f"(std {result['shuffled_std']:.4f}): z = {result['z_score']:.2f}, "
        f"p = {result['p_value']:.3g} of {result['n_shuffles']} shuffles"
    )


@experiment.stage(inputs=inputs, summary=summary)
def shuffle_test(run: StageRun) -> dict[str, Any]:
    """Cluster shuffled networks; the result holds n-cut, null mean and std, z-score, p-value."""
    config = run.config
    n_workers = _n_workers(config)
    clustered: Run = run.inputs["cluster_run"]
    graph: UnitGraph = run.inputs["graph"]

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
    return {
        "ncut": test.ncut,
        "shuffled_mean": test.mean,
        "shuffled_std": test.std,
        "z_score": test.z_score,
        "p_value": test.p_value,
        "n_shuffles": config["n_shuffles"],
    }


def _n_workers(config: Mapping[str, Any]) -> int:
    return config["n_workers"] if config["n_workers"] is not None else os.cpu_count() or 1


if __name__ == "__main__":
    experiment.run_commandline()

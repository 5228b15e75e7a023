"""Test whether a network is more clusterable than its shuffles, or than fresh networks.

python experiments/shuffle_test.py with cluster_run=latest n_shuffles=200
python experiments/shuffle_test.py with cluster_run=12 layer_nonzero against_run=13
python experiments/shuffle_test.py with cluster_run=12 fresh_initialisation
python experiments/shuffle_test.py with resume=14
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from experiments import PROJECT, configure
from experiments._chosen_null_model import (
    NullModelInputs,
    build_null_model,
    check_clustering_fits,
    check_network_fits,
    is_fresh,
    needs_network,
    shuffled_graph,
)
from experiments._networks import clustered_network
from experiments._partitions import clustering_method, volume_constant
from nn_clustering import reports, significance
from nn_clustering.errors import InvalidInputError, RunNotFoundError
from nn_clustering.tracking import Input, StageExperiment

if TYPE_CHECKING:
    from nn_clustering.significance import ShuffleTest
    from nn_clustering.tracking import Run, StageRun

METRIC = "shuffled_ncut"

experiment = StageExperiment("shuffle_test", base_dir=PROJECT, save_git_info=False)
configure(experiment, exclusive_keys=("method",))


def check_settings(config: Mapping[str, Any]) -> None:
    """Check what the config alone tells."""
    significance.check_shuffle_test(
        n_shuffles=config["n_shuffles"],
        method=config["method"],
        n_workers=_n_workers(config),
        kernels=config["kernels"],
        stop_at=_stop_at(config),
    )


@dataclass(frozen=True)
class Inputs(NullModelInputs):
    """What a test rests on; ``against`` are the n-cuts of another one."""

    against: Input[NDArray[np.float64]] | None
    unfinished: Input[Run] | None


def inputs(run: StageRun) -> Inputs:
    """Read the clustered graph, the network where it is needed, and shuffles that there are."""
    unfinished = _unfinished(run)
    config = run.config
    check_settings(config)
    clustered = run.read_run("cluster_run", "cluster")
    check_clustering_fits(clustered, config)
    network = null_model = None
    if needs_network(config):
        file = clustered_network(run, clustered)
        check_network_fits(file, config)
        network = Input.of_bytes(file.content, file)
    else:
        null_model = shuffled_graph(clustered, config)
    return Inputs(
        cluster_run=Input(clustered, clustered.id),
        network=network,
        null_model=null_model,
        against=None if config["against_run"] is None else _other_null(run, clustered),
        unfinished=None if unfinished is None else Input(unfinished, unfinished.id),
    )


def summary(run: StageRun[Inputs], result: Mapping[str, Any]) -> None:
    """Print the network's n-cut beside those of its shuffles."""
    what = "fresh networks" if is_fresh(run.config) else "shuffles"
    print(
        f"\nn-cut {result['ncut']:.4f}, {what} {result['shuffled_mean']:.4f} "
        f"(std {result['shuffled_std']:.4f}): z = {result['z_score']:.2f}, "
        f"p = {result['p_value']:.3g} of {result['n_shuffles']} {what}"
        + (
            f", stopped early of {run.config['n_shuffles']}: {run.config['stop_early']['stop_at']} "
            "reached the network's n-cut"
            if result["stopped_early"]
            else ""
        )
    )
    if "cohens_d" in result:
        print(f"Cohen's d {result['cohens_d']:.2f} of these {what} and run {_against(run)}'s")
    clustered = run.inputs.cluster_run.value
    if clustered.config["partition"]["method"] in ("leiden", "louvain"):
        print("each has its own number of clusters, and more clusters have a larger n-cut")
    if is_fresh(run.config) and clustered.info.get("phase") == "pruned":
        print("the network is pruned, the fresh ones are not: sparsity alone can make a difference")


@experiment.stage(check=lambda run: check_settings(run.config), inputs=inputs, summary=summary)
def shuffle_test(run: StageRun[Inputs]) -> dict[str, Any]:
    """Cluster shuffled networks; the result holds n-cut, null mean and std, z-score, p-value."""
    from joblib import delayed

    config = run.config
    clustered = run.inputs.cluster_run.value
    n_workers = _n_workers(config)
    known = _known_shuffles(run)
    null = build_null_model(run)
    with run.uncaptured():
        list(significance.worker_pool(n_workers)(delayed(abs)(index) for index in range(n_workers)))
    with run.progress(config["n_shuffles"], "shuffles") as bar:

        def log(index: int, value: float) -> None:
            run.log(METRIC, value, index)
            bar.update()

        test = significance.shuffle_test(
            null,
            clustering_method(clustered.config),
            clustered.result["ncut"],
            n_shuffles=config["n_shuffles"],
            seed=run.seed,
            n_workers=n_workers,
            count_ties=config["count_ties"],
            stop_at=_stop_at(config),
            volume_constant=volume_constant(clustered.config),
            known=known,
            on_shuffle=log,
        )
    against = None if run.inputs.against is None else run.inputs.against.value
    title = f"run {clustered.id}: n-cut and its null distribution ({config['method']})"
    run.add_figure(
        "null_distribution.png",
        reports.figure_of_null_distribution(
            test, title, against=None if against is None else (f"run {_against(run)}", against)
        ),
    )
    return {
        **_figures(test),
        **(
            {}
            if against is None
            else {"cohens_d": significance.cohens_d(test.shuffled_ncuts, against)}
        ),
    }


def _figures(test: ShuffleTest) -> dict[str, Any]:
    return {
        "ncut": test.ncut,
        "shuffled_mean": test.mean,
        "shuffled_std": test.std,
        "z_score": test.z_score,
        "p_value": test.p_value,
        "n_shuffles": test.n_shuffles,
        "stopped_early": test.stopped_early,
    }


def _other_null(run: StageRun, clustered: Run) -> Input[NDArray[np.float64]]:
    """Return the n-cuts of another test of the same clustering."""
    other = run.read_run("against_run", "shuffle_test")
    if other.config["cluster_run"] != clustered.id:
        raise InvalidInputError(
            f"against_run={other.id}: run {other.id} tests cluster run "
            f"{other.config['cluster_run']}; expected another null model of run {clustered.id}"
        )
    return Input(np.array(list(_stored_shuffles(other).values())), other.id)


def _unfinished(run: StageRun) -> Run | None:
    """Return the test to go on with, after its config became this run's."""
    if run.config["resume"] is None:
        return None
    stored = run.unfinished_run("resume", "shuffle_test")
    run.adopt_config(stored, keep=("n_workers",))
    return stored


def _known_shuffles(run: StageRun[Inputs]) -> dict[int, float]:
    if run.inputs.unfinished is None:
        return {}
    unfinished = run.inputs.unfinished.value
    known = _stored_shuffles(unfinished)
    print(
        f"going on with run {unfinished.id} after {len(known)} of {run.config['n_shuffles']} "
        "shuffles"
    )
    return known


def _stored_shuffles(stored: Run) -> dict[int, float]:
    """Return the n-cuts of a run's shuffles, by index; none where it was cut short before any."""
    try:
        points = stored.metric(METRIC)
    except RunNotFoundError:
        return {}
    return dict(zip(points["step"].tolist(), points["value"].tolist(), strict=True))


def _against(run: StageRun) -> str:
    return str(run.config["against_run"])


def _stop_at(config: Mapping[str, Any]) -> int | None:
    return config["stop_early"]["stop_at"] if config["stop_early"]["enabled"] else None


def _n_workers(config: Mapping[str, Any]) -> int:
    return config["n_workers"] if config["n_workers"] is not None else os.cpu_count() or 1


if __name__ == "__main__":
    experiment.run_commandline()

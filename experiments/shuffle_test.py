"""Test whether a network is more clusterable than its shuffles, or than fresh networks.

python experiments/shuffle_test.py with cluster_run=latest n_shuffles=200
python experiments/shuffle_test.py with cluster_run=12 layer_nonzero against_run=13
python experiments/shuffle_test.py with cluster_run=12 fresh_initialisation
python experiments/shuffle_test.py with resume=14
"""

import hashlib
import os
from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
from joblib import delayed

from experiments import PROJECT
from experiments._graphs import OF_WEIGHTS, is_transformed, transformed, weight_graph
from experiments._keras import import_keras
from experiments._networks import NetworkFile, clustered_network
from experiments._partitions import FROM_FILE, clustering_method
from experiments._phases import without_switch
from nn_clustering.datasets import dataset_task
from nn_clustering.errors import InvalidInputError, RunNotFoundError
from nn_clustering.graphs import UnitGraph
from nn_clustering.networks import network_code
from nn_clustering.reports import figure_of_null_distribution
from nn_clustering.significance import (
    FreshNetworks,
    NullModel,
    ShuffleTest,
    Transformed,
    check_shuffle_test,
    cohens_d,
    shuffled_edges,
    shuffled_kernels,
    worker_pool,
)
from nn_clustering.significance import shuffle_test as test_by_shuffling
from nn_clustering.tracking.experiment import Input, StageExperiment, StageRun
from nn_clustering.tracking.store import Run

METRIC = "shuffled_ncut"

experiment = StageExperiment("shuffle_test", base_dir=PROJECT)
experiment.configure(PROJECT, exclusive_keys=("method",))


def check_settings(config: Mapping[str, Any]) -> None:
    """Check what the config alone tells."""
    check_shuffle_test(
        n_shuffles=config["n_shuffles"],
        method=config["method"],
        n_workers=_n_workers(config),
        kernels=config["kernels"],
        stop_at=_stop_at(config),
    )


def inputs(run: StageRun) -> dict[str, Input]:
    """Read the clustered graph, the network where it is needed, and shuffles that there are."""
    unfinished = _unfinished(run)
    config = run.config
    check_settings(config)
    clustered = run.read_run("cluster_run", "cluster")
    _check_clustering(clustered, config)
    read = {"cluster_run": Input(clustered, clustered.id)}
    if _needs_network(config):
        network = clustered_network(run, clustered)
        _check_network(network, config)
        read["network"] = Input.of_bytes(network.content, network)
    else:
        read["null_model"] = _shuffled_graph(clustered, config)
    if config["against_run"] is not None:
        read["against"] = _other_null(run, clustered)
    if unfinished is not None:
        read["unfinished"] = Input(unfinished, unfinished.id)
    return read


def summary(run: StageRun, result: Mapping[str, Any]) -> None:
    """Print the network's n-cut beside those of its shuffles."""
    what = "fresh networks" if _is_fresh(run.config) else "shuffles"
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
    clustered: Run = run.inputs["cluster_run"]
    if clustered.config["partition"]["method"] in ("leiden", "louvain"):
        print("each has its own number of clusters, and more clusters have a larger n-cut")
    if _is_fresh(run.config) and clustered.info.get("phase") == "pruned":
        print("the network is pruned, the fresh ones are not: sparsity alone can make a difference")


@experiment.stage(check=lambda run: check_settings(run.config), inputs=inputs, summary=summary)
def shuffle_test(run: StageRun) -> dict[str, Any]:
    """Cluster shuffled networks; the result holds n-cut, null mean and std, z-score, p-value."""
    config = run.config
    clustered: Run = run.inputs["cluster_run"]
    n_workers = _n_workers(config)
    known = _known_shuffles(run)
    null = _null_model(run)
    with run.uncaptured():
        list(worker_pool(n_workers)(delayed(abs)(index) for index in range(n_workers)))
    with run.progress(config["n_shuffles"], "shuffles") as bar:

        def log(index: int, value: float) -> None:
            run.log(METRIC, value, index)
            bar.update()

        test = test_by_shuffling(
            null,
            clustering_method(clustered.config),
            clustered.result["ncut"],
            n_shuffles=config["n_shuffles"],
            seed=run.seed,
            n_workers=n_workers,
            count_ties=config["count_ties"],
            stop_at=_stop_at(config),
            known=known,
            on_shuffle=log,
        )
    against = run.inputs.get("against")
    title = f"run {clustered.id}: n-cut and its null distribution ({config['method']})"
    run.add_figure(
        "null_distribution.png",
        figure_of_null_distribution(
            test, title, against=None if against is None else (f"run {_against(run)}", against)
        ),
    )
    return {
        **_figures(test),
        **({} if against is None else {"cohens_d": cohens_d(test.shuffled_ncuts, against)}),
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


def _null_model(run: StageRun) -> NullModel:
    """Return what draws the graphs: transformed as the network's own graph was."""
    settings = run.inputs["cluster_run"].config["graph"]
    if _is_fresh(run.config):
        return _fresh_networks(run)
    null = run.inputs["null_model"] if "null_model" in run.inputs else _of_kernels(run)
    if not is_transformed(settings):
        return null
    switches = {key: settings[key] for key in ("normalise_units", "commute_time")}
    return Transformed(null, partial(transformed, settings=switches))


def _shuffled_graph(clustered: Run, config: Mapping[str, Any]) -> Input:
    transformed_too = is_transformed(clustered.config["graph"])
    content = clustered.artifact("untransformed_graph.npz" if transformed_too else "graph.npz")
    null = shuffled_edges(
        UnitGraph.from_npz(content),
        config["method"],
        reconnect_last_layer=config["reconnect_last_layer"],
    )
    return Input.of_bytes(content, null)


def _of_kernels(run: StageRun) -> NullModel:
    import_keras()
    from nn_clustering.graphs import read_weights
    from nn_clustering.networks import network_from_bytes

    file: NetworkFile = run.inputs["network"]
    settings = run.inputs["cluster_run"].config["graph"]
    return shuffled_kernels(
        read_weights(network_from_bytes(file.content, file.source)),
        run.config["method"],
        {key: settings[key] for key in OF_WEIGHTS},
        reconnect_last_layer=run.config["reconnect_last_layer"],
    )


def _fresh_networks(run: StageRun) -> FreshNetworks:
    """Return the null model of networks that are initialised as the training run's was."""
    import_keras()
    from nn_clustering.networks import build_network, modular_initialisation, network_from_bytes

    file: NetworkFile = run.inputs["network"]
    assert file.training is not None  # checked with the inputs
    settings = run.inputs["cluster_run"].config["graph"]
    config = file.training.config
    trained = network_from_bytes(file.content, file.source)
    task = dataset_task(config["dataset"]["name"])

    def build(seed: int) -> UnitGraph:
        network = build_network(
            input_shape=trained.input_shape[1:],
            n_outputs=trained.output_shape[-1],
            task=task,
            seed=seed,
            **config["network"],
        )
        if config["modular_init"]["enabled"]:
            modular_initialisation(network, seed=seed, **without_switch(config["modular_init"]))
        return weight_graph(network, settings)

    return FreshNetworks(build)


def _check_clustering(clustered: Run, config: Mapping[str, Any]) -> None:
    """Check that shuffles can be clustered as the network was."""
    partition, source = clustered.config["partition"], clustered.config["graph"]["source"]
    given = f"cluster_run={clustered.id}: run {clustered.id} has"
    if partition["local"]:
        raise InvalidInputError(
            f"{given} partition.local=True, clusters of each layer by itself; expected one "
            "clustering of the whole graph: cluster it with partition.local=False"
        )
    if partition["method"] == FROM_FILE:
        raise InvalidInputError(
            f"{given} a partition from a file, and no shuffle can be clustered like that; expected "
            "a method that finds one: cluster it with partition.method=spectral"
        )
    if partition["method"] == "per_layer" and source != "activations":
        raise InvalidInputError(
            f"{given} partition.method=per_layer, which cuts every weight between layers, whatever "
            "the weights: its shuffles have the same n-cut; expected another method"
        )
    if _needs_network(config) and source != "weights":
        asked = "method=fresh_initialisation" if _is_fresh(config) else "kernels=weights"
        raise InvalidInputError(
            f"{given} graph.source={source}, with {asked}: expected a graph of weights, or "
            "another null model of this one: method=layer kernels=norms"
        )
    if source != "activations" and config["method"] == "all_edges":
        raise InvalidInputError(
            f"{given} graph.source={source}, with method=all_edges: expected a graph of "
            "activations, where any two units can be joined; take method=layer"
        )


def _check_network(network: NetworkFile, config: Mapping[str, Any]) -> None:
    """Check that networks can be initialised like the clustered one, where that is asked for."""
    if not _is_fresh(config):
        return
    if network.training is None:
        raise InvalidInputError(
            f"method=fresh_initialisation: {network.source} is from a file, and nobody knows how "
            "it was initialised; expected one that train.py trained: take method=layer"
        )
    kind = network.training.config["network"]["kind"]
    code, noted = network_code(kind), network.training.info.get("inputs", {}).get("network_code")
    if code is not None and hashlib.sha256(code).hexdigest() != noted:
        raise InvalidInputError(
            f"method=fresh_initialisation: the code of network.kind={kind} is not what it was in "
            f"training run {network.training.id}; put the same file back, or take method=layer"
        )


def _other_null(run: StageRun, clustered: Run) -> Input:
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
    if stored.info.get("code") != run.sacred_run.info["code"]:
        print(
            f"the code, or a package, is not what it was in run {stored.id}: what comes now may "
            "differ from what that run would have given"
        )
    return stored


def _known_shuffles(run: StageRun) -> dict[int, float]:
    unfinished: Run | None = run.inputs.get("unfinished")
    if unfinished is None:
        return {}
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


def _needs_network(config: Mapping[str, Any]) -> bool:
    return _is_fresh(config) or config["kernels"] == "weights"


def _is_fresh(config: Mapping[str, Any]) -> bool:
    return config["method"] == "fresh_initialisation"


def _against(run: StageRun) -> str:
    return str(run.config["against_run"])


def _stop_at(config: Mapping[str, Any]) -> int | None:
    return config["stop_early"]["stop_at"] if config["stop_early"]["enabled"] else None


def _n_workers(config: Mapping[str, Any]) -> int:
    return config["n_workers"] if config["n_workers"] is not None else os.cpu_count() or 1


if __name__ == "__main__":
    experiment.run_commandline()

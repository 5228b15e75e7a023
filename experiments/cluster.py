"""Cluster the units of a network by the graph of its weights, activations or gradients.

python experiments/cluster.py with train_run=latest n_clusters=12
python experiments/cluster.py with train_run=latest activations
python experiments/cluster.py with train_run=12 checkpoint=5
python experiments/cluster.py with model=my_network.keras leiden
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from experiments import PROJECT, configure, program
from experiments._graphs import (
    build_graph,
    check_graph_settings,
    check_graph_settings_act,
    check_sample_settings,
    choose_samples,
    is_transformed,
    transformed,
)
from experiments._keras import import_keras
from experiments._networks import OWN_NETWORK, NetworkFile, chosen_network
from experiments._partitions import (
    check_partition_config,
    clustered_graph,
    local_clustering,
    partition_file,
    stability_summary,
)
from nn_clustering import networks, partitions, reports
from nn_clustering.tracking import Input, StageExperiment

if TYPE_CHECKING:
    import keras

    from nn_clustering.graphs import UnitGraph
    from nn_clustering.partitions import Partition
    from nn_clustering.tracking import StageRun

experiment = StageExperiment("cluster", base_dir=PROJECT, save_git_info=False)
configure(experiment, exclusive_keys=("graph.source", "partition.method"))


def check_settings(config: Mapping[str, Any], typed: Iterable[str]) -> None:
    """Check what the config, and the keys that the user has typed, alone tell."""
    check_graph_settings(config["graph"])
    check_graph_settings_act(config["graph"]["source"], typed)
    check_sample_settings(config["activations"])
    check_partition_config(config)


@dataclass(frozen=True)
class Inputs:
    """What a clustering rests on; samples and the file of a partition where they are asked for."""

    network: Input[NetworkFile]
    samples: Input[NDArray[Any]] | None
    partition: Input[bytes] | None


def inputs(run: StageRun) -> Inputs:
    """Check the settings; read the network, and samples and partition if they are asked for."""
    config = run.config
    check_settings(config, run.typed_keys())
    network = chosen_network(run)
    samples = partition = None
    if config["graph"]["source"] != "weights":
        dataset = network.dataset(config["dataset"]["name"])
        chosen = choose_samples(dataset, config["activations"], run.seed)
        samples = Input(chosen, dataset.digest())
    if config["partition"]["method"] == "file":
        partition = Input.of_bytes(partition_file(config["partition"]["file"]))
    return Inputs(Input.of_bytes(network.content, network), samples, partition)


def summary(run: StageRun, result: Mapping[str, Any]) -> None:
    """Print how good the clustering is."""
    if run.config["partition"]["local"]:
        print(f"\nmean n-cut {result['ncut']:.4f} of the layers' own graphs")
    else:
        ratio = result["in_out_ratio"]
        print(
            f"\nn-cut {result['ncut']:.4f} of {result['n_clusters']} clusters, in-out ratio "
            f"{'infinite' if ratio is None else format(ratio, '.4f')}, modularity "
            f"{result['modularity']:.4f}"
        )
    if result["starts"] is not None and run.config["kmeans"]["n_init"] > 1:
        print(
            "its k-means starts: n-cut {ncut_mean:.4f} (std {ncut_std:.4f}, {ncut_min:.4f} to "
            "{ncut_max:.4f})".format(**result["starts"])
        )
    if result["stability"] is not None:
        print(
            "{n_seeds} other seeds: n-cut {ncut_mean:.4f} (std {ncut_std:.4f}, {ncut_min:.4f} to "
            "{ncut_max:.4f}), adjusted Rand index of pairs {adjusted_rand:.3f}".format(
                **result["stability"]
            )
        )
    test = f"{program('shuffle_test')} with cluster_run={run.id}"
    run.suggest(
        *([] if run.config["partition"]["local"] else [test]),
        f"{program('lesion')} with cluster_run={run.id}",
    )


@experiment.stage(inputs=inputs, summary=summary)
def cluster(run: StageRun[Inputs]) -> dict[str, Any]:
    """Cluster a network's units; the result holds n-cut, modularity, stability, sizes."""
    config = run.config
    file = run.inputs.network.value
    import_keras()
    network = networks.network_from_bytes(file.content, file.source)
    untransformed = _graph(run, network)
    graph = transformed(untransformed, config["graph"])
    partition, of_starts = _partition(run, graph)
    figures = _figures(graph, partition, config)
    if config["partition"]["local"]:
        partition, mean = local_clustering(graph, partition, config, run.seed)
        figures = {"ncut": mean, "in_out_ratio": None, "modularity": None}
    title = f"{file.source}: {_in_words(figures['ncut'], partition, config)}"

    if config["model"] is not None:
        run.add_artifact(OWN_NETWORK, file.content)
    if is_transformed(config["graph"]):
        # what a null model shuffles, before it is transformed again
        run.add_artifact("untransformed_graph.npz", untransformed.to_npz())
    run.add_artifact("graph.npz", graph.to_npz())
    run.add_artifact("partition.npz", partition.to_npz())
    run.add_artifact("partition.csv", partition.to_csv().encode())
    run.add_figure("clusters_by_layer.png", reports.figure_of_clusters(partition, title))
    drawing = reports.draw_network(graph, partition.labels)
    run.add_figure("network.png", drawing)
    run.add_figure("network.svg", drawing)
    return {
        **figures,
        "starts": of_starts,
        "stability": stability_summary(graph, config, run.seed),
        "n_clusters": partition.n_clusters,
        "n_units": graph.n_units,
        "n_isolated": int(graph.isolated.sum()),
        "cluster_sizes": partition.cluster_sizes(),
    }


def _graph(run: StageRun[Inputs], network: keras.Model) -> UnitGraph:
    if run.inputs.samples is None:
        return build_graph(network, run.config)
    samples = run.inputs.samples.value
    with run.progress(len(samples), "samples") as bar:
        return build_graph(network, run.config, samples, on_progress=bar.update)


def _figures(graph: UnitGraph, partition: Partition, config: Mapping[str, Any]) -> dict[str, Any]:
    value = partitions.ncut(graph, partition.labels)
    # a partition from a file may leave out labels
    n_clusters = sum(size > 0 for size in partition.cluster_sizes())
    resolution = config["partition"]["resolution"]
    return {
        "ncut": value,
        "in_out_ratio": partitions.in_out_ratio(value, n_clusters) if value > 0 else None,
        "modularity": partitions.modularity(graph, partition.labels, resolution=resolution),
    }


def _in_words(value: float, partition: Partition, config: Mapping[str, Any]) -> str:
    if config["partition"]["local"]:
        return f"mean n-cut {value:.3f} of the layers' own graphs"
    return f"n-cut {value:.3f} of {partition.n_clusters} clusters"


def _partition(
    run: StageRun[Inputs], graph: UnitGraph
) -> tuple[Partition, dict[str, float] | None]:
    if run.inputs.partition is None:
        return clustered_graph(graph, run.config, run.seed)
    name = run.config["partition"]["file"]
    return partitions.read_partition(run.inputs.partition.value, name, graph), None


if __name__ == "__main__":
    experiment.run_commandline()

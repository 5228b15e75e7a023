"""Cluster the units of a network by the graph of its weights, activations or gradients.

python experiments/cluster.py with train_run=latest n_clusters=12
python experiments/cluster.py with train_run=latest activations
python experiments/cluster.py with train_run=12 checkpoint=5
python experiments/cluster.py with model=my_network.keras leiden
python experiments/cluster.py with graph.source=file graph.file=connectome.npz
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from experiments import PROJECT, configure, program
from experiments._datasets import tell
from experiments._graph_files import (
    GraphFile,
    check_graph_file_settings,
    graph_file,
    is_of_file,
)
from experiments._graphs import (
    build_graph,
    check_graph_settings,
    check_graph_settings_act,
    check_network_fits,
    check_residual_acts,
    check_sample_settings,
    choose_samples,
    is_transformed,
    resolved_residual,
    transformed,
)
from experiments._keras import import_keras
from experiments._network_samples import RawSamples
from experiments._networks import (
    MODEL_CODE,
    NetworkFile,
    chosen_network,
    model_code_of,
)
from experiments._partitions import (
    FROM_FILE,
    check_partition_config,
    check_partition_settings_act,
    clustered_graph,
    local_clustering,
    partition_file,
    stability_summary,
    with_starts,
)
from experiments._titles import clustering_title
from nn_clustering import partitions, reports
from nn_clustering.tracking import Input, StageExperiment

if TYPE_CHECKING:
    from nn_clustering.graphs import UnitGraph
    from nn_clustering.partitions import Partition
    from nn_clustering.tracking import StageRun

# N-cuts of single precision graphs that differ by less are the same.
_SAME_NCUT = 1e-6
# Beyond it a ratio is that of rounding.
_LARGEST_RATIO = 10_000

experiment = StageExperiment("cluster", base_dir=PROJECT, save_git_info=False)
configure(experiment, exclusive_keys=("graph.source", "partition.method"))


def check_settings(config: Mapping[str, Any], typed: Iterable[str] = ()) -> None:
    """Check what the config, and the keys that the user has typed, alone tell."""
    check_graph_settings(config["graph"])
    check_graph_file_settings(config)
    check_graph_settings_act(config["graph"]["source"], typed)
    check_residual_acts(config["graph"], typed)
    check_sample_settings(config["activations"])
    check_partition_config(config)
    check_partition_settings_act(config, typed)


@dataclass(frozen=True)
class Inputs:
    """What a clustering rests on; samples and the file of a partition where they are asked for.

    Attributes:
        network: The network; None where the graph is from a file.
        graph: The graph from a file.
        model_code: The module with the layers of the network's author, where it is named.
    """

    network: Input[NetworkFile] | None
    model_code: Input[bytes] | None
    samples: Input[RawSamples] | None
    partition: Input[bytes] | None
    graph: Input[GraphFile] | None = None

    @property
    def network_file(self) -> NetworkFile:
        """The network, where the graph is one's."""
        assert self.network is not None  # asked only where the graph is of no file
        return self.network.value


def inputs(run: StageRun) -> Inputs:
    """Read the network, and samples and partition if they are asked for; or a graph."""
    config = run.config
    partition = _partition_input(config)
    if is_of_file(config):
        return Inputs(None, None, None, partition, graph_file(config["graph"]))
    network = chosen_network(run)
    code = model_code_of(network, network.training)
    samples = None
    if config["graph"]["source"] != "weights":
        network.check_computes(f"graph.source={config['graph']['source']}")
        dataset = network.dataset(config["dataset"])
        chosen = choose_samples(dataset, config["activations"], run.seed)
        samples = Input(RawSamples(chosen, dataset.white, dataset), dataset.digest())
    return Inputs(Input.of_bytes(network.content, network), code, samples, partition)


def _partition_input(config: Mapping[str, Any]) -> Input[bytes] | None:
    if config["partition"]["method"] != FROM_FILE:
        return None
    content = partition_file(config["partition"]["file"])
    partitions.check_partition_file(content, config["partition"]["file"])
    return Input.of_bytes(content)


def summary(run: StageRun[Inputs], result: Mapping[str, Any]) -> None:
    """Print how good the clustering is."""
    if run.config["partition"]["local"]:
        print(f"\nmean n-cut {result['ncut']:.4f} of the layers' own graphs")
    else:
        print(
            f"\nn-cut {result['ncut']:.4f} of {result['n_clusters']} clusters, in-out ratio "
            f"{_ratio_in_words(result['in_out_ratio'])}, modularity {result['modularity']:.4f}"
        )
    if result["starts"] is not None and result["starts"]["ncut_std"] is not None:
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
    for line in _cautions(run.config, result):
        print(line)
    run.suggest(*_what_can_come_next(run))


def _what_can_come_next(run: StageRun[Inputs]) -> Iterator[str]:
    """Yield the commands that go on from the clustering and are not refused."""
    if not run.config["partition"]["local"]:
        yield f"{program('shuffle_test')} with cluster_run={run.id}"
    if run.inputs.network is None or run.inputs.network_file.graph_only is not None:
        return
    file = run.inputs.network_file
    dataset = "" if file.has_dataset else " dataset.name=NAME"
    for stage in ("lesion", *(() if file.takes_tokens else ("visualise",))):
        yield f"{program(stage)} with cluster_run={run.id}{dataset}"


def _ratio_in_words(ratio: float | None) -> str:
    if ratio is None:
        return "infinite"
    return f"{ratio:.4f}" if ratio < _LARGEST_RATIO else f"above {_LARGEST_RATIO:,}"


def _of_dead_units(settings: Mapping[str, Any]) -> str:
    if settings["source"] == "activations":
        return "the spread of their activations"
    return "what joins them to others"


def _cautions(config: Mapping[str, Any], result: Mapping[str, Any]) -> Iterator[str]:
    """Yield what has to be known of a clustering before its n-cut is believed."""
    if result["n_isolated"]:
        yield (
            f"{result['n_isolated']} of {result['n_units']} units are isolated and in no cluster"
            + (
                f", {result['n_dead']} of them dead: {_of_dead_units(config['graph'])} is not 0, "
                f"but at most {config['graph']['isolated_below']:g} of their layer's mean"
                if result["n_dead"]
                else ""
            )
        )
    n_empty = result["cluster_sizes"].count(0)
    method, is_local = config["partition"]["method"], config["partition"]["local"]
    if n_empty and method != FROM_FILE and not is_local:
        yield (
            f"{n_empty} of {result['n_clusters']} clusters are empty: the n-cut is that of fewer; "
            "take a smaller n_clusters"
        )
    if result.get("n_small_clusters") and method != "per_layer":
        n_small, small = result["n_small_clusters"], result["small_clusters"]
        yield (
            f"small clusters: {n_small} of {result['n_clusters']}, {small['n_units']} units and "
            f"{small['weight_share']:.1%} of the weight together; each counts in the n-cut like a "
            "large one"
        )
    exact = result.get("ncut_without_constant")
    if exact is not None and abs(exact - result["ncut"]) > _SAME_NCUT:
        yield (
            f"warning: without the constant of {config['partition']['volume_constant']:g} in its "
            f"denominator the n-cut is {exact:.4f}: it makes clusters of dead units look perfect. "
            "Take partition.volume_constant=0 graph.isolated_below=1e-8, the default"
        )


def prepare(run: StageRun[Inputs]) -> tuple[UnitGraph, int] | None:
    """Check that the network has a graph of as many units as there are to be clusters.

    Returns:
        The graph of its weights, with the number of dead units, where that is asked for.
    """
    if run.inputs.graph is not None:
        given = run.inputs.graph.value.graph
        _check_units(given, run.config)
        _partition_of_file(run, given)
        return given, int(given.dead.sum())
    import_keras()
    config, file = run.config, run.inputs.network_file
    if run.inputs.samples is not None:
        samples = run.inputs.samples.value.for_network(file)
        check_network_fits(file.network, config, samples)
        return None
    graph = build_graph(file.network, config)
    _check_units(graph[0], config)
    _partition_of_file(run, graph[0])
    return graph


def _check_units(graph: UnitGraph, config: Mapping[str, Any]) -> None:
    if config["partition"]["method"] != FROM_FILE:
        partitions.check_units(graph, config["partition"]["method"], config["n_clusters"])


@experiment.stage(
    check=lambda run: check_settings(run.config, run.typed_keys()),
    inputs=inputs,
    prepare=prepare,
    summary=summary,
)
def cluster(run: StageRun[Inputs]) -> dict[str, Any]:
    """Cluster a network's units; the result holds n-cut, modularity, stability, sizes."""
    network = None if run.inputs.network is None else run.inputs.network.value.network
    config = with_starts(run.config, network)
    untransformed, n_dead = run.prepared or _graph_of_samples(run)
    graph = transformed(untransformed, config["graph"])
    partition, of_starts = _partition(run, graph, config)
    figures = _figures(graph, partition, config)
    if config["partition"]["local"]:
        partition, figures = local_clustering(graph, partition, config, run.seed)
    title = f"{clustering_title(run, partition.n_clusters)}, {_in_words(figures['ncut'], config)}"

    if config["model"] is not None:
        run.add_artifact(run.inputs.network_file.artifact, run.inputs.network_file.content)
    if run.inputs.model_code is not None:
        run.add_artifact(MODEL_CODE, run.inputs.model_code.value)
    if is_transformed(config["graph"]):
        # what a null model shuffles, before it is transformed again
        run.add_artifact("untransformed_graph.npz", untransformed.to_npz())
    run.add_artifact("graph.npz", graph.to_npz())
    run.add_artifact("partition.npz", partition.to_npz())
    run.add_artifact("partition.csv", partition.to_csv().encode())
    run.add_figure("clusters_by_layer", reports.figure_of_clusters(partition, title))
    drawing = reports.draw_network(graph, partition.labels)
    run.add_figure("network", drawing)
    # what is to stand below it; within it, no page could set it in its own type
    run.add_artifact("network.txt", f"{drawing.get_label()}\n".encode())
    return {
        **figures,
        "residual": resolved_residual(network, config["graph"]),
        "n_init": config["kmeans"]["n_init"],
        "starts": of_starts,
        "stability": stability_summary(graph, config, run.seed),
        "n_clusters": partition.n_clusters,
        "n_units": graph.n_units,
        "n_isolated": int(graph.isolated.sum()),
        "n_dead": n_dead,
        "cluster_sizes": partition.cluster_sizes(),
        **({} if config["partition"]["local"] else _shares(graph, partition)),
    }


def _shares(graph: UnitGraph, partition: Partition) -> dict[str, Any]:
    shares = partitions.cluster_shares(graph, partition.labels)
    return {
        "cluster_weight_shares": shares.weight.tolist(),
        "n_small_clusters": int(shares.small.sum()),
        "small_clusters": {
            "n_units": int(shares.units[shares.small].sum()),
            "weight_share": float(shares.weight[shares.small].sum()),
        },
    }


def _graph_of_samples(run: StageRun[Inputs]) -> tuple[UnitGraph, int]:
    assert run.inputs.samples is not None  # the graph of weights is prepared
    file, raw = run.inputs.network_file, run.inputs.samples.value
    samples = raw.for_network(file)
    if raw.dataset is not None:
        tell(run, raw.dataset)
    for line in (raw.pixels_in_words(file), raw.reshaping_in_words(file)):
        if line is not None:
            print(line)
    with run.progress(len(samples), "samples") as bar:
        return build_graph(file.network, run.config, samples, on_progress=bar.update)


def _figures(graph: UnitGraph, partition: Partition, config: Mapping[str, Any]) -> dict[str, Any]:
    constant = config["partition"]["volume_constant"]
    value = partitions.ncut(graph, partition.labels, volume_constant=constant)
    # a partition from a file may leave out labels
    n_clusters = sum(size > 0 for size in partition.cluster_sizes())
    resolution = config["partition"]["resolution"]
    return {
        "ncut": value,
        # an n-cut is known to some six digits behind the point
        "in_out_ratio": partitions.in_out_ratio(value, n_clusters) if value > _SAME_NCUT else None,
        "modularity": partitions.modularity(graph, partition.labels, resolution=resolution),
        **({"ncut_without_constant": partitions.ncut(graph, partition.labels)} if constant else {}),
    }


def _in_words(value: float, config: Mapping[str, Any]) -> str:
    if config["partition"]["local"]:
        return f"mean n-cut {value:.3f} of the layers"
    return f"n-cut {value:.3f}"


def _partition(
    run: StageRun[Inputs], graph: UnitGraph, config: Mapping[str, Any]
) -> tuple[Partition, dict[str, float | None] | None]:
    given = _partition_of_file(run, graph)
    return (given, None) if given else clustered_graph(graph, config, run.seed)


def _partition_of_file(run: StageRun[Inputs], graph: UnitGraph) -> Partition | None:
    if run.inputs.partition is None:
        return None
    return partitions.read_partition(
        run.inputs.partition.value, run.config["partition"]["file"], graph
    )


if __name__ == "__main__":
    experiment.run_commandline()

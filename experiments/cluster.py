"""Cluster the units of a trained network by the graph of its weights.

python experiments/cluster.py with train_run=latest n_clusters=12
python experiments/cluster.py with model=my_network.keras
"""

from typing import TYPE_CHECKING, Any

from experiments import PROJECT
from experiments._keras import import_keras
from nn_clustering.errors import InvalidInputError
from nn_clustering.graphs import check_kernel_norm
from nn_clustering.partitions import check_clustering, in_out_ratio, ncut, spectral_partition
from nn_clustering.tracking.experiment import StageExperiment, StageRun

if TYPE_CHECKING:
    import keras

experiment = StageExperiment("cluster", base_dir=PROJECT)
experiment.configure(PROJECT)


@experiment.stage
def cluster(run: StageRun) -> dict[str, Any]:
    """Cluster a network's units; the result holds n-cut, in-out ratio, numbers of units."""
    config = run.config
    n_clusters = config["n_clusters"]
    check_clustering(n_clusters, **config["kmeans"])
    check_kernel_norm(config["kernel_norm"])
    content, source = _read_network(run)

    import_keras()
    from nn_clustering.graphs import draw_network, graph_from_weights
    from nn_clustering.networks import network_from_bytes
    from nn_clustering.reports import figure_of_clusters

    network: keras.Model = network_from_bytes(content, source)
    graph = graph_from_weights(
        network, kernel_norm=config["kernel_norm"], fold_batch_norm=config["fold_batch_norm"]
    )
    partition = spectral_partition(graph, n_clusters, seed=run.seed, **config["kmeans"])
    value = ncut(graph, partition.labels)
    ratio = in_out_ratio(value, n_clusters)

    run.add_artifact("graph.npz", graph.to_npz())
    run.add_artifact("partition.npz", partition.to_npz())
    title = f"{source}: n-cut {value:.3f} with {n_clusters} clusters"
    run.add_figure("clusters_by_layer.png", figure_of_clusters(partition, title))
    run.add_figure("network.png", draw_network(graph, partition.labels))

    print(f"\nn-cut {value:.4f} of {n_clusters} clusters, in-out ratio {ratio:.4f}")
    run.suggest(
        f"python experiments/shuffle_test.py with cluster_run={run.id}",
        f"python experiments/lesion.py with cluster_run={run.id}",
    )
    return {
        "ncut": value,
        "in_out_ratio": ratio,
        "n_units": graph.n_units,
        "n_isolated": int(graph.isolated.sum()),
        "cluster_sizes": partition.cluster_sizes(),
    }


def _read_network(run: StageRun) -> tuple[bytes, str]:
    """Return the content of the network's file, and how to speak of it."""
    train_run, model, phase = (run.config[key] for key in ("train_run", "model", "phase"))
    if (train_run is None) == (model is None):
        raise InvalidInputError(
            f"train_run={train_run} model={model}: expected one of the two, a training run "
            "(train_run=ID or train_run=latest) or a file (model=FILE.keras)"
        )
    if model is not None:
        if not isinstance(model, str):
            raise InvalidInputError(f"model={model!r}; expected the name of a .keras file")
        import_keras()
        from nn_clustering.networks import read_file

        content = read_file(model)
        run.add_artifact("network.keras", content)
        return content, str(model)
    trained = run.read_run("train_run", "train")
    phases = [name.removesuffix(".keras") for name in trained.artifacts if name.endswith(".keras")]
    if phase is not None and phase not in phases:
        raise InvalidInputError(
            f"phase={phase}: training run {trained.id} has the phases {', '.join(phases)}"
        )
    phase = phase or phases[-1]
    run.sacred_run.info["phase"] = phase
    return trained.artifact(f"{phase}.keras"), f"run {trained.id}, {phase}"


if __name__ == "__main__":
    experiment.run_commandline()

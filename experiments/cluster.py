"""Cluster the units of a trained network by the graph of its weights.

python experiments/cluster.py with train_run=latest n_clusters=12
python experiments/cluster.py with train_run=12 checkpoint=5
python experiments/cluster.py with model=my_network.keras
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from experiments import PROJECT
from experiments._keras import import_keras
from experiments._phases import PHASES, network_name, stored_epochs
from nn_clustering.errors import InvalidInputError
from nn_clustering.graphs import check_kernel_norm
from nn_clustering.networks import read_file
from nn_clustering.partitions import check_clustering, in_out_ratio, ncut, spectral_partition
from nn_clustering.tracking.experiment import Input, StageExperiment, StageRun
from nn_clustering.tracking.store import Run

if TYPE_CHECKING:
    import keras

experiment = StageExperiment("cluster", base_dir=PROJECT)
experiment.configure(PROJECT)


@dataclass(frozen=True)
class NetworkFile:
    """A network's ``.keras`` file, and how to speak of it."""

    content: bytes = field(repr=False)
    source: str


def inputs(run: StageRun) -> dict[str, Input]:
    """Check the numbers and read the network."""
    config = run.config
    check_clustering(config["n_clusters"], **config["kmeans"])
    check_kernel_norm(config["kernel_norm"])
    train_run, model = config["train_run"], config["model"]
    if (train_run is None) == (model is None):
        raise InvalidInputError(
            f"train_run={train_run} model={model}: expected one of the two, a training run "
            "(train_run=ID or train_run=latest) or a file (model=FILE.keras)"
        )
    network = _trained_network(run) if model is None else _own_network(model)
    return {"network": Input.of_bytes(network.content, network)}


def summary(run: StageRun, result: Mapping[str, Any]) -> None:
    """Print how good the clustering is."""
    print(
        f"\nn-cut {result['ncut']:.4f} of {run.config['n_clusters']} clusters, in-out ratio "
        f"{result['in_out_ratio']:.4f}"
    )
    run.suggest(
        f"python experiments/shuffle_test.py with cluster_run={run.id}",
        f"python experiments/lesion.py with cluster_run={run.id}",
    )


@experiment.stage(inputs=inputs, summary=summary)
def cluster(run: StageRun) -> dict[str, Any]:
    """Cluster a network's units; the result holds n-cut, in-out ratio, numbers of units."""
    config = run.config
    n_clusters = config["n_clusters"]
    file: NetworkFile = run.inputs["network"]
    import_keras()
    from nn_clustering.graphs import draw_network, graph_from_weights
    from nn_clustering.networks import network_from_bytes
    from nn_clustering.reports import figure_of_clusters

    network: keras.Model = network_from_bytes(file.content, file.source)
    graph = graph_from_weights(
        network, kernel_norm=config["kernel_norm"], fold_normalisation=config["fold_normalisation"]
    )
    partition = spectral_partition(graph, n_clusters, seed=run.seed, **config["kmeans"])
    value = ncut(graph, partition.labels)
    ratio = in_out_ratio(value, n_clusters)

    if config["model"] is not None:
        run.add_artifact("network.keras", file.content)
    run.add_artifact("graph.npz", graph.to_npz())
    run.add_artifact("partition.npz", partition.to_npz())
    title = f"{file.source}: n-cut {value:.3f} with {n_clusters} clusters"
    run.add_figure("clusters_by_layer.png", figure_of_clusters(partition, title))
    run.add_figure("network.png", draw_network(graph, partition.labels))
    return {
        "ncut": value,
        "in_out_ratio": ratio,
        "n_units": graph.n_units,
        "n_isolated": int(graph.isolated.sum()),
        "cluster_sizes": partition.cluster_sizes(),
    }


def _own_network(model: Any) -> NetworkFile:
    if not isinstance(model, str):
        raise InvalidInputError(f"model={model!r}; expected the name of a .keras file")
    return NetworkFile(read_file(model), model)


def _trained_network(run: StageRun) -> NetworkFile:
    trained = run.read_run("train_run", "train")
    epoch = run.config["checkpoint"]
    phases = [phase for phase in PHASES if network_name(phase, epoch) in trained.artifacts]
    phase = run.config["phase"] or (phases or PHASES)[-1]
    if phase not in phases:
        raise InvalidInputError(_what_there_is(trained, run.config["phase"], epoch))
    artifact = network_name(phase, epoch)
    run.sacred_run.info.update(phase=phase, network=artifact)
    source = f"run {trained.id}, {phase}" + ("" if epoch is None else f", epoch {epoch}")
    return NetworkFile(trained.artifact(artifact), source)


def _what_there_is(trained: Run, phase: str | None, epoch: int | None) -> str:
    if epoch is None:
        has = [phase for phase in PHASES if network_name(phase) in trained.artifacts]
        return f"phase={phase}: training run {trained.id} has the phases {', '.join(has) or 'none'}"
    has = [
        f"{phase} {', '.join(map(str, epochs))}"
        for phase, epochs in stored_epochs(trained.artifacts).items()
    ]
    there_is = (
        f"has those of the epochs {'; '.join(has)}"
        if has
        else ("has none: train with training.checkpoint_every=N to keep one every N epochs")
    )
    return (
        f"checkpoint={epoch!r}{f' phase={phase}' if phase else ''}: training run {trained.id} "
        f"{there_is}"
    )


if __name__ == "__main__":
    experiment.run_commandline()

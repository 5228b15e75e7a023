"""Lesion every sub-cluster of a network, and random units beside it.

python experiments/lesion.py with cluster_run=latest
"""

from collections.abc import Mapping
from typing import Any

from experiments import PROJECT
from experiments._keras import import_keras
from experiments._networks import NetworkFile, clustered_network
from nn_clustering.datasets import Dataset
from nn_clustering.errors import InvalidInputError
from nn_clustering.lesions import check_lesion_test
from nn_clustering.partitions import Partition
from nn_clustering.tracking.experiment import Input, StageExperiment, StageRun
from nn_clustering.tracking.store import Run

experiment = StageExperiment("lesion", base_dir=PROJECT)
experiment.configure(PROJECT)


def inputs(run: StageRun) -> dict[str, Input]:
    """Check the numbers and read partition, network and data set."""
    check_lesion_test(n_shuffles=run.config["n_shuffles"], silence=run.config["silence"])
    clustered = run.read_run("cluster_run", "cluster")
    network = clustered_network(run, clustered)
    dataset = network.dataset(run.config["dataset"]["name"])
    if dataset.task != "classification":
        raise InvalidInputError(
            f"the data set {dataset.name} is a {dataset.task}; expected a classification, "
            "for a lesion is measured by what it does to the accuracy of each class"
        )
    partition = clustered.artifact("partition.npz")
    return {
        "cluster_run": Input(clustered, clustered.id),
        "partition": Input.of_bytes(partition, Partition.from_npz(partition)),
        "network": Input.of_bytes(network.content, network),
        "dataset": Input(dataset, dataset.digest()),
    }


def summary(run: StageRun, result: Mapping[str, Any]) -> None:
    """Print importance and coherence over all sub-clusters."""
    print(f"\naccuracy {result['accuracy']:.4f}, {result['n_subclusters']} sub-clusters lesioned")
    for measure in ("importance", "coherence"):
        fisher_p, effect = result[measure]["fisher_p"], result[measure]["effect"]
        shown = "undefined" if effect is None else f"{effect:.3f}"
        print(
            f"{measure}: combined p = {fisher_p:.3g}, effect {shown} (1 is none), "
            f"{run.config['n_shuffles']} random sub-clusters each"
        )
    run.suggest("make up, to see tables and figures")


@experiment.stage(inputs=inputs, summary=summary)
def lesion(run: StageRun) -> dict[str, Any]:
    """Lesion sub-clusters; the result holds importance and coherence over all of them."""
    import_keras()
    from nn_clustering.lesions import LesionEngine, lesion_test, lesionable_layers
    from nn_clustering.networks import network_from_bytes
    from nn_clustering.reports import figure_of_lesions

    config = run.config
    clustered: Run = run.inputs["cluster_run"]
    partition: Partition = run.inputs["partition"]
    dataset: Dataset = run.inputs["dataset"]
    file: NetworkFile = run.inputs["network"]
    network = network_from_bytes(file.content, file.source)
    layers = lesionable_layers(partition.layers, network)
    engine = LesionEngine(network, dataset.x_test, dataset.y_test, silence=config["silence"])
    n_lesions = len(partition.sub_clusters(layers)) * (config["n_shuffles"] + 1)
    with run.progress(n_lesions * len(dataset.y_test), "lesioned images") as bar:
        test = lesion_test(
            engine,
            partition,
            layers,
            n_shuffles=config["n_shuffles"],
            seed=run.seed,
            count_ties=config["count_ties"],
            on_progress=bar.update,
        )
    csv = test.table(dataset.class_names).to_csv(index=False)
    run.add_artifact("sub_clusters.csv", csv.encode())
    title = f"run {clustered.id}: lesions of {len(test.results)} sub-clusters"
    run.add_figure("lesions.png", figure_of_lesions(test, title))
    return {
        "accuracy": test.accuracy,
        "n_subclusters": len(test.results),
        "importance": test.importance.summary(),
        "coherence": test.coherence.summary(),
    }


if __name__ == "__main__":
    experiment.run_commandline()

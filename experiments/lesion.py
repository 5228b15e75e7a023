"""Lesion every sub-cluster of a network, and random units beside it.

python experiments/lesion.py with cluster_run=latest
"""

from typing import TYPE_CHECKING, Any

from experiments import PROJECT
from experiments._keras import import_keras
from nn_clustering.datasets import load_dataset, require_dataset
from nn_clustering.errors import InvalidInputError
from nn_clustering.lesions import check_lesion_test
from nn_clustering.partitions import Partition
from nn_clustering.tracking.experiment import StageExperiment, StageRun
from nn_clustering.tracking.store import Run, RunStore

if TYPE_CHECKING:
    from nn_clustering.lesions import LesionTest

experiment = StageExperiment("lesion", base_dir=PROJECT)
experiment.configure(PROJECT)


@experiment.stage
def lesion(run: StageRun) -> dict[str, Any]:
    """Lesion sub-clusters; the result holds importance and coherence over all of them."""
    config = run.config
    check_lesion_test(n_shuffles=config["n_shuffles"], silence=config["silence"])
    clustered = run.read_run("cluster_run", "cluster")
    content, dataset_name = _read_network(run, clustered)
    require_dataset(dataset_name)

    import_keras()
    from nn_clustering.lesions import (
        LesionEngine,
        lesion_test,
        lesionable_layers,
    )
    from nn_clustering.networks import network_from_bytes
    from nn_clustering.reports import figure_of_lesions

    partition = Partition.from_npz(clustered.artifact("partition.npz"))
    network = network_from_bytes(content, f"the network of run {clustered.id}")
    dataset = load_dataset(dataset_name)
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
    result = _result(test)
    run.suggest("make up, to see tables and figures")
    return result


def _read_network(run: StageRun, clustered: Run) -> tuple[bytes, str]:
    """Return the content of the clustered network's file, and the name of a data set for it."""
    dataset_name = run.config["dataset"]["name"]
    if "network.keras" in clustered.artifacts:
        if dataset_name is None:
            raise InvalidInputError(
                f"cluster_run={clustered.id} is of a network from a file: expected the data set to "
                "test it on, dataset.name=NAME"
            )
        return clustered.artifact("network.keras"), dataset_name
    store = RunStore(run.database) if run.database is not None else RunStore.open()
    trained = store.run(clustered.info["lineage"]["train_run"], experiment="train")
    content = trained.artifact(f"{clustered.info['phase']}.keras")
    return content, dataset_name or trained.config["dataset"]["name"]


def _result(test: "LesionTest") -> dict[str, Any]:
    result = {
        "accuracy": test.accuracy,
        "n_subclusters": len(test.results),
        "importance": test.importance.summary(),
        "coherence": test.coherence.summary(),
    }
    print(f"\naccuracy {test.accuracy:.4f}, {len(test.results)} sub-clusters lesioned")
    for measure, summary in (
        ("importance", test.importance.summary()),
        ("coherence", test.coherence.summary()),
    ):
        effect = summary["effect"]
        shown = "undefined" if effect is None else f"{effect:.3f}"
        print(
            f"{measure}: combined p = {summary['fisher_p']:.3g}, effect {shown} (1 is none), "
            f"{test.n_shuffles} random sub-clusters each"
        )
    return result


if __name__ == "__main__":
    experiment.run_commandline()

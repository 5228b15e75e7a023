"""Train a network, and prune it if asked to.

python experiments/train.py with mlp mnist pruned
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from experiments import PROJECT
from experiments._keras import import_keras
from nn_clustering.errors import InvalidInputError
from nn_clustering.tracking.experiment import Input, StageExperiment, StageRun

if TYPE_CHECKING:
    import keras

    from nn_clustering.datasets import Dataset
    from nn_clustering.training import EpochResult

experiment = StageExperiment("train", base_dir=PROJECT)
experiment.configure(PROJECT)


def inputs(run: StageRun) -> dict[str, Input]:
    """Read the data set."""
    from nn_clustering.datasets import load_dataset

    dataset = load_dataset(run.config["dataset"]["name"])
    return {"dataset": Input(dataset, dataset.digest())}


def summary(run: StageRun, result: Mapping[str, Any]) -> None:
    """Print the figures of the last phase."""
    accuracy, sparsity = result["test_accuracy"], result["sparsity"]
    print(f"\ntest accuracy {accuracy:.4f}, sparsity {sparsity:.3f}")
    run.suggest(f"python experiments/cluster.py with train_run={run.id}")


@experiment.stage(inputs=inputs, summary=summary)
def train(run: StageRun) -> dict[str, Any]:
    """Train a network; the result holds test accuracy, loss and sparsity of each phase."""
    import_keras()
    from nn_clustering.networks import build_network
    from nn_clustering.training import PruningSchedule, check_training

    config = run.config
    dataset: Dataset = run.inputs["dataset"]
    check_training(dataset, **config["training"])
    schedule = None
    if config["pruning"]["enabled"]:
        if config["pruning"]["epochs"] < 1:
            raise InvalidInputError(
                f"pruning.epochs={config['pruning']['epochs']}; expected 1 or more, or "
                "pruning.enabled=False"
            )
        n_batches = -(-len(dataset.y_train) // config["training"]["batch_size"])
        schedule = PruningSchedule(
            config["pruning"]["initial_sparsity"],
            config["pruning"]["final_sparsity"],
            n_steps=n_batches * config["pruning"]["epochs"],
            every_n_steps=config["pruning"]["every_n_steps"],
        )
    network = build_network(
        input_shape=dataset.input_shape,
        n_classes=dataset.n_classes,
        seed=run.seed,
        **config["network"],
    )

    result = {"unpruned": _train_phase(run, network, dataset, "unpruned")}
    if schedule is not None:
        result["pruned"] = _train_phase(run, network, dataset, "pruned", pruning=schedule)
    return {**result, **result[list(result)[-1]]}


def _train_phase(
    run: StageRun, network: "keras.Model", dataset: "Dataset", phase: str, **options: Any
) -> dict[str, float]:
    from nn_clustering.networks import network_bytes
    from nn_clustering.training import sparsity, train

    section = run.config["training" if phase == "unpruned" else "pruning"]
    with run.progress(section["epochs"], f"training ({phase})") as bar:

        def log(epoch: "EpochResult") -> None:
            for split in ("train", "test"):
                for measure in ("loss", "accuracy"):
                    value = getattr(epoch, f"{split}_{measure}")
                    run.log(f"{phase}.{split}.{measure}", value, epoch.epoch)
            bar.set_postfix(test_accuracy=f"{epoch.test_accuracy:.4f}")
            bar.update()

        results = train(
            network,
            dataset,
            epochs=section["epochs"],
            batch_size=run.config["training"]["batch_size"],
            learning_rate=run.config["training"]["learning_rate"],
            seed=run.seed,
            phase=phase,
            on_epoch=log,
            **options,
        )
    run.add_artifact(f"{phase}.keras", network_bytes(network))
    return {
        "test_accuracy": results[-1].test_accuracy,
        "test_loss": results[-1].test_loss,
        "sparsity": sparsity(network),
    }


if __name__ == "__main__":
    experiment.run_commandline()

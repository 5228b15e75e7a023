"""Train a network, under any of the studies' conditions, and prune it if asked to.

python experiments/train.py with mlp mnist pruned
python experiments/train.py with cnn halves_mnist dropout l2 n_repeats=5
python experiments/train.py with resume=12
"""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from experiments import PROJECT, configure, program
from experiments._datasets import no_train_part, tell, tokens_of
from experiments._keras import device_name, import_keras
from experiments._own_network import own_network_code
from experiments._phase_settings import (
    check_conditions,
    check_settings_act,
    checkpoint_name,
    network_name,
    stored_checkpoints,
    training_phases,
    without_switch,
)
from experiments._titles import training_title
from nn_clustering import datasets, networks, reports, training
from nn_clustering.errors import InvalidInputError
from nn_clustering.tracking import Input, StageExperiment, digests_of

if TYPE_CHECKING:
    import keras

    from nn_clustering.datasets import Dataset
    from nn_clustering.tracking import Run, StageRun
    from nn_clustering.training import Checkpoint, EpochResult, Phase

# Metrics of every epoch, and what its result calls them; None where there is no such measure.
METRICS = {
    "train.loss": "train_loss",
    "train.accuracy": "train_accuracy",
    "train.penalty": "penalty",
    "train.clusterability": "clusterability",
    "test.loss": "test_loss",
    "test.accuracy": "test_accuracy",
}

experiment = StageExperiment("train", base_dir=PROJECT, save_git_info=False)
configure(experiment, exclusive_keys=("network.kind", "dataset.name"))


def check_settings(config: Mapping[str, Any], typed: Iterable[str] = ()) -> datasets.Outline:
    """Check what the config, and the keys that the user has typed, alone tell.

    Returns:
        What is known of the data set.
    """
    check_conditions(config)
    check_settings_act(config, typed)
    if config["modular_init"]["enabled"]:
        networks.check_modular_initialisation(**without_switch(config["modular_init"]))
    dataset = datasets.require_dataset(**config["dataset"])
    if dataset.n_train == 0:
        raise no_train_part(dataset.name)
    phases = training_phases(config, dataset.n_train or config["training"]["batch_size"])
    shape, n_outputs, task = dataset.input_shape, dataset.n_outputs, dataset.task
    if shape is not None:
        for phase in phases:
            training.check_phase_fits(phase, dataset.name, shape, dataset.n_train)
    if shape is not None and n_outputs is not None and task is not None:
        networks.check_network(
            input_shape=shape,
            n_outputs=n_outputs,
            task=task,
            tokens=tokens_of(dataset),
            **config["network"],
        )
    return dataset


def check(run: StageRun) -> None:
    """Check what the config alone tells."""
    config = run.config
    check_settings(config, run.typed_keys())
    if config["resume"] is not None and config["n_repeats"] > 1:
        raise InvalidInputError(
            f"resume={config['resume']} n_repeats={config['n_repeats']}: one run goes on with one; "
            "leave out n_repeats"
        )


@dataclass(frozen=True)
class Inputs:
    """What a training rests on; ``network_code`` is that of a network of one's own."""

    dataset: Input[Dataset]
    network_code: Input[bytes] | None
    unfinished: Input[Run] | None


def inputs(run: StageRun) -> Inputs:
    """Read the data set, and the training to go on with; check that all fits together."""
    unfinished = _unfinished(run)
    config = run.config
    dataset = datasets.load_dataset(**config["dataset"])
    if not dataset.has_train_part:
        raise no_train_part(dataset.name)
    dataset = dataset.in_memory()
    for phase in training_phases(config, len(dataset.y_train)):
        training.check_phase(phase, dataset)
    networks.check_network(
        input_shape=dataset.input_shape,
        n_outputs=dataset.n_outputs,
        task=dataset.task,
        tokens=tokens_of(dataset),
        **config["network"],
    )
    read = Inputs(
        dataset=Input(dataset, dataset.digest()),
        network_code=own_network_code(config["network"]["kind"]),
        unfinished=None if unfinished is None else Input(unfinished, unfinished.id),
    )
    if unfinished is not None:
        _check_same_inputs(unfinished, digests_of(read))
    return read


def workers(run: StageRun) -> int:
    """Return how many of several trainings side by side are fastest.

    The step of a small dense network does not keep several cores busy; that of a convolutional one
    does.
    """
    return os.cpu_count() or 1 if run.config["network"]["kind"] == "mlp" else 1


def summary(run: StageRun, result: Mapping[str, Any]) -> None:
    """Print the figures of the last phase."""
    accuracy = result["test_accuracy"]
    loss = f"test loss {result['test_loss']:.4g}"
    figure = loss if accuracy is None else f"test accuracy {accuracy:.4f}"
    print(f"\n{figure}, sparsity {result['sparsity']:.3f}")
    for kind, by_name in result.get("test_accuracy_by", {}).items():
        shares = ", ".join(f"{name} {share:.4f}" for name, share in by_name.items())
        print(f"test accuracy by {kind}: {shares}")
    run.suggest(f"{program('cluster')} with train_run={run.id}")


def prepare(run: StageRun[Inputs]) -> keras.Model:
    """Initialise the network, and check that it can be trained."""
    import_keras()
    config = run.config
    dataset = run.inputs.dataset.value
    network = networks.build_network(
        input_shape=dataset.input_shape,
        n_outputs=dataset.n_outputs,
        task=dataset.task,
        tokens=tokens_of(dataset),
        seed=run.seed,
        **config["network"],
    )
    if config["modular_init"]["enabled"]:
        networks.modular_initialisation(
            network, seed=run.seed, **without_switch(config["modular_init"])
        )
    for phase in training_phases(config, len(dataset.y_train)):
        training.check_training(network, dataset, phase)
    return network


@experiment.stage(check=check, inputs=inputs, prepare=prepare, summary=summary, workers=workers)
def train(run: StageRun[Inputs]) -> dict[str, Any]:
    """Train a network; the result holds test accuracy, loss and sparsity of each phase.

    Of the last one also the accuracy by group, where the data set has groups of answers; that by
    class is in the table ``accuracies.csv``.
    """
    run.sacred_run.info["device"] = device_name()
    config = run.config
    dataset = run.inputs.dataset.value
    tell(run, dataset)
    network: keras.Model = run.prepared
    if run.inputs.network_code is not None:
        run.add_artifact("network_code.py", run.inputs.network_code.value)
    phases = training_phases(config, len(dataset.y_train))
    if not phases:
        return _untrained(run, network, dataset)
    if config["training"]["checkpoint_every"] is not None:
        _add_network(run, network_name(phases[0].name, 0), network)
    starts = _last_checkpoints(run)
    result, curves = {}, {}
    for phase in phases:
        curves[phase.name] = _train_phase(run, network, dataset, phase, starts.get(phase.name))
        result[phase.name] = _figures(network, curves[phase.name][-1])
    figure = reports.figure_of_learning_curves(curves, training_title(run))
    run.add_figure("learning_curves", figure)
    return {**result, **result[phases[-1].name], **_accuracies(run, network, dataset)}


def _untrained(run: StageRun, network: keras.Model, dataset: Dataset) -> dict[str, Any]:
    loss, accuracy = training.evaluate(network, dataset.x_test, dataset.y_test)
    _add_network(run, network_name("untrained"), network)
    figures = {"test_accuracy": accuracy, "test_loss": loss, "sparsity": training.sparsity(network)}
    return {"untrained": figures, **figures, **_accuracies(run, network, dataset)}


def _accuracies(run: StageRun, network: keras.Model, dataset: Dataset) -> dict[str, Any]:
    """Keep the accuracy by class and group, and return that by group."""
    found = training.accuracies(network, dataset)
    if not found:
        return {}
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(["kind", "name", "answers", "accuracy"])
    rows.writerows((one.kind, one.name, one.n_answers, one.accuracy) for one in found)
    run.add_artifact("accuracies.csv", text.getvalue().encode())
    by_group: dict[str, dict[str, float]] = {}
    for one in found:
        if one.kind != training.BY_CLASS:
            by_group.setdefault(one.kind, {})[one.name] = one.accuracy
    return {"test_accuracy_by": by_group} if by_group else {}


def _train_phase(
    run: StageRun,
    network: keras.Model,
    dataset: Dataset,
    phase: Phase,
    start: Checkpoint | None,
) -> list[EpochResult]:
    with run.progress(phase.epochs, f"training ({phase.name})") as bar:

        def log(epoch: EpochResult) -> None:
            for name, measure in METRICS.items():
                if getattr(epoch, measure) is not None:
                    run.log(f"{phase.name}.{name}", getattr(epoch, measure), epoch.epoch)
            if epoch.test_accuracy is None:
                bar.set_postfix(test_loss=f"{epoch.test_loss:.4g}")
            else:
                bar.set_postfix(test_accuracy=f"{epoch.test_accuracy:.4f}")
            bar.update()

        def keep(checkpoint: Checkpoint) -> None:
            # The network first: where there is a checkpoint there is a network too.
            _add_network(run, network_name(phase.name, checkpoint.epoch), network)
            run.add_artifact(checkpoint_name(phase.name, checkpoint.epoch), checkpoint.to_npz())

        for epoch in start.results if start else ():
            log(epoch)
        results = training.train(
            network,
            dataset,
            phase,
            seed=run.seed,
            start=start,
            checkpoint_every=run.config["training"]["checkpoint_every"],
            on_checkpoint=keep,
            on_epoch=log,
        )
    _add_network(run, network_name(phase.name), network)
    return results


def _figures(network: keras.Model, last: EpochResult) -> dict[str, Any]:
    return {
        "test_accuracy": last.test_accuracy,
        "test_loss": last.test_loss,
        "sparsity": training.sparsity(network),
    }


def _add_network(run: StageRun, name: str, network: keras.Model) -> None:
    run.add_artifact(name, networks.network_bytes(networks.in_float32(network)))


def _unfinished(run: StageRun) -> Run | None:
    """Return the training to go on with, after its config became this run's."""
    if run.config["resume"] is None:
        return None
    stored = run.unfinished_run("resume", "train")
    run.adopt_config(stored)
    check(run)
    if not stored_checkpoints(stored.artifacts):
        raise InvalidInputError(
            f"resume={stored.id}: run {stored.id} has no checkpoint to go on from; start it anew, "
            "with training.checkpoint_every=N to keep one every N epochs"
        )
    return stored


def _check_same_inputs(unfinished: Run, digests: Mapping[str, Any]) -> None:
    names = {
        "dataset": f"data set {unfinished.config['dataset']['name']}",
        "network_code": f"code of network.kind={unfinished.config['network']['kind']}",
    }
    noted = unfinished.info.get("inputs", {})
    for key, name in names.items():
        if key in digests and key in noted and noted[key] != digests[key]:
            raise InvalidInputError(
                f"resume={unfinished.id}: the {name} is not the one that run "
                f"{unfinished.id} was trained with (its content differs); put the same file back, "
                "or start anew without resume"
            )


def _last_checkpoints(run: StageRun[Inputs]) -> dict[str, Checkpoint]:
    """Read the last checkpoint of each phase of the unfinished run; this run gets all of them."""
    if run.inputs.unfinished is None:
        return {}
    unfinished = run.inputs.unfinished.value
    last = {}
    for phase, epochs in stored_checkpoints(unfinished.artifacts).items():
        for epoch in epochs:
            for name in (network_name(phase, epoch), checkpoint_name(phase, epoch)):
                run.add_artifact(name, unfinished.artifact(name))
        last[phase] = training.Checkpoint.from_npz(
            unfinished.artifact(checkpoint_name(phase, epochs[-1]))
        )
        print(f"going on with run {unfinished.id} after epoch {epochs[-1]}, {phase}")
    return last


if __name__ == "__main__":
    experiment.run_commandline()

"""The networks that stages read, out of training runs or files, and data sets for them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from experiments._phase_settings import PHASES, network_name, stored_epochs
from nn_clustering import datasets, networks
from nn_clustering.errors import InvalidInputError

if TYPE_CHECKING:
    from nn_clustering.datasets import Dataset
    from nn_clustering.tracking import Run, StageRun

# The artifact with a network that was read from a file.
OWN_NETWORK = "network.keras"


@dataclass(frozen=True)
class NetworkFile:
    """A network's ``.keras`` file.

    Attributes:
        content: Of the file.
        source: How to speak of it.
        training: The run that trained it, if one did.
    """

    content: bytes = field(repr=False)
    source: str
    training: Run | None = None

    def dataset(self, name: str | None) -> Dataset:
        """Return the data set that it was trained on, or of its kind the one of that name.

        Raises:
            InvalidInputError: If neither is known.
        """
        if self.training is None:
            if name is None:
                raise InvalidInputError(
                    f"dataset.name=None with {self.source}, a network from a file: expected the "
                    "data set to use, dataset.name=NAME"
                )
            return datasets.load_dataset(name)
        own = dict(self.training.config["dataset"])
        return datasets.load_dataset(**{**own, "name": name or own["name"]})


def chosen_network(run: StageRun) -> NetworkFile:
    """Read the network that the config keys ``train_run`` or ``model`` name.

    Raises:
        InvalidInputError: If not exactly one of the two is given, or there is no such network.
    """
    train_run, model = run.config["train_run"], run.config["model"]
    if (train_run is None) == (model is None):
        raise InvalidInputError(
            f"train_run={train_run} model={model}: expected one of the two, a training run "
            "(train_run=ID or train_run=latest) or a file (model=FILE.keras)"
        )
    if model is None:
        return _trained_network(run)
    if not isinstance(model, str):
        raise InvalidInputError(f"model={model!r}; expected the name of a .keras file")
    return NetworkFile(networks.read_file(model), model)


def clustered_network(run: StageRun, clustered: Run) -> NetworkFile:
    """Read the network of a clustering run."""
    source = f"the network of run {clustered.id}"
    if OWN_NETWORK in (*clustered.artifacts, *clustered.dropped()):
        return NetworkFile(clustered.artifact(OWN_NETWORK), source)
    training = run.store.run(clustered.info["lineage"]["train_run"], experiment="train")
    return NetworkFile(training.artifact(clustered.info["network"]), source, training)


def _trained_network(run: StageRun) -> NetworkFile:
    trained = run.read_run("train_run", "train")
    epoch = run.config["checkpoint"]
    # One that was dropped is asked for, too: another phase's would be another network.
    had = {*trained.artifacts, *trained.dropped()}
    phases = [phase for phase in PHASES if network_name(phase, epoch) in had]
    phase = run.config["phase"] or (phases or PHASES)[-1]
    if phase not in phases:
        raise InvalidInputError(_what_there_is(trained, run.config["phase"], epoch))
    artifact = network_name(phase, epoch)
    run.sacred_run.info.update(phase=phase, network=artifact)
    source = f"run {trained.id}, {phase}" + ("" if epoch is None else f", epoch {epoch}")
    return NetworkFile(trained.artifact(artifact), source, trained)


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

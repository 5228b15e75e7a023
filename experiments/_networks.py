"""The networks that stages read, out of training runs or files, and data sets for them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from experiments._graph_files import refuse_without_network
from experiments._keras import import_keras
from experiments._own_network import own_layers_code
from experiments._phase_settings import PHASES, network_name, stored_epochs
from nn_clustering import datasets, networks
from nn_clustering.errors import InvalidInputError

if TYPE_CHECKING:
    import keras

    from nn_clustering.datasets import Dataset
    from nn_clustering.tracking import Input, Run, RunId, StageRun

# The stages whose runs hold a network under `train_run`.
WITH_NETWORK = ("train", "import_network")
# The artifact with a network that was read from a file: one of Keras, or HDF5.
OWN_NETWORKS = ("network.keras", "network.h5")
# What stands in the place of a training's phase.
IMPORTED = "imported"
# The artifact with the module that defines layers which are not Keras' own.
MODEL_CODE = "model_code.py"
# Keys of the section `dataset` that a network's own data set and another have in common.
OF_ANY_DATASET = ("seed", "channels", "n_train", "n_test", "per_class")


@dataclass(frozen=True)
class NetworkFile:
    """A network's file.

    Attributes:
        content: Of the file.
        source: How to speak of it.
        training: The run that trained it, or imported it, if one did.
        model_code: The module that defines its author's layers and activations, as it was named.
        preprocessing: What is done to pixels before it reads them; None for what networks that are
            trained here read, pixels from 0 to 1.
    """

    content: bytes = field(repr=False)
    source: str
    training: Run | None = None
    model_code: str | None = None
    preprocessing: str | None = None
    graph_only: str | None = None

    @cached_property
    def network(self) -> keras.Model:
        """The network, read when it is first asked for; TensorFlow is imported for it.

        Raises:
            InvalidInputError: If it cannot be read.
        """
        import_keras()
        return networks.network_from_bytes(self.content, self.source, self.model_code)

    def check_computes(self, what: str) -> None:
        """Check that its outputs are those of the network that it was rebuilt of.

        Args:
            what: What needs them, and how it is asked for.

        Raises:
            InvalidInputError: If they are not.
        """
        if self.graph_only is not None:
            raise InvalidInputError(
                f"{what} with {self.source}, which is for graphs of its weights alone: "
                f"{self.graph_only}; expected a clustering of its weights, and their shuffle test"
            )

    @property
    def was_trained(self) -> bool:
        """Whether the stage ``train`` has trained it."""
        return self.training is not None and self.training.experiment == "train"

    @property
    def takes_tokens(self) -> bool:
        """Whether it takes tokens, so far as its training and its file tell."""
        trained_on = {} if self.training is None else self.training.info.get("dataset", {})
        return "vocabulary" in trained_on or networks.takes_tokens(self.content, self.source)

    @property
    def has_dataset(self) -> bool:
        """Whether stages that need a data set find one without being told."""
        return self.training is not None and self.training.config["dataset"]["name"] is not None

    @property
    def artifact(self) -> str:
        """The name under which a run keeps it."""
        return OWN_NETWORKS[not self.content.startswith(b"PK")]

    def dataset(self, settings: Mapping[str, Any]) -> Dataset:
        """Return the data set that it was trained on, or another.

        Args:
            settings: The section `dataset` of a stage, in which None stands for what the network
                was trained on.

        Raises:
            InvalidInputError: If neither names a data set, or there is no such one, or its tokens
                are others than those that the network was trained on.
        """
        dataset = datasets.load_dataset(**self.dataset_settings(settings))
        trained_on = {} if self.training is None else self.training.info.get("dataset", {})
        known = trained_on.get("vocabulary")
        if known is not None and tuple(known) != (dataset.vocabulary or ()):
            raise InvalidInputError(
                f"dataset.name={dataset.name!r}: its vocabulary is not that of {self.source}, so "
                "that numbers would stand for other tokens; expected a data set of the same "
                f"{len(known)} tokens"
            )
        return dataset

    def dataset_settings(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        """Return the settings of the data set that :meth:`dataset` returns.

        Raises:
            InvalidInputError: If neither names a data set.
        """
        asked = {key: value for key, value in settings.items() if value is not None}
        own = {} if self.training is None else dict(self.training.config["dataset"])
        if "name" not in asked and own.get("name") is None:
            raise InvalidInputError(
                f"dataset.name=None with {self.source}, a network from a file: expected the "
                "data set to use, dataset.name=NAME"
            )
        if "name" in asked:  # what is said of the own files says nothing of others
            own = {key: own[key] for key in OF_ANY_DATASET if key in own}
        if "n_test" in asked or "per_class" in asked:  # the other one is not meant, too
            own = {key: own[key] for key in own if key not in ("n_test", "per_class")}
        merged = {**own, **asked}
        given = {key: value for key, value in merged.items() if value is not None}
        return {**self._fitted_settings(merged["name"]), **given}

    def _fitted_settings(self, name: str) -> dict[str, Any]:
        """Return what the network asks of the samples of a data set, where it can be had."""
        shape = networks.stored_sample_shape(self.content, self.source)
        return {} if shape is None else datasets.fitted_settings(name, shape)


def chosen_network(run: StageRun) -> NetworkFile:
    """Read the network that the config keys ``train_run`` or ``model`` name.

    Raises:
        InvalidInputError: If not exactly one of the two is given, or there is no such network.
    """
    train_run, model = run.config["train_run"], run.config["model"]
    if (train_run is None) == (model is None):
        raise InvalidInputError(
            f"train_run={train_run} model={model}: expected one of the two, a training run or an "
            "import (train_run=ID or train_run=latest) or a file (model=FILE.keras)"
        )
    code = run.config["model_code"]
    if model is None:
        file = _network_of_run(run)
        if code is not None and file.training is not None and file.was_trained:
            raise InvalidInputError(
                f"model_code={code!r} changes nothing with train_run={train_run}, a network of "
                "Keras' own layers; leave it out, or take model=FILE.keras"
            )
        _refuse_other_preprocessing(run.config["preprocessing"], f"train_run={train_run}")
        return file
    if not isinstance(model, str) or not model:
        raise InvalidInputError(
            f"model={model!r}; expected the name of a file, .keras, .h5 or .hdf5"
        )
    return NetworkFile(
        networks.read_file(model),
        model,
        model_code=code,
        preprocessing=_checked_preprocessing(run.config["preprocessing"]),
    )


def clustered_network(run: StageRun, clustered: Run) -> NetworkFile:
    """Read the network of a clustering run.

    Raises:
        InvalidInputError: If it had none, but a graph from a file.
    """
    refuse_without_network(clustered)
    source = f"the network of run {clustered.id}"
    code = run.config.get("model_code")
    had = (*clustered.artifacts, *clustered.dropped())
    own = next((name for name in OWN_NETWORKS if name in had), None)
    asked = run.config.get("preprocessing")
    if own is not None:
        name = clustered.config.get("preprocessing") if asked is None else asked
        content = clustered.artifact(own)
        return NetworkFile(
            content, source, model_code=code, preprocessing=_checked_preprocessing(name)
        )
    _refuse_other_preprocessing(asked, source)
    training = run.store.run(clustered.info["lineage"]["train_run"], experiment=WITH_NETWORK)
    content = training.artifact(clustered.info["network"])
    return NetworkFile(
        content,
        source,
        training,
        code,
        training.info.get("preprocessing"),
        training.info.get("graph_only"),
    )


def _checked_preprocessing(name: str | None) -> str | None:
    if name is not None:
        networks.check_preprocessing(name)
    return name


def _refuse_other_preprocessing(name: str | None, given: str) -> None:
    if name is not None:
        raise InvalidInputError(
            f"preprocessing={name!r} with {given}: a network that was trained or imported here "
            "reads pixels as that run says; leave it out"
        )


def model_code_of(file: NetworkFile, clustered: Run | None = None) -> Input[bytes] | None:
    """Return the module that defines a network's own layers, with all that it imports in turn.

    Args:
        file: The network.
        clustered: The clustering run, or the import, that has read it before.

    Raises:
        InvalidInputError: If there is no such module, or it is not that of the run.
    """
    _check_same_code_is_named(file, clustered)
    if file.model_code is None:
        return None
    found = own_layers_code(file.model_code)
    noted = None if clustered is None else clustered.info.get("inputs", {}).get("model_code")
    if clustered is not None and noted != found.digest:
        raise InvalidInputError(
            f"model_code={file.model_code!r}: that module, or what it imports, is not what it was "
            f"in run {clustered.id} ({clustered.experiment}); put the same files back, or make "
            "that run again"
        )
    return found


def _check_same_code_is_named(file: NetworkFile, clustered: Run | None) -> None:
    """Check that whoever goes on with a clustering names the code of its network, if it has any.

    What runs is named by who runs it: not by a run that may be someone else's.
    """
    if clustered is None:
        return
    named = clustered.config.get("model_code")
    if named is not None and file.model_code is None:
        raise InvalidInputError(
            f"model_code=None: {file.source} has layers of its author's, defined in "
            f"{named!r}, and no code is run that you have not named: add model_code={named}"
        )
    if named is None and file.model_code is not None:
        raise InvalidInputError(
            f"model_code={file.model_code!r} changes nothing: {file.source} is of Keras' own "
            "layers; leave it out"
        )


def _network_of_run(run: StageRun) -> NetworkFile:
    found = run.read_run("train_run", WITH_NETWORK)
    return _trained_network(run, found) if found.experiment == "train" else _imported(run, found)


def _imported(run: StageRun, imported: Run) -> NetworkFile:
    for key in ("phase", "checkpoint"):
        if run.config[key] is not None:
            raise InvalidInputError(
                f"{key}={run.config[key]}: run {imported.id} imported its network, which has no "
                "phases and no checkpoints; leave it out"
            )
    artifact = next(name for name in OWN_NETWORKS if name in imported.artifacts)
    run.sacred_run.info.update(phase=IMPORTED, network=artifact)
    source = f"run {imported.id}, {imported_name(imported.config)}"
    code = run.config["model_code"]
    content, pixels = imported.artifact(artifact), imported.info["preprocessing"]
    return NetworkFile(
        content,
        source,
        imported,
        code,
        _checked_preprocessing(pixels),
        imported.info.get("graph_only"),
    )


def imported_name(config: Mapping[str, Any]) -> str:
    """Return how to speak of the network that a config of ``import_network`` asks for."""
    name = config["network"]["name"]
    return PurePath(config["model"]).name if name is None else str(name)


def _trained_network(run: StageRun, trained: Run) -> NetworkFile:
    epoch = run.config["checkpoint"]
    # One that was dropped is asked for, too: another phase's would be another network.
    had = {*trained.artifacts, *trained.dropped()}
    phases = [phase for phase in PHASES if network_name(phase, epoch) in had]
    phase = (phases or PHASES)[-1] if run.config["phase"] is None else run.config["phase"]
    if phase not in phases:
        raise InvalidInputError(_what_there_is(had, trained.id, run.config["phase"], epoch))
    artifact = network_name(phase, epoch)
    run.sacred_run.info.update(phase=phase, network=artifact)
    source = f"run {trained.id}, {phase}" + ("" if epoch is None else f", epoch {epoch}")
    return NetworkFile(trained.artifact(artifact), source, trained)


def _what_there_is(had: set[str], training: RunId, phase: str | None, epoch: int | None) -> str:
    if epoch is None:
        phases = ", ".join(phase for phase in PHASES if network_name(phase) in had)
        return (
            f"phase={phase}: training run {training} has no such network; expected one of "
            f"{phases}, or null for the last"
            if phases
            else f"phase={phase}: training run {training} has no network"
        )
    has = [f"{phase} {', '.join(map(str, epochs))}" for phase, epochs in stored_epochs(had).items()]
    there_is = (
        f"has those of the epochs {'; '.join(has)}"
        if has
        else ("has none: train with training.checkpoint_every=N to keep one every N epochs")
    )
    return (
        f"checkpoint={epoch!r}{f' phase={phase}' if phase else ''}: training run {training} "
        f"{there_is}"
    )


def residual_rule(clustering: Run) -> str | None:
    """Return the rule by which a clustering's layers of units are named (methods C4).

    Args:
        clustering: The run, also of a former version, which knew but one rule or kept none.
    """
    return residual_rule_of(clustering.config, clustering.result)


def residual_rule_of(config: Mapping[str, Any], result: Mapping[str, Any]) -> str | None:
    """Return the rule that the config and the result of a clustering tell."""
    settings = config["graph"]
    source = settings.get("source", "weights")
    found: str | None = result.get("residual", settings.get("residual", "one_set"))
    # former versions had one rule for graphs of values, whatever was set
    if source == "file" or (source != "weights" and found == "copied"):
        return "one_set"
    return found


def graph_settings(clustering: Run) -> Mapping[str, Any]:
    """Return the section `graph` of a clustering, with the rule for streams that it had."""
    return {**clustering.config["graph"], "residual": residual_rule(clustering)}

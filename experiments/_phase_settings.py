"""The phases of a training: what a config of ``train`` asks for, and names of what is stored."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from nn_clustering import training
from nn_clustering.errors import InvalidInputError
from nn_clustering.user_functions import is_dotted_name

if TYPE_CHECKING:
    from nn_clustering.training import Phase

# In the order in which a run can have them; an untrained network has that phase alone.
PHASES = ("untrained", "unpruned", "pruned")
# What switches a setting on, where that is not its section's key `enabled`.
_SWITCHES = {"penalty.l1_rate": "l1", "penalty.l2_rate": "l2", "penalty.first_layer_l1": "l2"}
# Settings that only some kinds of networks have a use for.
_TRANSFORMERS = ("transformer", "vit")
_USED = {
    "network.conv_filters": ("cnn", "vgg"),
    "network.hidden_units": ("mlp", "cnn", "vgg"),
    **{
        f"network.{key}": _TRANSFORMERS
        for key in ("n_blocks", "n_channels", "n_heads", "n_neurons", "norm", "norm_first", "gated")
    },
    "network.patch_size": ("vit",),
}
_NETWORK = re.compile(r"(?P<phase>\w+)\.epoch_(?P<epoch>\d+)\.keras")
_CHECKPOINT = re.compile(r"(?P<phase>\w+)\.epoch_(?P<epoch>\d+)\.checkpoint\.npz")


def network_name(phase: str, epoch: int | None = None) -> str:
    """Return the name of the artifact with a phase's network, at its end or after an epoch."""
    return f"{phase}.keras" if epoch is None else f"{phase}.epoch_{epoch}.keras"


def checkpoint_name(phase: str, epoch: int) -> str:
    """Return the name of the artifact with the state of a training after an epoch."""
    return f"{phase}.epoch_{epoch}.checkpoint.npz"


def stored_checkpoints(artifacts: Iterable[str]) -> dict[str, list[int]]:
    """Return the epochs of each phase after which a training can go on, in order."""
    return _epochs(artifacts, _CHECKPOINT)


def stored_epochs(artifacts: Iterable[str]) -> dict[str, list[int]]:
    """Return the epochs of each phase after which the network was stored, in order."""
    return _epochs(artifacts, _NETWORK)


def _epochs(artifacts: Iterable[str], pattern: re.Pattern[str]) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {phase: [] for phase in PHASES}
    for name in artifacts:
        match = pattern.fullmatch(name)
        if match and match["phase"] in found:
            found[match["phase"]].append(int(match["epoch"]))
    return {phase: sorted(epochs) for phase, epochs in found.items() if epochs}


def check_conditions(config: Mapping[str, Any]) -> None:
    """Check that the conditions of a training make sense together.

    Raises:
        InvalidInputError: If they do not, with the reason.
    """
    network = config["network"]
    acting_in_training = {
        "network.dropout": network["dropout"],
        "pruning.enabled": config["pruning"]["enabled"],
        "penalty.l1": config["penalty"]["l1"],
        "penalty.l2": config["penalty"]["l2"],
        "augmentation.enabled": config["augmentation"]["enabled"],
        "clusterability_gradient.enabled": config["clusterability_gradient"]["enabled"],
    }
    asked = [key for key, value in acting_in_training.items() if value]
    if not config["training"]["enabled"] and asked:
        raise InvalidInputError(
            f"training.enabled=False (untrained) with {', '.join(f'{key}=True' for key in asked)}: "
            "these act in training only; leave out one or the other"
        )
    if config["clusterability_gradient"]["enabled"]:
        reason = {
            network["activation"] != "relu": f"network.activation={network['activation']}",
            network["kind"] == "vgg": "the batch norm of network.kind=vgg",
            network["kind"] in _TRANSFORMERS: f"the attention of network.kind={network['kind']}",
        }.get(True)
        if reason:
            raise InvalidInputError(
                f"clusterability_gradient.enabled=True with {reason}: units are rescaled in "
                "every step without a change of the function, which takes relu and no batch norm; "
                "expected an mlp or cnn with relu"
            )
    if config["modular_init"]["enabled"] and network["kind"] in _TRANSFORMERS:
        raise InvalidInputError(
            f"modular_init.enabled=True with network.kind={network['kind']}: modules are those of "
            "the units of a chain of layers; expected an mlp, cnn or vgg"
        )
    every = config["training"]["checkpoint_every"]
    if every is not None and (isinstance(every, bool) or not isinstance(every, int) or every < 1):
        raise InvalidInputError(
            f"training.checkpoint_every={every!r}; expected a number of epochs, 1 or more, or None"
        )


def check_settings_act(config: Mapping[str, Any], typed: Iterable[str]) -> None:
    """Check that no setting was typed for a condition that is switched off, or another network.

    Args:
        config: The whole config, of ``train`` or another stage.
        typed: Dotted keys that the user has set one by one, not through a named config.

    Raises:
        InvalidInputError: If one was; it would change nothing, and be believed to.
    """
    typed = list(typed)
    for key in typed:
        kind = config["network"]["kind"] if key in _USED else None
        if key in _USED and not is_dotted_name(kind) and kind not in _USED[key]:
            raise InvalidInputError(
                f"{key}={config['network'][key.partition('.')[2]]} changes nothing while "
                f"network.kind={kind}; leave it out, or take another network"
            )
        section, _, setting = key.partition(".")
        switch = _SWITCHES.get(key, "enabled")
        settings = config[section] if setting else {}
        asks = setting != switch and settings.get(setting) is not None
        if asks and not settings.get(switch, True):
            raise InvalidInputError(
                f"{key}={settings[setting]} changes nothing while {section}.{switch}=False; "
                "switch that on (there is a named config for it), or leave the setting out"
            )
    if "training.batch_size" in typed and config["training"]["full_batch"]:
        raise InvalidInputError(
            f"training.batch_size={config['training']['batch_size']} changes nothing while "
            "training.full_batch=True; leave out one or the other"
        )
    scaling = "clusterability_gradient.norm_by_threshold"
    if scaling in typed and not config["pruning"]["enabled"]:
        raise InvalidInputError(
            f"{scaling}={config['clusterability_gradient']['norm_by_threshold']} changes nothing "
            "without pruning; add pruned, or leave the setting out"
        )


def phase_names(*, trained: bool, pruned: bool) -> list[str]:
    """Return the names of the phases of a training, by its switches."""
    if not trained:
        return ["untrained"]
    return ["unpruned", "pruned"] if pruned else ["unpruned"]


def training_phases(config: Mapping[str, Any], n_train: int) -> list[Phase]:
    """Return the phases that a config of ``train`` asks for, none for an untrained network.

    Args:
        config: The whole config.
        n_train: Number of training images, which the length of the pruning schedule depends on.

    Raises:
        InvalidInputError: If a value is out of its range.
    """
    settings, penalty = config["training"], config["penalty"]
    if not settings["enabled"]:
        return []
    common: dict[str, Any] = {
        key: settings[key] for key in ("learning_rate", "weight_decay", "shuffle")
    }
    common["batch_size"] = n_train if settings["full_batch"] else settings["batch_size"]
    if penalty["l1"] or penalty["l2"]:
        common["penalty"] = training.Penalty(
            l1=penalty["l1_rate"] if penalty["l1"] else 0.0,
            l2=penalty["l2_rate"] if penalty["l2"] else 0.0,
            first_layer_l1=penalty["first_layer_l1"] and config["network"]["kind"] == "mlp",
        )
    if config["augmentation"]["enabled"]:
        common["augmentation"] = training.Augmentation(**without_switch(config["augmentation"]))
    if config["clusterability_gradient"]["enabled"]:
        common["clusterability"] = training.ClusterabilityGradient(
            **without_switch(config["clusterability_gradient"])
        )
    phases = [training.Phase(name="unpruned", epochs=settings["epochs"], **common)]
    if config["pruning"]["enabled"]:
        phases.append(_pruned_phase(config["pruning"], n_train, common))
    return phases


def _pruned_phase(pruning: Mapping[str, Any], n_train: int, common: Mapping[str, Any]) -> Phase:
    epochs = pruning["epochs"]
    if epochs < 1:
        raise InvalidInputError(
            f"pruning.epochs={epochs}; expected 1 or more, or pruning.enabled=False"
        )
    n_batches = -(-n_train // common["batch_size"])
    schedule = training.PruningSchedule(
        pruning["initial_sparsity"],
        pruning["final_sparsity"],
        n_steps=n_batches * epochs,
        every_n_steps=pruning["every_n_steps"],
    )
    return training.Phase(name="pruned", epochs=epochs, pruning=schedule, **common)


def without_switch(section: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of a condition, a section of the config that can be switched on."""
    return {key: value for key, value in section.items() if key != "enabled"}

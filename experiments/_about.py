"""What runs are about: data set, network, conditions and training seed, by which they are found.

A training, and the lesion on another data set, say so by their config; clusterings, tests and
reports inherit it from the runs that they read.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

# By the name of the named config that sets it: the key of a training's config, and its value then.
CONDITIONS = {
    "three_channels": ("dataset.channels", 3),
    "dropout": ("network.dropout", True),
    "tanh": ("network.activation", "tanh"),
    "modular_init": ("modular_init.enabled", True),
    "untrained": ("training.enabled", False),
    "l1": ("penalty.l1", True),
    "l2": ("penalty.l2", True),
    "augmented": ("augmentation.enabled", True),
    "clusterability_gradient": ("clusterability_gradient.enabled", True),
    "pruned": ("pruning.enabled", True),
}


def about_training(config: Mapping[str, Any], info: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a training's config tells."""
    return {
        "dataset": config.get("dataset"),
        "network": config.get("network"),
        "conditions": conditions(config),
        "training_seed": config.get("seed"),
    }


def conditions(config: Mapping[str, Any]) -> str:
    """Return the names of the studies' conditions that a training is under, joined by commas."""
    return ", ".join(
        name for name, (key, value) in CONDITIONS.items() if _value(config, key) == value
    )


def about_random_networks(config: Mapping[str, Any], info: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the config of untrained networks tells."""
    return {"network": config.get("network"), "conditions": conditions(config)}


def about_import(config: Mapping[str, Any], info: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is known of an imported network, and the data set that it is used with."""
    model, weights = config.get("model"), config.get("weights")
    known = {"dataset": config.get("dataset")}
    if isinstance(model, str):
        network = {"kind": PurePath(model).name, "sha256": _value(info, "inputs.model")}
        return {**known, "network": network}
    network = {"kind": _value(config, "network.name"), "weights": weights}
    seed = {"training_seed": config.get("seed")} if weights == "random" else {}
    return {**known, "network": network, **seed}


def about_clustering(config: Mapping[str, Any], info: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is known of a network or graph from a file; that of a training is inherited."""
    graph = _value(config, "graph.file")
    if isinstance(graph, str):
        return {"network": {"kind": PurePath(graph).name, "sha256": _value(info, "inputs.graph")}}
    model = config.get("model")
    if not isinstance(model, str):
        return {}
    name, digest = PurePath(model).name, _value(info, "inputs.network")
    return {"network": {"kind": name, "sha256": digest}, **about_tested_data(config, info)}


def about_tested_data(config: Mapping[str, Any], info: Mapping[str, Any]) -> dict[str, Any]:
    """Return the data set that the config names, if it is not that of the training."""
    return {"dataset": {"name": _value(config, "dataset.name")}}


def about_pipeline(config: Mapping[str, Any], info: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the pipeline will train, or import, before it has."""
    training, imported = config.get("train"), config.get("import_network")
    if isinstance(imported, Mapping) and is_import(imported):
        return about_import({**imported, "seed": config.get("seed")}, {})
    if not isinstance(training, Mapping):
        return {}
    return {**about_training(training, info), "training_seed": config.get("seed")}


def is_import(config: Mapping[str, Any]) -> bool:
    """Whether a config of ``import_network`` names a network."""
    return _value(config, "network.name") is not None or config.get("model") is not None


def about_others(config: Mapping[str, Any], info: Mapping[str, Any]) -> dict[str, Any]:
    """Return nothing: what it read says all."""
    return {}


ABOUT = {
    "train": about_training,
    "import_network": about_import,
    "random_init": about_random_networks,
    "cluster": about_clustering,
    "shuffle_test": about_others,
    "lesion": about_tested_data,
    "visualise": about_tested_data,
    "agreement": about_others,
    "choose_k": about_others,
    "lesion_table": about_others,
    "visualisation_table": about_others,
    "study": about_others,
    "report": about_others,
    "pipeline": about_pipeline,
}


def _value(config: Mapping[str, Any], key: str) -> Any:
    found: Any = config
    for part in key.split("."):
        found = found.get(part) if isinstance(found, Mapping) else None
    return found

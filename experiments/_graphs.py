"""The graph that a config asks for: of weights, of activations or of gradients, and transformed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments._graph_files import GRAPH_FILE, acts_on_networks_alone
from nn_clustering import datasets, graphs, partitions
from nn_clustering.errors import InvalidInputError
from nn_clustering.networks import structure
from nn_clustering.seeds import generator

if TYPE_CHECKING:
    import keras

    from nn_clustering.datasets import Dataset, Samples
    from nn_clustering.graphs import UnitGraph

SOURCES = ("weights", "activations", "gradients", GRAPH_FILE)
# Those of a network.
_OF_NETWORKS = SOURCES[:3]
SPLITS = ("train", "test")
# Keys of the section `graph` of which the graph of weights is made.
OF_WEIGHTS = (
    "kernel_norm",
    "gate_norm",
    "fold_normalisation",
    "inputs",
    "outputs",
    "dense_layers",
    "residual",
    "isolated_below",
)
# Those that say which units are in the graph.
OF_UNITS = ("inputs", "outputs", "dense_layers")
# Keys of the section `activations` that say how units' answers are taken and compared.
OF_ACTIVATIONS = ("position", "map_norm", "correlation", "memory_mb")
# The sources of the graph that settings act on, where that is not all of them.
_ACTS_ON = {
    "graph.kernel_norm": ("weights",),
    "graph.gate_norm": ("weights",),
    "graph.fold_normalisation": ("weights",),
    "graph.residual": _OF_NETWORKS,
    "dataset.name": ("activations", "gradients"),
    "dataset.n_train": ("activations", "gradients"),
    "dataset.n_test": ("activations", "gradients"),
    "dataset.per_class": ("activations", "gradients"),
    "dataset.image_size": ("activations", "gradients"),
    "dataset.resize": ("activations", "gradients"),
    "dataset.class_names": ("activations", "gradients"),
    "dataset.targets": ("activations", "gradients"),
    "dataset.damaged": ("activations", "gradients"),
    "dataset.prime": ("activations", "gradients"),
    "dataset.length": ("activations", "gradients"),
    "dataset.train_share": ("activations", "gradients"),
    "activations.split": ("activations", "gradients"),
    "activations.n_samples": ("activations", "gradients"),
    "activations.position": ("activations",),
    "activations.map_norm": ("activations",),
    "activations.correlation": ("activations",),
    "activations.memory_mb": ("activations",),
}


_OF_VALUES = ("activations", "gradients")


def check_graph_settings(settings: Mapping[str, Any]) -> None:
    """Check the section `graph` of a config.

    Raises:
        InvalidInputError: If a value is unknown, or two do not go together.
    """
    source = settings.get("source", "weights")
    if source not in SOURCES:
        raise InvalidInputError(f"graph.source={source!r}; expected one of {', '.join(SOURCES)}")
    structure.check_kernel_norm(settings["kernel_norm"])
    structure.check_gate_norm(settings["gate_norm"])
    graphs.check_isolated_below(settings["isolated_below"])
    graphs.check_residual(settings["residual"])
    for key in OF_UNITS:
        if settings[key] is not None and not isinstance(settings[key], bool):
            raise InvalidInputError(f"graph.{key}={settings[key]!r}; expected True, False or None")
        if source == GRAPH_FILE and settings[key] is not None:
            raise InvalidInputError(
                f"graph.{key}={settings[key]} changes nothing while graph.source=file, whose units "
                "are those of the file; expected None, or a graph of weights or gradients"
            )
        if source == "activations" and settings[key] is not None:
            raise InvalidInputError(
                f"graph.{key}={settings[key]} with graph.source=activations, whose units are the "
                "hidden ones of dense layers or all filters; expected None, or a graph of weights "
                "or gradients"
            )
    if source == "activations" and settings["normalise_units"]:
        raise InvalidInputError(
            "graph.normalise_units=True with graph.source=activations: correlations have no "
            "incoming and outgoing side; expected one of the two"
        )


def check_residual_acts(settings: Mapping[str, Any], typed: Iterable[str]) -> None:
    """Check that the rule for streams is one of values too, where the graph is of values.

    A set for each reader has none of its own: named configs that ask for one, as those of the
    studies, have one set there.

    Args:
        settings: The section `graph` of a config.
        typed: Dotted keys that the user has set one by one, not through a named config.

    Raises:
        InvalidInputError: If it is not.
    """
    source, rule = settings["source"], settings["residual"]
    refused = ("copied", "units") if "graph.residual" in set(typed) else ("units",)
    if source in _OF_VALUES and rule in refused:
        raise InvalidInputError(
            f"graph.residual={rule} with graph.source={source}: units are what values arise in, "
            "and no value is that of a set for each reader, or for all sums of a stream; expected "
            "one_set, contracted or null, or graph.source=weights"
        )


def residual_of_values(settings: Mapping[str, Any]) -> str | None:
    """Return the rule for streams that a graph of values has."""
    rule: str | None = settings["residual"]
    return "one_set" if rule == "copied" else rule


def check_graph_settings_act(source: str, typed: Iterable[str]) -> None:
    """Check that no setting was typed that the graph is not made of.

    Args:
        source: Of the graph.
        typed: Dotted keys that the user has set one by one, not through a named config.

    Raises:
        InvalidInputError: If one was; it would change nothing, and be believed to.
    """
    for key in typed:
        acts_on = _ACTS_ON.get(key, _OF_NETWORKS if acts_on_networks_alone(key) else SOURCES)
        if source not in acts_on:
            raise InvalidInputError(
                f"{key} changes nothing while graph.source={source}: it acts on "
                f"{' and '.join(acts_on)} only; leave it out, or take graph.source={acts_on[0]}"
            )


def check_sample_settings(settings: Mapping[str, Any]) -> None:
    """Check the section `activations` of a config.

    Raises:
        InvalidInputError: If a value is unknown or out of range.
    """
    if settings["split"] not in SPLITS:
        raise InvalidInputError(
            f"activations.split={settings['split']!r}; expected one of {', '.join(SPLITS)}"
        )
    graphs.check_activation_settings(
        **{key: value for key, value in settings.items() if key != "split"}
    )


def build_graph(
    network: keras.Model,
    config: Mapping[str, Any],
    x: Any = None,
    *,
    on_progress: Callable[[int], object] = lambda n_samples: None,
) -> tuple[UnitGraph, int]:
    """Build the graph that the sections `graph` and `activations` ask for, not transformed yet.

    Args:
        network: The network.
        config: The whole config of ``cluster``.
        x: The samples, for a graph of activations or gradients.
        on_progress: Called with the number of samples done since the last call.

    Returns:
        The graph, and how many of its units are isolated because they are dead: their weights, or
        what they answer to the samples, are negligible, but not all 0, or all the same.
    """
    settings = config["graph"]
    if x is None:
        graph = graphs.graph_from_weights(network, **of_weights(settings))
        return graph, int(graph.dead.sum())
    if settings["source"] == "gradients":
        of_gradients = {key: settings[key] for key in (*OF_UNITS, "isolated_below")}
        of_gradients["residual"] = residual_of_values(settings)
        graph = graphs.graph_from_gradients(network, x, **of_gradients, on_progress=on_progress)
        return graph, int(graph.dead.sum())

    chosen = {key: config["activations"][key] for key in OF_ACTIVATIONS}
    chosen["residual"] = residual_of_values(settings)
    activations = graphs.gather_activations(network, x, **chosen, on_progress=on_progress)
    below = settings["isolated_below"]
    graph = graphs.graph_from_activations(
        activations, correlation=chosen["correlation"], isolated_below=below
    )
    return graph, int((activations.silent(below) & ~activations.silent(0)).sum())


def check_network_fits(network: keras.Model, config: Mapping[str, Any], x: Any) -> None:
    """Check, before it is made, that a network has a graph of activations or gradients.

    Args:
        network: The network.
        config: The whole config of ``cluster``.
        x: The samples.

    Raises:
        InvalidInputError: If it has none, the samples do not fit it, their correlations would take
            hours or more space than the disk has, or it has fewer units than there are to be
            clusters.
    """
    settings = config["graph"]
    if settings["source"] == "gradients":
        of_units = {key: settings[key] for key in OF_UNITS}
        of_units["residual"] = residual_of_values(settings)
        n_units = graphs.count_differentiable_units(network, x, **of_units)
    else:
        chosen = {key: config["activations"][key] for key in OF_ACTIVATIONS if key != "map_norm"}
        chosen["residual"] = residual_of_values(settings)
        n_units = graphs.count_active_units(network, x, **chosen)
    makes_clusters = config["partition"]["method"] in partitions.WITH_N_CLUSTERS
    if makes_clusters and config["n_clusters"] > n_units:
        raise InvalidInputError(
            f"n_clusters={config['n_clusters']}; expected 2 to {n_units}, the number of units in "
            f"the graph of {settings['source']}"
        )


def of_weights(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of :func:`~nn_clustering.graphs.graph_from_weights`.

    Args:
        settings: A section `graph`, also of a run of a former version, for which only units without
            any weight were isolated.
    """
    return {key: settings[key] for key in OF_WEIGHTS if key in settings} | {
        "isolated_below": settings.get("isolated_below", 0)
    }


def weight_graph(network: keras.Model, settings: Mapping[str, Any]) -> UnitGraph:
    """Build the graph of a network's weights that a section `graph` asks for, transformed."""
    return transformed(build_graph(network, {"graph": settings})[0], settings)


def resolved_residual(network: keras.Model | None, settings: Mapping[str, Any]) -> str | None:
    """Return by which rule streams are sets of units; None where that plays no part.

    Args:
        network: The network; None for a graph of no known network.
        settings: A section `graph`.
    """
    if network is None or settings["source"] not in _OF_NETWORKS:
        return None
    return graphs.resolved_residual(structure.read_weights(network), settings["residual"])


def is_transformed(settings: Mapping[str, Any]) -> bool:
    """Whether a section `graph` asks for a transformation (methods C9, C10)."""
    return bool(settings["normalise_units"] or settings["commute_time"])


def transformed(graph: UnitGraph, settings: Mapping[str, Any]) -> UnitGraph:
    """Apply the transformations that a section `graph` asks for (methods C9, C10)."""
    if settings["normalise_units"]:
        graph = graphs.normalise_units(graph)
    return graphs.commute_time_graph(graph) if settings["commute_time"] else graph


def choose_samples(dataset: Dataset, settings: Mapping[str, Any], seed: int) -> Samples:
    """Return the samples that a section `activations` asks for, drawn at random, in their order.

    Raises:
        InvalidInputError: If the data set has fewer.
    """
    if settings["split"] == "train" and not dataset.has_train_part:
        raise InvalidInputError(
            f"activations.split=train: the data set {dataset.name} has test samples only; expected "
            "activations.split=test"
        )
    x = dataset.x_train if settings["split"] == "train" else dataset.x_test
    n_samples = settings["n_samples"]
    if n_samples is None or n_samples == len(x):
        return x
    if n_samples > len(x):
        raise InvalidInputError(
            f"activations.n_samples={n_samples}; expected at most {len(x)}, which is what the "
            f"data set {dataset.name} has in its {settings['split']} split, or None for all"
        )
    rows = np.sort(generator(seed, "samples").choice(len(x), n_samples, replace=False))
    return datasets.chosen(x, rows)

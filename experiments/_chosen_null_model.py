"""The null model that a config of ``shuffle_test`` asks for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from experiments._graph_files import GRAPH_FILE
from experiments._graphs import is_transformed, of_weights, transformed, weight_graph
from experiments._keras import import_keras
from experiments._networks import NetworkFile, graph_settings
from experiments._own_network import own_network_code
from experiments._partitions import FROM_FILE
from experiments._phase_settings import without_switch
from nn_clustering import datasets, graphs, networks, significance
from nn_clustering.errors import InvalidInputError
from nn_clustering.networks import structure
from nn_clustering.tracking import Input

if TYPE_CHECKING:
    import keras

    from nn_clustering.graphs import UnitGraph
    from nn_clustering.significance import FreshNetworks, NullModel
    from nn_clustering.tracking import Run, StageRun


# Rules for a residual stream by which an edge is made of the weights of several kernels.
_OF_SEVERAL_KERNELS = ("units", "contracted")


@dataclass(frozen=True)
class NullModelInputs:
    """What a null model is made of: the graph's own edges, or the network.

    Attributes:
        cluster_run: The clustering that it is a null model of.
        network: The clustered network; None where it is not needed.
        model_code: The module with the layers of the network's author, where it is named.
        null_model: That of the graph's edges; None where the network is needed.
    """

    cluster_run: Input[Run]
    network: Input[NetworkFile] | None
    model_code: Input[bytes] | None
    null_model: Input[NullModel] | None


def build_null_model(run: StageRun[NullModelInputs]) -> NullModel:
    """Return what draws the graphs: transformed as the network's own graph was."""
    given = run.inputs
    settings = given.cluster_run.value.config["graph"]
    if is_fresh(run.config):
        return _fresh_networks(run)
    null = _of_kernels(run) if given.null_model is None else given.null_model.value
    if not is_transformed(settings):
        return null
    switches = {key: settings[key] for key in ("normalise_units", "commute_time")}
    return significance.Transformed(null, partial(transformed, settings=switches))


def shuffled_graph(clustered: Run, config: Mapping[str, Any]) -> Input[NullModel]:
    """Read the graph of a clustering run, as the null model that shuffles it."""
    transformed_too = is_transformed(clustered.config["graph"])
    content = clustered.artifact("untransformed_graph.npz" if transformed_too else "graph.npz")
    null = significance.shuffled_edges(
        graphs.UnitGraph.from_npz(content),
        config["method"],
        reconnect_last_layer=config["reconnect_last_layer"],
    )
    return Input.of_bytes(content, null)


def _of_kernels(run: StageRun[NullModelInputs]) -> NullModel:
    import_keras()
    method = run.config["method"]
    settings = of_weights(graph_settings(run.inputs.cluster_run.value))
    weights = structure.read_weights(_network(run).network)
    if method in significance.VALUE_PERMUTATIONS:
        return significance.permuted_values(weights, method, settings)
    return significance.shuffled_kernels(
        weights, method, settings, reconnect_last_layer=run.config["reconnect_last_layer"]
    )


def _fresh_networks(run: StageRun[NullModelInputs]) -> FreshNetworks:
    """Return the null model of networks that are initialised as the training run's was."""
    file = _network(run)
    assert file.training is not None  # checked with the inputs
    settings = graph_settings(run.inputs.cluster_run.value)
    config = file.training.config
    trained = file.network
    own = file.training.info.get("dataset", {})
    task = own.get("task") or datasets.dataset_task(config["dataset"]["name"])
    assert task is not None  # a training records that of data of one's own
    tokens = _tokens_of(own.get("vocabulary"), trained)

    def build(seed: int) -> UnitGraph:
        network = networks.build_network(
            input_shape=trained.input_shape[1:],
            n_outputs=trained.output_shape[-1],
            task=task,
            tokens=tokens,
            seed=seed,
            **config["network"],
        )
        if config["modular_init"]["enabled"]:
            networks.modular_initialisation(
                network, seed=seed, **without_switch(config["modular_init"])
            )
        return weight_graph(network, settings)

    return significance.FreshNetworks(build)


def _tokens_of(
    vocabulary: Sequence[str] | None, network: keras.Model
) -> networks.TokenInput | None:
    """Return what a network that was trained on tokens reads; None of one of other data."""
    if vocabulary is None:
        return None
    return networks.TokenInput(len(vocabulary), len(network.output_shape) == 3)


def _network(run: StageRun[NullModelInputs]) -> NetworkFile:
    assert run.inputs.network is not None  # as `needs_network` says
    return run.inputs.network.value


def check_clustering_fits(
    clustering: Mapping[str, Any],
    config: Mapping[str, Any],
    given: str = "",
    *,
    parts: tuple[str, str] = ("", ""),
    rule: str | None = None,
) -> None:
    """Check that shuffles can be clustered as a network was, or is to be.

    Args:
        clustering: Config of the clustering.
        config: Config of the shuffle test.
        given: How messages begin.
        parts: What the keys of the two begin with, where they are parts of one config.
        rule: By which its graph treats a residual stream; None where that is not known yet.

    Raises:
        InvalidInputError: If they cannot.
    """
    partition, source = clustering["partition"], clustering["graph"]["source"]
    ours, theirs = parts[1], f"{given}{parts[0]}"
    if partition["local"]:
        raise InvalidInputError(
            f"{theirs}partition.local=True, clusters of each layer by itself; expected one "
            "clustering of the whole graph for its shuffle test: cluster it with "
            f"{parts[0]}partition.local=False"
        )
    if partition["method"] == FROM_FILE:
        raise InvalidInputError(
            f"{theirs}partition.method=file, a partition from a file, and no shuffle can be "
            "clustered like that; expected a method that finds one: cluster it with "
            f"{parts[0]}partition.method=spectral"
        )
    if partition["method"] == "per_layer" and source != "activations":
        raise InvalidInputError(
            f"{theirs}partition.method=per_layer, which cuts every weight between layers, whatever "
            "the weights: its shuffles have the same n-cut; expected another method"
        )
    rule = rule if source == "weights" else "one_set"
    if needs_network(config, rule) and source != "weights":
        asked = "kernels=weights" if config["kernels"] else f"method={config['method']}"
        raise InvalidInputError(
            f"{theirs}graph.source={source}, with {ours}{asked}: expected a graph of weights, or "
            f"another null model of this one: {ours}method=layer {ours}kernels=norms"
        )
    if _shuffles_sums_of_products(config, rule):
        raise InvalidInputError(
            f"{theirs}graph.residual={rule}, with {ours}kernels=norms {ours}method="
            f"{config['method']}: an edge is made of the weights of several kernels; expected "
            f"{ours}kernels=weights, which shuffles those"
        )
    if source not in ("activations", GRAPH_FILE) and config["method"] == "all_edges":
        raise InvalidInputError(
            f"{theirs}graph.source={source}, with {ours}method=all_edges: expected a graph of "
            f"activations, where any two units can be joined; take {ours}method=layer"
        )


def check_network_fits(network: NetworkFile, config: Mapping[str, Any]) -> None:
    """Check that networks can be initialised like the clustered one, where that is asked for."""
    if not is_fresh(config):
        return
    if network.training is None or not network.was_trained:
        came = "is from a file" if network.training is None else "was imported"
        raise InvalidInputError(
            f"method=fresh_initialisation: {network.source} {came}, and nobody knows how it was "
            "initialised; expected one that train.py trained: take method=layer"
        )
    kind = network.training.config["network"]["kind"]
    code = own_network_code(kind)
    noted = network.training.info.get("inputs", {}).get("network_code")
    if code is not None and code.digest != noted:
        raise InvalidInputError(
            f"method=fresh_initialisation: the code of network.kind={kind} is not what it was in "
            f"training run {network.training.id}; put the same file back, or take method=layer"
        )


def needs_network(config: Mapping[str, Any], rule: str | None) -> bool:
    """Whether a null model is made from the network, not from its graph.

    Args:
        config: Of the shuffle test.
        rule: By which the clustering's graph treats a residual stream.
    """
    if config["kernels"] is not None or is_fresh(config):
        return is_fresh(config) or config["kernels"] == "weights"
    looks_at_weights = config["method"] in significance.ENTRY_SHUFFLES
    return config["method"] in significance.VALUE_PERMUTATIONS or (
        looks_at_weights and rule in _OF_SEVERAL_KERNELS
    )


def _shuffles_sums_of_products(config: Mapping[str, Any], rule: str | None) -> bool:
    """Whether single weights of a graph are to be shuffled that are no weights of the network."""
    looks_at_weights = config["method"] in significance.ENTRY_SHUFFLES
    return config["kernels"] == "norms" and looks_at_weights and rule in _OF_SEVERAL_KERNELS


def is_fresh(config: Mapping[str, Any]) -> bool:
    """Whether a null model is of fresh networks."""
    return bool(config["method"] == "fresh_initialisation")

"""Graphs of a network's units, from its weights, activations or gradients."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from nn_clustering.graphs._commute_time import commute_time_graph
from nn_clustering.graphs._from_activations import (
    CORRELATIONS,
    MAP_NORMS,
    POSITIONS,
    UnitActivations,
    check_activation_settings,
    graph_from_activations,
)
from nn_clustering.graphs._kernel_norms import KERNEL_NORMS, check_kernel_norm
from nn_clustering.graphs._network_weights import KernelUnits, NetworkWeights, Reader, UnitSet
from nn_clustering.graphs._unit_graph import (
    Edges,
    Layer,
    UnitGraph,
    layers_from_arrays,
    layers_to_arrays,
)
from nn_clustering.graphs._unit_normalisation import normalise_units
from nn_clustering.graphs.drawing import ISOLATED_COLOUR, cluster_colours, draw_network

if TYPE_CHECKING:
    from nn_clustering.graphs._activations import unit_activations
    from nn_clustering.graphs._chain import WeightLayer, chain_of_layers, find_weight_layers
    from nn_clustering.graphs._from_gradients import graph_from_gradients
    from nn_clustering.graphs._from_weights import graph_from_weights, read_weights
    from nn_clustering.graphs._walk import Step, Walk, walk_network

__all__ = [
    "CORRELATIONS",
    "ISOLATED_COLOUR",
    "KERNEL_NORMS",
    "MAP_NORMS",
    "POSITIONS",
    "Edges",
    "KernelUnits",
    "Layer",
    "NetworkWeights",
    "Reader",
    "Step",
    "UnitActivations",
    "UnitGraph",
    "UnitSet",
    "Walk",
    "WeightLayer",
    "chain_of_layers",
    "check_activation_settings",
    "check_kernel_norm",
    "cluster_colours",
    "commute_time_graph",
    "draw_network",
    "find_weight_layers",
    "graph_from_activations",
    "graph_from_gradients",
    "graph_from_weights",
    "layers_from_arrays",
    "layers_to_arrays",
    "normalise_units",
    "read_weights",
    "unit_activations",
    "walk_network",
]

_NEEDING_KERAS = {
    "Step": "_walk",
    "Walk": "_walk",
    "WeightLayer": "_chain",
    "chain_of_layers": "_chain",
    "find_weight_layers": "_chain",
    "graph_from_gradients": "_from_gradients",
    "graph_from_weights": "_from_weights",
    "read_weights": "_from_weights",
    "unit_activations": "_activations",
    "walk_network": "_walk",
}


def __getattr__(name: str) -> Any:
    """Import Keras only for who asks for a network: a stored graph can be read without it."""
    if name in _NEEDING_KERAS:
        return getattr(import_module(f"nn_clustering.graphs.{_NEEDING_KERAS[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

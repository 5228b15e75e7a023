"""Graphs of a network's units, from its weights."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from nn_clustering.graphs._drawing import ISOLATED_COLOUR, cluster_colours, draw_network
from nn_clustering.graphs._kernel_norms import KERNEL_NORMS, check_kernel_norm
from nn_clustering.graphs._unit_graph import (
    Edges,
    Layer,
    UnitGraph,
    layers_from_arrays,
    layers_to_arrays,
)

if TYPE_CHECKING:
    from nn_clustering.graphs._from_weights import (
        WeightLayer,
        chain_of_layers,
        find_weight_layers,
        graph_from_weights,
    )

__all__ = [
    "ISOLATED_COLOUR",
    "KERNEL_NORMS",
    "Edges",
    "Layer",
    "UnitGraph",
    "WeightLayer",
    "chain_of_layers",
    "check_kernel_norm",
    "cluster_colours",
    "draw_network",
    "find_weight_layers",
    "graph_from_weights",
    "layers_from_arrays",
    "layers_to_arrays",
]


def __getattr__(name: str) -> Any:
    """Import Keras only for who asks for a network: a stored graph can be read without it."""
    if name in __all__:
        return getattr(import_module("nn_clustering.graphs._from_weights"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

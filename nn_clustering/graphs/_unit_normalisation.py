"""Unit normalisation: weights of units on a scale of their own (methods C10)."""

import numpy as np

from nn_clustering.errors import InvalidInputError
from nn_clustering.graphs._unit_graph import UnitGraph


def normalise_units(graph: UnitGraph) -> UnitGraph:
    """Scale every hidden unit's incoming weights to a mean of 1, its outgoing ones inversely.

    A ReLU network computes the same whatever the scale of a hidden unit, as long as the outgoing
    weights make up for it, but its graph does not look the same: this takes one graph of them all.

    Layers are taken in the order in which data passes them, so that incoming weights are those
    that the layers before have scaled already. Hidden are the layers with edges both from other
    layers and to others; the units of the others (inputs, outputs) are not scaled. The mean is over
    all entries, zeros included, of all matrices that lead to a unit, together where there are
    several. A unit whose incoming weights are all 0 is left as it is, and so are its outgoing ones.
    Isolated units stay isolated, dead ones among them without any edge.

    Args:
        graph: A graph of weights, whose edges go from the source to the target layer.

    Raises:
        InvalidInputError: If there are edges within a layer, or edges lead from a layer back to
            it: nothing is incoming or outgoing there.
    """
    graph = graph.with_dead_cut_off()
    order = _order_of_layers(graph)
    weights = [block.weights.copy() for block in graph.edges]
    for layer in order:
        incoming = [i for i, block in enumerate(graph.edges) if block.target == layer]
        outgoing = [i for i, block in enumerate(graph.edges) if block.source == layer]
        if not (incoming and outgoing):
            continue
        total = sum(weights[index].sum(axis=0, dtype=np.float64) for index in incoming)
        mean = total / max(sum(len(weights[index]) for index in incoming), 1)
        mean = np.where(mean > 0, mean, 1)
        for index in incoming:
            weights[index] /= mean
        for index in outgoing:
            weights[index] *= mean[:, None]
    return graph.with_weights(weights)


def _order_of_layers(graph: UnitGraph) -> list[int]:
    """Return the layers in an order in which all edges lead forward."""
    import networkx

    within = next((block for block in graph.edges if block.is_within_layer), None)
    if within is not None:
        raise InvalidInputError(
            f"layer {graph.layers[within.source].name!r} has edges within it, as in a graph "
            "of activations or of a recurrent network: units are normalised in a graph of a "
            "feed-forward network's weights only, so leave normalise_units out"
        )
    leads_to = networkx.DiGraph((block.source, block.target) for block in graph.edges)
    try:
        return list(networkx.topological_sort(leads_to))
    except networkx.NetworkXUnfeasible:
        raise InvalidInputError(
            "the edges between layers lead round in a circle: units are normalised in a graph "
            "of a feed-forward network's weights only, so leave normalise_units out"
        ) from None

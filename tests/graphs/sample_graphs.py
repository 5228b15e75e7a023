"""Graphs of units for the tests of graphs, partitions and shuffles."""

from itertools import pairwise

import networkx
import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from nn_clustering.graphs import Edges, Layer, UnitGraph

# Many zeros, so that isolated units and empty clusters turn up.
WEIGHTS = st.sampled_from([0.0, 0.0, 0.0, 0.25, 1.0, 1.5, 3.0, 7.0])


def layered(*matrices):
    """A chain of layers, one matrix between each and the next."""
    matrices = [np.asarray(matrix, float) for matrix in matrices]
    sizes = [matrices[0].shape[0], *(matrix.shape[1] for matrix in matrices)]
    return UnitGraph(
        tuple(Layer(f"layer_{index}", size) for index, size in enumerate(sizes)),
        tuple(Edges(index, index + 1, matrix) for index, matrix in enumerate(matrices)),
    )


def random_layered(sizes, seed, keep=1.0):
    """Weights uniform in 0 to 1, of which the share ``keep`` is not 0."""
    random = np.random.default_rng(seed)
    return layered(
        *[random.uniform(size=s) * (random.uniform(size=s) < keep) for s in pairwise(sizes)]
    )


def planted(sizes, n_clusters, seed, between=0.05):
    """A layered graph and its true clusters: weights are ``between`` times as large across."""
    random = np.random.default_rng(seed)
    truth = [random.permutation(np.arange(size) % n_clusters) for size in sizes]
    matrices = [
        random.uniform(0.5, 1, (a.size, b.size)) * np.where(a[:, None] == b, 1, between)
        for a, b in pairwise(truth)
    ]
    return layered(*matrices), np.concatenate(truth)


def with_shortcut(graph, seed):
    """The same graph with edges from its first layer to its third: no longer bipartite."""
    shape = graph.layers[0].n_units, graph.layers[2].n_units
    extra = Edges(0, 2, np.random.default_rng(seed).uniform(size=shape))
    return UnitGraph(graph.layers, (*graph.edges, extra))


def mirrored(weights):
    """The upper triangle on both sides of a zero diagonal: weights within a layer."""
    upper = np.triu(weights, 1)
    return upper + upper.T


@st.composite
def unit_graphs(draw):
    """Up to five small layers and edges between and within any of them, bipartite or not."""
    sizes = draw(st.lists(st.integers(1, 5), min_size=2, max_size=5))
    pairs = [(a, b) for a in range(len(sizes)) for b in range(len(sizes)) if a <= b]
    chosen = draw(st.lists(st.sampled_from(pairs), unique=True, min_size=1, max_size=len(pairs)))
    turned = draw(st.lists(st.booleans(), min_size=len(chosen), max_size=len(chosen)))
    pairs = [pair[::-1] if turn else pair for pair, turn in zip(chosen, turned, strict=True)]
    return UnitGraph(
        tuple(Layer(f"layer_{index}", size) for index, size in enumerate(sizes)),
        tuple(
            Edges(a, b, mirrored(weights) if a == b else weights)
            for a, b in pairs
            for weights in [draw(arrays.arrays(float, (sizes[a], sizes[b]), elements=WEIGHTS))]
        ),
    )


def dense_adjacency(graph):
    """The symmetric weight matrix, entry by entry."""
    starts = [sum(layer.n_units for layer in graph.layers[:i]) for i in range(len(graph.layers))]
    matrix = np.zeros((graph.n_units, graph.n_units))
    for block in graph.edges:
        for i, j in np.argwhere(block.weights):
            source, target = starts[block.source] + i, starts[block.target] + j
            matrix[source, target] = matrix[target, source] = block.weights[i, j]
    return matrix


def as_networkx(graph):
    """The graph as networkx has it."""
    return networkx.from_numpy_array(dense_adjacency(graph))

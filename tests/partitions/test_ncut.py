"""The n-cut by hand, by a loop over all pairs of units, and by networkx."""

from dataclasses import replace

import networkx
import numpy as np
import pytest
from hypothesis import given, strategies as st

from nn_clustering.errors import InvalidInputError
from nn_clustering.graphs import Edges, Layer, UnitGraph
from nn_clustering.partitions import (
    PUBLISHED_VOLUME_CONSTANT,
    check_volume_constant,
    in_out_ratio,
    ncut,
)
from nn_clustering.partitions._ncut import ncuts
from tests.graphs.sample_graphs import as_networkx, dense_adjacency, layered, unit_graphs

CHECK = layered(np.abs([[12, -1.3], [0, 7.4]]), np.abs([[-8.9, 0.15], [0.23, -5.7]]))


def test_authors_unit_check():
    """Methods C7. Units a0 a1, b0 b1, c0 c1, the clusters being those of index 0 and 1.

    cut     = a0b1 + a1b0 + b0c1 + b1c0 = 1.3 + 0 + 0.15 + 0.23 = 1.68
    volume0 = a0 + b0 + c0 = (12 + 1.3) + (12 + 0 + 8.9 + 0.15) + (8.9 + 0.23) = 43.48
    volume1 = a1 + b1 + c1 = (0 + 7.4) + (1.3 + 7.4 + 0.23 + 5.7) + (0.15 + 5.7) = 27.88
    n-cut   = 1.68 / 43.48 + 1.68 / 27.88 = 0.0386385 + 0.0602582 = 0.0988967
    """
    value = ncut(CHECK, np.array([0, 1, 0, 1, 0, 1]))
    assert value == pytest.approx(1.68 / 43.48 + 1.68 / 27.88, abs=1e-8)
    assert round(value, 5) == 0.09890


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ([0, 0, 0, 0], 0),  # one cluster has no cut
        ([0, 1, 0, 1], 0),  # the two components
        ([0, 0, 1, 1], 2),  # the two layers: nothing is within
        # unit 0: 2/2; units 1, 2, 3: cut 2 of volume 3 + 2 + 3
        ([1, 0, 0, 0], 2 / 2 + 2 / 8),
        ([0, 1, 2, 3], 4),  # alone, every unit's weight is all cut
        ([0, 5, 0, 5], 0),  # clusters without units count nothing
    ],
)
def test_two_components_by_hand(labels, expected):
    graph = layered([[2, 0], [0, 3]])
    assert ncut(graph, np.array(labels)) == pytest.approx(expected, abs=1e-7)


def test_isolated_units_count_nothing():
    # 0 -2- 2, 1 -3- 2, and 3 is isolated. Cut of {0}: 2 of 2; of {1, 2}: 2 of 3 + 5.
    graph = layered([[2, 0], [3, 0]])
    expected = pytest.approx(2 / 2 + 2 / 8, abs=1e-7)
    assert ncut(graph, np.array([0, 1, 1, -1])) == expected
    assert ncut(graph, np.array([0, 1, 1, 0])) == expected
    assert ncut(graph, np.array([0, 1, 1, 2])) == expected


# Two triangles joined by one weak edge.
TRIANGLES = np.zeros((6, 6))
for one, other, weight in [(0, 1, 1), (0, 2, 1), (1, 2, 1), (2, 3, 0.01), (3, 4, 1), (3, 5, 1)]:
    TRIANGLES[one, other] = TRIANGLES[other, one] = weight
TRIANGLES[4, 5] = TRIANGLES[5, 4] = 1


@pytest.mark.parametrize("scale", [1, 1e-6, 1e-9, 1e-12, 1e-30, 1e12])
def test_small_weights_have_the_same_ncut(scale):
    """Cut 0.01 of the volume 6.01, twice; with the studies' constant it falls with the unit."""
    graph = UnitGraph((Layer("units", 6),), (Edges(0, 0, scale * TRIANGLES),))
    labels = np.array([0, 0, 0, 1, 1, 1])
    assert ncut(graph, labels) == pytest.approx(2 * 0.01 / 6.01, rel=1e-12)
    published = ncut(graph, labels, volume_constant=PUBLISHED_VOLUME_CONSTANT)
    assert published == pytest.approx(2 * 0.01 * scale / (6.01 * scale + 1e-8), rel=1e-12)


def test_clusters_of_dead_units_are_no_good_clusters():
    """Alone, a dead unit's weight is all cut; the constant of the studies makes that 0."""
    weights = np.ones((4, 4))
    weights[0], weights[1] = 1e-19, 2e-19
    graph = replace(layered(weights), isolated_below=0)
    labels = np.array([0, 1, 2, 2, 2, 2, 2, 2])
    # the third cluster is cut from 1.2e-18 of its 16
    assert ncut(graph, labels) == pytest.approx(2, rel=1e-12)
    assert ncut(graph, labels, volume_constant=1e-8) == pytest.approx(0, abs=1e-9)
    assert ncut(layered(weights), np.array([-1, -1, 0, 0, 0, 0, 0, 0])) == pytest.approx(0)


@pytest.mark.parametrize("value", [-1e-8, float("inf"), float("nan"), True, "none"])
def test_constant_out_of_range_refused(value):
    with pytest.raises(InvalidInputError, match=r"volume_constant=.*expected 0"):
        check_volume_constant(value)


@st.composite
def labelled_graphs(draw):
    graph = draw(unit_graphs())
    labels = draw(st.lists(st.integers(0, 3), min_size=graph.n_units, max_size=graph.n_units))
    isolated = ~dense_adjacency(graph).any(axis=1)
    return graph, np.where(isolated, -1, labels)


@given(labelled_graphs())
def test_loop_over_all_pairs(case):
    graph, labels = case
    adjacency = dense_adjacency(graph)
    total = 0.0
    for cluster in range(4):
        cut = volume = 0.0
        for (one, other), weight in np.ndenumerate(adjacency):
            if labels[one] == cluster:
                volume += weight
                cut += weight * (labels[other] != cluster)
        total += cut / volume if volume else 0
    assert ncut(graph, labels) == pytest.approx(total, rel=1e-9, abs=1e-12)


@given(labelled_graphs())
def test_networkx(case):
    graph, labels = case
    peer = as_networkx(graph)
    total = 0.0
    for cluster in set(labels.tolist()) - {-1}:
        inside = set(np.flatnonzero(labels == cluster).tolist())
        cut = networkx.cut_size(peer, inside, weight="weight")
        total += cut / networkx.volume(peer, inside, weight="weight")
    assert ncut(graph, labels) == pytest.approx(total, abs=1e-6)
    used = np.unique(labels[labels >= 0])
    if used.size == 2:
        # networkx's n-cut of a set is that of the set and of the rest together
        inside = set(np.flatnonzero(labels == used[0]).tolist())
        both = networkx.normalized_cut_size(peer, inside, weight="weight")
        assert ncut(graph, labels) == pytest.approx(both, abs=1e-6)


@given(labelled_graphs(), st.sampled_from([1e-30, 1e-12, 1e-9, 1e-3, 3.0, 1e9]))
def test_names_of_clusters_and_scale_of_weights_do_not_matter(case, scale):
    graph, labels = case
    renamed = np.where(labels >= 0, 3 - labels, -1)
    scaled = graph.with_weights([scale * block.weights for block in graph.edges])
    assert ncut(scaled, renamed) == pytest.approx(ncut(graph, labels), abs=1e-6)


@given(labelled_graphs(), st.integers(1, 4))
def test_several_partitions_at_once(case, n_partitions):
    graph, labels = case
    several = np.array([np.where(labels < 0, -1, (labels + i) % 4) for i in range(n_partitions)])
    several[0] = np.minimum(several[0], 1)
    expected = [ncut(graph, of_one) for of_one in several]
    assert ncuts(graph, several) == pytest.approx(expected, rel=1e-12, abs=1e-12)


@pytest.mark.parametrize("n_units", [0, 5, 7])
def test_wrong_number_of_labels_refused(n_units):
    with pytest.raises(InvalidInputError, match=rf"shape \({n_units},\); expected one for .* 6"):
        ncut(CHECK, np.zeros(n_units, int))


def test_unit_with_edges_must_have_a_label():
    with pytest.raises(InvalidInputError, match="a unit that has edges is in no cluster"):
        ncut(CHECK, np.array([0, 1, 0, 1, 0, -1]))


def test_in_out_ratio():
    # n-cut 1 of 4 clusters: a quarter of the weight goes out, (1 - 1/4) / (2 * 1/4)
    assert in_out_ratio(1, 4) == 1.5
    assert in_out_ratio(4, 4) == 0
    assert in_out_ratio(0, 4) == np.inf

"""Agreement of partitions: by hand, by scikit-learn, and by loops over all pairs of units."""

from itertools import combinations, permutations

import numpy as np
import pytest
from hypothesis import given, strategies as st
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

from nn_clustering.errors import InvalidInputError
from nn_clustering.graphs import Layer
from nn_clustering.partitions import (
    Partition,
    align_labels,
    cluster_profile,
    common_units,
    mean_weights,
    ncut,
    profile_overlap,
    shared_graph,
)
from tests.graphs.sample_graphs import dense_adjacency, layered, random_layered, unit_graphs

LABELS = st.lists(st.integers(-1, 3), min_size=1, max_size=12)


def partition(*layers, n_clusters=4):
    """A partition of layers given as pairs of a name and labels."""
    return Partition(
        tuple(Layer(name, len(labels)) for name, labels in layers),
        np.concatenate([np.array(labels, np.int32) for _, labels in layers]),
        n_clusters,
    )


FIRST = partition(("input", [0, 0, 1, -1]), ("hidden", [2, 2, 3]), ("output", [0, 1]))
SECOND = partition(("output", [3, 3]), ("input", [1, 1, -1, 0]), ("hidden", [2, 1]))


def test_common_units_by_hand():
    """Input units 0 and 1, and both outputs; the hidden layers differ in size."""
    units = common_units(FIRST, SECOND)
    assert units.layers == ("input", "output")
    assert units.layer.tolist() == [0, 0, 1, 1]
    assert units.first.tolist() == [0, 0, 0, 1]
    assert units.second.tolist() == [1, 1, 3, 3]
    assert units.n_units == 4


def test_common_units_of_some_layers():
    units = common_units(FIRST, SECOND, ["output"])
    assert units.layers == ("output",)
    assert units.second.tolist() == [3, 3]


def test_agreement_is_scikit_learns():
    units = common_units(FIRST, SECOND)
    found = units.agreement()
    assert found.adjusted_rand == adjusted_rand_score([0, 0, 0, 1], [1, 1, 3, 3])
    expected = normalized_mutual_info_score([0, 0, 0, 1], [1, 1, 3, 3])
    assert found.mutual_information == pytest.approx(expected)


def test_adjusted_rand_by_hand():
    """Units 0 0 0 1 and 1 1 3 3: of 6 pairs 3 are together in one, 2 in the other, 1 in both.

    Expected 3 * 2 / 6 = 1, at most (3 + 2) / 2 = 2.5: the index is (1 - 1) / (2.5 - 1) = 0.
    """
    assert common_units(FIRST, SECOND).agreement().adjusted_rand == pytest.approx(0)


def test_contingency_by_hand():
    """The first's cluster 0 is the second's 1, and cluster 1 the second's 3."""
    table = common_units(FIRST, SECOND).contingency()
    assert table.first.tolist() == [0, 1]
    assert table.second.tolist() == [1, 3]
    assert table.counts.tolist() == [[2, 1], [0, 1]]


def test_contingency_matches_clusters():
    """Cluster 1 is 0, 2 is 1; cluster 0 has no counterpart and comes last."""
    one = partition(("a", [0, 1, 1, 1, 2, 2, 2]))
    other = partition(("a", [1, 0, 0, 0, 1, 1, 0]))
    table = common_units(one, other).contingency()
    assert table.first.tolist() == [1, 2, 0]
    assert table.second.tolist() == [0, 1]
    assert table.counts.tolist() == [[3, 0], [1, 2], [0, 1]]


@given(LABELS, st.permutations(range(4)))
def test_renamed_partition_is_aligned(labels, names):
    labels = np.array(labels)
    renamed = np.where(labels >= 0, np.array(names)[labels], -1)
    assert align_labels(renamed, labels).tolist() == labels.tolist()


@given(st.data())
def test_alignment_is_the_best_of_all(data):
    one = np.array(data.draw(LABELS))
    other = np.array(data.draw(st.lists(st.integers(-1, 3), min_size=one.size, max_size=one.size)))
    aligned = align_labels(one, other)
    assert ((aligned >= 0) == (one >= 0)).all()
    # names are given one to one
    assert np.unique(np.stack([one, aligned]), axis=1).shape[1] == np.unique(one).size
    assert np.unique(aligned).size == np.unique(one).size

    def agreeing(labels):
        return ((labels == other) & (labels >= 0)).sum()

    best = max(
        agreeing(np.where(one >= 0, np.array(names)[one], -1)) for names in permutations(range(4))
    )
    assert agreeing(aligned) == best


def test_profiles_by_hand():
    """Shares of the clustered units: of the input's three, of the hidden layer's three."""
    found = cluster_profile(FIRST, ["input", "hidden"])
    assert found.tolist() == pytest.approx(np.array([[2 / 3, 1 / 3, 0, 0], [0, 0, 2 / 3, 1 / 3]]))


def test_profile_overlap_by_hand():
    """Clusters 0 and 1 are 1 and 0 of the other.

    The input is 2:1 and 1:2 after matching, so that 1/3 + 1/3 is in common; the hidden layers are
    alike. Matched the other way, 2/3 + 1/3 of the input is in common and nothing of the hidden one.
    """
    one = partition(("input", [0, 0, 1]), ("hidden", [0, 0, 0]), n_clusters=2)
    other = partition(("input", [0, 0, 1]), ("hidden", [1, 1, 1]), n_clusters=2)
    assert profile_overlap(one, other) == pytest.approx((2 / 3 + 1) / 2)
    assert profile_overlap(one, one) == pytest.approx(1)


def test_profile_overlap_does_not_ask_which_unit_is_where():
    random = np.random.default_rng(0)
    labels = {name: random.integers(-1, 4, 20) for name in "abc"}
    shuffled = {name: random.permutation(own) for name, own in labels.items()}
    names = np.append(random.permutation(4), -1)
    one = partition(*labels.items())
    other = partition(*((name, names[own]) for name, own in shuffled.items()))
    assert profile_overlap(one, other) == pytest.approx(1)
    assert common_units(one, other).agreement().adjusted_rand < 0.2


def test_profiles_of_different_numbers_of_clusters():
    one = partition(("a", [0, 1, 2, 3]))
    other = partition(("a", [0, 0, 0, 0]), n_clusters=1)
    assert profile_overlap(one, other) == pytest.approx(1 / 4)
    assert profile_overlap(other, one) == pytest.approx(1 / 4)


@given(unit_graphs(), st.data())
def test_mean_weights_by_a_loop_over_all_pairs(graph, data):
    """Quirk 16 done right."""
    labels = np.array(
        data.draw(st.lists(st.integers(-1, 2), min_size=graph.n_units, max_size=graph.n_units))
    )
    adjacency = dense_adjacency(graph)
    layer = np.repeat(np.arange(len(graph.layers)), [part.n_units for part in graph.layers])
    joined = {frozenset((block.source, block.target)) for block in graph.edges}
    weights = {True: [], False: []}
    for one, other in combinations(range(graph.n_units), 2):
        if min(labels[one], labels[other]) >= 0 and {layer[one], layer[other]} in joined:
            weights[bool(labels[one] == labels[other])].append(adjacency[one, other])
    found = mean_weights(graph, labels)
    for value, of_kind in ((found.within, weights[True]), (found.between, weights[False])):
        expected = np.mean(of_kind) if of_kind else np.nan
        assert value == pytest.approx(expected, nan_ok=True)


def test_mean_weights_of_wrong_labels_refused():
    with pytest.raises(InvalidInputError, match=r"labels of shape \(3,\)"):
        mean_weights(layered([[1, 2], [3, 4]]), np.zeros(3, int))


GRAPH = random_layered([4, 3, 2], seed=0)
OWN = Partition(GRAPH.layers, np.array([0, 1, 0, 1, 0, 1, 0, 1, 0], np.int32), 2)


def test_transfer_ncut_on_all_units():
    other = Partition(GRAPH.layers, np.array([0, 0, 1, 1, 2, 2, 0, 0, 1], np.int32), 3)
    found = shared_graph(GRAPH, OWN, other)
    assert found.graph.n_units == 9
    assert found.transfer_ncut == pytest.approx(ncut(GRAPH, other.labels))
    assert found.own_ncut == pytest.approx(ncut(GRAPH, OWN.labels))


def test_transfer_ncut_on_common_units():
    """The other graph has no first layer, and no edges at unit 0 of the second."""
    _, second, third = GRAPH.layers
    other = Partition((third, second), np.array([1, 0, -1, 1, 1], np.int32), 2)
    found = shared_graph(GRAPH, OWN, other)
    assert found.graph.n_units == 4
    rest = layered(GRAPH.edges[1].weights[1:])
    assert found.transfer_ncut == pytest.approx(ncut(rest, np.array([1, 1, 1, 0])))
    assert found.own_ncut == pytest.approx(ncut(rest, np.array([1, 0, 1, 0])))


def test_transfer_ncut_of_some_layers():
    other = Partition(GRAPH.layers, np.array([0, 0, 1, 1, 1, 1, 0, 0, 1], np.int32), 2)
    found = shared_graph(GRAPH, OWN, other, ["layer_0", "layer_1"])
    rest = layered(GRAPH.edges[0].weights)
    assert found.transfer_ncut == pytest.approx(ncut(rest, other.labels[:7]))
    apart = shared_graph(GRAPH, OWN, other, ["layer_0", "layer_2"])
    assert apart.graph.n_units == 6
    assert apart.transfer_ncut is None
    assert apart.own_ncut is None


@pytest.mark.parametrize(
    ("other", "layers", "message"),
    [
        (partition(("dense", [0, 1])), None, "layers=all: .* same number of units are none"),
        (SECOND, ["hidden"], r"layers=\['hidden'\]: .* are input, output; expected some of those"),
        (SECOND, ["input", "x"], r"layers=\['input', 'x'\]"),
        (partition(("output", [-1, -1])), None, "layers output: no unit is in a cluster of both"),
    ],
)
def test_units_that_cannot_be_compared_are_refused(other, layers, message):
    with pytest.raises(InvalidInputError, match=message):
        common_units(FIRST, other, layers)


def test_profiles_that_cannot_be_compared_are_refused():
    with pytest.raises(InvalidInputError, match="share no layer of the same name and number"):
        profile_overlap(FIRST, partition(("dense", [0, 1])))

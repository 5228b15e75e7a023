"""Which sub-clusters are lesioned, and the random ones beside them."""

import math

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings, strategies as st

from nn_clustering.errors import InvalidInputError
from nn_clustering.graphs import Layer
from nn_clustering.partitions import Partition, SizeFilter, check_draws, select_sub_clusters
from nn_clustering.partitions._random_sub_clusters import (
    MOST_DRAWS,
    possible_draws,
    random_units,
    silenced_units,
)


def labels_of(seed, n_units=24, n_clusters=3, n_isolated=5):
    random = np.random.default_rng(seed)
    labels = np.arange(n_units, dtype=np.int32) % n_clusters
    labels[random.choice(n_units, n_isolated, replace=False)] = -1
    return random.permutation(labels)


def of_one_layer(labels):
    labels = np.array(labels, np.int32)
    return Partition((Layer("hidden", len(labels)),), labels, int(labels.max()) + 1)


def drawn(labels, shuffle, draws, seed=0):
    """The random units of all sub-clusters of a layer, in one draw."""
    return [
        random_units(labels, sub, shuffle=shuffle, seed=seed, draws=draws)
        for sub in of_one_layer(labels).sub_clusters()
    ]


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 2**20), draws=st.sampled_from(["joint", "afresh"]))
def test_sizes_are_kept_and_isolated_units_are_never_drawn(seed, draws):
    labels = labels_of(seed)
    for units, sub in zip(
        drawn(labels, 3, draws, seed), of_one_layer(labels).sub_clusters(), strict=True
    ):
        assert len(set(units.tolist())) == len(sub.units)
        assert (labels[units] >= 0).all()


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 2**20))
def test_a_joint_draw_is_a_partition_of_the_units_that_are_not_isolated(seed):
    labels = labels_of(seed)
    units = np.concatenate(drawn(labels, 0, "joint", seed))
    assert sorted(units) == np.flatnonzero(labels >= 0).tolist()


def test_draws_afresh_are_not():
    labels = labels_of(0)
    overlaps = [len(np.unique(np.concatenate(drawn(labels, s, "afresh")))) for s in range(20)]
    assert max(overlaps) < (labels >= 0).sum()


@pytest.mark.parametrize("draws", ["joint", "afresh"])
def test_every_unit_is_drawn_as_often(draws):
    labels = labels_of(1)
    sub = of_one_layer(labels).sub_clusters()[1]
    n = 600
    counts = np.zeros(len(labels))
    for shuffle in range(n):
        counts[random_units(labels, sub, shuffle=shuffle, seed=0, draws=draws)] += 1
    counts = counts[labels >= 0]
    assert counts.sum() == n * len(sub.units)
    # without replacement: variance of a count is n p (1 - p), less than a Poisson's by 1 - p
    p = len(sub.units) / len(counts)
    statistic = ((counts - n * p) ** 2 / (n * p * (1 - p))).sum() * (1 - 1 / len(counts))
    assert 0.001 < scipy.stats.chi2(len(counts) - 1).cdf(statistic) < 0.999


@pytest.mark.parametrize("draws", ["joint", "afresh"])
def test_draws_differ_and_are_the_same_again(draws):
    labels = labels_of(2)
    first, again = (drawn(labels, 7, draws) for _ in range(2))
    for units, same in zip(first, again, strict=True):
        np.testing.assert_array_equal(units, same)
    others = [*(drawn(labels, s, draws) for s in (6, 8)), drawn(labels, 7, draws, seed=1)]
    assert all((np.sort(other[0]) != np.sort(first[0])).any() for other in others)


def test_layers_are_drawn_apart():
    labels = labels_of(3)
    a, b = (
        Partition((Layer(name, len(labels)),), labels, 3).sub_clusters()[0] for name in ("a", "b")
    )
    of_a, of_b = (random_units(labels, sub, shuffle=0, seed=0, draws="joint") for sub in (a, b))
    assert sorted(of_a) != sorted(of_b)


def test_size_filter_is_inclusive():
    assert SizeFilter().keeps(1, 1)
    assert SizeFilter(min_units=5).keeps(5, 100)
    assert not SizeFilter(min_units=6).keeps(5, 100)
    # 0.57 * 100 is less than 57 in floating point
    assert SizeFilter(max_share=0.57).keeps(57, 100)
    assert not SizeFilter(max_share=0.57).keeps(58, 100)


def test_selection_by_layer_and_size():
    labels = np.array([0, 0, 0, -1, 1, 2, 2, 0, 1, 1], np.int32)
    partition = Partition((Layer("a", 7), Layer("b", 3)), labels, 3)

    def selected(layers, **sizes):
        found, n_left_out = select_sub_clusters(partition, layers, SizeFilter(**sizes))
        return [(sub.layer, sub.label) for sub in found], n_left_out

    everything = [("a", 0), ("a", 1), ("a", 2), ("b", 0), ("b", 1)]
    assert selected(["a", "b"]) == (everything, 0)
    assert selected(["b"]) == (everything[3:], 0)
    assert selected(["a", "b"], min_units=2) == ([("a", 0), ("a", 2), ("b", 1)], 2)
    # of the six units that are not isolated half are in cluster 0
    assert selected(["a"], max_share=0.5) == (everything[:3], 0)
    assert selected(["a"], max_share=0.49) == (everything[1:3], 1)


def test_silenced_units():
    silenced = silenced_units([np.array([0, 2]), np.array([], int)], 4)
    assert silenced.dtype == bool
    assert silenced.tolist() == [[True, False, True, False], [False] * 4]


def test_possible_draws():
    assert possible_draws(2, 5) == 10
    assert possible_draws(5, 5) == 1
    assert possible_draws(512, 1024) == MOST_DRAWS < math.comb(1024, 512)


def test_refuses():
    isolated = of_one_layer([0, 1])
    isolated = Partition(isolated.layers, np.full(2, -1, np.int32), 2)
    good = of_one_layer([0, 0, 1])
    cases = [
        (lambda: SizeFilter(min_units=0), "min_units=0; expected 1 or more"),
        (lambda: SizeFilter(min_units=2.0), "min_units=2.0; expected an integer"),
        (lambda: SizeFilter(min_units=True), "min_units=True; expected an integer"),
        (lambda: SizeFilter(max_share=0), "max_share=0; expected more than 0 and at most 1"),
        (lambda: SizeFilter(max_share=1.1), "max_share=1.1; expected more than 0"),
        (lambda: SizeFilter(max_share=float("nan")), "max_share=nan; expected"),
        (lambda: SizeFilter(max_share="all"), "max_share='all'; expected"),
        (lambda: check_draws("new"), "draws='new'; expected one of joint, afresh"),
        (lambda: select_sub_clusters(good, ["h"], SizeFilter()), "layer 'h' is not of the part"),
        (lambda: select_sub_clusters(good, [], SizeFilter()), "no sub-cluster in layers none"),
        (lambda: select_sub_clusters(isolated, ["hidden"], SizeFilter()), "no sub-cluster in la"),
        (
            lambda: select_sub_clusters(good, ["hidden"], SizeFilter(min_units=3)),
            "none of 2 sub-clusters of 1 to 2 units has at least min_units=3",
        ),
    ]
    for make, message in cases:
        with pytest.raises(InvalidInputError, match=message) as refusal:
            make()
        assert "\n" not in str(refusal.value)

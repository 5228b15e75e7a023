"""Random units beside those of a sub-cluster."""

import math

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings, strategies as st

from nn_clustering.errors import InvalidInputError
from nn_clustering.graphs import Layer
from nn_clustering.partitions import (
    Partition,
    check_draws,
    possible_draws,
    random_units,
    unit_masks,
)
from nn_clustering.partitions._random_sub_clusters import MOST_DRAWS


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


def test_possible_draws():
    assert possible_draws(2, 5) == 10
    assert possible_draws(5, 5) == 1
    assert possible_draws(512, 1024) == MOST_DRAWS < math.comb(1024, 512)


def test_unknown_draws_refused():
    with pytest.raises(InvalidInputError, match="draws='new'; expected one of joint, afresh"):
        check_draws("new")


def test_unit_masks():
    masks = unit_masks([np.array([0, 2]), np.array([], int)], 4)
    assert masks.dtype == bool
    assert masks.tolist() == [[True, False, True, False], [False] * 4]

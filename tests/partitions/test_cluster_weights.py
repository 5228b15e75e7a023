"""Shares of clusters in units and in weight."""

import numpy as np
import pytest

from nn_clustering.partitions import cluster_shares
from tests.graphs.sample_graphs import layered


def test_shares_by_hand():
    """Degrees 3, 1 before and 2, 2, 0 behind; the last unit is isolated."""
    shares = cluster_shares(layered([[2, 1, 0], [0, 1, 0]]), np.array([0, 1, 0, 1, -1]))
    assert shares.units.tolist() == [2, 2]
    assert shares.weight.tolist() == [5 / 8, 3 / 8]
    assert not shares.small.any()


def test_clusters_of_few_units_or_little_weight_are_small():
    """Of 100 units in four clusters a twentieth of an equal share is 1.25 units, or 1.25%."""
    weights = np.ones((50, 50))
    weights[:10] = 1e-6
    labels = np.concatenate([np.full(10, 3), np.full(39, 0), [2], np.full(50, 1)])
    shares = cluster_shares(layered(weights), labels)
    assert shares.units.tolist() == [39, 50, 1, 10]
    assert shares.small.tolist() == [False, False, True, True]


def test_label_without_units_is_not_small():
    shares = cluster_shares(layered([[1, 1], [1, 1]]), np.array([0, 2, 0, 2]))
    assert shares.small.tolist() == [False, False, False]
    assert shares.weight.tolist() == pytest.approx([0.5, 0, 0.5])


@pytest.mark.parametrize(("n_units", "weight", "small"), [
    (2, 1.0, False),  # 2 units, 2%
    (1, 100.0, True),  # most of the weight, but one unit
    (2, 0.5, True),  # 1% of the weight
    (3, 0.5, False),  # 1.5%
])  # fmt: skip
def test_twentieth_of_an_equal_share(n_units, weight, small):
    """Of four clusters it is 1.25 of 100 units, and 1.25% of the weight."""
    weights = np.full((50, 50), 1.0)
    weights[:n_units] = weight
    labels = np.concatenate(
        [np.full(n_units, 3), np.full(25 - n_units, 0), np.full(25, 2), np.full(50, 1)]
    )
    assert cluster_shares(layered(weights), labels).small.tolist() == [False] * 3 + [small]

"""The spread of partitions over seeds."""

from itertools import combinations

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score

from nn_clustering.errors import InvalidInputError
from nn_clustering.partitions import Stability, make_partition, ncut, partition_stability
from nn_clustering.seeds import integer_seed
from tests.graphs.sample_graphs import layered, planted, random_layered

GRAPH = random_layered([20, 16, 10], seed=0)


def test_summary_by_hand():
    """Mean 3, squared distances 4, 1, 0, 9 of n-cuts 1, 2, 3, 6."""
    found = Stability(np.array([1.0, 2, 3, 6]), np.array([0.5, 0.75, 1, 0, 0.25, 0.5]))
    assert found.summary() == {
        "n_seeds": 4,
        "ncut_mean": 3,
        "ncuts": [1, 2, 3, 6],
        "ncut_std": pytest.approx(np.sqrt(14 / 3)),
        "ncut_min": 1,
        "ncut_max": 6,
        "adjusted_rand": 0.5,
    }


def test_every_seed_and_every_pair():
    options = {"n_init": 1, "select": "inertia"}
    found = partition_stability(GRAPH, "spectral", 4, seed=7, n_seeds=4, **options)
    peers = [
        make_partition(
            GRAPH, "spectral", 4, seed=integer_seed(7, "stability", index), **options
        ).labels
        for index in range(4)
    ]
    assert found.ncuts.tolist() == pytest.approx([ncut(GRAPH, labels) for labels in peers])
    assert found.adjusted_rands.tolist() == [
        adjusted_rand_score(one, other) for one, other in combinations(peers, 2)
    ]
    assert found.summary()["ncut_std"] > 0


def test_planted_partition_is_stable():
    graph, _ = planted([30, 20, 10], 3, seed=0)
    summary = partition_stability(graph, "louvain", 2, seed=0, n_seeds=3).summary()
    assert summary["adjusted_rand"] == 1
    assert summary["ncut_std"] == pytest.approx(0, abs=1e-12)


def test_isolated_units_do_not_count_as_agreement():
    """Nine units with edges beside eighty without: the latter would agree always."""
    graph = layered(np.pad(random_layered([5, 4], seed=0).edges[0].weights, ((0, 40), (0, 40))))
    found = partition_stability(graph, "random", 3, seed=0, n_seeds=8)
    assert found.summary()["adjusted_rand"] < 0.3


@pytest.mark.parametrize("n_seeds", [1, 0, True, 2.0, "3"])
def test_refused(n_seeds):
    with pytest.raises(InvalidInputError, match=f"n_seeds={n_seeds!r}; expected an integer of 2"):
        partition_stability(GRAPH, "spectral", 3, seed=0, n_seeds=n_seeds)

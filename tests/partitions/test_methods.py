"""The catalogue of methods: baselines by hand, what a seed fixes, what is refused."""

import pickle
from functools import partial
from multiprocessing.pool import ThreadPool

import numpy as np
import pytest

from nn_clustering.errors import InvalidInputError
from nn_clustering.partitions import PARTITION_METHODS, make_partition, ncut, spectral_partition
from tests.graphs.sample_graphs import layered, random_layered

GRAPH = random_layered([30, 20, 10], seed=0, keep=0.3)


def test_spectral_is_spectral_partition():
    options = {"seed": 3, "n_init": 2, "select": "inertia", "assign_labels": "kmeans"}
    made = make_partition(GRAPH, "spectral", 4, **options)
    assert made.labels.tolist() == spectral_partition(GRAPH, 4, **options).labels.tolist()


def test_assign_labels_reaches_spectral_clustering():
    made = make_partition(GRAPH, "spectral", 4, seed=3, assign_labels="cluster_qr")
    expected = spectral_partition(GRAPH, 4, seed=3, assign_labels="cluster_qr")
    assert made.labels.tolist() == expected.labels.tolist()


def test_clusters_of_layers():
    graph = layered([[1, 2, 0], [3, 4, 0]])
    partition = make_partition(graph, "per_layer", 7, seed=0)
    assert partition.labels.tolist() == [0, 0, 1, 1, -1]
    assert partition.n_clusters == 2
    assert ncut(graph, partition.labels) == pytest.approx(2)


@pytest.mark.parametrize("n_clusters", [2, 3, 4])
def test_random_clusters_have_equal_sizes(n_clusters):
    graph = layered([[1, 2, 0], [3, 4, 0], [5, 6, 0], [0, 0, 0], [7, 8, 0]])
    labels = {
        tuple(make_partition(graph, "random", n_clusters, seed=seed).labels.tolist())
        for seed in range(20)
    }
    assert len(labels) > 5  # 6 units can be dealt in 20 ways or more
    for found in labels:
        sizes = np.bincount(np.array(found)[np.array(found) >= 0], minlength=n_clusters)
        assert sizes.sum() == 6
        assert np.ptp(sizes) <= 1
        assert [unit for unit, label in enumerate(found) if label == -1] == [3, 7]


@pytest.mark.parametrize("method", PARTITION_METHODS)
def test_seed_fixes_every_label(method):
    """In one process, after other work, by threads and after a pickle's round trip."""
    cluster = partial(make_partition, method=method, n_clusters=4, n_init=1, select="inertia")
    first = cluster(GRAPH, seed=0).labels.tobytes()
    others = {cluster(GRAPH, seed=seed).labels.tobytes() for seed in range(1, 6)}
    assert cluster(GRAPH, seed=0).labels.tobytes() == first
    assert pickle.loads(pickle.dumps(cluster))(GRAPH, seed=0).labels.tobytes() == first  # noqa: S301
    with ThreadPool(4) as pool:
        found = pool.map(lambda seed: cluster(GRAPH, seed=seed).labels.tobytes(), [0] * 8)
    assert set(found) == {first}
    if method == "per_layer":
        assert others == {first}
    else:
        assert others - {first}


@pytest.mark.parametrize("method", PARTITION_METHODS)
def test_graph_without_edges_is_refused(method):
    with pytest.raises(InvalidInputError, match="no edge among them"):
        make_partition(layered(np.zeros((3, 2))), method, 2, seed=0)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"method": "ward"}, "method='ward'; expected one of spectral, leiden, louvain, random"),
        ({"n_clusters": 1}, "n_clusters=1"),
        ({"n_init": 0}, "n_init=0"),
        ({"select": "best"}, "select='best'"),
        ({"assign_labels": "discretize"}, "assign_labels='discretize'"),
        ({"resolution": 0}, "resolution=0; expected a number above 0"),
        ({"resolution": float("nan")}, "resolution=nan"),
        ({"resolution": True}, "resolution=True"),
        ({"resolution": "high"}, "resolution='high'"),
        ({"seed": -1}, "seed=-1"),
        ({"n_clusters": 61}, "n_clusters=61; expected 2 to "),
        ({"method": "random", "n_clusters": 61}, "n_clusters=61; expected 2 to "),
    ],
)
def test_refused(changes, message):
    given = {"method": "leiden" if "seed" in changes else "spectral", "n_clusters": 3, "seed": 0}
    with pytest.raises(InvalidInputError, match=message):
        make_partition(GRAPH, **{**given, **changes})

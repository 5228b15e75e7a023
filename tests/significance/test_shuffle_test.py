"""The shuffle test: its numbers by hand, and the same whatever the number of workers."""

import numpy as np
import pytest

from nn_clustering.errors import InvalidInputError
from nn_clustering.partitions import ncut, spectral_partition
from nn_clustering.seeds import generator, integer_seed
from nn_clustering.significance import ShuffleTest, p_value, shuffle, shuffle_test, shuffled_ncuts
from tests.graphs.sample_graphs import layered, planted, random_layered

GRAPH = random_layered([16, 12, 6], seed=0)


def run(graph=GRAPH, own_ncut=1.0, n_clusters=3, **changes):
    return shuffle_test(graph, own_ncut, n_clusters, **{"n_shuffles": 6, "seed": 4, **changes})


def test_numbers_by_hand():
    """Shuffles of 1, 2, 3, 6: mean 3, squared distances 4, 1, 0, 9, so the variance is 14 / 4."""
    test = ShuffleTest(1.0, np.array([1.0, 2.0, 3.0, 6.0]))
    assert test.mean == 3
    assert test.std == pytest.approx(np.sqrt(3.5))
    assert test.z_score == pytest.approx(-2 / np.sqrt(3.5))
    assert test.p_value == 2 / 5
    assert ShuffleTest(1.0, test.shuffled_ncuts, count_ties=False).p_value == 1 / 5


def test_z_score_without_spread():
    assert np.isnan(ShuffleTest(1.0, np.array([2.0, 2.0])).z_score)


def test_numbers_of_a_run():
    test = run(own_ncut=1.5, n_shuffles=9)
    ncuts = test.shuffled_ncuts
    assert ncuts.shape == (9,)
    assert test.ncut == 1.5
    assert test.mean == pytest.approx(sum(ncuts) / 9)
    assert test.std == pytest.approx(np.sqrt(sum((x - sum(ncuts) / 9) ** 2 for x in ncuts) / 9))
    assert test.z_score == pytest.approx((1.5 - test.mean) / test.std)
    assert test.p_value == (1 + sum(x <= 1.5 for x in ncuts)) / 10
    assert test.p_value == p_value(1.5, ncuts, tail="left")


def test_every_shuffle_is_clustered_like_the_graph():
    """The same by hand: shuffle, cluster, n-cut."""
    expected = []
    for index in range(3):
        shuffled = shuffle(GRAPH, "layer_nonzero", generator(4, "shuffle", index))
        seed = integer_seed(4, "shuffle clustering", index)
        partition = spectral_partition(shuffled, 3, seed=seed, n_init=2, select="inertia")
        expected.append(ncut(shuffled, partition.labels))
    test = run(n_shuffles=3, method="layer_nonzero", n_init=2, select="inertia")
    assert test.shuffled_ncuts.tolist() == expected


def test_workers_change_nothing():
    graph = random_layered([60, 40, 10], seed=1, keep=0.4)
    calls = {1: [], 4: []}
    one, four = (
        run(
            graph,
            n_shuffles=11,
            n_workers=n_workers,
            on_shuffle=lambda index, value, to=seen: to.append((index, value)),
        )
        for n_workers, seen in calls.items()
    )
    assert one.shuffled_ncuts.tobytes() == four.shuffled_ncuts.tobytes()
    assert len(set(one.shuffled_ncuts.tolist())) == 11
    assert calls[1] == calls[4] == list(enumerate(one.shuffled_ncuts.tolist()))


def test_a_longer_run_begins_like_a_shorter_one():
    assert (
        run(n_shuffles=9).shuffled_ncuts[:4].tolist() == run(n_shuffles=4).shuffled_ncuts.tolist()
    )


def test_seed_matters():
    assert run(seed=5).shuffled_ncuts.tolist() != run(seed=4).shuffled_ncuts.tolist()


def test_error_of_a_callback_ends_the_test():
    """As when a run is stopped: at once, and with the callback's own error."""

    class StoppedError(Exception):
        pass

    def stop(index, value):
        if index == 1:
            raise StoppedError

    for n_workers in (1, 4):
        with pytest.raises(StoppedError):
            run(n_shuffles=8, n_workers=n_workers, on_shuffle=stop)


def pruned():
    """A graph with two isolated outputs (of six) and two isolated inputs (of sixteen)."""
    first, second = (block.weights.copy() for block in GRAPH.edges)
    first[[3, 8]] = 0
    second[:, [1, 4]] = 0
    return GRAPH.with_weights([first, second])


def test_isolated_units_are_never_reconnected():
    graph = pruned()
    assert graph.isolated.sum() == 4
    found = run(graph).shuffled_ncuts.tolist()
    assert found == run(graph.without_isolated()).shuffled_ncuts.tolist()


def test_reconnect_last_layer():
    graph = pruned()
    found = run(graph, reconnect_last_layer=True).shuffled_ncuts.tolist()
    # only the inputs 3 and 8 are gone, the outputs 1 and 4 are still there
    first, second = (block.weights for block in graph.edges)
    expected = run_shuffles(layered(np.delete(first, [3, 8], axis=0), second))
    assert found == expected
    assert found != run(graph).shuffled_ncuts.tolist()


def run_shuffles(graph):
    return list(
        shuffled_ncuts(graph, 3, n_shuffles=6, method="layer", n_init=5, select="ncut", seed=4)
    )


def test_units_that_may_be_clustered():
    """Six units have edges: without reconnection a seventh cluster has no unit."""
    graph = layered([[1, 2, 0], [3, 4, 0], [5, 6, 0], [7, 8, 0]])
    with pytest.raises(InvalidInputError, match="n_clusters=7; expected 2 to 6"):
        run(graph, n_clusters=7)
    assert run(graph, n_clusters=6).shuffled_ncuts == pytest.approx(6)  # every unit alone
    reconnected = run(graph, n_clusters=7, reconnect_last_layer=True, n_shuffles=4)
    assert reconnected.shuffled_ncuts == pytest.approx(7)


def test_planted_partition_is_significant():
    graph, _ = planted([24, 18, 12], 3, seed=0, between=0.3)
    own = ncut(graph, spectral_partition(graph, 3, seed=0).labels)
    test = run(graph, own, n_shuffles=19)
    assert test.p_value == 1 / 20
    assert test.z_score < -5


def test_shuffled_graph_is_not():
    graph = shuffle(planted([24, 18, 12], 3, seed=0, between=0.3)[0], "layer", generator(1, "x"))
    own = ncut(graph, spectral_partition(graph, 3, seed=0).labels)
    test = run(graph, own, n_shuffles=19)
    assert test.p_value > 1 / 20
    assert abs(test.z_score) < 3


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"n_shuffles": 0}, "n_shuffles=0; expected an integer of 1 or more"),
        ({"n_shuffles": True}, "n_shuffles=True"),
        ({"n_shuffles": 2.0}, "n_shuffles=2.0"),
        ({"n_workers": 0}, "n_workers=0; expected an integer of 1 or more"),
        ({"n_workers": "2"}, "n_workers='2'"),
        ({"method": "rows"}, "method='rows'; expected one of layer, layer_nonzero"),
        ({"n_clusters": 1}, "n_clusters=1"),
        ({"n_init": 0}, "n_init=0"),
        ({"select": "best"}, "select='best'"),
        ({"seed": -1}, "seed=-1"),
        ({"n_clusters": 35}, "n_clusters=35; expected 2 to 34"),
        ({"n_clusters": 35, "n_workers": 4}, "n_clusters=35; expected 2 to 34"),
    ],
)
def test_refused(changes, message):
    with pytest.raises(InvalidInputError, match=message):
        run(**changes)

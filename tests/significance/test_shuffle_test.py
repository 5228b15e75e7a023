"""The shuffle test: its numbers by hand, and the same whatever the number of workers."""

from functools import partial

import numpy as np
import pytest

from nn_clustering.errors import InvalidInputError
from nn_clustering.partitions import Partition, ncut, spectral_clustering, spectral_partition
from nn_clustering.seeds import generator, integer_seed
from nn_clustering.significance import (
    FreshNetworks,
    ShuffledEdges,
    ShuffleTest,
    Transformed,
    check_shuffle_test,
    p_value,
    shuffle,
    shuffle_test,
    shuffled_edges,
    shuffled_ncuts,
)
from tests.graphs.sample_graphs import layered, planted, random_layered

GRAPH = random_layered([16, 12, 6], seed=0)


def clustering(n_clusters=3, **options):
    return partial(spectral_partition, n_clusters=n_clusters, **options)


def run(graph=GRAPH, own_ncut=1.0, n_clusters=3, *, method="layer", reconnect=False, **changes):
    null = shuffled_edges(graph, method, reconnect_last_layer=reconnect)
    return shuffle_test(
        null, clustering(n_clusters), own_ncut, **{"n_shuffles": 6, "seed": 4, **changes}
    )


def test_numbers_by_hand():
    """Shuffles of 1, 2, 3, 6: mean 3, squared distances 4, 1, 0, 9, so the variance is 14 / 3."""
    test = ShuffleTest(1.0, np.array([1.0, 2.0, 3.0, 6.0]))
    assert test.mean == 3
    assert test.std == pytest.approx(np.sqrt(14 / 3))
    assert test.z_score == pytest.approx(-2 / np.sqrt(14 / 3))
    studies = ShuffleTest(1.0, test.shuffled_ncuts, population_std=True)
    assert studies.std == pytest.approx(np.sqrt(14 / 4))
    assert studies.z_score == pytest.approx(-2 / np.sqrt(14 / 4))
    assert test.p_value == 2 / 5
    assert ShuffleTest(1.0, test.shuffled_ncuts, count_ties=False).p_value == 1 / 5


def test_z_score_without_spread():
    assert np.isnan(ShuffleTest(1.0, np.array([2.0, 2.0])).z_score)
    single = ShuffleTest(1.0, np.array([2.0]))
    assert np.isnan([single.std, single.z_score]).all()


def test_n_cuts_that_only_rounding_tells_apart_are_equal():
    """Clusters that nothing joins have an n-cut of 0, but for the last digits of a sum."""
    test = ShuffleTest(-3e-8, np.array([4e-8, -7e-8, 2e-8]), stop_at=3)
    assert test.p_value == 1
    assert test.stopped_early
    assert np.isnan(test.z_score)
    assert ShuffleTest(2e-8, np.array([0.0, 1e-8, 1.0]), count_ties=False).p_value == 1 / 4


def test_stops_at_ties_that_rounding_hides():
    graph, _ = planted([12, 12], 3, seed=0, between=0)
    test = run(graph, own_ncut=-1e-8, method="layer_nonzero", stop_at=2)
    assert test.n_shuffles == 2
    assert test.p_value == 1


def test_numbers_of_a_run():
    test = run(own_ncut=1.5, n_shuffles=9)
    ncuts = test.shuffled_ncuts
    assert ncuts.shape == (9,)
    assert test.ncut == 1.5
    assert test.mean == pytest.approx(sum(ncuts) / 9)
    assert test.std == pytest.approx(np.sqrt(sum((x - sum(ncuts) / 9) ** 2 for x in ncuts) / 8))
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
    cluster = clustering(n_init=2, select="inertia")
    null = shuffled_edges(GRAPH, "layer_nonzero")
    test = shuffle_test(null, cluster, 1.0, n_shuffles=3, seed=4)
    assert test.shuffled_ncuts.tolist() == expected


def test_workers_change_nothing():
    graph = random_layered([60, 40, 10], seed=1, keep=0.4)
    calls = {1: [], 2: []}
    one, two = (
        run(
            graph,
            n_shuffles=11,
            n_workers=n_workers,
            on_shuffle=lambda index, value, lowest, to=seen: to.append((index, value)),
        )
        for n_workers, seen in calls.items()
    )
    assert one.shuffled_ncuts.tobytes() == two.shuffled_ncuts.tobytes()
    assert len(set(one.shuffled_ncuts.tolist())) == 11
    assert calls[1] == calls[2] == list(enumerate(one.shuffled_ncuts.tolist()))


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

    def stop(index, value, lowest):
        if index == 1:
            raise StoppedError

    for n_workers in (1, 2):
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
    found = run(graph, reconnect=True).shuffled_ncuts.tolist()
    # only the inputs 3 and 8 are gone, the outputs 1 and 4 are still there
    first, second = (block.weights for block in graph.edges)
    expected = ShuffledEdges(layered(np.delete(first, [3, 8], axis=0), second), "layer")
    assert found == list(shuffled_ncuts(expected, clustering(), range(6), seed=4))
    assert found != run(graph).shuffled_ncuts.tolist()


def test_units_that_may_be_clustered():
    """Six units have edges: without reconnection a seventh cluster has no unit."""
    graph = layered([[1, 2, 0], [3, 4, 0], [5, 6, 0], [7, 8, 0]])
    with pytest.raises(InvalidInputError, match="n_clusters=7; expected 2 to 6"):
        run(graph, n_clusters=7)
    assert run(graph, n_clusters=6).shuffled_ncuts == pytest.approx(6)  # every unit alone
    reconnected = run(graph, n_clusters=7, reconnect=True, n_shuffles=4)
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


def one_cluster_of_each_layer(graph, *, seed):
    """A clustering of another kind; importable by worker processes."""
    sizes = [layer.n_units for layer in graph.layers]
    labels = np.repeat(np.arange(len(sizes), dtype=np.int32), sizes)
    return Partition(graph.layers, np.where(graph.isolated, -1, labels), len(sizes))


@pytest.mark.parametrize("n_workers", [1, 2])
def test_the_start_of_the_lowest_n_cut_beside_the_one_kept(n_workers):
    """The same by hand; a test that goes on knows them too."""
    cluster = partial(
        spectral_clustering, n_clusters=3, n_init=4, select="inertia", volume_constant=1e-8
    )
    null = shuffled_edges(GRAPH, "layer")
    options = {"n_shuffles": 5, "seed": 4, "n_workers": n_workers, "volume_constant": 1e-8}
    seen = []
    test = shuffle_test(null, cluster, 1.0, **options, on_shuffle=lambda *given: seen.append(given))
    expected = []
    for index in range(5):
        shuffled = shuffle(GRAPH, "layer", generator(4, "shuffle", index))
        expected.append(cluster(shuffled, seed=integer_seed(4, "shuffle clustering", index)))
    assert test.shuffled_ncuts == pytest.approx([found.ncut for found in expected], rel=1e-12)
    lowest = [found.start_ncuts.min() for found in expected]
    assert test.lowest_ncuts.tolist() == lowest
    assert seen == list(zip(range(5), test.shuffled_ncuts.tolist(), lowest, strict=True))
    assert min(test.shuffled_ncuts - lowest) > -1e-12
    assert max(test.shuffled_ncuts - lowest) > 0

    of_lowest = test.of_lowest_starts(0.5)
    assert of_lowest.shuffled_ncuts.tolist() == lowest
    assert (of_lowest.ncut, of_lowest.lowest_ncuts) == (0.5, None)
    known = {index: value for index, value, _ in seen[:3]}
    known_lowest = {index: value for index, _, value in seen[:3]}
    again = shuffle_test(null, cluster, 1.0, **options, known=known, known_lowest=known_lowest)
    assert again.lowest_ncuts.tolist() == lowest
    # nobody has kept them
    assert shuffle_test(null, cluster, 1.0, **options, known=known).lowest_ncuts is None
    assert run().of_lowest_starts(0.5) is None


@pytest.mark.parametrize("n_workers", [1, 2])
def test_any_clustering_can_be_tested(n_workers):
    """No edge is within a layer, so that each cluster cuts all its weight."""
    null = shuffled_edges(GRAPH, "layer")
    test = shuffle_test(
        null, one_cluster_of_each_layer, 3.0, n_shuffles=3, seed=0, n_workers=n_workers
    )
    assert test.shuffled_ncuts == pytest.approx([3, 3, 3])


@pytest.mark.parametrize("kept", [(), (0,), (0, 1, 2, 5), (7, 3), tuple(range(9))])
def test_goes_on_from_known_shuffles(kept):
    whole = run(n_shuffles=9)
    seen = []
    known = {index: float(whole.shuffled_ncuts[index]) for index in kept}
    test = run(n_shuffles=9, known=known, on_shuffle=lambda *given: seen.append(given[:2]))
    assert test.shuffled_ncuts.tobytes() == whole.shuffled_ncuts.tobytes()
    assert seen == list(enumerate(whole.shuffled_ncuts.tolist()))


def test_known_shuffles_are_not_made_again():
    """What is known is believed, and shuffles that are not needed are left alone."""
    test = run(n_shuffles=3, known={0: 0.5, 2: 0.25, 7: 0.125})
    assert test.shuffled_ncuts[[0, 2]].tolist() == [0.5, 0.25]
    assert test.shuffled_ncuts[1] == run(n_shuffles=3).shuffled_ncuts[1]


@pytest.mark.parametrize("n_workers", [1, 2])
def test_stops_when_enough_shuffles_are_extreme(n_workers):
    whole = run(n_shuffles=30)
    own_ncut = float(np.median(whole.shuffled_ncuts))
    extreme = np.flatnonzero(whole.shuffled_ncuts <= own_ncut)
    test = run(own_ncut=own_ncut, n_shuffles=30, stop_at=4, n_workers=n_workers)
    last = extreme[3]
    assert test.stopped_early
    assert test.n_shuffles == last + 1 < 30
    assert test.shuffled_ncuts.tolist() == whole.shuffled_ncuts[: last + 1].tolist()
    assert test.p_value == 4 / (last + 1)


def test_does_not_stop_before_enough_are_extreme():
    whole = run(own_ncut=0.1, n_shuffles=8)
    test = run(own_ncut=0.1, n_shuffles=8, stop_at=2)
    assert not test.stopped_early
    assert test.shuffled_ncuts.tolist() == whole.shuffled_ncuts.tolist()
    assert test.p_value == whole.p_value == 1 / 9


def test_ties_stop_it_only_where_they_count():
    null = shuffled_edges(GRAPH, "layer")
    options = {"n_shuffles": 6, "seed": 0, "known": dict.fromkeys(range(6), 2.0), "stop_at": 2}
    assert shuffle_test(null, clustering(), 2.0, **options).n_shuffles == 2
    test = shuffle_test(null, clustering(), 2.0, **options, count_ties=False)
    assert (test.n_shuffles, test.p_value, test.stopped_early) == (6, 1 / 7, False)


def twice_as_strong(graph):
    return graph.with_weights([2 * block.weights for block in graph.edges])


def test_graphs_are_transformed_after_the_shuffle():
    null = Transformed(shuffled_edges(GRAPH, "layer"), twice_as_strong)
    assert null.method == "layer"
    expected = shuffle(GRAPH, "layer", generator(3, "x"))
    drawn = null.draw(generator(3, "x"))
    for block, original in zip(drawn.edges, expected.edges, strict=True):
        assert np.array_equal(block.weights, 2 * original.weights)
    # an n-cut does not depend on the unit of weight
    found = list(shuffled_ncuts(null, clustering(), range(3), seed=4, n_workers=2))
    assert found == pytest.approx(run().shuffled_ncuts[:3].tolist(), rel=1e-9)


@pytest.mark.parametrize("n_workers", [1, 2])
def test_fresh_networks_are_built_in_this_process(n_workers):
    """By a function that no other process could get, each with a seed of its own."""
    seeds = []

    def build(seed):
        seeds.append(seed)
        return random_layered([9, 7, 5], seed)

    null = FreshNetworks(build)
    test = shuffle_test(null, clustering(), 2.0, n_shuffles=5, seed=1, n_workers=n_workers)
    assert len(set(seeds)) == 5
    assert all(0 <= seed < 2**31 for seed in seeds)
    expected = []
    for index, seed in enumerate(seeds):
        graph = random_layered([9, 7, 5], seed)
        start = integer_seed(1, "shuffle clustering", index)
        expected.append(ncut(graph, spectral_partition(graph, 3, seed=start).labels))
    assert test.shuffled_ncuts.tolist() == expected
    again = shuffle_test(null, clustering(), 2.0, n_shuffles=3, seed=1)
    assert again.shuffled_ncuts.tolist() == expected[:3]


@pytest.mark.parametrize("n_workers", [1, 2])
def test_a_shuffle_that_cannot_be_clustered_is_named(n_workers):
    """Six units have the five edges; where they come to share more units, less than six do."""
    graph = layered(np.diag([1.0, 1, 1, 1, 1]))
    message = r"shuffle \d+ \(layer\) cannot be clustered like the graph: n_clusters=10; expected"
    with pytest.raises(InvalidInputError, match=message):
        run(graph, n_clusters=10, n_shuffles=20, n_workers=n_workers)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"n_shuffles": 0}, "n_shuffles=0; expected an integer of 2 or more"),
        ({"n_shuffles": 1}, r"n_shuffles=1; .* no p-value below 1 / \(n \+ 1\)"),
        ({"n_shuffles": True}, "n_shuffles=True"),
        ({"n_shuffles": 2.0}, "n_shuffles=2.0"),
        ({"n_workers": 0}, "n_workers=0; expected an integer of 1 or more"),
        ({"n_workers": "2"}, "n_workers='2'"),
        ({"stop_at": 1}, "stop_at=1; expected an integer from 2 to n_shuffles=6"),
        ({"stop_at": 7}, "stop_at=7"),
        ({"stop_at": True}, "stop_at=True"),
        ({"method": "rows"}, "method='rows'; expected one of layer, layer_nonzero"),
        ({"n_clusters": 1}, "n_clusters=1"),
        ({"seed": -1}, "seed=-1"),
        ({"n_clusters": 35}, "n_clusters=35; expected 2 to 34"),
        ({"n_clusters": 35, "n_workers": 2}, "n_clusters=35; expected 2 to 34"),
    ],
)
def test_refused(changes, message):
    with pytest.raises(InvalidInputError, match=message):
        run(**changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"n_shuffles": 1}, "n_shuffles=1"),
        ({"n_workers": -1}, "n_workers=-1"),
        ({"method": "rows"}, "method='rows'; expected one of layer, .*, fresh_initialisation"),
        ({"kernels": "entries"}, "kernels='entries'; expected norms or weights"),
        ({"kernels": "weights", "method": "rewiring"}, "kernels=weights with method=rewiring"),
        ({"stop_at": 51}, "stop_at=51; expected an integer from 2 to n_shuffles=50"),
    ],
)
def test_settings_refused(changes, message):
    settings = {"n_shuffles": 50, "method": "layer", "n_workers": 1}
    check_shuffle_test(**settings, kernels="weights", stop_at=10)
    with pytest.raises(InvalidInputError, match=message):
        check_shuffle_test(**{**settings, **changes})

"""A transformer with two tasks planted in it: its clusters, its null models and its lesions."""

from functools import partial

import keras
import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score

from nn_clustering.graphs import graph_of_weights
from nn_clustering.lesions import LesionEngine
from nn_clustering.networks.structure import read_weights
from nn_clustering.partitions import ncut, spectral_partition
from nn_clustering.significance import permuted_values, shuffle_test, shuffled_kernels
from tests.planted_transformer import (
    HEAD,
    N_HEADS,
    default_tasks,
    planted_transformer,
    samples,
    task_of_unit,
)

# Which task each value channel has: heads of one task each, or one channel of every head.
BY_HEAD = default_tasks()
BY_CHANNEL = np.tile([0, 1], (N_HEADS, HEAD // 2))
RULES = ("units", "contracted")
CLUSTER = partial(spectral_partition, n_clusters=2)


@pytest.fixture(scope="module")
def by_head():
    return planted_transformer()


@pytest.fixture(scope="module")
def weights(by_head):
    return read_weights(by_head)


@pytest.fixture(scope="module")
def weights_by_channel():
    return read_weights(planted_transformer(task_of_channel=BY_CHANNEL))


def shuffled(null, weights, rule):
    """Its shuffle test, with the fewest shuffles that can be significant."""
    graph = graph_of_weights(weights, residual=rule)
    own = ncut(graph, CLUSTER(graph, seed=0).labels)
    return shuffle_test(null, CLUSTER, own, n_shuffles=19, seed=0)


@pytest.mark.parametrize("rule", RULES)
def test_clusters_are_the_tasks(weights, rule):
    """All units of a task are one cluster: values, neurons and, if they are units, the stream's."""
    graph = graph_of_weights(weights, residual=rule)
    planted = np.concatenate([task_of_unit(layer.name) for layer in graph.layers])
    names = {layer.name for layer in graph.layers}
    assert {f"block_{b}{of}" for b in (0, 1) for of in ("_attention/value", "_mlp_in")} <= names
    partition = CLUSTER(graph, seed=0)
    assert adjusted_rand_score(planted, partition.labels) == 1
    assert ncut(graph, partition.labels) < 0.3


@pytest.mark.parametrize("rule", RULES)
def test_n_cut_is_far_below_that_of_shuffles(weights, rule):
    test = shuffled(shuffled_kernels(weights, "layer", {"residual": rule}), weights, rule)
    assert test.ncut < 0.5 * test.shuffled_ncuts.min()
    assert test.p_value == 0.05


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("method", ["heads", "channels"])
def test_it_matters_which_head_is_which(weights, rule, method):
    test = shuffled(permuted_values(weights, method, {"residual": rule}), weights, rule)
    assert test.p_value == 0.05
    assert test.verdict == "more"


@pytest.mark.parametrize("rule", RULES)
def test_of_modules_across_heads_it_matters_which_channel_is_which(weights_by_channel, rule):
    """Heads that are alike can be permuted as wholes, and the modules stay."""
    heads, channels = (
        shuffled(
            permuted_values(weights_by_channel, method, {"residual": rule}),
            weights_by_channel,
            rule,
        )
        for method in ("heads", "channels")
    )
    assert channels.p_value == 0.05
    assert heads.verdict == "neither"
    np.testing.assert_allclose(heads.shuffled_ncuts, heads.ncut, rtol=0.05)


def test_a_shuffle_is_no_more_clusterable_than_shuffles(weights):
    """What is permuted already is told from no other permutation."""
    null = permuted_values(weights, "channels", {"residual": "units"})
    drawn = weights.with_kernels(null.kernels(np.random.default_rng(7)))
    again = permuted_values(drawn, "channels", {"residual": "units"})
    assert shuffled(again, drawn, "units").verdict == "neither"


def test_silencing_a_cluster_harms_its_own_task_alone(by_head, weights):
    """Counted by task, and equal to zeroing by hand what reads the cluster's units."""
    graph = graph_of_weights(weights, residual="contracted")
    labels = CLUSTER(graph, seed=0).labels
    lost = {
        layer.name: np.stack([labels[graph.units(index)] == cluster for cluster in (0, 1)])
        for index, layer in enumerate(graph.layers)
    }
    x, y, tasks = samples(300)
    engine = LesionEngine(by_head, x, y, groups=tasks, n_groups=2)
    assert {name: N_HEADS for name in lost if name.endswith("value")} == dict(engine.heads)
    assert engine.intact().tolist() == engine.class_sizes.tolist()
    right = engine.lesioned(lost)
    own = [task_of_unit(graph.layers[0].name)[labels[graph.units(0)] == c][0] for c in (0, 1)]
    for cluster, task in enumerate(own):
        assert right[cluster, 1 - task] == engine.class_sizes[1 - task]
        assert right[cluster, task] < 0.6 * engine.class_sizes[task]
        zeroed = keras.models.clone_model(by_head)
        zeroed.set_weights(by_head.get_weights())
        for name, units in lost.items():
            _zero_what_reads(zeroed, name, units[cluster])
        answers = zeroed.predict(x, verbose=0).argmax(1) == y
        assert right[cluster].tolist() == [answers[tasks == one].sum() for one in (0, 1)]


def _zero_what_reads(network, layer, units):
    name, _, is_value = layer.partition("/")
    reader = network.get_layer(name if is_value else name.replace("_in", "_out"))
    of_reader = reader.get_weights()
    kernel = of_reader[6 if is_value else 0]
    kernel[units.reshape(N_HEADS, HEAD) if is_value else units] = 0
    reader.set_weights(of_reader)

"""A network whose penalty has driven dead units' weights to 1e-19: told, and no false verdict."""

import io

import keras
import numpy as np
import pandas
import pytest

from experiments._graphs import of_weights
from experiments._partitions import volume_constant
from nn_clustering.graphs import UnitGraph, graph_from_weights
from nn_clustering.partitions import PUBLISHED_VOLUME_CONSTANT, Partition, ncut

HIDDEN = ["first", "second"]
N_DEAD = 6


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A random MLP on digits; the first three units of each hidden layer are dead.

    They hang together more than with the rest: three pairs that look like perfect clusters.
    """
    random = np.random.default_rng(0)
    layers = [
        keras.layers.Dense(n, activation, name=name)
        for n, activation, name in [
            (24, "relu", HIDDEN[0]),
            (24, "relu", HIDDEN[1]),
            (10, "softmax", "out"),
        ]
    ]
    network = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Flatten(), *layers])
    for layer in layers:
        kernel = random.normal(size=layer.kernel.shape)
        if layer.name in HIDDEN:
            kernel[:, :3] *= 1e-22
        if layer.name != HIDDEN[0]:
            kernel[:3] *= 1e-22
        if layer.name == HIDDEN[1]:
            kernel[:3, :3] = 1e-18 * np.eye(3)
        layer.set_weights([kernel, np.zeros(kernel.shape[1])])
    path = tmp_path_factory.mktemp("dead") / "network.keras"
    network.save(path)
    return path


@pytest.fixture(scope="module")
def clustered(model, run_experiment, store):
    finished = run_experiment("cluster", "with", f"model={model}", "n_clusters=6")
    assert finished.returncode == 0, finished.stderr
    return finished.stdout, store.run(finished.run_id)


def test_dead_units_are_counted_and_in_no_cluster(clustered):
    printed, run = clustered
    assert (run.result["n_isolated"], run.result["n_dead"]) == (N_DEAD, N_DEAD)
    assert "6 of 122 units are isolated and in no cluster, 6 of them dead" in printed
    partition = Partition.from_npz(run.artifact("partition.npz"))
    for layer, labels in partition.by_layer():
        expected = [0, 1, 2] if layer.name in HIDDEN else []
        assert np.flatnonzero(labels == -1).tolist() == expected
    graph = UnitGraph.from_npz(run.artifact("graph.npz")).without_isolated()
    assert run.result["ncut"] == pytest.approx(ncut(graph, partition.labels[partition.labels >= 0]))
    assert min(run.result["cluster_sizes"]) > 3
    assert sum(run.result["cluster_weight_shares"]) == pytest.approx(1)


def test_random_weights_are_no_module(clustered, run_experiment, store):
    """Shuffles are made among the units that live, and no threshold makes them modules."""
    _, run = clustered
    finished = run_experiment("shuffle_test", "with", f"cluster_run={run.id}", "n_shuffles=19")
    assert finished.returncode == 0, finished.stderr
    assert store.run(finished.run_id).result["p_value"] > 0.1


def test_dead_units_are_not_lesioned(clustered, run_experiment, store):
    _, run = clustered
    arguments = ["with", f"cluster_run={run.id}", "dataset.name=digits", "fast"]
    finished = run_experiment("lesion", *arguments)
    assert finished.returncode == 0, finished.stderr
    content = store.run(finished.run_id).artifact("sub_clusters.csv")
    n_units = pandas.read_csv(io.BytesIO(content)).groupby("layer")["n_units"].sum()
    assert n_units.to_dict() == dict.fromkeys(HIDDEN, 24 - N_DEAD // 2)


def test_constant_of_the_studies_is_warned_of(model, run_experiment, store):
    arguments = ["with", "published", f"model={model}", "n_clusters=6", "kmeans.select=ncut"]
    finished = run_experiment("cluster", *arguments)
    assert finished.returncode == 0, finished.stderr
    result = store.run(finished.run_id).result
    assert (result["n_isolated"], result["n_dead"]) == (0, 0)
    assert result["ncut_without_constant"] - result["ncut"] > 0.1
    assert "warning: without the constant of 1e-08" in finished.stdout
    assert "small clusters: " in finished.stdout
    assert "0.0% of the weight together" in finished.stdout


@pytest.mark.parametrize("key", ["graph.isolated_below", "partition.volume_constant"])
def test_values_out_of_range_are_refused(model, run_experiment, key):
    finished = run_experiment("cluster", "with", f"model={model}", f"{key}=-1.0")
    assert finished.returncode == 1
    assert f"{key.split('.')[1]}=-1.0; expected" in finished.stderr


def test_constant_of_the_studies_is_warned_of_in_local_clusterings(model, run_experiment, store):
    arguments = ["with", "published_local", "local", f"model={model}", "n_clusters=6"]
    finished = run_experiment("cluster", *arguments, "partition.local_clusters=6")
    assert finished.returncode == 0, finished.stderr
    result = store.run(finished.run_id, experiment="cluster").result
    assert result["ncut_without_constant"] - result["ncut"] > 0.1
    assert "warning: without the constant of 1e-08" in finished.stdout


def test_labels_of_dead_units_in_a_file_are_left_out(model, run_experiment, store, tmp_path):
    """A partition of an earlier version, or of one's own, may have them in clusters."""
    lines = ["layer,unit,label"]
    for name, n_units in [("input_layer", 64), ("first", 24), ("second", 24), ("out", 10)]:
        lines += [f"{name},{unit},{unit % 3}" for unit in range(n_units)]
    graph = graph_from_weights(keras.saving.load_model(model))
    names = {layer.n_units: layer.name for layer in graph.layers}
    path = tmp_path / "labels.csv"
    path.write_text("\n".join(lines).replace("input_layer", names[64]))
    arguments = ["with", f"model={model}", "partition.method=file", f"partition.file={path}"]
    finished = run_experiment("cluster", *arguments)
    assert finished.returncode == 0, finished.stderr
    partition = Partition.from_npz(store.run(finished.run_id).artifact("partition.npz"))
    assert (partition.labels == -1).sum() == N_DEAD
    assert "6 of them dead" in finished.stdout


def test_dead_units_of_a_graph_of_activations(model, run_experiment, store):
    """What they answer varies by some 1e-22 of what the others do."""
    arguments = ["with", "activations", f"model={model}", "n_clusters=3", "dataset.name=digits"]
    finished = run_experiment("cluster", *arguments, "activations.n_samples=100")
    assert finished.returncode == 0, finished.stderr
    result = store.run(finished.run_id, experiment="cluster").result
    assert 1 <= result["n_dead"] <= N_DEAD <= result["n_isolated"] < 48
    assert "dead: the spread of their activations is not 0" in finished.stdout


def test_clusterings_of_earlier_versions_had_the_choices_of_the_studies():
    assert volume_constant({"partition": {}}) == PUBLISHED_VOLUME_CONSTANT
    assert volume_constant({"partition": {"volume_constant": 0.0}}) == 0
    assert of_weights({"kernel_norm": "l1"}) == {"kernel_norm": "l1", "isolated_below": 0}
    assert of_weights({"isolated_below": 1e-6}) == {"isolated_below": 1e-6}

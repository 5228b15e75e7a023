"""Every named config of the stage `cluster` on a small network, against the library's functions."""

import keras
import numpy as np
import pytest

from experiments import cluster
from experiments._graphs import (
    check_graph_settings_act,
    check_residual_acts,
    residual_of_values,
)
from nn_clustering.errors import InvalidInputError, NnClusteringError
from nn_clustering.graphs import graph_from_weights
from nn_clustering.networks import build_network
from nn_clustering.partitions import (
    Partition,
    local_partition,
    make_partition,
    ncut,
    spectral_partition,
)

N_CLUSTERS = 3


@pytest.fixture(scope="module")
def network():
    return build_network(
        "mlp", (8, 8, 1), 10, hidden_units=[12, 10], conv_filters=[], dropout=False, seed=0
    )


@pytest.fixture(scope="module")
def model(network, tmp_path_factory):
    path = tmp_path_factory.mktemp("cluster") / "network.keras"
    network.save(path)
    return str(path)


@pytest.fixture
def result_of(model):
    def run(*named, **updates):
        given = {"model": model, "n_clusters": N_CLUSTERS, "dataset": {"name": "digits"}, **updates}
        return cluster.experiment.run(config_updates=given, named_configs=list(named)).result

    return run


@pytest.mark.parametrize(
    ("named", "n_units"),
    [
        ([], 96),
        (["published"], 96),
        (["cluster_qr"], 96),
        (["normalised_units"], 96),
        (["commute_time"], 96),
        (["gradients"], 96),
        (["leiden"], 96),
        (["louvain"], 96),
        (["local"], 96),
        (["activations"], 22),
        (["activations", "local"], 22),
    ],
)
def test_named_configs(result_of, named, n_units):
    # the test images of the digits are fewer than the studies' samples
    result = result_of(*named, activations={"n_samples": 100})
    assert result["n_units"] == n_units
    assert sum(result["cluster_sizes"]) == n_units - result["n_isolated"]
    assert 0 < result["ncut"] < result["n_clusters"]
    assert (result["modularity"] is None) == ("local" in named)
    if "leiden" not in named and "louvain" not in named:
        assert result["n_clusters"] >= N_CLUSTERS


def test_weights_by_the_library(result_of, network):
    graph = graph_from_weights(network)
    expected = spectral_partition(graph, N_CLUSTERS, seed=7)
    result = result_of(seed=7, stability={"n_seeds": 2})
    assert result["ncut"] == ncut(graph, expected.labels)
    assert result["cluster_sizes"] == expected.cluster_sizes()
    assert result["starts"]["ncut_min"] == result["ncut"]  # the start with the lowest is kept
    assert result["starts"]["ncut_max"] >= result["starts"]["ncut_mean"] >= result["ncut"]
    assert result["stability"]["n_seeds"] == 2
    assert result["stability"]["ncut_min"] <= result["stability"]["ncut_max"]
    assert result_of(stability={"n_seeds": 0})["stability"] is None


def test_baselines(result_of):
    # nothing is within a layer, so a cluster a layer cuts everything
    assert result_of("per_layer")["ncut"] == pytest.approx(4)
    random = result_of("random_partition")
    assert random["starts"] is None
    assert sorted(random["cluster_sizes"]) == [32, 32, 32]
    assert result_of()["ncut"] < random["ncut"]


@pytest.mark.parametrize("suffix", ["npz", "csv"])
def test_partition_from_a_file(result_of, network, tmp_path, suffix):
    graph = graph_from_weights(network)
    partition = make_partition(graph, "random", 5, seed=3)
    path = tmp_path / f"partition.{suffix}"
    path.write_bytes(partition.to_npz() if suffix == "npz" else partition.to_csv().encode())
    result = result_of(partition={"method": "file", "file": str(path)})
    assert result["ncut"] == ncut(graph, partition.labels)
    assert result["n_clusters"] == 5


def test_labels_that_a_file_leaves_out_are_no_clusters(result_of, network, tmp_path):
    graph = graph_from_weights(network)
    labels = make_partition(graph, "random", 2, seed=3).labels
    path = tmp_path / "partition.npz"
    ratios = []
    for apart in (1, 5):
        path.write_bytes(Partition(graph.layers, apart * labels, apart + 1).to_npz())
        result = result_of(partition={"method": "file", "file": str(path)})
        ratios.append(result["in_out_ratio"])
    assert ratios[0] == ratios[1]
    path.write_bytes(Partition(graph.layers, 0 * labels, 1).to_npz())
    whole = result_of(partition={"method": "file", "file": str(path)})
    assert (whole["ncut"], whole["in_out_ratio"]) == (0, None)


def test_ratio_of_what_is_rounding_is_none(result_of, tmp_path):
    """Weights of 1e-9 between two parts: the ratio would be some 500 million."""
    layers = [keras.layers.Dense(2, name=name) for name in ("first", "second")]
    network = keras.Sequential([keras.Input((2,)), *layers])
    for layer in layers:
        layer.set_weights([np.array([[1, 1e-9], [1e-9, 1]]), np.zeros(2)])
    network.save(tmp_path / "two_parts.keras")
    graph = graph_from_weights(network)
    parts = Partition(graph.layers, np.array([0, 1] * 3, np.int32), 2)
    (tmp_path / "parts.npz").write_bytes(parts.to_npz())
    result = result_of(
        model=str(tmp_path / "two_parts.keras"),
        partition={"method": "file", "file": str(tmp_path / "parts.npz")},
    )
    assert 1e-10 < result["ncut"] < 1e-8
    assert result["in_out_ratio"] is None


def test_partition_of_another_network_refused(result_of, tmp_path):
    graph = graph_from_weights(
        build_network("mlp", (4,), 2, hidden_units=[3], conv_filters=[], dropout=False, seed=0)
    )
    other = Partition(graph.layers, np.zeros(graph.n_units, np.int32), 1)
    path = tmp_path / "other.npz"
    path.write_bytes(other.to_npz())
    with pytest.raises(NnClusteringError, match=r"other\.npz"):
        result_of(partition={"method": "file", "file": str(path)})


@pytest.mark.parametrize(
    ("updates", "message"),
    [
        ({"graph": {"source": "weihgts"}}, "graph.source='weihgts'"),
        ({"graph": {"inputs": "yes"}}, "graph.inputs='yes'"),
        ({"graph": {"source": "activations", "inputs": True}}, "graph.inputs=True with"),
        ({"graph": {"source": "activations", "normalise_units": True}}, "normalise_units=True"),
        ({"activations": {"split": "validation"}}, "activations.split='validation'"),
        ({"activations": {"n_samples": 2}}, "n_samples=2"),
        ({"activations": {"position": "after"}}, "'after'"),
        ({"activations": {"correlation": "cosine"}}, "'cosine'"),
        ({"activations": {"memory_mb": 0}}, "memory_mb=0; expected a number above 0"),
        ({"graph": {"source": "activations"}, "activations": {"n_samples": 9999}}, "at most 364"),
        ({"graph": {"source": "activations"}, "dataset": {"name": None}}, "dataset.name=NAME"),
        ({"partition": {"method": "infomap"}}, "'infomap'.* per_layer, file"),
        ({"partition": {"method": "file"}}, "partition.file=FILE"),
        ({"partition": {"file": "a.csv"}}, "partition.file=a.csv"),
        ({"partition": {"method": "file", "file": "nowhere.csv"}}, "nowhere.csv"),
        ({"partition": {"method": "leiden", "local": True}}, "partition.local=True"),
        ({"partition": {"local_clusters": 3}}, "local_clusters=3"),
        ({"partition": {"local": True, "local_clusters": "two"}}, "local_clusters='two'"),
        ({"partition": {"resolution": 0.0}}, "resolution=0"),
        ({"partition": {"assign_labels": "discretize"}}, "'discretize'"),
        ({"stability": {"n_seeds": 1}}, "stability.n_seeds=1"),
        ({"n_clusters": 97}, "n_clusters=97"),
    ],
)
def test_mistakes_are_refused(result_of, updates, message):
    with pytest.raises(NnClusteringError, match=message):
        result_of(**updates)


@pytest.mark.parametrize(
    ("source", "key", "message"),
    [
        ("weights", "activations.n_samples", "graph.source=activations"),
        ("weights", "dataset.name", "activations and gradients only"),
        ("gradients", "graph.kernel_norm", "acts on weights only"),
        ("gradients", "activations.position", "acts on activations only"),
        ("gradients", "activations.memory_mb", "acts on activations only"),
        ("activations", "graph.fold_normalisation", "acts on weights only"),
    ],
)
def test_typed_settings_that_change_nothing_are_refused(source, key, message):
    with pytest.raises(InvalidInputError, match=f"{key} changes nothing .*{message}"):
        check_graph_settings_act(source, ["n_clusters", key])


@pytest.mark.parametrize(
    ("source", "key"),
    [
        ("weights", "graph.kernel_norm"),
        ("gradients", "activations.n_samples"),
        ("activations", "activations.correlation"),
        ("activations", "graph.commute_time"),
    ],
)
def test_typed_settings_that_act_are_taken(source, key):
    check_graph_settings_act(source, [key])


@pytest.fixture(scope="module")
def residual_model(tmp_path_factory):
    """Two convolutions read one sum."""

    def conv(n_filters):
        return keras.layers.Conv2D(n_filters, 3, padding="same")

    inputs = keras.Input((8, 8, 1))
    stem = conv(6)(inputs)
    stream = keras.layers.Add()([stem, conv(6)(stem)])
    outputs = keras.layers.Concatenate()([conv(5)(stream), conv(4)(stream)])
    pooled = keras.layers.GlobalAveragePooling2D()(outputs)
    path = tmp_path_factory.mktemp("residual") / "network.keras"
    keras.Model(inputs, keras.layers.Dense(10)(pooled)).save(path)
    return str(path)


@pytest.mark.parametrize(
    ("named", "n_init", "n_units"),
    [
        ([], 25, 6 + 6 + 5 + 4),
        # what three convolutions and both parts of what the dense layer read
        (["published_imagenet"], 100, 6 + 6 + 6 + 5 + 4),
    ],
)
def test_residual_networks(residual_model, named, n_init, n_units):
    given = {"model": residual_model, "n_clusters": N_CLUSTERS, "stability": {"n_seeds": 0}}
    result = cluster.experiment.run(config_updates=given, named_configs=named).result
    assert (result["n_init"], result["n_units"]) == (n_init, n_units)
    assert result["starts"]["ncut_std"] is not None


def test_starts_of_a_network_without_sums(result_of):
    assert result_of()["n_init"] == 5
    assert result_of(kmeans={"n_init": 7})["n_init"] == 7


def test_ends_of_a_chain_by_their_own_graphs(result_of, network):
    local = {"local": True, "local_clusters": 3}
    by_neighbour, own = (
        result_of(partition={**local, "local_ends": ends})["ncut"] for ends in ("neighbour", "own")
    )
    graph = graph_from_weights(network)
    whole = spectral_partition(graph, N_CLUSTERS, seed=0)
    found = local_partition(graph, whole, seed=0, n_clusters_of_layer=3, ends="own")
    assert own == found.mean_ncut
    assert own != by_neighbour


def test_the_studies_configs_have_one_set_of_values_and_copies_of_weights():
    settings = {"source": "activations", "residual": "copied"}
    check_residual_acts(settings, ["n_clusters"])
    assert residual_of_values(settings) == "one_set"
    with pytest.raises(InvalidInputError, match=r"residual=copied with graph\.source=activ"):
        check_residual_acts(settings, ["graph.residual"])
    with pytest.raises(InvalidInputError, match=r"residual=units with graph\.source=gradients"):
        check_residual_acts({"source": "gradients", "residual": "units"}, [])

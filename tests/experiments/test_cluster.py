"""A network of one's own, and the test data that its lesions need."""

import keras
import numpy as np

from nn_clustering.networks import build_network
from nn_clustering.partitions import Partition


def test_own_network_is_clustered_and_lesioned(run_experiment, store, tmp_path):
    path = tmp_path / "my network.keras"
    network = build_network(
        "cnn", (8, 8, 1), 10, hidden_units=[16], conv_filters=[8, 8, 8], dropout=True, seed=0
    )
    network.save(path)
    finished = run_experiment("cluster", "with", f"model={path}", "n_clusters=3")
    assert finished.returncode == 0, finished.stderr
    clustered = store.run(finished.run_id, experiment="cluster")
    for stage, data in (
        ("shuffle_test", ""),
        ("lesion", " dataset.name=NAME"),
        ("visualise", " dataset.name=NAME"),
    ):
        assert f"experiments/{stage}.py with cluster_run={clustered.id}{data}\n" in finished.stdout
    assert clustered.result["n_units"] == 24
    partition = Partition.from_npz(clustered.artifact("partition.npz"))
    assert [layer.name for layer in partition.layers] == ["conv_1", "conv_2", "conv_3"]
    assert clustered.artifact("network.keras") == path.read_bytes()

    finished = run_experiment("lesion", "with", "fast", f"cluster_run={clustered.id}")
    assert finished.returncode == 1
    assert "dataset.name=NAME" in finished.stderr
    arguments = ["with", "fast", f"cluster_run={clustered.id}", "dataset.name=digits"]
    finished = run_experiment("lesion", *arguments)
    assert finished.returncode == 0, finished.stderr
    assert 0 <= store.run(finished.run_id, experiment="lesion").result["accuracy"] <= 1


def test_published_config_uses_the_studies_kernel_norm(run_experiment, store, tmp_path):
    path = tmp_path / "two_convolutions.keras"
    rng = np.random.default_rng(0)
    network = keras.Sequential(
        [
            keras.Input((6, 6, 1)),
            keras.layers.Conv2D(4, 3, name="first"),
            keras.layers.Conv2D(4, 3, name="second"),
        ]
    )
    network.get_layer("second").set_weights([rng.normal(size=(3, 3, 4, 4)), np.zeros(4)])
    network.save(path)
    arguments = ["with", "published", f"model={path}", "n_clusters=2"]
    finished = run_experiment("cluster", *arguments)
    assert finished.returncode == 0, finished.stderr
    config = store.run(finished.run_id, experiment="cluster").config
    assert config["graph"]["kernel_norm"] == "max_column_sum"
    assert config["kmeans"] == {"n_init": 25, "select": "inertia"}

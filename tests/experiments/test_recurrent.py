"""A recurrent network of one's own, which reads an image row by row, on the whole street."""

import io

import pandas

from nn_clustering.graphs import UnitGraph

MODULE = """
import keras
from keras import layers

def rows(input_shape, n_outputs):
    return keras.Sequential([
        keras.Input(input_shape),
        layers.Reshape(input_shape[:2]),
        layers.LSTM(12, name="lstm"),
        layers.Dense(n_outputs, "softmax", name="output"),
    ])
"""


def test_recurrent_network_from_training_to_lesions(run_experiment, store, tmp_path):
    (tmp_path / "my_recurrent.py").write_text(MODULE)

    def run(stage, *options):
        finished = run_experiment(stage, "with", "fast", *options, in_folder=tmp_path)
        assert finished.returncode == 0, finished.stderr
        return store.run(finished.run_id)

    trained = run("train", "digits", "network.kind=my_recurrent.rows", "training.epochs=1")
    clustering = run("cluster", f"train_run={trained.id}", "n_clusters=3", "graph.gate_norm=max")
    graph = UnitGraph.from_npz(clustering.artifact("graph.npz"))
    assert [(layer.name, layer.n_units) for layer in graph.layers] == [
        ("input", 8), ("lstm", 12), ("output", 10)
    ]  # fmt: skip
    assert [(block.source, block.target) for block in graph.edges] == [(0, 1), (1, 1), (1, 2)]
    shuffles = run("shuffle_test", f"cluster_run={clustering.id}", "kernels=weights")
    assert 0 < shuffles.result["p_value"] <= 1
    lesions = run("lesion", f"cluster_run={clustering.id}", "silence=mean")
    table = pandas.read_csv(io.BytesIO(lesions.artifact("sub_clusters.csv")))
    assert len(table) == lesions.result["n_subclusters"] > 0
    assert set(table["layer"]) == {"lstm"}

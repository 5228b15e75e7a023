"""Imports of networks, and the stages that go on from them, as a user runs them."""

import hashlib
import io
import sys

import keras
import numpy as np
import pandas
import pytest

from experiments import pipeline
from nn_clustering import networks
from nn_clustering.errors import NnClusteringError
from nn_clustering.graphs import UnitGraph, graph_from_weights
from nn_clustering.networks import network_from_bytes
from nn_clustering.reports import LESIONS, studied_network
from tests.experiments.in_process import refusal
from tests.networks.hugging_face import folders
from tests.networks.test_imagenet_networks import save_as_keras_2

SMALL = ("resnet18", "fast", "dataset.name=cifar10")


@pytest.fixture(scope="module")
def tracked(run_experiment, store):
    def run(stage, *arguments):
        finished = run_experiment(stage, "with", *arguments)
        assert finished.returncode == 0, finished.stderr
        return store.run(finished.run_id), finished.stdout

    return run


@pytest.fixture(scope="module")
def imported(tracked):
    return tracked("import_network", *SMALL, "seed=3")


@pytest.fixture(scope="module")
def own_file(tmp_path_factory):
    """A network of one's own, that reads pixels from -1 to 1."""
    keras.utils.set_random_seed(0)
    layers = [keras.layers.Flatten(), *(keras.layers.Dense(n, "relu") for n in (24, 16))]
    network = keras.Sequential([keras.Input((8, 8, 1)), *layers, keras.layers.Dense(10, "softmax")])
    path = tmp_path_factory.mktemp("own") / "own.keras"
    network.save(path)
    return path


def test_run_holds_network_sizes_and_source(imported):
    run, printed = imported
    network = network_from_bytes(run.artifact("network.keras"), "it")
    built = networks.build_imagenet_network("resnet18", input_size=(32, 32), n_outputs=10, seed=3)
    assert all(map(np.array_equal, network.get_weights(), built.get_weights()))
    assert run.result == {
        "n_parameters": network.count_params(),
        "n_layers": len(network.layers),
        "input_shape": [32, 32, 3],
        "outputs": [{"name": "softmax", "shape": [10]}],
        "n_units": graph_from_weights(network).n_units,
    }
    assert run.info["preprocessing"] == "none"
    source = run.info["source"]
    assert (source["package"], source["weights"], source["seed"]) == (
        "image-classifiers", "random", 3,
    )  # fmt: skip
    assert f"next: python experiments/cluster.py with train_run={run.id}" in printed
    assert run.about == {
        "dataset": {"name": "cifar10", "seed": 42, "resize": "straight", "damaged": "refuse"},
        "network": {"kind": "resnet18", "weights": "random"},
        "training_seed": 3,
    }


def test_folder_is_imported_clustered_and_tested(tracked, tmp_path):
    config, shapes = folders.gpt2()
    tensors = {**folders.random_tensors(shapes), "score.weight": np.zeros((2, 2), np.float32)}
    folder = folders.save_folder(tmp_path / "my_gpt2", config, tensors)
    run, printed = tracked("import_network", f"model={folder}")
    network = network_from_bytes(run.artifact("network.keras"), "it")
    graph = graph_from_weights(network)
    assert "inputs of any length, any length x 13 outputs" in printed
    assert "left out, as no part of what is put out: score.weight" in printed
    assert (run.result["n_units"], run.result["input_shape"]) == (graph.n_units, [None])
    source = run.info["source"]
    assert (source["kind"], source["left_out"]) == ("gpt2", ["score.weight"])
    weights = (folder / "model.safetensors").read_bytes()
    assert source["files"]["model.safetensors"] == hashlib.sha256(weights).hexdigest()
    assert run.about["network"] == {"kind": "my_gpt2", "sha256": source["sha256"]}

    clustered, _ = tracked(
        "cluster", f"train_run={run.id}", "fast", "n_clusters=2", "graph.residual=contracted"
    )
    stored = UnitGraph.from_npz(clustered.artifact("graph.npz"))
    assert stored.layers == graph.layers
    tested, _ = tracked("shuffle_test", f"cluster_run={clustered.id}", "fast")
    assert tested.about["network"] == run.about["network"]


def test_tokens_of_another_vocabulary_are_told_before_a_run(here):
    config, shapes = folders.gpt2()
    folder = folders.save_folder(here / "gpt2", config, folders.random_tensors(shapes))
    told = refusal("import_network", f"model={folder}", "dataset.name=modular_addition")
    assert "knows 13 tokens, and the data set has 114" in told


def test_network_for_graphs_alone_is_no_more(tracked, here):
    config, shapes = folders.llama()
    config["rope_scaling"] = {"rope_type": "yarn", "factor": 4.0}
    folder = folders.save_folder(here / "long", config, folders.random_tensors(shapes))
    run, printed = tracked("import_network", f"model={folder}")
    assert "for graphs of its weights alone: its positions turn by 'yarn'" in printed
    clustered, _ = tracked("cluster", f"train_run={run.id}", "fast", "n_clusters=2")
    of_weights = f"cluster_run={clustered.id}"
    for stage, *arguments in (
        ("lesion", of_weights, "dataset.name=digits"),
        ("visualise", of_weights, "dataset.name=digits"),
        ("cluster", f"train_run={run.id}", "activations", "dataset.name=digits"),
    ):
        told = refusal(stage, *arguments)
        assert "for graphs of its weights alone: its positions turn by 'yarn'" in told


def test_each_output_is_told_by_its_name(tracked, tmp_path):
    inputs = keras.Input((6,))
    made = keras.layers.Dense(5, "relu")(inputs)
    heads = [keras.layers.Dense(size, name=name)(made) for name, size in (("box", 4), ("face", 2))]
    keras.Model(inputs, heads).save(tmp_path / "two.keras")
    run, printed = tracked("import_network", f"model={tmp_path / 'two.keras'}")
    assert run.result["outputs"] == [{"name": "box", "shape": [4]}, {"name": "face", "shape": [2]}]
    assert "the outputs box (4), face (2): lesions want one, output=box" in printed


def test_same_import_is_one_run(imported, tracked):
    assert tracked("import_network", *SMALL, "seed=3")[0].id == imported[0].id


def test_clustering_goes_on_from_an_import(imported, tracked, here):
    run = imported[0]
    clustered, _ = tracked("cluster", "fast", f"train_run={run.id}", "stability.n_seeds=0")
    assert clustered.info["lineage"] == {"train_run": run.id}
    assert clustered.info["phase"] == "imported"
    assert clustered.about == run.about
    network = network_from_bytes(run.artifact("network.keras"), "it")
    stored = UnitGraph.from_npz(clustered.artifact("graph.npz"))
    for ours, theirs in zip(stored.edges, graph_from_weights(network).edges, strict=True):
        np.testing.assert_array_equal(ours.weights, theirs.weights)

    given = (f"train_run={run.id}", "fast")
    assert "has no phases and no checkpoints" in refusal("cluster", *given, "phase=pruned")
    assert "reads pixels as that run says" in refusal("cluster", *given, "preprocessing=tf")
    of_clustering = (f"cluster_run={clustered.id}", "fresh_initialisation")
    told = refusal("shuffle_test", *of_clustering)
    assert "was imported, and nobody knows how it was initialised" in told


def test_weights_of_a_file_are_told_by_their_place(imported, tracked, here):
    network = network_from_bytes(imported[0].artifact("network.keras"), "it")
    save_as_keras_2(network, here / "mine.h5")
    run, _ = tracked("import_network", *SMALL, f"weights={here / 'mine.h5'}")
    read = network_from_bytes(run.artifact("network.keras"), "it")
    assert all(map(np.array_equal, read.get_weights(), network.get_weights()))
    assert run.info["source"]["sha256"] == run.info["inputs"]["weights"]
    told = refusal("import_network", "seresnet18", *SMALL[1:], f"weights={here / 'mine.h5'}")
    assert "mine.h5 does not fit" in told


def test_own_file_is_studied_by_the_pipeline(own_file, tracked, store):
    given = (
        f"import_network.model={own_file}", "import_network.preprocessing=tf",
        "import_network.dataset.name=digits", "fast", "seed=2",
    )  # fmt: skip
    run, printed = tracked("pipeline", *given)
    stages = {stage: store.run(run_id) for stage, run_id in run.result["runs"].items()}
    assert list(stages)[2:] == ["shuffle_test", "lesion", "visualise"]
    lesioned = stages["lesion"]
    assert run.result["test_accuracy"] == lesioned.result["accuracy"]
    assert run.result["n_parameters"] == 64 * 24 + 24 + 24 * 16 + 16 + 16 * 10 + 10
    assert f"import_network {stages['import_network'].id}, cluster" in printed
    assert {stage.about["network"]["kind"] for stage in stages.values()} == {"own.keras"}
    assert {stage.about["dataset"]["name"] for stage in stages.values()} == {"digits"}

    told_again, _ = tracked(
        "cluster", f"model={own_file}", "preprocessing=tf", "fast", "seed=2"
    )  # fmt: skip
    directly, _ = tracked(
        "lesion", f"cluster_run={told_again.id}", "dataset.name=digits", "fast", "seed=2"
    )
    tables = [
        pandas.read_csv(io.BytesIO(found.artifact("sub_clusters.csv")))
        for found in (lesioned, directly)
    ]
    pandas.testing.assert_frame_equal(*tables)
    network = studied_network(store, lesioned, LESIONS)
    assert network.network == f"file {stages['import_network'].info['inputs']['model'][:12]}"
    assert network.settings["preprocessing"] == "tf"


@pytest.mark.parametrize(
    ("stage", "arguments", "expected"),
    [
        ("import_network", [], "network.name=None model=None: expected one of the two"),
        ("import_network", ["network.name=resnet19"], "did you mean"),
        (
            "import_network",
            ["resnet18", "network.n_outputs=10"],
            "weights=imagenet, which are those of 1,000 classes",
        ),
        ("import_network", ["resnet18", "network.input_size=0"], "[height, width]"),
        ("import_network", ["resnet18", "model_code=json"], "changes nothing with"),
        ("import_network", ["vgg16", "preprocessing=coffee"], "expected one of none, unit"),
        ("import_network", ["resnet18", "weights=no.h5", "dataset.name=digits"], "is not there"),
        ("import_network", ["resnet18", "dataset.resize=cropp"], "did you mean crop"),
        ("import_network", ["resnet18", "dataset.targets=a"], "changes nothing with imagenet2012"),
        ("import_network", ["resnet18", "dataset.name=."], "holds no images"),
    ],
)
def test_mistakes_are_told_before_a_run(here, stage, arguments, expected, store):
    newest = store.find(limit=1)[0].id if store.find(limit=1) else None
    told = refusal(stage, *arguments)
    assert expected in told
    assert (store.find(limit=1)[0].id if store.find(limit=1) else None) == newest


def test_what_does_not_go_with_the_network_is_told_before_a_run(here, store, monkeypatch):
    layers = [keras.layers.Flatten(), keras.layers.Dense(4), keras.layers.Dense(3)]
    keras.Sequential([keras.Input((8, 8, 1)), *layers]).save("net.keras")
    np.savez("colour.npz", x_test=np.zeros((3, 8, 8, 3)), y_test=np.arange(3))
    here.joinpath("own_pixels.py").write_text(
        "import numpy as np\nnumber = 3\n"
        "def fails(x): raise ValueError('no luck')\ndef twice(x): return np.repeat(x, 2, 0)\n"
    )
    newest = store.find(limit=1)
    for argument, expected in {
        "preprocessing=caffe": "(8, 8, 1); expected images in colour",
        "preprocessing=own_pixels.fails": "failed on pixels of shape (1, 8, 8, 1): ValueError: no",
        "preprocessing=own_pixels.twice": "(2, 8, 8, 1) of pixels of shape (1, 8, 8, 1)",
        "preprocessing=own_pixels.number": "has no function number",
        "dataset.name=colour.npz": "or import the network with dataset.channels=1",
    }.items():
        assert expected in refusal("import_network", "model=net.keras", argument)
    monkeypatch.delitem(sys.modules, "own_pixels")
    assert [run.id for run in store.find(limit=1)] == [run.id for run in newest]


def test_pipeline_lesions_some_of_the_outputs_where_these_are_named(here):
    x, y = np.zeros((4, 8, 8, 3), np.uint8), ["cat", "dog", "cat", "dog"]
    np.savez("pets.npz", x_test=x, y_test=y)
    here.joinpath("some.json").write_text('{"cat": 3, "dog": 1}')
    here.joinpath("all.json").write_text('["cat", "dog"]')
    config = pipeline.experiment.full_config(["resnet18", "fast"])
    for part in ("import_network", "lesion"):
        one = {**config[part]["dataset"], "name": "pets.npz", "class_names": "some.json"}
        pipeline.check_data({**config, part: {**config[part], "dataset": one}}, "lesion", None)
        wrong = {**config, part: {**config[part], "dataset": {**one, "class_names": "all.json"}}}
        with pytest.raises(NnClusteringError, match=r"10 outputs, .* pets.npz 2 classes"):
            pipeline.check_data(wrong, "lesion", None)

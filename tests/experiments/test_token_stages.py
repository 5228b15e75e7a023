"""The stages on tokens: a transformer of characters is trained, and used on other texts."""

import csv
import io

import keras
import pytest

from nn_clustering.datasets import load_dataset
from tests.experiments.in_process import refusal

TEXT = "the cat and 2 dogs sat, then ran to 3 trees. "


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    path = tmp_path_factory.mktemp("texts") / "my.txt"
    path.write_text(TEXT * 60)
    return path


@pytest.fixture(scope="module")
def trained(run_experiment, store, text):
    arguments = [f"dataset.name={text}", "dataset.length=16", "training.learning_rate=0.02"]
    finished = run_experiment(
        "train", "with", "character_transformer", "fast", "l1", *arguments, "training.epochs=4"
    )
    assert finished.returncode == 0, finished.stderr
    return store.run(finished.run_id, experiment="train"), finished.stdout


def test_accuracy_is_told_by_class_and_group(trained, text, tmp_path):
    run, told = trained
    assert "test accuracy by token class: vowels " in told
    by_group = run.result["test_accuracy_by"]["token class"]
    rows = list(csv.DictReader(io.StringIO(run.artifact("accuracies.csv").decode())))
    dataset = load_dataset(str(text), length=16)
    (tmp_path / "network.keras").write_bytes(run.artifact("unpruned.keras"))
    network = keras.models.load_model(tmp_path / "network.keras")
    predicted = network(dataset.x_test).numpy().argmax(axis=2)
    right = predicted == dataset.y_test
    assert run.result["test_accuracy"] == pytest.approx(right.mean())
    for index, name in enumerate(dataset.groups.names):
        own = dataset.groups.test == index
        assert by_group[name] == pytest.approx(right[own].mean())
        (row,) = (row for row in rows if row["name"] == name)
        assert (row["kind"], int(row["answers"])) == ("token class", own.sum())
    assert {row["name"] for row in rows if row["kind"] == "class"} >= {"t", "' '"}
    assert run.info["dataset"]["vocabulary"] == sorted(set(TEXT))


def test_activations_are_of_all_positions_and_of_the_same_tokens_only(
    trained, run_experiment, store, text, here
):
    run, _ = trained
    arguments = [f"train_run={run.id}", "n_clusters=3", "stability.n_seeds=0"]
    active = [*arguments, "graph.source=activations", "dataset.n_test=5"]
    finished = run_experiment("cluster", "with", *active)
    assert finished.returncode == 0, finished.stderr
    assert "lesion.py with cluster_run=" in finished.stdout
    assert "visualise.py" not in finished.stdout  # which takes no tokens
    other = text.parent / "other.txt"
    other.write_text(TEXT.replace("z", "y") * 60 + "!")
    refused = refusal("cluster", *active, f"dataset.name={other}", "dataset.length=16")
    assert "its vocabulary is not that of run" in refused
    assert f"expected a data set of the same {len(set(TEXT))} tokens" in refused

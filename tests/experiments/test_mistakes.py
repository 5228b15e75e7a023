"""What users do wrong: refused in one line, before any computing.

Most of it is in `wrong_command_lines.txt`.
"""

import keras
import pytest
from sacred.arg_parser import get_config_updates

from experiments import train
from nn_clustering.errors import NnClusteringError
from nn_clustering.tracking.stages.program import SERVER_AWAY


def assert_refused(finished, *expected, status=1):
    """One line that starts with Error, and names what is expected; no traceback."""
    assert finished.returncode == status
    assert "Traceback" not in finished.stderr
    errors = [line for line in finished.stderr.splitlines() if line.startswith("Error: ")]
    assert len(errors) == 1, finished.stderr
    for text in expected:
        assert text in errors[0]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["mlp", "cnn"], ["mlp and cnn both set network.kind", "name one of them"]),
        (["digits", "poly"], ["digits and poly both set dataset.name"]),
        (["untrained", "pruned"], ["untrained", "pruning.enabled=True", "training only"]),
        (["untrained", "l2", "dropout"], ["network.dropout=True, penalty.l2=True"]),
        (["clusterability_gradient", "tanh"], ["network.activation=tanh", "relu"]),
        (["clusterability_gradient", "vgg"], ["the batch norm of network.kind=vgg"]),
        (["poly", "cnn"], ["images"]),
        (["poly", "augmented"], ["augmentation", "images"]),
        (["vgg", "digits"], ["8 x 8", "32 x 32"]),
        (["modular_init", "modular_init.down=1.5"], ["modular_init.down=1.5"]),
        (["l1", "penalty.l1_rate=-1"], ["penalty.l1_rate=-1"]),
        (["network.dropout_rate=0.5"], ["network.dropout_rate=0.5"]),
        (["network.kind=no_such_module.net"], ["no_such_module"]),
        (["training.checkpoint_every=0"], ["checkpoint_every=0", "1 or more"]),
        (["dataset.n_train=0"], ["dataset.n_train=0"]),
        (["dataset.n_train=9999"], ["dataset.n_train=9999", "1433"]),
        (["dataset.channels=2"], ["dataset.channels=2"]),
        (["pruned", "pruning.epochs=0"], ["pruning.epochs=0"]),
        (["training.learning_rate=-1"], ["learning_rate=-1"]),
    ],
)
def test_condition_of_a_training_is_refused(arguments, expected):
    """As the command line hands it over, but without a process for each."""
    updates, named = get_config_updates(arguments)
    with pytest.raises(NnClusteringError) as refusal:
        train.experiment.run(config_updates=updates, named_configs=named)
    message = str(refusal.value)
    assert "\n" not in message
    for text in expected:
        assert text in message


def test_run_of_another_stage_is_refused_before_a_run_begins(run_experiment, runs, store):
    newest = store.find(limit=1)[0].id
    train_id, cluster_id = runs["train"].id, runs["cluster"].id
    finished = run_experiment("cluster", "with", f"train_run={cluster_id}")
    expected = "expected a 'train' or 'import_network' run"
    assert_refused(finished, f"run {cluster_id} is a 'cluster' run", expected)
    finished = run_experiment("lesion", "with", f"cluster_run={train_id}")
    assert_refused(finished, f"run {train_id} is a 'train' run", "expected a 'cluster' run")
    assert store.find(limit=1)[0].id == newest


def test_failed_run_is_refused(run_experiment, store):
    run_experiment("train", "with", "fast", "training.learning_rate=1e30")
    failed = store.find(experiment="train", status="FAILED", limit=1)[0]
    finished = run_experiment("cluster", "with", f"train_run={failed.id}")
    assert_refused(finished, f"run {failed.id} is FAILED", "COMPLETED")


def test_phase_and_number_of_clusters_are_checked_against_the_run(run_experiment, runs):
    train_run = f"train_run={runs['train'].id}"
    finished = run_experiment("cluster", "with", train_run, "phase=prune")
    assert_refused(finished, "phase=prune", "unpruned, pruned")
    finished = run_experiment("cluster", "with", train_run, "n_clusters=500")
    assert_refused(finished, "n_clusters=500", "expected 2 to")


def test_damaged_network_file_is_refused(run_experiment, tmp_path):
    damaged = tmp_path / "damaged.keras"
    damaged.write_bytes(b"PK\x03\x04 nothing of use")
    finished = run_experiment("cluster", "with", f"model={damaged}")
    assert_refused(finished, str(damaged), "is damaged", "copy it again")
    assert "Started" not in finished.stderr


def test_network_without_units_is_refused(run_experiment, tmp_path):
    path = tmp_path / "flat.keras"
    keras.Sequential([keras.Input((4, 4, 1)), keras.layers.Flatten()]).save(path)
    finished = run_experiment("cluster", "with", f"model={path}")
    assert_refused(finished, "has no weights between units", "at least one dense layer")


def test_unreachable_server_is_named_without_its_password(run_experiment):
    url = "mongodb://someone:secret@127.0.0.1:1"
    finished = run_experiment("train", "with", "fast", MONGO_URL=url)
    assert_refused(finished, "127.0.0.1:1", "MONGO_URL", status=SERVER_AWAY)
    assert "secret" not in finished.stdout + finished.stderr

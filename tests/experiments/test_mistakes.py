"""What users do wrong: refused in one line, before any computing."""

import keras
import pytest
from sacred.arg_parser import get_config_updates

from experiments import train
from nn_clustering.errors import NnClusteringError


def assert_refused(finished, *expected):
    """One line that starts with Error, and names what is expected; no traceback."""
    assert finished.returncode == 1
    assert "Traceback" not in finished.stderr
    errors = [line for line in finished.stderr.splitlines() if line.startswith("Error: ")]
    assert len(errors) == 1, finished.stderr
    for text in expected:
        assert text in errors[0]


def _condition(**changes):
    """The update that gives a study one condition, right but for the changes."""
    condition = {"name": "A", "train": ["fast"], "seeds": [0], "phases": ["unpruned"]}
    return f"conditions={[{**condition, 'n_clusters': 2, 'n_shuffles': 1, **changes}]}"


@pytest.mark.parametrize(
    ("experiment", "arguments", "expected"),
    [
        ("train", ["mpl"], ["'mpl' is no named config of train", "did you mean mlp?"]),
        ("train", ["training.epoch=3"], ["training.epoch=3", "training.epochs"]),
        ("train", ["trainin.epochs=3"], ["trainin.epochs=3", "training.epochs"]),
        ("train", ["training.epochs=many"], ["training.epochs='many'", "an integer"]),
        ("train", ["training=3"], ["training=3"]),
        ("train", ["training.epochs=0"], ["training.epochs=0", "1 or more"]),
        ("train", ["training.batch_size=5000"], ["training.batch_size=5000", "1 to 1433"]),
        ("train", ["network.kind=rnn"], ["network.kind='rnn'", "mlp, cnn, vgg"]),
        ("train", ["network.hidden_units=[0]"], ["network.hidden_units=[0]"]),
        ("train", ["seed=-1"], ["seed=-1"]),
        ("train", ["dataset.name=imagenet"], ["dataset.name='imagenet'"]),
        ("train", ["penalty.l1_rate=1e-4"], ["penalty.l1_rate=0.0001", "penalty.l1=False"]),
        ("train", ["augmentation.rotation=90"], ["augmentation.enabled=False"]),
        ("train", ["untrained", "training.epochs=3"], ["training.epochs=3", "enabled=False"]),
        ("pipeline", ["train.pruning.epochs=3"], ["pruning.epochs=3", "pruning.enabled=False"]),
        ("train", ["network.conv_filters=[8]"], ["conv_filters=[8] changes nothing", "kind=mlp"]),
        (
            "train",
            ["clusterability_gradient", "clusterability_gradient.norm_by_threshold=True"],
            ["norm_by_threshold=True changes nothing without pruning", "add pruned"],
        ),
        ("shuffle_test", ["stop_early.stop_at=3"], ["stop_at=3", "stop_early.enabled=False"]),
        ("lesion", ["double.overlap=True"], ["double.overlap=True", "double.enabled=False"]),
        ("random_init", ["modular_init.down=0.5"], ["down=0.5", "modular_init.enabled=False"]),
        ("pipeline", ["lesion.double.overlap=True"], ["overlap=True", "double.enabled=False"]),
        ("pipeline", ["shuffle_test.stop_early.stop_at=3"], ["stop_at=3", "enabled=False"]),
        ("study", ["fast", "seed=3"], ["seed=3 changes nothing", "seeds of its conditions"]),
        ("train", ["resume=999"], ["resume=999", "no run 999"]),
        ("train", ["resume=1", "n_repeats=2"], ["resume=1 n_repeats=2"]),
        ("train", ["n_repeats=0"], ["n_repeats=0"]),
        ("random_init", ["n_networks=1"], ["n_networks=1", "2 or more"]),
        ("pipeline", ["poly", "double"], ["double.enabled=True", "poly"]),
        ("pipeline", ["untrained", "pruned"], ["pruning.enabled=True"]),
        ("train", ["pruned", "pruning.final_sparsity=1.0"], ["1.0", "final_sparsity < 1"]),
        ("cluster", [], ["train_run=None model=None", "train_run=ID"]),
        ("cluster", ["train_run=999"], ["train_run=999", "no run 999"]),
        ("cluster", ["train_run=lates"], ["train_run=lates", "'latest'"]),
        ("cluster", ["model=nothing.keras"], ["nothing.keras", "not there"]),
        ("cluster", ["train_run=1", "n_clusters=1"], ["n_clusters=1", "2 or more"]),
        ("cluster", ["train_run=1", "graph.kernel_norm=l7"], ["kernel_norm='l7'", "frobenius"]),
        ("cluster", ["train_run=1", "kmeans.select=best"], ["select='best'"]),
        ("shuffle_test", [], ["cluster_run=None"]),
        ("shuffle_test", ["cluster_run=1", "method=rows"], ["method='rows'", "layer_nonzero"]),
        ("shuffle_test", ["cluster_run=1", "n_shuffles=1"], ["n_shuffles=1", "2 or more"]),
        ("lesion", ["cluster_run=999"], ["cluster_run=999"]),
        ("lesion", ["cluster_run=1", "silence=noise"], ["silence='noise'", "output, weights"]),
        ("cluster", ["model=3"], ["model=3", ".keras"]),
        ("pipeline", ["dataset.name=digits"], ["train.dataset.name"]),
        ("pipeline", ["cluster.n_clusters=1"], ["n_clusters=1", "2 or more"]),
        ("pipeline", ["cluster.phase=pruned"], ["cluster.phase=pruned", "unpruned"]),
        ("pipeline", ["figures_folder=/proc/nowhere"], ["figures_folder=/proc/nowhere"]),
        ("train", ["/no_such_file.yaml"], ["no_such_file.yaml", "no named config"]),
        ("study", ["conditions=[1]"], ["conditions: 1", "configs/study/default.yaml"]),
        ("study", [], ["named config"]),
        ("study", ["conditions=[{'name': 'A'}]"], ["has no train, seeds"]),
        ("study", [_condition(train=["mpl"])], ["'mpl'", "did you mean mlp?"]),
        ("study", [_condition(train=["mlp", "cnn"])], ["mlp and cnn both set network.kind"]),
        ("study", [_condition(train=["untrained", "pruned"])], ["pruning.enabled=True", "only"]),
        ("study", [_condition(phases=["pruned"])], ["phases=['pruned']", "unpruned"]),
        ("study", [_condition(n_clusters=1)], ["n_clusters=1"]),
        ("study", [_condition(n_shuffles=1)], ["n_shuffles=1"]),
        ("train", ["reuse=maybe"], ["reuse='maybe'", "True or False"]),
        ("train", ["tags=[a,b]"], ["tags='[a,b]'", "tags=\"['first','second']\""]),
        ("pipeline", ["train.tags=a"], ["train.tags='a'", "no such key"]),
    ],
)
def test_mistake_is_refused_in_one_line(run_experiment, store, experiment, arguments, expected):
    finished = run_experiment(experiment, *(["with", *arguments] if arguments else []))
    assert_refused(finished, *expected)
    # Where a run had begun it is FAILED; none is left running.
    assert store.find(status="RUNNING") == []


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


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["-b", "0"], "-b 0: expected seconds above 0"),
        (["-i", "mine"], "leave out -i"),
        (["-m", "x"], "MONGO_URL"),
    ],
)
def test_options_that_would_lose_runs_are_refused(run_experiment, options, expected):
    assert_refused(run_experiment("train", *options, "with", "fast"), expected)


def test_run_of_another_stage_is_refused_before_a_run_begins(run_experiment, runs, store):
    newest = store.find(limit=1)[0].id
    train_id, cluster_id = runs["train"].id, runs["cluster"].id
    finished = run_experiment("cluster", "with", f"train_run={cluster_id}")
    assert_refused(finished, f"run {cluster_id} is a 'cluster' run", "expected a 'train' run")
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
    assert_refused(finished, "127.0.0.1:1", "MONGO_URL")
    assert "secret" not in finished.stdout + finished.stderr

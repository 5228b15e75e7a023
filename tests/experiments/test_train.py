"""The stage ``train`` as users type it: conditions together, checkpoints, going on, repetitions."""

import keras
import numpy as np
import pytest
import yaml

from nn_clustering.datasets import dataset_names, load_dataset
from nn_clustering.graphs import graph_from_weights
from nn_clustering.networks import network_of_run
from nn_clustering.partitions import Partition, ncut
from tests.experiments.conftest import identity_of
from tests.programs import PROJECT

CONFIGS = PROJECT / "configs" / "train"
OWN_NETWORK = """
import keras

def two_paths(input_shape, n_outputs):
    inputs = keras.Input(input_shape)
    flat = keras.layers.Flatten()(inputs)
    paths = [keras.layers.Dense(6, "relu")(flat) for _ in range(2)]
    outputs = keras.layers.Dense(n_outputs, "softmax")(keras.layers.Concatenate()(paths))
    return keras.Model(inputs, outputs)
"""


def completed(finished, store):
    assert finished.returncode == 0, finished.stderr
    assert "Traceback" not in finished.stderr
    return store.run(finished.run_id, experiment="train")


def assert_equal_networks(one, other):
    for ours, theirs in zip(one.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.fixture(scope="module")
def many_conditions(run_experiment, store):
    """A training under half of all conditions, with a checkpoint after every epoch."""
    conditions = ["mlp", "fast", "dropout", "l1", "l2", "pruned", "modular_init", "augmented"]
    arguments = [*conditions, "checkpoints", "dataset.name=halves_digits", "seed=4"]
    return completed(run_experiment("train", "with", *arguments), store)


def test_conditions_combine_by_name(many_conditions):
    run = many_conditions
    assert run.result["sparsity"] == pytest.approx(0.9, abs=0.01)
    assert run.result["unpruned"]["sparsity"] < 0.01
    assert run.info["device"]
    network = network_of_run(run, "pruned")
    assert network.input_shape == (None, 8, 8, 1)
    assert [layer.name for layer in network.layers if "dropout" in layer.name]
    penalty = run.metric("unpruned.train.penalty")
    assert penalty["step"].tolist() == [1, 2]
    assert (penalty["value"] > 0).all()
    for phase in ("unpruned", "pruned"):
        for epoch in (1, 2):
            assert f"{phase}.epoch_{epoch}.keras" in run.artifacts
            assert f"{phase}.epoch_{epoch}.checkpoint.npz" in run.artifacts
        assert_equal_networks(network_of_run(run, phase), network_of_run(run, f"{phase}.epoch_2"))
    assert "learning_curves.png" in run.artifacts


def test_modular_initialisation_is_that_of_the_study(many_conditions):
    """The first weights are Glorot-uniform, those between modules smaller, within them larger."""
    network = network_of_run(many_conditions, "unpruned.epoch_0")
    glorot = [np.sqrt(6 / sum(layer.kernel.shape)) for layer in network.layers if layer.weights]
    first, second, _ = (layer.kernel.numpy() for layer in network.layers if layer.weights)
    assert np.abs(first).max() < glorot[0]
    outside = np.abs(second) > 0.6 * glorot[1]
    assert 0.03 < outside.mean() < 0.15  # a tenth is within modules, most of it beyond 0.6
    assert np.abs(second).max() > 3 * glorot[1]


def test_ncut_is_followed_over_training(many_conditions, run_experiment, store):
    arguments = [f"train_run={many_conditions.id}", "phase=unpruned", "n_clusters=3"]
    finished = run_experiment("cluster", "with", "checkpoint=1", *arguments)
    assert finished.returncode == 0, finished.stderr
    clustered = store.run(finished.run_id, experiment="cluster")
    network = network_of_run(many_conditions, "unpruned.epoch_1")
    partition = Partition.from_npz(clustered.artifact("partition.npz"))
    assert clustered.result["ncut"] == ncut(graph_from_weights(network), partition.labels)
    assert clustered.info["network"] == "unpruned.epoch_1.keras"
    finished = run_experiment("lesion", "with", "fast", f"cluster_run={clustered.id}")
    assert finished.returncode == 0, finished.stderr
    lesioned = store.run(finished.run_id, experiment="lesion")
    dataset = load_dataset("halves_digits")
    predicted = network.predict(dataset.x_test, verbose=0).argmax(axis=1)
    assert lesioned.result["accuracy"] == pytest.approx((predicted == dataset.y_test).mean())

    finished = run_experiment("cluster", "with", "checkpoint=7", *arguments)
    assert finished.returncode == 1
    assert "checkpoint=7 phase=unpruned" in finished.stderr
    assert "has those of the epochs unpruned 0, 1, 2; pruned 1, 2" in finished.stderr


@pytest.mark.parametrize("phase", ["unpruned", "pruned"])
def test_killed_training_goes_on_to_the_same_end(run_experiment, store, killed_run, phase):
    """Killed in either phase, it ends bit for bit as the one that nobody killed."""
    arguments = [
        "mlp", "fast", "digits", "dropout", "pruned", "training.epochs=9", "pruning.epochs=9",
        "training.checkpoint_every=3", "training.batch_size=16",
    ]  # fmt: skip
    # the same training on its own, told apart by its tag; a second time it is not run again
    completed(run_experiment("train", "with", *arguments, "tags=whole"), store)
    # the first: one that went on to the same end is used in its place, and gets its tag
    whole = store.find(experiment="train", tags=["whole"])[-1]
    after = ("artifact", rf"^{phase}\.epoch_3\.checkpoint\.npz$", 1)
    killed = killed_run("train", *arguments, "reuse=False", after=after)
    # In its place the whole one would be used.
    options = [f"resume={killed.id}", "reuse=False"]
    resumed = completed(run_experiment("train", "with", *options), store)
    killed = store.run(killed.id, status="DIED")
    assert f"{phase}.epoch_9.keras" not in killed.artifacts
    assert killed.info["inputs"] == whole.info["inputs"]
    assert resumed.id not in (killed.id, whole.id)
    assert resumed.lineage == {"resume": killed.id}
    assert resumed.result == whole.result
    assert identity_of(store, resumed) == identity_of(store, whole)
    for name in ("unpruned", "pruned", "unpruned.epoch_3", "pruned.epoch_6"):
        assert_equal_networks(network_of_run(resumed, name), network_of_run(whole, name))
    for name in ("unpruned.train.loss", "pruned.test.accuracy"):
        ours, theirs = resumed.metric(name), whole.metric(name)
        assert ours[["step", "value"]].equals(theirs[["step", "value"]])
    ours, theirs = (
        sorted(name for name in run.artifacts if not name.startswith("config."))
        for run in (resumed, whole)
    )
    assert ours == theirs
    # the config is the killed run's, but for what the run says of itself
    differing = {key for key in whole.config if whole.config[key] != resumed.config[key]}
    assert differing <= {"resume", "reuse", "tags"}

    finished = run_experiment("train", "with", f"resume={killed.id}", "training.epochs=3")
    assert finished.returncode == 1
    assert "training.epochs" in finished.stderr
    finished = run_experiment("train", "with", f"resume={whole.id}")
    assert finished.returncode == 1
    assert f"resume={whole.id}" in finished.stderr

    if phase == "pruned":  # one that goes on with another is gone on with, too
        ended = {"$set": {"status": "INTERRUPTED"}}
        store.database["runs"].update_one({"_id": resumed.id}, ended)
        options = [f"resume={resumed.id}", "reuse=False"]
        again = completed(run_experiment("train", "with", *options), store)
        assert again.lineage == {"resume": resumed.id}
        assert again.result == whole.result


def test_training_without_checkpoints_cannot_go_on(run_experiment, store):
    finished = run_experiment("train", "with", "fast", "training.learning_rate=1e30")
    assert finished.returncode == 1
    assert "epoch 1 of the unpruned phase diverged" in finished.stderr
    assert "Traceback" not in finished.stderr
    failed = store.find(experiment="train", status="FAILED", limit=1)[0]
    finished = run_experiment("train", "with", f"resume={failed.id}")
    assert finished.returncode == 1
    assert "has no checkpoint to go on from" in finished.stderr


@pytest.mark.parametrize(
    ("conditions", "phases", "input_shape"),
    [
        (["mlp", "untrained", "modular_init"], ["untrained"], (8, 8, 1)),
        (["regression_mlp", "dataset.n_train=640", "dataset.n_test=64"], ["unpruned"], (2,)),
        (["vgg", "digits", "augmented", "pruned"], ["unpruned", "pruned"], (8, 8, 1)),
        (["cnn", "digits", "tanh", "three_channels"], ["unpruned"], (8, 8, 3)),
        (["mlp", "clusterability_gradient", "pruned"], ["unpruned", "pruned"], (8, 8, 1)),
        (["mlp", "digits", "network.precision=mixed_bfloat16"], ["unpruned"], (8, 8, 1)),
    ],
)
def test_networks_and_conditions(run_experiment, store, conditions, phases, input_shape):
    arguments = [*conditions, "fast", "training.checkpoint_every=None"]
    run = completed(run_experiment("train", "with", *arguments), store)
    assert list(run.result)[: len(phases)] == phases
    network = network_of_run(run, phases[-1])
    assert network.input_shape == (None, *input_shape)
    assert {layer.dtype_policy.name for layer in network.layers} == {"float32"}
    dataset = load_dataset(**run.config["dataset"])
    predicted = network.predict(dataset.x_test, verbose=0)
    if dataset.task == "regression":
        assert run.result["test_accuracy"] is None
        expected = ((predicted - dataset.y_test) ** 2).mean()
        assert run.result["test_loss"] == pytest.approx(expected, rel=1e-3)
        assert run.metric("unpruned.test.loss")["step"].tolist() == [1, 2]
    else:
        accuracy = (predicted.argmax(axis=1) == dataset.y_test).mean()
        # in bfloat16 a few close decisions are others
        assert run.result["test_accuracy"] == pytest.approx(accuracy, abs=0.03)
    if "clusterability_gradient" in conditions:
        values = run.metric("pruned.train.clusterability")["value"]
        assert ((values > 0) & (values < 0.2)).all()


def test_network_of_ones_own_by_its_dotted_name(run_experiment, store, tmp_path):
    (tmp_path / "my_networks.py").write_text(OWN_NETWORK)
    options = {"PYTHONPATH": f"{PROJECT}:{tmp_path}"}
    arguments = ["with", "fast", "digits", "checkpoints", "network.kind=my_networks.two_paths"]
    run = completed(run_experiment("train", *arguments, **options), store)
    assert [layer.name for layer in network_of_run(run, "unpruned").layers].count(
        "concatenate"
    ) == 1
    assert run.artifact("network_code.py").decode() == OWN_NETWORK
    # equal code is not run again, changed code is
    finished = run_experiment("train", *arguments, **options)
    assert f"using train run {run.id}" in finished.stdout
    (tmp_path / "my_networks.py").write_text(OWN_NETWORK.replace("Dense(6", "Dense(7"))
    assert completed(run_experiment("train", *arguments, **options), store).id != run.id
    # nor is an unfinished run gone on with as another network
    store.database["runs"].update_one({"_id": run.id}, {"$set": {"status": "FAILED"}})
    finished = run_experiment("train", "with", f"resume={run.id}", **options)
    assert finished.returncode == 1
    assert f"resume={run.id}: the code of network.kind=my_networks.two_paths" in finished.stderr


def test_repetitions_are_runs_of_their_own(run_experiment, store):
    arguments = ["with", "mlp", "fast", "digits", "seed=40", "n_repeats=2"]
    finished = run_experiment("train", *arguments)
    assert finished.returncode == 0, finished.stderr
    found = store.find(experiment="train", status="COMPLETED", config={"seed": (">=", 40)})
    runs = [run for run in found if run.config["seed"] < 50]  # others are of other tests
    assert sorted(run.config["seed"] for run in runs) == [40, 41]
    assert {run.config["n_repeats"] for run in runs} == {1}
    for run in runs:
        assert f"{run.result['test_accuracy']:.4f}" in finished.stdout
    alone = run_experiment("train", "with", "mlp", "fast", "digits", "seed=41")
    (same,) = (run for run in runs if run.config["seed"] == 41)
    assert f"using train run {same.id}" in alone.stdout


@pytest.mark.parametrize("path", sorted(CONFIGS.rglob("*.yaml")), ids=lambda path: path.stem)
def test_named_data_set_exists(path):
    name = yaml.safe_load(path.read_text()).get("dataset", {}).get("name")
    assert name is None or name in dataset_names()


def test_networks_of_the_studies_have_their_sizes():
    """Numbers of weights by hand."""
    from experiments.train import experiment
    from nn_clustering.networks import build_network

    vgg, channels = 512 * 512 + 3 * 512 + 512 * 512 + 512 + 5130, 3
    for filters in [64] * 2 + [128] * 2 + [256] * 3 + [512] * 6:
        vgg += 9 * channels * filters + 3 * filters  # bias, gamma and beta
        channels = filters
    sizes = {
        "mlp": ((28, 28, 1), 784 * 256 + 3 * 256 * 256 + 256 * 10 + 4 * 256 + 10),
        "small_mlp": ((7, 7, 1), 49 * 64 + 2 * 64 * 64 + 64 * 10 + 3 * 64 + 10),
        "cnn": ((28, 28, 1), 9 * (64 + 2 * 64 * 64) + 3 * 64 + 49 * 64 * 128 + 128 + 1290),
        "vgg": ((32, 32, 3), vgg),
    }
    for name, (input_shape, n_weights) in sizes.items():
        network = build_network(
            input_shape=input_shape,
            n_outputs=10,
            seed=0,
            **experiment.full_config([name])["network"],
        )
        assert isinstance(network, keras.Model)
        assert sum(int(np.prod(weight.shape)) for weight in network.trainable_weights) == (
            n_weights
        ), name

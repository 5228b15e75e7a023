"""Every run is found by data set, network, conditions and training seed, in what it began with."""

import contextlib
import io

import pytest
import yaml

from experiments import ABOUT
from experiments._about import CONDITIONS, about_clustering, conditions
from experiments.train import experiment as train
from nn_clustering.networks import build_network
from nn_clustering.tracking.command_line.main import main
from tests.docs.snippets import blocks_of
from tests.experiments.test_named_configs import CONFIGS, EXPERIMENTS

# Named configs that change how a training is followed, or several things at once.
NO_CONDITIONS = {"checkpoints", "overfitting"}


def test_every_condition_of_a_training_has_a_name():
    files = {path.stem: path for path in (CONFIGS / "train" / "conditions").glob("*.yaml")}
    assert set(files) - NO_CONDITIONS == set(CONDITIONS)
    for name in CONDITIONS:
        assert conditions(train.full_config([name])) == name
        for key, value in yaml.safe_load(files[name].read_text()).items():
            assert CONDITIONS[name][0].startswith(f"{key}.")
            assert CONDITIONS[name][1] in value.values()
    assert conditions(train.full_config([])) == ""
    assert conditions(train.full_config(["pruned", "dropout", "l2"])) == "dropout, l2, pruned"


def test_what_is_declared_are_stages():
    assert set(ABOUT) <= set(EXPERIMENTS)  # one that is not among them inherits all the same


def test_stages_of_a_study_are_about_their_training(runs, store):
    groups = {
        group: {key: value for key, value in settings.items() if value is not None}
        for group, settings in runs["train"].config.items()
        if group in ("dataset", "network")
    }
    for run in runs.values():
        assert run.about == {**groups, "conditions": "pruned", "training_seed": 3}
    asked = {"dataset.name": "digits", "network.kind": "mlp", "conditions": "pruned"}
    found = store.find(config={**asked, "training_seed": 3}).ids
    assert {run.id for run in runs.values()} <= set(found)
    assert store.count(experiment="cluster", config={"dataset.name": "mnist"}) == 0


def test_reports_on_clusterings_are_about_what_these_share(run_experiment, runs, store):
    clustered = runs["cluster"]
    finished = run_experiment(
        "cluster", "with", f"train_run={runs['train'].id}", "n_clusters=3", "stability.n_seeds=0"
    )
    assert finished.returncode == 0, finished.stderr
    for stage, keys in (
        ("choose_k", [f"cluster_run={clustered.id}", "k_max=4"]),
        ("agreement", [f"cluster_run={clustered.id}", f"other_run={finished.run_id}"]),
    ):
        reported = run_experiment(stage, "with", "fast", *keys)
        assert reported.returncode == 0, reported.stderr
        assert store.run(reported.run_id, experiment=stage).about == runs["train"].about


def test_network_from_a_file_says_its_file_and_what_is_known(run_experiment, store, tmp_path):
    path = tmp_path / "my network.keras"
    build_network("mlp", (8, 8, 1), 10, hidden_units=[16, 16], conv_filters=[], seed=0).save(path)
    finished = run_experiment(
        "cluster", "with", f"model={path}", "n_clusters=3", "stability.n_seeds=0"
    )
    assert finished.returncode == 0, finished.stderr
    clustered = store.run(finished.run_id, experiment="cluster")
    assert clustered.about == {
        "network": {"kind": "my network.keras", "sha256": clustered.info["inputs"]["network"]}
    }
    arguments = [f"cluster_run={clustered.id}", "dataset.name=digits"]
    lesioned = run_experiment("lesion", "with", "fast", *arguments)
    assert lesioned.returncode == 0, lesioned.stderr
    asked = {"network.kind": "my network.keras"}
    assert store.find(config=asked).ids == [lesioned.run_id, clustered.id]
    assert store.find(config={**asked, "dataset.name": "digits"}).ids == [lesioned.run_id]


def test_data_set_of_its_samples_is_known_of_a_file():
    config = {"model": "folder/a.keras", "dataset": {"name": "mnist"}}
    about = about_clustering(config, {"inputs": {"network": "digest"}})
    assert about == {
        "network": {"kind": "a.keras", "sha256": "digest"}, "dataset": {"name": "mnist"},
    }  # fmt: skip


@pytest.fixture
def of_the_store(store, home, monkeypatch):
    """The environment by which commands and snippets find the tests' runs."""
    server = store.database.client
    monkeypatch.delenv("MONGO_URL", raising=False)
    monkeypatch.setenv("NN_CLUSTERING_HOME", str(home))
    monkeypatch.setenv("MONGO_DB", store.database.name)
    return server


def printed_by(function, *arguments):
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        function(*arguments)
    return said.getvalue()


def test_examples_of_the_readme_find_runs(runs, store, of_the_store):
    blocks = blocks_of("README.md")
    (commands,) = [block.text for block in blocks if "tracking list" in block.text]
    (line,) = [line for line in commands.splitlines() if " list " in line]
    assert "--config dataset.name=digits" in line
    found = printed_by(lambda: main(line.split()[3:]))
    assert runs["cluster"].id in [int(row.split()[0]) for row in found.splitlines()[1:-1]]
    (snippet,) = [block.text for block in blocks if block.language == "python"]
    variables = {}
    printed_by(exec, compile(snippet, "README.md", "exec"), variables)
    assert runs["cluster"].id in variables["runs"].ids

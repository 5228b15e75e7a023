"""A study as a user runs it: planned, computed by workers, and not again."""

import contextlib
import io
import sys
import uuid
from types import SimpleNamespace

import pandas
import pytest
import yaml

from experiments import study
from nn_clustering import studies
from nn_clustering.errors import InvalidInputError
from nn_clustering.studies._cell_orders import Snapshot
from nn_clustering.tracking import RunStore, Server, connect
from tests.programs import PROJECT, environment, run_warm

STEPS = [
    {
        "name": "train",
        "configs": ["cnn", "digits", "fast"],
        "config": {"training": {"epochs": 1}, "network": {"conv_filters": [4, 4]}},
        "seeds": [0],
    },
    {
        "name": "cluster",
        "of": "train",
        "config": {"stability": {"n_seeds": 0}},
        "grid": {"n_clusters": [2, 3]},
    },
]
# The network and a clustering as a user computes them, one after the other.
ALONE = {
    "train": ("cnn", "digits", "fast", "training.epochs=1", "network.conv_filters=[4,4]"),
    "cluster": ("n_clusters=3", "stability.n_seeds=0"),
}
PLAN = """
step     runs  stored  to do  estimate
train       1       0      1  unknown
cluster     2       0      2  unknown
0 of 3 runs are stored; what the rest takes cannot be told: no run of these stages is stored

"""


@pytest.fixture(scope="module")
def spec(tmp_path_factory):
    """A study of one's own."""
    path = tmp_path_factory.mktemp("specs") / "my_study.yaml"
    path.write_text(yaml.safe_dump({"steps": STEPS}))
    return path


@pytest.fixture(scope="module")
def own_store(embedded_server, home):
    """A store in which there are no other runs, and the environment of commands with it."""
    name = f"test_{uuid.uuid4().hex}"
    database = connect(Server(embedded_server.url, name, embedded=True))
    yield RunStore(database, home), environment(home, MONGO_DB=name)
    database.client.drop_database(name)
    database.client.close()


@pytest.fixture(scope="module")
def run_study(spec, own_store):
    def run(*arguments):
        program = PROJECT / "experiments" / "study.py"
        finished = run_warm([program, "with", spec, *arguments], own_store[1], computes=True)
        assert finished.returncode == 0, finished.stdout + finished.stderr
        return finished.stdout

    return run


@pytest.fixture(scope="module")
def told_beforehand(run_study, own_store):
    """What is told of the study beforehand, and how many runs there are then."""
    return run_study("dry_run=True"), own_store[0].count(status=None)


@pytest.fixture(scope="module")
def computed(told_beforehand, run_study, own_store):
    """The store once the study is computed, by two workers side by side."""
    run_study("n_workers=2", "tags=first")
    return own_store[0]


def test_a_planned_study_is_told_and_leaves_nothing(told_beforehand):
    assert told_beforehand == (PLAN, 0)


def test_every_cell_is_one_run(computed):
    whole = computed.run("latest", experiment="study")
    assert whole.result == {"n_cells": 3, "n_stored_before": 0, "n_computed": 3}
    cells = pandas.read_csv(io.BytesIO(whole.artifact("cells.csv")))
    assert cells["state"].tolist() == ["completed"] * 3
    assert set(whole.info["lineage"].values()) == set(cells["run"])
    for cell in cells.to_dict("records"):
        run = computed.run(cell["run"], experiment=cell["stage"])
        assert (run.config["seed"], run.config["n_threads"]) == (cell["seed"], 1)
        assert list(run.tags) == ["first"]
    trained, *clustered = map(computed.run, cells["run"])
    assert {run.lineage["train_run"] for run in clustered} == {trained.id}
    assert trained.config["training"]["checkpoint_every"] == 5


def test_runs_side_by_side_give_bit_for_bit_what_one_alone_gives(computed, run_experiment, store):
    alone, linked = [], []
    for stage, words in ALONE.items():
        finished = run_experiment(stage, "with", *words, "n_threads=1", "reuse=False", *linked)
        assert finished.returncode == 0, finished.stderr
        alone.append(store.run(finished.run_id))
        linked = [f"train_run={finished.run_id}"]
    (trained,) = computed.find(experiment="train")
    (clustered,) = computed.find(config={"n_clusters": 3})
    assert [trained.result, clustered.result] == [run.result for run in alone]
    for name in ("graph.npz", "partition.npz"):
        assert clustered.artifact(name) == alone[1].artifact(name)


def test_again_nothing_is_computed_and_runs_get_new_tags(computed, run_study, spec):
    told = run_study("tags=second")
    assert "3 of 3 runs are stored; there is nothing to compute" in told
    assert f"next: python experiments/report.py with {spec}\n" in told
    assert computed.count(experiment=["train", "cluster"]) == 3
    assert computed.count(experiment=["train", "cluster"], tags=["first", "second"]) == 3
    assert computed.run("latest", experiment="study").result["n_stored_before"] == 3


def test_without_dask_it_is_said_what_installs_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(InvalidInputError, match="not installed; type make install-study"):
        study.check_installed()


def cells_of(**changes):
    config = {**study.experiment.full_config([]), "steps": STEPS, **changes}
    stages = study.stages_of(config)
    cells = studies.cells_of(study.study_of(config, ["my_study"]), stages)
    return [studies.full_config(cell, stages, 7) for cell in cells]


def test_keys_of_the_study_reach_its_runs():
    changes = {"n_threads": 2, "checkpoint_every": 3, "reuse": False, "tags": ["mine"]}
    for config in cells_of(**changes):
        assert [config[key] for key in ("n_threads", "reuse", "tags")] == [2, False, ["mine"]]
        if "training" in config:
            assert config["training"]["checkpoint_every"] == 3


def test_a_training_keeps_its_own_checkpoints_and_an_untrained_network_has_none():
    own = {**STEPS[0], "config": {"training": {"checkpoint_every": 2}}}
    assert cells_of(steps=[own])[0]["training"]["checkpoint_every"] == 2
    untrained = {**STEPS[0], "configs": ["mlp", "digits", "untrained"], "config": {}}
    assert cells_of(steps=[untrained])[0]["training"]["checkpoint_every"] is None


@pytest.fixture
def planned(monkeypatch):
    """Plans a study of one's own, of which nothing is stored, in a run that has begun."""
    cells = {"first": studies.StoredCell(5, 1.0, None)}
    monkeypatch.setattr(studies, "find_completed", lambda *given: cells)
    monkeypatch.setattr(studies, "without_changed_inputs", lambda found, *others: found)
    monkeypatch.setattr(studies.Costs, "read", lambda *given: studies.Costs({}, {"cluster": 7.0}))

    def planned(**changes):
        config = {**study.experiment.full_config([]), "steps": STEPS, **changes}
        run = SimpleNamespace(
            config=config,
            named_configs=("my_study",),
            id=3,
            store=SimpleNamespace(database=None),
            context=SimpleNamespace(surroundings=SimpleNamespace(terminal=None)),
            sacred_run=SimpleNamespace(experiment_info={"base_dir": str(PROJECT)}),
            add_config_files=lambda files: None,
            await_stored_program=lambda: None,
            uncaptured=contextlib.nullcontext,
        )
        return run, study.plan_of(run)

    return planned


def test_keys_reach_where_cells_are_computed(planned, monkeypatch):
    reached = {}

    def workplace(**given):
        reached.update(given)
        return contextlib.nullcontext("client")

    def carry_out(client, cells, order_of, **given):
        order = order_of(cells[0], None)
        reached.update(given, order=order, seconds=given["seconds_of"](cells[-1]))

    monkeypatch.setattr(studies, "snapshot_of", lambda *given: Snapshot(3, "5d"))
    monkeypatch.setattr(study, "store_id", lambda database: "store")
    monkeypatch.setattr(studies, "workplace", workplace)
    monkeypatch.setattr(studies, "carry_out", carry_out)
    keys = {"n_threads": 2, "n_workers": 3, "scheduler": "tcp://a:1", "scheduler_file": "b.json"}
    large = {**STEPS[0], "needs": {"memory_mb": 9000}}
    run, plan = planned(**keys, max_attempts=4, reuse=False, steps=[large, STEPS[1]])
    study._carry_out(run, plan, {})
    assert {key: reached[key] for key in keys} == keys
    assert (reached["memory_mb"], reached["max_attempts"], reached["seconds"]) == (9000, 4, 7.0)
    order = reached["order"]
    assert (order["reuse"], order["max_resumed"], order["n_threads"]) == (False, 4, 2)


def test_stored_runs_are_looked_for_where_they_may_be_reused(planned):
    assert planned()[1].stored.keys() == {"first"}
    assert not planned(reuse=False)[1].stored


def test_a_study_is_called_by_its_first_named_config_or_file():
    assert study.study_name(["lesions", "quick"]) == "lesions"
    assert study.study_name(["quick", "folder/my_study.yaml"]) == "my_study"
    config = {**study.experiment.full_config([]), "steps": STEPS}
    assert study.study_of(config, ["my_study"]).title == "my study"
    assert study.study_of({**config, "title": "Of mine"}, ["my_study"]).title == "Of mine"


def test_files_are_found_from_wherever_workers_start(tmp_path, monkeypatch):
    (tmp_path / "data.npz").write_bytes(b"")
    monkeypatch.chdir(tmp_path)
    configs = [{"dataset": {"name": name}} for name in ("data.npz", "digits")]
    steps = [
        {"name": str(place), "stage": "train", "seeds": [0], "config": config}
        for place, config in enumerate(configs)
    ]
    names = [config["dataset"]["name"] for config in cells_of(steps=steps)]
    assert names == [str(tmp_path / "data.npz"), "digits"]
    quick = [{"name": "1", "config": configs[0]}]
    names = [c["dataset"]["name"] for c in cells_of(steps=steps, quick=quick, variant="quick")]
    assert names == [str(tmp_path / "data.npz")] * 2


def test_so_are_those_that_a_named_config_of_the_users_own_names(tmp_path, monkeypatch):
    (tmp_path / "data.npz").write_bytes(b"")
    monkeypatch.chdir(tmp_path)
    stages = study.stages_of(study.experiment.full_config([]))
    config = stages["train"].full_config([], {"dataset": {"name": "data.npz"}})
    found = stages.common("train", config)
    assert found["dataset"] == {"name": str(tmp_path / "data.npz")}
    assert found.keys() == {"dataset", "n_threads", "training", "reuse", "tags"}


@pytest.mark.parametrize(("gpu", "expected"), [(None, (2, 1)), (True, (1, 0)), (False, (0, 0))])
def test_trainings_have_a_gpu_each_where_that_is_asked(gpu, expected):
    steps = [{**step, "needs": {"gpu": n}} for step, n in zip(STEPS, (2, 1), strict=True)]
    config = {**study.experiment.full_config([]), "steps": steps, "gpu": gpu}
    cells = studies.cells_of(study.study_of(config, ["mine"]), study.stages_of(config))
    assert (cells[0].needs.gpu, cells[-1].needs.gpu) == expected


def test_files_that_a_run_reads_besides_are_looked_at_again(tmp_path):
    there, gone = tmp_path / "data.npz", tmp_path / "gone.npz"
    there.write_bytes(b"")
    assert study._names_file({"dataset": {"name": str(there)}})
    assert study._names_file({"files": ["mnist", str(tmp_path)]})
    assert not study._names_file({"dataset": {"name": "mnist"}, "model": str(gone), "seed": 3})

"""The table of optimised inputs as a stage, over runs that are put into a database by hand."""

import io
import uuid

import numpy as np
import pandas
import pytest
from sacred.arg_parser import get_config_updates

from experiments import visualisation_table
from nn_clustering.errors import NnClusteringError
from nn_clustering.tracking import RunStore, Server, connect
from tests.experiments.stored_studies import StoredStudy
from tests.programs import PROJECT, environment, run_warm


@pytest.fixture(scope="module")
def study(embedded_server, home):
    """Two networks of which inputs were optimised, in two ways of one, and a regression."""
    database = connect(Server(embedded_server.url, f"test_{uuid.uuid4().hex}", embedded=True))
    made = StoredStudy(database)
    for seed in (1, 2):
        trained = made.add("train", {"seed": seed}, ["mlp", "mnist", "pruned"])
        settings = {"seed": seed, "n_clusters": 12, "train_run": trained}
        clustered = made.add("cluster", settings, train_run=trained, phase="pruned")
        settings = {"seed": seed, "cluster_run": clustered, "tags": ["study"]}
        made.visualise(f"mlp {seed}", {**settings, "random_inputs": seed}, clustered, shift=0.5)
    settings |= {"ascent": {"n_steps": 64}, "tags": []}
    made.visualise("short", settings, clustered)
    trained = made.add("train", {}, ["regression_mlp", "poly"])
    clustered = made.add("cluster", {"train_run": trained}, train_run=trained, phase="unpruned")
    made.visualise("poly", {"cluster_run": clustered}, clustered, entropy=False)
    yield made
    database.client.drop_database(database.name)
    database.client.close()


@pytest.fixture
def in_process(study, home, monkeypatch):
    """Makes a table in this process, untracked; returns its run."""
    monkeypatch.setenv("NN_CLUSTERING_HOME", str(home))
    monkeypatch.setenv("MONGO_DB", study.database.name)

    def run(*arguments):
        updates, named = get_config_updates(arguments)
        return visualisation_table.experiment.run(config_updates=updates, named_configs=named)

    return run


def test_as_a_user_runs_it(study, home):
    """By tag, as a program: the stored files, the result and what is printed say the same."""
    environ = environment(home, MONGO_DB=study.database.name)
    program = PROJECT / "experiments" / "visualisation_table.py"
    finished = run_warm([program, "with", "fast", "query.tags=['study']"], environ, computes=True)
    assert finished.returncode == 0, finished.stderr
    run = RunStore(study.database, home).run("latest", experiment="visualisation_table")
    ids = [study.ids[f"mlp {seed}"] for seed in (1, 2)]
    assert run.lineage == {"visualise_run_0": ids[0], "visualise_run_1": ids[1]}
    (row,) = run.result["conditions"]
    assert (row["condition"], row["n_networks"]) == ("mnist mlp", 2)
    results = [RunStore(study.database, home).run(one).result for one in ids]
    fisher = [result["entropy"]["fisher_p"] for result in results]
    assert row["entropy_fisher_p_mean"] == pytest.approx(np.mean(fisher))
    assert row["score_significant"] is True
    assert row["score_effect_each"] > row["score_effect_each_null_high"]
    csv = pandas.read_csv(io.BytesIO(run.artifact("visualisation_table.csv")))
    parquet = pandas.read_parquet(io.BytesIO(run.artifact("visualisation_table.parquet")))
    for table in (csv, parquet):
        (of_file,) = table.to_dict("records")
        assert of_file == pytest.approx(row, nan_ok=True)
    assert run.artifact("visualisation_table.md").decode() in finished.stdout
    assert "false discovery rate of 0.05 over 2 tests" in finished.stdout


def test_conditions(in_process, study):
    """All runs: other steps, and another data set, whose network has no entropy."""
    run = in_process("fast", "query.since=2024-05-01")
    rows = run.result["conditions"]
    assert [row["n_networks"] for row in rows] == [2, 1, 1]
    assert [row["condition"].split(" ")[0] for row in rows] == ["mnist", "mnist", "poly"]
    assert "n_steps=64" in rows[1]["condition"]
    assert [row["entropy_p"] is None for row in rows] == [False, False, True]
    assert run.result["n_tests"] == 5


def test_refused(in_process, study):
    """What all tables refuse, in the words of this one."""
    for argument, expected in (
        ("visualise_runs=[1]", "run 1 is a 'train' run; expected a 'visualise' run"),
        ("query.tags=['another']", "no completed visualise run answers to"),
        ("level=0.1", "visualise_runs=None with the query of nothing"),
    ):
        with pytest.raises(NnClusteringError, match=expected.replace("(", r"\(")):
            in_process(argument)
    short = study.ids["short"]
    older = {"$unset": {"result.score.joint_p_smallest": 1}}
    study.database["runs"].update_one({"_id": short}, older)
    with pytest.raises(NnClusteringError, match="what the visualise stage stores now"):
        in_process(f"visualise_runs=[{short}]")

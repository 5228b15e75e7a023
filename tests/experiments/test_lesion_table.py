"""The table of lesion tests as a stage, over runs that are put into a database by hand."""

import io
import uuid

import numpy as np
import pandas
import pytest
from sacred.arg_parser import get_config_updates

from experiments import lesion_table
from nn_clustering.errors import NnClusteringError
from nn_clustering.graphs import Layer
from nn_clustering.partitions import Partition
from nn_clustering.tracking import RunStore, Server, connect
from tests.experiments.stored_studies import StoredStudy
from tests.programs import PROJECT, environment, run_python, run_warm


@pytest.fixture(scope="module")
def study(embedded_server, home):
    """Three pruned networks lesioned with two k, one of them twice, and two own networks."""
    database = connect(Server(embedded_server.url, f"test_{uuid.uuid4().hex}", embedded=True))
    made = StoredStudy(database)
    for seed in (1, 2, 3):
        trained = made.add("train", {"seed": seed}, ["mlp", "mnist", "pruned"])
        for k in (16, 12):
            settings = {"seed": seed, "n_clusters": k, "train_run": trained}
            clustered = made.add("cluster", settings, train_run=trained, phase="pruned")
            tags = ["study"] if k == 16 else []
            settings = {"seed": seed, "cluster_run": clustered, "tags": tags}
            made.lesion(f"mlp {k} {seed}", settings, clustered, shift=0.05)
    for name in ("one", "two"):
        partition = Partition((Layer("a", 3), Layer("b", 2)), np.zeros(5, np.int32), 1)
        files = {"partition.npz": partition.to_npz()}
        clustered = made.add(
            "cluster", {"model": f"{name}.keras"}, files=files, inputs={"network": name * 20}
        )
        settings = {"cluster_run": clustered, "dataset": {"name": "digits"}}
        made.lesion(f"own {name}", settings, clustered, error=True)
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
        return lesion_table.experiment.run(config_updates=updates, named_configs=named)

    return run


def test_as_a_user_runs_it(study, home):
    """By tag, as a program: the stored files, the result and what is printed say the same."""
    environ = environment(home, MONGO_DB=study.database.name)
    program = PROJECT / "experiments" / "lesion_table.py"
    command = [program, "with", "fast", "query.tags=['study']"]
    finished = run_warm(command, environ, computes=True)
    assert finished.returncode == 0, finished.stderr
    store = RunStore(study.database, home)
    run = store.run("latest", experiment="lesion_table")
    ids = [study.ids[f"mlp 16 {seed}"] for seed in (1, 2, 3)]
    assert list(run.lineage.values()) == ids
    (row,) = run.result["conditions"]
    assert row["condition"] == "mnist mlp"
    assert row["runs"] == " ".join(map(str, ids))
    p_values = [store.run(one).result["importance"]["joint_p"] for one in ids]
    assert row["importance_joint_p_mean"] == pytest.approx(np.mean(p_values))
    assert row["importance_p"] < 0.05
    assert row["importance_significant"] is True
    csv = pandas.read_csv(io.BytesIO(run.artifact("lesion_table.csv")))
    parquet = pandas.read_parquet(io.BytesIO(run.artifact("lesion_table.parquet")))
    for table in (csv, parquet):
        (of_file,) = table.to_dict("records")
        assert of_file == pytest.approx(row, nan_ok=True)
    assert run.artifact("lesion_table.md").decode() in finished.stdout
    assert "false discovery rate of 0.05 over 2 tests" in finished.stdout
    again = run_python(["-X", "importtime", *command], environ)
    assert f"using lesion_table run {run.id}" in again.stdout
    assert run.artifact("lesion_table.md").decode() in again.stdout
    imported = {line.split("|")[-1].strip() for line in again.stderr.splitlines()}
    assert "sacred" in imported
    assert not {"tensorflow", "keras"} & imported


def test_conditions(in_process, study):
    """All runs: two k of one training condition, and own networks from files."""
    run = in_process("fast", "query.since=2024-05-01")
    rows = run.result["conditions"]
    assert [row["condition"] for row in rows] == [
        "mnist mlp, n_clusters=16",
        "mnist mlp, n_clusters=12",
        "digits 3-2, n_clusters=16",
    ]
    assert [row["n_networks"] for row in rows] == [3, 3, 2]
    assert rows[0]["accuracy"] == 0.9
    assert rows[0]["mean_squared_error"] is None
    assert rows[2]["mean_squared_error"] == 0.5
    assert run.result["n_tests"] == 6


def test_by_id(in_process, study):
    first, second = study.ids["mlp 16 2"], study.ids["mlp 12 1"]
    run = in_process("fast", f"lesion_runs=[{first},{second}]")
    assert [row["runs"] for row in run.result["conditions"]] == [str(first), str(second)]
    assert run.info["lineage"] == {"lesion_run_0": first, "lesion_run_1": second}
    run = in_process("fast", "lesion_runs=latest")
    assert run.config["lesion_runs"] == [study.ids["own two"]]


def test_nothing_significant(in_process, study, capsys):
    run = in_process("fast", f"lesion_runs=[{study.ids['own one']}]")
    assert run.result["critical_p"] == 0
    assert "over 2 tests (none is)" in capsys.readouterr().out


def test_conditions_of_a_query(in_process, study):
    run = in_process("fast", "query.config=['seed>=2','n_shuffles=99']", "query.limit=2")
    newest = [study.ids[f"mlp {k} 3"] for k in (16, 12)]
    assert list(run.info["lineage"].values()) == newest


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], ["lesion_runs=None with the query of nothing", "expected one of the two"]),
        (["lesion_runs=[7]", "query.tags=['study']"], ["lesion_runs=[7]", "'study'"]),
        (["query.tags=['another']"], ["no completed lesion run answers to", "another"]),
        (["lesion_runs=[{mlp 16 1},{mlp 16 1}]"], ["run {mlp 16 1} is named twice"]),
        (["lesion_runs=[]"], ["lesion_runs=[]: no run"]),
        (["lesion_runs=[1]"], ["run 1 is a 'train' run; expected a 'lesion' run"]),
        (["lesion_runs=[12345]"], ["there is no run 12345"]),
        (["lesion_runs=all"], ["'all' is no run"]),
        (["query.since=yesterday"], ["since='yesterday': expected a date"]),
        (["query.config=['n_shuffles']"], ["query.config n_shuffles: expected a key"]),
        (["lesion_runs=[{mlp 16 1}]", "level=0"], ["level=0; expected"]),
        (["lesion_runs=[{mlp 16 1}]", "n_resamples=1"], ["n_resamples=1; expected 2 or more"]),
    ],
)
def test_refused(in_process, study, arguments, expected):
    with pytest.raises(NnClusteringError) as refused:
        in_process(*(_filled(argument, study) for argument in arguments))
    message = str(refused.value)
    assert "\n" not in message
    for part in expected:
        assert _filled(part, study) in message


def _filled(text, study):
    for name, run in study.ids.items():
        text = text.replace(f"{{{name}}}", str(run))
    return text


def test_one_network_lesioned_twice_is_refused(in_process, study):
    first = study.ids["mlp 16 1"]
    document = study.database["runs"].find_one({"_id": first})
    document["_id"], document["config"]["seed"] = 900, 99
    study.database["runs"].insert_one(document)
    try:
        with pytest.raises(NnClusteringError, match=f"runs {first} and 900 lesion one network"):
            in_process(f"lesion_runs=[{first},900]")
    finally:
        study.database["runs"].delete_one({"_id": 900})


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ({"$set": {"result": {"importance": {"fisher_p": 0.1}}}}, "no importance.joint_p_small"),
        ({"$set": {"artifacts": []}}, "no artifact 'sub_clusters.csv'"),
    ],
)
def test_runs_of_older_code_are_refused(in_process, study, damage, message):
    document = study.database["runs"].find_one({"_id": study.ids["mlp 16 1"]})
    study.database["runs"].insert_one({**document, "_id": 901})
    study.database["runs"].update_one({"_id": 901}, damage)
    try:
        with pytest.raises(NnClusteringError, match=message):
            in_process("lesion_runs=[901]")
    finally:
        study.database["runs"].delete_one({"_id": 901})

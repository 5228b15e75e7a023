"""The store's questions are answered by indexes, not by reading every run."""

import datetime

import pytest

from nn_clustering.tracking import RunStore
from nn_clustering.tracking.indexes import ensure_indexes
from nn_clustering.tracking.store.lineage import read_links
from nn_clustering.tracking.store.metrics import last_values

N_RUNS = 200
STATUSES = ["COMPLETED"] * 9 + ["FAILED"]


@pytest.fixture
def profiled(database, tmp_path):
    """A store of some runs whose questions the server writes down."""
    ensure_indexes(database)
    ensure_indexes(database)  # once more changes nothing
    start = datetime.datetime(2024, 1, 1)
    database["runs"].insert_many(
        {
            "_id": number,
            "experiment": {"name": ["train", "cluster"][number % 2]},
            "status": STATUSES[number % 10],
            "start_time": start + datetime.timedelta(hours=number),
            "config": {"seed": number, "dataset": {"name": f"set {number % 20}"}, "tags": ["all"]},
            "result": {"ncut": number / 10},
            "omniboard": {"tags": [f"tag {number}"]},
            "tracking": {"token": f"token{number}", "identity": f"identity{number}"},
            "artifacts": [{"name": "a", "file_id": number}],
            **({"info": {"lineage": {"train_run": number - 1}}} if number % 10 == 1 else {}),
        }
        for number in range(1, N_RUNS + 1)
    )
    database["metrics"].insert_many(
        {"run_id": number, "name": name, "values": [1.0], "steps": [0], "timestamps": []}
        for number in range(1, N_RUNS + 1)
        for name in ("loss", "accuracy")
    )
    return RunStore(database, tmp_path)


@pytest.mark.parametrize(
    ("question", "most"),
    [
        (lambda store: store.find(limit=20), 20),
        (lambda store: store.find(experiment="cluster", status="FAILED"), 20),
        (lambda store: store.find(status="FAILED"), 20),
        (lambda store: store.find(status="FAILED", limit=5), 5),
        (lambda store: store.run("latest", experiment="cluster", status="FAILED"), 1),
        (lambda store: store.find(since=datetime.datetime(2024, 1, 9)), 10),
        (lambda store: store.find(config={"seed": 7}), 1),
        (lambda store: store.find(config={"dataset": {"name": "set 3"}}), 10),
        (lambda store: store.find(config={"seed": (">", 3, "<=", 9)}), 6),
        (lambda store: store.find(result={"ncut": ("<", 1)}), 9),
        (lambda store: store.find(tags=["tag 5"]), 1),
        (lambda store: store.find(tags=["all", "tag 5"]), 1),
        (lambda store: store.run(7, status=None), 1),
        (lambda store: store.count(config={"seed": 7}), 1),
        (lambda store: read_links(store.database), 0),
        (lambda store: store.run(7, status=None).metric("loss"), 1),
        (lambda store: last_values(store.database, [7, 8], ["loss"]), 2),
        (lambda store: store.database["runs"].find_one({"tracking.token": "token7"}), 1),
        (
            lambda store: store.database["runs"].find_one(
                {"tracking.identity": "identity7", "status": "COMPLETED"}
            ),
            1,
        ),
        (lambda store: store.database["runs"].find_one({"artifacts.file_id": 7}), 1),
    ],
)
def test_no_more_documents_are_read_than_are_found(profiled, question, most):
    database = profiled.database
    profiled.run(1, status=None)  # the look for dead runs comes first, and not again
    database.command("profile", 2)
    question(profiled)
    database.command("profile", 0)
    entries = list(
        database["system.profile"].find({"op": {"$in": ["query", "command"]}, "ns": {"$ne": ""}})
    )
    questions = [entry for entry in entries if "docsExamined" in entry]
    assert questions
    assert sum(entry["docsExamined"] for entry in questions) <= most + 1
    assert all("COLLSCAN" not in entry["planSummary"] for entry in questions)


def test_look_for_dead_runs_reads_no_others(profiled):
    explained = profiled.database["runs"].find({"status": "RUNNING"}).explain()
    assert explained["executionStats"]["totalDocsExamined"] == 0

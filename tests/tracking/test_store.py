"""Runs are found and read, and what is wrong with one is said in a line."""

import datetime
import hashlib

import gridfs
import pytest

from nn_clustering.errors import DamagedArtifactError, InvalidInputError, RunNotFoundError


def store_file(database, name, content, digest=None):
    metadata = {"sha256": digest or hashlib.sha256(content).hexdigest(), "size": len(content)}
    file_id = gridfs.GridFS(database).put(content, filename=name, metadata=metadata)
    return {"name": name, "file_id": file_id}


def refusal(store, *arguments, **options):
    with pytest.raises(RunNotFoundError) as refused:
        store.run(*arguments, **options)
    assert "\n" not in str(refused.value)
    return str(refused.value)


def test_latest_is_the_newest_of_its_experiment_and_status(store, add_run):
    add_run(1)
    add_run(2)
    add_run(3, status="FAILED")
    add_run(4, experiment="cluster")
    assert store.run("latest", experiment="train").id == 2
    assert store.run("latest", experiment="train", status="FAILED").id == 3
    assert store.run("latest").id == 4


def test_run_holds_what_was_stored(store, add_run):
    config = {"dataset": {"name": "mnist"}}
    add_run(5, config=config, result={"ncut": 3.5}, info={"lineage": [1]})
    run = store.run(5, experiment="train")
    assert (run.id, run.experiment, run.status) == (5, "train", "COMPLETED")
    assert (run.config, run.result, run.info) == (config, {"ncut": 3.5}, {"lineage": [1]})
    assert run.start_time == datetime.datetime(2024, 1, 1, 5, tzinfo=datetime.timezone.utc)
    assert run.artifacts == ()


def test_empty_store_names_the_next_step(store):
    message = refusal(store, "latest", experiment="train")
    assert "experiments/train.py first" in message
    assert "experiments/train.py first" in refusal(store, 3, experiment="train")


def test_missing_run_names_the_newest_ids(store, add_run):
    for number in range(1, 9):
        add_run(number)
    message = refusal(store, 99, experiment="train")
    assert "there is no run 99" in message
    assert "8, 7, 6, 5, 4" in message


def test_run_of_another_experiment(store, add_run):
    add_run(1)
    add_run(12, experiment="cluster")
    message = refusal(store, 12, experiment="train")
    assert "run 12 is a 'cluster' run; expected a 'train' run" in message
    assert message.endswith("runs: 1")


@pytest.mark.parametrize("status", ["FAILED", "RUNNING", "INTERRUPTED"])
def test_run_of_another_status(store, add_run, status):
    add_run(12, status=status)
    assert f"run 12 is {status}; expected a run that is COMPLETED" in refusal(store, 12)


@pytest.mark.parametrize("given", ["12", "newest", 1.5, None, True])
def test_what_is_no_run_id(store, add_run, given):
    add_run(1)
    assert f"{given!r} is no run: expected a run's number or 'latest'" in refusal(store, given)


def test_find_filters_and_sorts(store, add_run):
    add_run(1, config={"dataset": {"name": "mnist"}, "seed": 1})
    add_run(2, config={"dataset": {"name": "cifar10"}, "seed": 1})
    add_run(3, config={"dataset": {"name": "mnist"}, "seed": 2}, status="FAILED")
    add_run(4, experiment="cluster")

    def ids(**query):
        return [run.id for run in store.find(**query)]

    assert ids() == [4, 3, 2, 1]
    assert ids(limit=2) == [4, 3]
    assert ids(experiment="train", status="COMPLETED") == [2, 1]
    assert ids(config={"dataset.name": "mnist"}) == [3, 1]
    assert ids(config={"dataset.name": "mnist", "seed": 1}) == [1]
    with pytest.raises(InvalidInputError, match="limit=0"):
        store.find(limit=0)


def test_artifact_is_read_back(store, add_run, database):
    content = bytes(range(256)) * 4000  # more than one chunk
    add_run(1, artifacts=[store_file(database, "network.keras", content)])
    assert store.run(1).artifact("network.keras") == content


def test_later_artifact_of_one_name_counts(store, add_run, database):
    artifacts = [store_file(database, "a", content) for content in (b"old", b"new")]
    add_run(1, artifacts=artifacts)
    assert store.run(1).artifacts == ("a",)
    assert store.run(1).artifact("a") == b"new"


def test_missing_artifact_lists_those_there_are(store, add_run, database):
    add_run(1, artifacts=[store_file(database, "network.keras", b"")])
    with pytest.raises(RunNotFoundError, match=r"no artifact 'graph.npz'.*network\.keras"):
        store.run(1).artifact("graph.npz")


@pytest.mark.parametrize("damage", ["changed", "shortened", "lost", "file lost"])
def test_damaged_artifact_is_noticed(store, add_run, database, damage):
    add_run(1, artifacts=[store_file(database, "network.keras", b"weights")])
    if damage == "changed":
        database["fs.chunks"].update_one({}, {"$set": {"data": b"Weights"}})
    elif damage == "shortened":
        database["fs.chunks"].update_one({}, {"$set": {"data": b"weight"}})
    elif damage == "lost":
        database["fs.chunks"].delete_many({})
    else:
        database["fs.files"].delete_many({})
    with pytest.raises(DamagedArtifactError, match=r"'network\.keras' of run 1 is damaged"):
        store.run(1).artifact("network.keras")


def test_missing_metric_lists_those_there_are(store, add_run, database):
    add_run(1)
    columns = {"steps": [0, 1], "values": [0.5, 0.25], "timestamps": []}
    database["metrics"].insert_one({"run_id": 1, "name": "loss", **columns})
    assert store.run(1).metric("loss") == ([0, 1], [0.5, 0.25])
    with pytest.raises(RunNotFoundError, match=r"no metric 'accuracy'.*loss"):
        store.run(1).metric("accuracy")

"""Runs are found and read, and what is wrong with one is said in a line."""

import datetime

import pymongo
import pytest

from nn_clustering.errors import (
    DamagedArtifactError,
    InvalidInputError,
    RunNotFoundError,
    ServerUnavailableError,
    TrackingError,
)
from nn_clustering.tracking import RunStore
from tests.tracking.stored_files import store_file


@pytest.fixture
def store(database, tmp_path):
    """A store whose cache is the test's own."""
    return RunStore(database, tmp_path)


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


def test_one_of_several_experiments_is_asked_for(store, add_run):
    add_run(1)
    add_run(2, experiment="import")
    add_run(3, experiment="cluster")
    either = ("train", "import")
    assert store.run("latest", experiment=either).id == 2
    assert store.run(1, experiment=either).id == 1
    assert [run.id for run in store.find(experiment=either)] == [2, 1]
    message = refusal(store, 3, experiment=either)
    assert message.startswith("run 3 is a 'cluster' run; expected a 'train' or 'import' run; the ")


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
    assert "run experiment 'train' first" in message
    assert "run experiment 'train' first" in refusal(store, 3, experiment="train")


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
    add_run(1)
    add_run(12, status=status, tracking={"last_seen": datetime.datetime.utcnow()})
    add_run(13, experiment="cluster")
    message = refusal(store, 12)
    assert f"run 12 is {status}; expected a run that is COMPLETED" in message
    # What would do instead is a run of the same experiment.
    assert message.endswith("the newest COMPLETED 'train' runs: 1")


def test_run_of_any_status(store, add_run):
    add_run(12, status="FAILED")
    assert store.run(12, status=None).status == "FAILED"
    assert store.run("latest", status=None).id == 12


def test_deleted_run_is_named_as_such(store, add_run):
    add_run(1)
    store.delete([1])
    assert "there is no run 1 (deleted on 20" in refusal(store, 1)


@pytest.mark.parametrize("given", [2**70, -(2**70)])
def test_number_beyond_mongodb_is_no_run(store, given):
    assert f"there is no run {given}" in refusal(store, given)


@pytest.mark.parametrize("given", ["12", "newest", 1.5, True])
def test_what_is_no_run_id(store, add_run, given):
    add_run(1)
    assert f"{given!r} is no run: expected a run's number or 'latest'" in refusal(store, given)


def test_no_run_is_named(store, add_run):
    add_run(1)
    assert "no run is named: expected a run's number or 'latest'" in refusal(store, None)


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
    expected = r"'network\.keras' of run 1 is damaged.*experiment 'train' .*reuse=False"
    with pytest.raises(DamagedArtifactError, match=expected):
        store.run(1).artifact("network.keras")


def test_found_runs_are_a_sequence(store, add_run):
    for number in range(1, 6):
        add_run(number)
    runs = store.find()
    assert runs.ids == [run.id for run in runs] == [5, 4, 3, 2, 1]
    assert (len(runs), runs[0].id, runs[-1].id) == (5, 5, 1)
    assert type(runs[1:3]) is type(runs)
    assert runs[1:3].ids == [4, 3]
    assert runs[1:3] == [runs[1], runs[2]] != runs
    with pytest.raises(TypeError):
        runs[0] = runs[1]
    assert store.find(experiment="none of these") == []


def test_times_of_a_run(store, add_run):
    start = datetime.datetime(2024, 1, 1, 10)
    seen, end = start + datetime.timedelta(minutes=5), start + datetime.timedelta(minutes=6)
    add_run(1, start_time=start, stop_time=end, heartbeat=seen)
    add_run(2, start_time=start, heartbeat=seen)
    add_run(3, start_time=start)
    assert [run.duration for run in store.find()] == [None, 300.0, 360.0]
    assert store.run(1).stop_time == end.replace(tzinfo=datetime.timezone.utc)


def test_page_is_read_under_its_own_name(store, add_run, database):
    entry = store_file(database, "report.html.txt", b"<p>")
    add_run(1, artifacts=[{**entry, "original_name": "report.html"}])
    assert store.run(1).artifacts == ("report.html",)
    assert store.run(1).artifact("report.html") == b"<p>"


def test_artifacts_are_listed_without_reading_them(store, add_run, database):
    kept, lost = store_file(database, "kept", b"12345"), store_file(database, "lost", b"1")
    database["fs.files"].delete_one({"_id": lost["file_id"]})
    database["fs.chunks"].delete_many({})
    added = datetime.datetime(2024, 1, 1)
    add_run(1, artifacts=[{**kept, "added": added}, lost])
    first, second = store.run(1).artifact_info()
    assert (first.name, first.size) == ("kept", 5)
    assert first.sha256 == "5994471abb01112afcc18159f6cc74b4f511b99806da59b3caf5a9c173cacfc5"
    assert first.added == added.replace(tzinfo=datetime.timezone.utc)
    assert (second.name, second.size, second.sha256) == ("lost", None, None)


def test_network_is_a_keras_model(store, add_run, database):
    import numpy as np

    from nn_clustering.networks import build_network, network_bytes, network_of_run

    network = build_network(
        "mlp", (4, 4, 1), 3, hidden_units=[5], conv_filters=[], dropout=False, seed=1
    )
    add_run(1, artifacts=[store_file(database, "pruned.keras", network_bytes(network))])
    inputs = np.ones((2, 4, 4, 1), "float32")
    for name in ("pruned", "pruned.keras"):
        read = network_of_run(store.run(1), name)
        assert np.array_equal(read.predict(inputs, verbose=0), network.predict(inputs, verbose=0))
    with pytest.raises(RunNotFoundError, match=r"no artifact 'unpruned\.keras'"):
        network_of_run(store.run(1), "unpruned")


def test_output_and_failure(store, add_run):
    trace = ["Traceback (most recent call last):\n", "  File ...\n", "ValueError: broken\n"]
    add_run(1, status="FAILED", captured_out="a\nb\n", fail_trace=trace)
    add_run(2)
    failed, completed = store.run(1, status=None), store.run(2)
    assert (failed.output(), failed.failure()) == ("a\nb\n", "ValueError: broken")
    assert (completed.output(), completed.failure()) == ("", "")


def test_add_artifact(store, add_run, tmp_path):
    add_run(1, artifacts=[])
    path = tmp_path / "notes.txt"
    path.write_text("seen")
    store.add_artifact(1, path)
    store.add_artifact(1, path, "again.txt")
    assert store.run(1).artifacts == ("notes.txt", "again.txt")
    assert store.run(1).artifact("again.txt") == b"seen"
    with pytest.raises(InvalidInputError, match=r"'notes.txt' of run 1: expected a name that none"):
        store.add_artifact(1, path)
    with pytest.raises(InvalidInputError, match="is no file"):
        store.add_artifact(1, tmp_path)
    with pytest.raises(RunNotFoundError, match="no run 2"):
        store.add_artifact(2, path)


@pytest.mark.parametrize(
    "name", ["", ".", "..", "../a", "/a", "a/b", "a\\b", "a\nb", "a\0b", "\x7f", "\ud800", 3]
)
def test_artifact_whose_name_no_file_could_have(store, add_run, tmp_path, name):
    add_run(1, artifacts=[])
    path = tmp_path / "a.txt"
    path.write_text("seen")
    with pytest.raises(InvalidInputError, match="expected a name as files have it") as refused:
        store.add_artifact(1, path, name)
    assert "\n" not in str(refused.value)
    assert store.run(1).artifacts == ()


@pytest.mark.parametrize("name", [".hidden", "..a", "Größe 日本.txt", "a b", "$set.x"])
def test_artifact_with_a_name_of_files(store, add_run, tmp_path, name):
    add_run(1, artifacts=[])
    path = tmp_path / "a.txt"
    path.write_text("seen")
    store.add_artifact(1, path, name)
    assert store.run(1).artifact(name) == b"seen"


def test_server_that_is_away_is_told_whoever_writes(tmp_path):
    with pymongo.MongoClient("127.0.0.1:1", serverSelectionTimeoutMS=1) as client:
        store = RunStore(client["runs"], tmp_path)
        for write in (lambda: store.tag(1, "a"), lambda: store.note(1, "a")):
            with pytest.raises(ServerUnavailableError, match="'runs' does not answer any more"):
                write()


def test_read_only_user_reads_and_is_told_that_they_cannot_write(
    store, add_run, database, embedded_server
):
    start = datetime.datetime.utcnow() - datetime.timedelta(hours=1)
    add_run(1, status="RUNNING", start_time=start)
    with pymongo.MongoClient(embedded_server.reader_url) as client:
        reader = RunStore(client[database.name])
        assert reader.find().ids == [1]
        assert reader.find()[0].status == "RUNNING"  # dead, but that cannot be noted
        assert store.run(1, status=None).status == "DIED"
        for write in (
            lambda: reader.tag(1, "a"),
            lambda: reader.note(1, "a"),
            lambda: reader.add_artifact(1, __file__),
            lambda: reader.delete([1]),
        ):
            with pytest.raises(TrackingError, match="does not let this user write") as refused:
                write()
            assert "\n" not in str(refused.value)
    assert store.find().ids == [1]

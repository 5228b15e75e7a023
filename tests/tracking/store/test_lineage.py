"""What rests on what, and that nothing is deleted under another run's feet."""

import datetime

import gridfs
import pymongo
import pytest
from pymongo import monitoring

from nn_clustering.errors import RunNotFoundError, TrackingError
from nn_clustering.tracking import RunStore
from nn_clustering.tracking.gridfs import add_artifact
from nn_clustering.tracking.store.lineage import DEEPEST
from tests.tracking.stored_files import store_file


@pytest.fixture
def store(database, tmp_path):
    """A store whose cache is the test's own."""
    return RunStore(database, tmp_path)


@pytest.fixture
def add_reader(add_run):
    """Inserts a run that read others."""

    def add(run_id, experiment="cluster", **lineage):
        return add_run(run_id, experiment=experiment, info={"lineage": lineage})

    return add


@pytest.fixture
def study(add_run, add_reader):
    """Training 1, clustering 2 of it, shuffle test 3 and lesions 4 of that."""
    add_run(1)
    add_reader(2, train_run=1)
    add_reader(3, "shuffle_test", cluster_run=2)
    add_reader(4, "lesion", cluster_run=2)


def test_both_directions_as_far_as_they_go(study, store):
    middle = store.lineage(2)
    assert [(node.run, node.key) for node in middle.reads] == [(1, "train_run")]
    assert [(node.run, node.key) for node in middle.read_by] == [
        (3, "cluster_run"), (4, "cluster_run"),
    ]  # fmt: skip
    first = store.lineage(1)
    assert first.reads == ()
    assert [node.run for node in first.read_by[0].read_by] == [3, 4]
    last = store.lineage(4)
    assert last.reads[0].reads[0].run == 1
    assert last.reads[0].read_by == ()


def test_tree_as_text(study, store):
    assert str(store.lineage(2)) == (
        "2 cluster COMPLETED\n"
        "read\n"
        "└─ 1 train COMPLETED (train_run)\n"
        "was read by\n"
        "├─ 3 shuffle_test COMPLETED (cluster_run)\n"
        "└─ 4 lesion COMPLETED (cluster_run)"
    )
    assert str(store.lineage(1)).splitlines()[2:] == [
        "└─ 2 cluster COMPLETED (train_run)",
        "   ├─ 3 shuffle_test COMPLETED (cluster_run)",
        "   └─ 4 lesion COMPLETED (cluster_run)",
    ]


def test_tree_as_data(study, store):
    data = store.lineage(3).to_dict()
    assert (data["run"], data["experiment"], data["status"]) == (3, "shuffle_test", "COMPLETED")
    assert data["reads"][0]["reads"][0]["key"] == "train_run"
    assert data["read_by"] == []


def test_deleted_and_unknown_runs_are_marked(study, add_reader, store, database):
    add_reader(5, cluster_run=4, train_run=99)
    database["runs"].delete_one({"_id": 4})
    database["deleted_runs"].insert_one({"_id": 4, "experiment": "lesion"})
    marked = {node.run: (node.experiment, node.status) for node in store.lineage(5).reads}
    assert marked == {4: ("lesion", "DELETED"), 99: ("", "MISSING")}
    assert store.lineage(4).read_by[0].run == 5
    with pytest.raises(RunNotFoundError, match="there is no run 77"):
        store.lineage(77)


def test_what_is_read_on_two_ways_is_shown_once_in_full(study, add_reader, store):
    add_reader(5, "report", cluster_run=2, lesion_run=4)
    by_key = {node.key: node for node in store.lineage(5).reads}
    assert by_key["cluster_run"].reads[0].run == 1
    again = by_key["lesion_run"].reads[0]
    assert (again.run, again.reads, again.is_cut) == (2, (), True)


def test_runs_in_a_circle_end(add_reader, store):
    add_reader(1, other=2)
    add_reader(2, other=1)
    assert store.lineage(1).reads[0].reads[0].is_cut
    assert store.delete([1, 2]) in ([1, 2], [2, 1])


def test_very_long_chains_are_cut(add_run, add_reader, store):
    add_run(1)
    for number in range(2, 300):
        add_reader(number, before=number - 1)
    lines = str(store.lineage(299)).splitlines()
    assert len(lines) == DEEPEST + 2
    assert lines[-1].endswith("...")
    assert len(store.delete([1], with_dependents=True)) == 299


def test_delete_takes_metrics_and_own_files_only(store, database, add_run, tmp_path):
    shared, own = tmp_path / "shared", tmp_path / "own"
    shared.write_bytes(b"both")
    own.write_bytes(b"one" * 10**6)
    for number in (1, 2):
        add_run(number, artifacts=[])
        add_artifact(database, number, shared, "shared")
        database["metrics"].insert_one({"run_id": number, "name": "loss", "values": [1.0]})
    add_artifact(database, 1, own, "own")
    assert store.delete([1]) == [1]
    assert store.find().ids == [2]
    assert database["metrics"].distinct("run_id") == [2]
    assert store.run(2).artifact("shared") == b"both"
    assert database["fs.files"].count_documents({}) == 1
    assert len(database["fs.chunks"].distinct("files_id")) == 1
    (note,) = database["deleted_runs"].find()
    assert (note["_id"], note["experiment"]) == (1, "train")
    age = datetime.datetime.utcnow() - note["deleted"]
    assert datetime.timedelta() <= age < datetime.timedelta(minutes=5)


def test_run_that_others_rest_on_is_kept(study, store):
    with pytest.raises(TrackingError, match=r"run 2 cannot be deleted: 3, 4 read it") as refused:
        store.delete([2])
    assert "\n" not in str(refused.value)
    with pytest.raises(TrackingError, match="run 2 cannot be deleted: 4 read it"):
        store.delete([2, 3])
    assert store.find().ids == [4, 3, 2, 1]
    assert set(store.delete([2, 3, 4])) == {2, 3, 4}


def test_dependents_are_deleted_before_what_they_read(study, store):
    to_delete = store.delete([1], with_dependents=True)
    assert sorted(to_delete[:2]) == [3, 4]
    assert to_delete[2:] == [2, 1]
    assert store.find() == []


def test_running_run_is_kept_and_a_dead_one_deleted(store, add_run):
    alive = {"status": "RUNNING", "start_time": datetime.datetime.utcnow()}
    add_run(1, **alive)
    add_run(2, status="RUNNING")
    with pytest.raises(TrackingError, match="run 1 is RUNNING and cannot be deleted"):
        store.delete([2, 1])
    assert store.delete([2]) == [2]


def test_running_dependent_keeps_all(store, add_run):
    now = datetime.datetime.utcnow()
    add_run(1)
    add_run(2, status="RUNNING", start_time=now, info={"lineage": {"train_run": 1}})
    with pytest.raises(TrackingError, match="run 2 is RUNNING"):
        store.delete([1], with_dependents=True)
    assert store.find().ids == [2, 1]


def test_unknown_run_deletes_nothing(store, add_run):
    add_run(1)
    for given in ([1, 9], [1, "1"], [1, True], [1, 2**70]):
        with pytest.raises(RunNotFoundError, match="to delete; expected the numbers"):
            store.delete(given)
    assert store.find().ids == [1]
    store.delete([1])
    with pytest.raises(RunNotFoundError):
        store.delete([1])


class Crash(monitoring.CommandListener):
    """Ends a deletion after a number of writes."""

    def __init__(self, n_writes):
        self.left = n_writes

    def started(self, event):
        if event.command_name in ("delete", "findAndModify", "update"):
            if self.left == 0:
                raise KeyboardInterrupt
            self.left -= 1

    def succeeded(self, event):
        pass

    def failed(self, event):
        pass


LONG_AGO = datetime.datetime(2024, 1, 1)
N_WRITES = 7  # of deleting one run with one file


@pytest.mark.parametrize("n_writes", range(N_WRITES + 1))
def test_deletion_cut_short_is_finished_by_the_next(
    database, add_run, tmp_path, embedded_server, n_writes
):
    add_run(1, artifacts=[store_file(database, "a", b"content")])
    add_run(2)
    add_run(3)
    database["metrics"].insert_one({"run_id": 1, "name": "loss", "values": [1.0]})
    crash = Crash(n_writes)
    store = RunStore(database, tmp_path)
    with pymongo.MongoClient(embedded_server.url, event_listeners=[crash]) as client:
        if n_writes < N_WRITES:
            with pytest.raises(KeyboardInterrupt):
                RunStore(client[database.name], tmp_path).delete([1])
            assert store.delete([1]) == [1]
            # A file whose removal was cut short waits until nobody can be at it any more.
            begun = {"removed": {"$exists": True}}
            database["fs.files"].update_many(begun, {"$set": {"removed.at": LONG_AGO}})
            store.delete([3])
        else:
            RunStore(client[database.name], tmp_path).delete([1])
            assert crash.left == 0
            store.delete([3])
    assert store.find().ids == [2]
    for collection in ("metrics", "fs.files", "fs.chunks"):
        assert database[collection].count_documents({}) == 0
    for note in database["deleted_runs"].find():
        assert set(note) == {"_id", "experiment", "deleted"}


def test_next_deletion_finishes_what_was_cut_short(store, database, add_run):
    add_run(1)
    file_id = gridfs.GridFS(database).put(b"left over")
    database["deleted_runs"].insert_one({"_id": 5, "experiment": "train", "files": [file_id]})
    database["metrics"].insert_one({"run_id": 5, "name": "loss", "values": [1.0]})
    store.delete([1])
    assert database["fs.files"].count_documents({}) == 0
    assert database["metrics"].count_documents({}) == 0

"""Events are stored exactly once, whatever happens to acknowledgements, and checked at the end."""

import datetime
import hashlib
import shutil

import gridfs
import pymongo.errors
import pytest

from nn_clustering.errors import TrackingError
from nn_clustering.tracking.gridfs import remove_unreferenced, store_sources
from nn_clustering.tracking.writing.delivery import Delivery, RunGoneError, metric_id
from nn_clustering.tracking.writing.journal import Journal

TIME = datetime.datetime(2024, 1, 1)


def point(name, index, value=0.5):
    return {
        "kind": "point",
        "name": name,
        "index": index,
        "step": index,
        "value": value,
        "time": TIME,
    }


@pytest.fixture
def journal(tmp_path):
    journal = Journal.create(tmp_path / "journal", "token")
    yield journal
    journal.close()


@pytest.fixture
def delivery(database, journal):
    run = {"_id": 1, "tracking": {"token": "token"}, "artifacts": [], "resources": []}
    database["runs"].insert_one(run)
    return Delivery(database, journal, 1, "token")


def steps(database, name):
    found = database["metrics"].find({"run_id": 1, "name": name}).sort("part", 1)
    return [step for document in found for step in document["steps"]]


def test_points_in_order_of_any_batches(delivery, database):
    for batch in ([0, 1], [2], [3, 4, 5]):
        delivery.write([point(name, index) for index in batch for name in ("a", "b")])
    assert steps(database, "a") == steps(database, "b") == list(range(6))
    assert database["metrics"].find_one({"name": "a"})["_id"] == metric_id("token", "a")


def test_points_that_are_there_are_not_written_again(delivery, database, journal):
    points = [point("a", index) for index in range(5)]
    delivery.write(points[:3])
    for again in (delivery, Delivery(database, journal, 1, "token")):
        again.write(points)
        assert steps(database, "a") == list(range(5))


def test_attempt_that_arrives_late_does_nothing(delivery, database, journal):
    """Another delivery's points arrive between our count of them and our writing."""
    points = [point("a", index) for index in range(6)]
    delivery.write(points[:2])
    Delivery(database, journal, 1, "token").write(points[:5])
    delivery.write(points)
    assert steps(database, "a") == list(range(6))
    late = Delivery(database, journal, 1, "token")
    late._counts = {}  # as it was before anything was written
    late.write(points[:2])
    assert steps(database, "a") == list(range(6))


@pytest.mark.parametrize("is_written", [True, False])
def test_lost_acknowledgement(delivery, database, monkeypatch, is_written):
    write = pymongo.collection.Collection.bulk_write
    failures = iter([True, False] * 10)

    def unreliable(collection, *arguments, **options):
        if not next(failures):
            return write(collection, *arguments, **options)
        if is_written:
            write(collection, *arguments, **options)
        raise pymongo.errors.AutoReconnect

    monkeypatch.setattr(pymongo.collection.Collection, "bulk_write", unreliable)
    for count in range(1, 6):
        points = [point(name, index) for index in range(count) for name in ("a", "b")]
        with pytest.raises(pymongo.errors.AutoReconnect):
            delivery.write(points)
        delivery.write([*points, point("a", count)])
    assert steps(database, "a") == list(range(6))
    assert steps(database, "b") == list(range(5))


def test_long_metric_goes_on_in_another_document(delivery, database, monkeypatch):
    monkeypatch.setattr("nn_clustering.tracking.writing.delivery.POINTS_A_DOCUMENT", 10)
    for start in range(0, 35, 7):
        delivery.write([point("a", index) for index in range(start, start + 7)])
    lengths = [len(document["steps"]) for document in database["metrics"].find().sort("part", 1)]
    assert lengths == [10, 10, 10, 5]
    assert steps(database, "a") == list(range(35))
    assert delivery.metric_counts() == {"a": 35}


def test_database_that_lost_points_is_told(delivery, database):
    delivery.write([point("a", index) for index in range(5)])
    database["metrics"].update_one({}, {"$set": {"steps": [0], "values": [0], "timestamps": [0]}})
    delivery._counts = None
    with pytest.raises(TrackingError, match=r"'a' of run 1 has 1 points .* acknowledged 5"):
        delivery.write([point("a", 5)])


def test_document_holds_up_nothing_when_it_is_too_large(delivery, database):
    text = "x" * 200_000
    delivery.write([point("long", index, text) for index in range(100)])
    delivery.write([point("short", 0)])
    assert steps(database, "short") == [0]
    assert delivery.missing({"metrics": [["long", 100]]}) != []


def artifact(journal, tmp_path, name, content, added=TIME):
    path = tmp_path / "file"
    path.write_bytes(content)
    copy, sha256 = journal.copy_in(path)
    event = {"kind": "artifact", "name": name, "file": copy, "sha256": sha256, "added": added}
    known = {"name": name, "added": added, "sha256": sha256}
    return {**event, "metadata": {}, "content_type": None}, known


def test_artifact_is_entered_once(delivery, database, journal, tmp_path):
    event, known = artifact(journal, tmp_path, "a.npz", b"weights" * 100_000)
    for _ in range(2):
        delivery.write([event])
    (entry,) = database["runs"].find_one()["artifacts"]
    assert (entry["name"], entry["added"]) == ("a.npz", TIME)
    stored = gridfs.GridFS(database).get(entry["file_id"])
    assert stored.read() == b"weights" * 100_000
    assert stored.metadata == {"sha256": known["sha256"], "size": 700_000}
    assert delivery.missing({"artifacts": [known]}) == []


def test_artifact_half_stored_is_completed(delivery, database, journal, tmp_path):
    event, known = artifact(journal, tmp_path, "a.npz", bytes(range(256)) * 5000)
    delivery.write([event])
    database["fs.files"].delete_many({})
    database["fs.chunks"].delete_one({"n": 2})
    database["runs"].update_one({}, {"$set": {"artifacts": []}})
    delivery.write([event])
    assert database["fs.chunks"].count_documents({}) == 5
    assert delivery.missing({"artifacts": [known]}) == []


@pytest.mark.parametrize("damage", ["torn", "gone"])
def test_copy_that_the_disk_lost_is_named_and_holds_nothing_up(
    delivery, database, journal, tmp_path, damage
):
    event, _ = artifact(journal, tmp_path, "a.npz", b"weights")
    copy = journal.file(event["file"])
    copy.write_bytes(b"wei") if damage == "torn" else copy.unlink()
    journal.close()
    left = Journal.open(journal.folder)
    delivery = Delivery(database, left, 1, "token")
    delivery.write([event, point("a", 0)])
    assert steps(database, "a") == [0]
    assert database["fs.files"].count_documents({}) == 0
    fields = {"status": "DIED", "stop_time": TIME}
    missing = delivery.deliver_document({"fields": fields, "finished": True})
    left.close()
    assert missing == ["the copy of artifact 'a.npz' was torn"]
    stored = database["runs"].find_one()
    assert stored["status"] == "DIED"
    assert "a.npz" in stored["fail_trace"][0]


def test_copy_is_delivered_though_its_folder_is_gone(delivery, database, journal, tmp_path):
    event, known = artifact(journal, tmp_path, "a.npz", b"weights" * 100_000)
    journal.append(event)
    journal.append(point("a", 0))
    shutil.rmtree(journal.folder)
    delivery.deliver_events()
    assert steps(database, "a") == [0]
    assert delivery.missing({"artifacts": [known], "metrics": [["a", 1]]}) == []
    assert journal.is_empty
    assert not journal.damages


def test_points_behind_a_gap_are_stored_once(database, journal, delivery):
    journal.close()
    left = Journal.open(journal.folder)
    points = [point("a", index) for index in (0, 1, 2, 5, 6, 9, 10)]
    for end in range(1, len(points) + 1):
        Delivery(database, left, 1, "token").write(points[:end])
        assert steps(database, "a") == [0, 1, 2, 5, 6, 9, 10][:end]
    assert database["metrics"].find_one()["gaps"] == [[3, 2], [7, 2]]
    left.close()


def test_points_behind_a_gap_across_documents(database, journal, delivery, monkeypatch):
    monkeypatch.setattr("nn_clustering.tracking.writing.delivery.POINTS_A_DOCUMENT", 10)
    journal.close()
    left = Journal.open(journal.folder)
    whole = [*range(8), *range(23, 35)]
    for end in (3, 9, 14, len(whole)):
        Delivery(database, left, 1, "token").write([point("a", index) for index in whole[:end]])
        assert steps(database, "a") == whole[:end]
    entries = Delivery(database, left, 1, "token").metric_entries()
    stored = database["metrics"].find().sort("part", 1)
    assert [entry["id"] for entry in entries] == [str(document["_id"]) for document in stored]
    left.close()


@pytest.mark.parametrize("damage", ["entry", "file", "chunk", "digest", "shortened", "changed"])
def test_what_is_not_there_is_named(delivery, database, journal, tmp_path, damage):
    event, known = artifact(journal, tmp_path, "a.npz", bytes(range(256)) * 5000)
    delivery.write([event])
    if damage == "entry":
        database["runs"].update_one({}, {"$set": {"artifacts": []}})
    elif damage == "file":
        database["fs.files"].delete_many({})
    elif damage == "chunk":
        database["fs.chunks"].delete_one({"n": 1})
    elif damage == "digest":
        database["fs.files"].update_one({}, {"$set": {"metadata.sha256": "0"}})
    elif damage == "shortened":
        database["fs.chunks"].update_one({"n": 0}, {"$set": {"data": b"short"}})
    else:
        chunk = database["fs.chunks"].find_one({"n": 0})["data"]
        database["fs.chunks"].update_one({"n": 0}, {"$set": {"data": b"x" + chunk[1:]}})
    assert delivery.missing({"artifacts": [known]}) == ["artifact 'a.npz' is not there whole"]


def test_run_is_completed_only_with_all_its_points(delivery, database):
    delivery.write([point("a", index) for index in range(5)])
    document = {
        "fields": {"status": "COMPLETED", "stop_time": TIME},
        "expected": {"metrics": [["a", 6], ["b", 1]]},
        "finished": True,
    }
    missing = delivery.deliver_document(document)
    assert missing == ["metric 'a' has 5 points of 6", "metric 'b' has 0 points of 1"]
    stored = database["runs"].find_one()
    assert stored["status"] == "FAILED"
    assert "5 points of 6" in stored["fail_trace"][-1]
    document["expected"] = {"metrics": [["a", 5]]}
    assert delivery.deliver_document(document) == []
    assert database["runs"].find_one()["status"] == "COMPLETED"


def test_deleted_run_is_told(delivery, database):
    database["runs"].delete_many({})
    with pytest.raises(RunGoneError, match="run 1 is no longer in database"):
        delivery.deliver_document({"fields": {"status": "RUNNING"}})


def test_run_with_the_same_number_is_not_taken_for_it(delivery, database):
    database["runs"].replace_one({}, {"_id": 1, "tracking": {"token": "another"}})
    with pytest.raises(RunGoneError):
        delivery.deliver_document({"fields": {"status": "RUNNING"}})


def test_one_who_was_taken_for_dead_lives_again(delivery, database):
    document = {"fields": {"status": "RUNNING"}}
    delivery.deliver_document(document)
    database["runs"].update_one({}, {"$set": {"status": "DIED", "stop_time": TIME}})
    delivery.deliver_document(document)
    stored = database["runs"].find_one()
    assert stored["status"] == "RUNNING"
    assert "stop_time" not in stored
    assert isinstance(stored["tracking"]["last_seen"], datetime.datetime)


def test_journal_is_empty_after_delivery(delivery, journal, database, tmp_path):
    event, _ = artifact(journal, tmp_path, "a.npz", b"weights")
    journal.append(point("a", 0))
    journal.append(event)
    journal.append(point("a", 1))
    delivery.deliver_events()
    assert steps(database, "a") == [0, 1]
    assert journal.segments() == []
    assert list((journal.folder / "files").iterdir()) == []


def test_digest_of_the_source_is_the_stored_files(database, tmp_path):
    (tmp_path / "a.py").write_text("x = 1")
    md5 = hashlib.md5(b"x = 1").hexdigest()
    first = store_sources(database, [("a.py", md5)], tmp_path)
    assert store_sources(database, [("a.py", md5)], tmp_path) == first
    (stored,) = database["fs.files"].find()
    assert (stored["md5"], stored["filename"]) == (md5, str(tmp_path / "a.py"))
    # Edited after Sacred has looked: the new content is another version.
    (tmp_path / "a.py").write_text("x = 2")
    database["fs.files"].delete_many({})
    ((_, file_id),) = store_sources(database, [("a.py", md5)], tmp_path)
    assert gridfs.GridFS(database).get(file_id).read() == b"x = 2"


def test_damaged_file_is_mended_by_who_stores_it_again(delivery, database, journal, tmp_path):
    content = bytes(range(256)) * 5000
    event, known = artifact(journal, tmp_path, "a.npz", content)
    delivery.write([event])
    database["fs.chunks"].update_one({"n": 1}, {"$set": {"data": b"damaged"}})
    later = TIME + datetime.timedelta(seconds=1)
    event, known = artifact(journal, tmp_path, "a.npz", content, added=later)
    delivery.write([event])
    first, second = database["runs"].find_one()["artifacts"]
    assert first["file_id"] == second["file_id"]
    assert gridfs.GridFS(database).get(first["file_id"]).read() == content
    assert delivery.missing({"artifacts": [known]}) == []


def test_value_that_was_written_without_our_knowing_is_written_over(
    delivery, database, monkeypatch
):
    """What it was before is sent again, though it is what was acknowledged last."""
    update = pymongo.collection.Collection.update_one

    def lose_acknowledgement(collection, *arguments, **options):
        update(collection, *arguments, **options)
        raise pymongo.errors.AutoReconnect

    delivery.deliver_document({"fields": {"info": {"state": "first"}}})
    with monkeypatch.context() as patch:
        patch.setattr(pymongo.collection.Collection, "update_one", lose_acknowledgement)
        with pytest.raises(pymongo.errors.AutoReconnect):
            delivery.deliver_document({"fields": {"info": {"state": "second"}}})
    assert database["runs"].find_one()["info"] == {"state": "second"}
    delivery.deliver_document({"fields": {"info": {"state": "first"}}})
    assert database["runs"].find_one()["info"] == {"state": "first"}


def test_field_that_the_server_refuses_holds_nothing_up(delivery, database):
    deep = 1
    for _ in range(190):
        deep = [deep]
    fields = {"status": "COMPLETED", "stop_time": TIME, "result": deep, "captured_out": "text"}
    missing = delivery.deliver_document({"fields": fields, "finished": True})
    assert len(missing) == 1
    assert "result cannot be stored" in missing[0]
    stored = database["runs"].find_one()
    assert (stored["status"], stored["captured_out"]) == ("FAILED", "text")
    assert "result" not in stored


def test_fields_that_do_not_fit_together_lose_the_largest(delivery, database):
    fields = {"status": "COMPLETED", "stop_time": TIME, "a": "x" * 9_000_000, "b": "y" * 8_000_000}
    missing = delivery.deliver_document({"fields": fields, "finished": True})
    assert [line.split(" (")[0] for line in missing] == ["a cannot be stored"]
    stored = database["runs"].find_one()
    assert stored["status"] == "FAILED"
    assert len(stored["b"]) == 8_000_000


def test_file_of_a_deleted_run_goes_once_nobody_uses_it(delivery, database, journal, tmp_path):
    event, _ = artifact(journal, tmp_path, "a.npz", b"weights")
    delivery.write([event])
    (entry,) = database["runs"].find_one()["artifacts"]
    assert remove_unreferenced(database, [entry["file_id"]]) == 0
    assert gridfs.GridFS(database).get(entry["file_id"]).read() == b"weights"
    database["runs"].delete_many({})
    assert remove_unreferenced(database, [entry["file_id"]]) == 1
    assert database["fs.files"].count_documents({}) == 0
    assert database["fs.chunks"].count_documents({}) == 0


def test_file_that_is_being_removed_is_not_shared(delivery, database, journal, tmp_path):
    event, _ = artifact(journal, tmp_path, "a.npz", b"weights")
    delivery.write([event])
    (entry,) = database["runs"].find_one()["artifacts"]
    now = datetime.datetime.now(datetime.timezone.utc)
    mark = {"removed": {"by": 1, "at": now}}
    database["fs.files"].update_one({}, {"$set": mark})
    assert remove_unreferenced(database, [entry["file_id"]]) == 0  # another does it
    event, known = artifact(journal, tmp_path, "a.npz", b"weights", TIME.replace(year=2025))
    delivery.write([event])
    _, second = database["runs"].find_one()["artifacts"]
    assert second["file_id"] != entry["file_id"]
    assert delivery.missing({"artifacts": [known]}) == []

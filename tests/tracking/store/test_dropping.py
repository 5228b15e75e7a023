"""Artifacts that are dropped to free disk, while their runs stay."""

import datetime

import bson
import pytest

from nn_clustering.tracking import InvalidInputError, RunNotFoundError, RunStore, TrackingError
from nn_clustering.tracking.command_line.export import export_runs
from nn_clustering.tracking.gridfs import ABANDONED, add_artifact
from nn_clustering.tracking.store.export_folders import exported_runs
from nn_clustering.tracking.store.importing import import_runs


@pytest.fixture
def store(database, home):
    return RunStore(database, home)


@pytest.fixture
def shared(database, add_run, tmp_path):
    """Two runs that share one file; the first has it twice, and others."""
    contents = {"a.npz": b"x" * 3000, "again.npz": b"x" * 3000, "b.npz": b"y" * 500, "c.csv": b"1"}
    for run_id in (1, 2):
        add_run(run_id)
        for name, content in contents.items():
            if run_id == 2 and name != "a.npz":
                continue
            path = tmp_path / "file"
            path.write_bytes(content)
            add_artifact(database, run_id, path, name)


def n_files(database):
    return database["fs.files"].count_documents({})


def dropped_from(plan):
    return [(drop.run, drop.name, drop.size, drop.frees, drop.kept_by) for drop in plan]


def test_what_it_frees_is_known_before(store, database, shared):
    assert dropped_from(store.plan_drop([1], ["*.npz"])) == [
        (1, "a.npz", 3000, 0, (2,)), (1, "again.npz", 3000, 0, (2,)), (1, "b.npz", 500, 500, ()),
    ]  # fmt: skip
    assert dropped_from(store.plan_drop([1, 2], ["a*"])) == [
        (1, "a.npz", 3000, 3000, ()), (1, "again.npz", 3000, 0, ()), (2, "a.npz", 3000, 0, ()),
    ]  # fmt: skip
    assert [drop.name for drop in store.plan_drop([1], larger=500)] == ["a.npz", "again.npz"]
    assert [drop.name for drop in store.plan_drop([1], ["*.npz"], 3000)] == []
    # Under its other name the run itself keeps the file.
    database["runs"].delete_one({"_id": 2})
    assert dropped_from(store.plan_drop([1], ["again.npz"])) == [(1, "again.npz", 3000, 0, (1,))]
    assert n_files(database) == 3


def test_the_run_stays_and_says_what_it_had(store, database, shared):
    assert store.drop_artifacts(store.plan_drop([1], ["*.npz"])) == 3
    assert n_files(database) == 2  # the shared one, and c.csv
    assert database["fs.chunks"].count_documents({}) == 2
    run = store.run(1)
    assert run.artifacts == ("c.csv",)
    assert list(run.dropped()) == ["a.npz", "again.npz", "b.npz"]
    assert run.dropped()["b.npz"].size == 500
    assert len(run.dropped()["b.npz"].sha256) == 64
    assert store.run(2).artifact("a.npz") == b"x" * 3000
    with pytest.raises(RunNotFoundError, match=r"'b\.npz' of run 1 was dropped on 2\d.* rerun 1"):
        run.artifact("b.npz")
    assert store.drop_artifacts(store.plan_drop([2], larger=0)) == 1
    assert n_files(database) == 1
    with pytest.raises(RunNotFoundError, match="has no artifact 'z'"):
        run.artifact("z")


def test_an_artifact_that_was_added_again(store, database, shared, tmp_path):
    store.drop_artifacts(store.plan_drop([1], ["b.npz"]))
    (tmp_path / "b.npz").write_bytes(b"new")
    store.add_artifact(1, tmp_path / "b.npz")
    assert store.run(1).artifact("b.npz") == b"new"


def test_cut_short_it_is_finished_by_the_next(store, database, shared):
    entry = next(
        entry for entry in database["runs"].find_one({"_id": 1})["artifacts"]
        if entry["name"] == "b.npz"
    )  # fmt: skip
    note = {"name": "b.npz", "size": 500, "file_id": entry["file_id"]}
    database["runs"].update_one(
        {"_id": 1}, {"$pull": {"artifacts": entry}, "$push": {"dropped_artifacts": note}}
    )
    assert store.drop_artifacts([]) == 0
    assert n_files(database) == 2
    assert "file_id" not in database["runs"].find_one({"_id": 1})["dropped_artifacts"][0]


def test_run_that_goes_on_meanwhile_keeps_what_it_has(store, database, shared):
    """Between the plan and its confirmation: a run that was taken for dead lives."""
    plan = store.plan_drop([1], ["*.npz"])
    database["runs"].update_one({"_id": 1}, {"$set": {"status": "RUNNING"}})
    assert store.drop_artifacts(plan) == 0
    assert n_files(database) == 3
    assert len(database["runs"].find_one({"_id": 1})["artifacts"]) == 4


def test_file_that_another_has_begun_to_remove_stays_noted(store, database, shared):
    """Should they be killed, the next call finishes it."""
    file = {"filename": {"$regex": r"b\.npz$"}}
    now = datetime.datetime.now(datetime.timezone.utc)
    removed = {"removed": {"by": "another", "at": now}}
    plan = store.plan_drop([1], ["b.npz"])
    assert database["fs.files"].update_one(file, {"$set": removed}).modified_count == 1
    assert store.drop_artifacts(plan) == 1
    (note,) = database["runs"].find_one({"_id": 1})["dropped_artifacts"]
    assert "file_id" in note
    database["fs.files"].update_one(file, {"$set": {"removed.at": now - ABANDONED * 2}})
    store.drop_artifacts([])
    assert n_files(database) == 2
    (note,) = database["runs"].find_one({"_id": 1})["dropped_artifacts"]
    assert "file_id" not in note


def test_deleting_finishes_it_too(store, database, shared):
    file_id = database["runs"].find_one({"_id": 2})["artifacts"][0]["file_id"]
    database["runs"].update_one(
        {"_id": 1},
        {"$set": {"artifacts": [], "dropped_artifacts": [{"name": "a", "file_id": file_id}]}},
    )
    store.delete([2])
    store.delete([1])
    assert database["fs.files"].find_one({"_id": file_id}) is None


def test_what_cannot_be_dropped(store, database, add_run):
    add_run(1, status="QUEUED")
    with pytest.raises(TrackingError, match="run 1 is QUEUED"):
        store.plan_drop([1], ["*"])
    with pytest.raises(RunNotFoundError, match="there is no run 7"):
        store.plan_drop([7], ["*"])
    with pytest.raises(InvalidInputError, match="names of artifacts"):
        store.plan_drop([1])


def test_artifacts_of_others_stay(store, database, add_run):
    import bson

    add_run(1, artifacts=["a name", bson.ObjectId(), {"name": "no file"}, 7, None])
    assert store.plan_drop([1], ["*"]) == []


def test_a_run_that_lacks_artifacts_is_not_used_again(succeed, store, tmp_path):
    (tmp_path / "numbers").write_text("1 2")
    command = ["measure", "with", f"file={tmp_path / 'numbers'}"]
    succeed(*command)
    store.drop_artifacts(store.plan_drop([1], ["numbers.txt"]))
    again = succeed(*command)
    assert "run 1 did the same, but is not used: of its artifacts numbers.txt" in again.stdout
    assert store.run(2).artifacts == ("config.measure.default.yaml", "numbers.txt")
    assert "using measure run 2" in succeed(*command).stdout


def test_a_stage_that_needs_it_says_so(succeed, run, store, tmp_path):
    (tmp_path / "numbers").write_text("1 2")
    succeed("measure", "with", f"file={tmp_path / 'numbers'}")
    store.drop_artifacts(store.plan_drop([1], ["numbers.txt"]))
    refused = run("total", "with", "measure_run=1")
    assert refused.returncode == 1
    assert "artifact 'numbers.txt' of run 1 was dropped on" in refused.stderr
    assert "rerun 1" in refused.stderr


def test_export_and_import_without_it(store, database, shared, tmp_path):
    store.drop_artifacts(store.plan_drop([1], ["a.npz"]))
    export_runs(store, store.find(), tmp_path / "out")
    database["runs"].delete_many({})
    assert len(import_runs(database, exported_runs(tmp_path / "out")).imported) == 2
    assert list(store.run(1).dropped()) == ["a.npz"]


# What others may have in the place of a file's id: conditions and patterns, to MongoDB.
ODD_IDS = [{"$ne": None}, {"$exists": False}, {"a": 1}, bson.Regex("."), [1], bson.Code("x", {})]


@pytest.mark.parametrize("file_id", ODD_IDS, ids=repr)
def test_ids_of_files_are_never_conditions(store, database, shared, add_run, file_id):
    artifacts = [{"name": "odd", "file_id": file_id}]
    add_run(3, artifacts=artifacts)
    add_run(4, artifacts=artifacts)
    files, chunks = n_files(database), database["fs.chunks"].count_documents({})
    plan = store.plan_drop([3], ["*"])
    assert [drop.size for drop in plan] == [None]
    assert store.drop_artifacts(plan) == 1
    store.delete([3, 4])
    assert n_files(database) == files
    assert database["fs.chunks"].count_documents({}) == chunks
    # And those of other runs can be dropped as before.
    store.drop_artifacts(store.plan_drop([1], ["b.npz"]))
    assert n_files(database) == files - 1


@pytest.mark.parametrize("file_id", ODD_IDS, ids=repr)
def test_odd_ids_of_files_hinder_no_other_export(
    store, database, home, shared, add_run, tmp_path, file_id
):
    add_run(3, artifacts=[{"name": "odd", "file_id": file_id}])
    with pytest.raises(TrackingError, match="could not be exported, all others were: artifact 'od"):
        export_runs(store, store.find(), tmp_path / "out")
    assert {original.id for original in exported_runs(tmp_path / "out")} == {1, 2}

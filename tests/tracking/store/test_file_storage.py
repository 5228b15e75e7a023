"""Runs that Sacred's own FileStorageObserver wrote, and that others have in folders."""

import datetime
import json

import pytest
from sacred import Experiment
from sacred.observers import FileStorageObserver

from nn_clustering.tracking import RunStore
from nn_clustering.tracking.store.file_storage import file_storage_runs
from nn_clustering.tracking.store.importing import import_runs


@pytest.fixture
def folder(tmp_path):
    """A folder of two runs, of which one failed."""
    experiment = Experiment("theirs", save_git_info=False)
    experiment.add_config(rate=0.5, fail=False, address="mongodb://me:secret@example.org/")
    data = tmp_path / "data.csv"
    data.write_text("1,2\n")

    @experiment.main
    def main(_run, rate, fail):
        import numpy as np

        for step in range(3):
            _run.log_scalar("loss", np.float64(rate**step), step)
        _run.open_resource(str(data)).close()
        _run.add_artifact(str(data), "table.csv")
        _run.info["labels"] = np.arange(2)
        if fail:
            raise ValueError("broken")
        return {"loss": rate}

    place = tmp_path / "their runs"
    experiment.observers.append(FileStorageObserver(place))
    experiment.run()
    with pytest.raises(ValueError, match="broken"):
        experiment.run(config_updates={"fail": True})
    (place / "1" / "cout.txt").write_text("their output\n")  # pytest has caught it
    return place


def test_their_runs_are_ours(folder, database, home):
    report = import_runs(database, file_storage_runs(folder))
    assert report.imported == {"run 1 of their runs": 1, "run 2 of their runs": 2}
    store = RunStore(database, home)
    run = store.run(1)
    assert (run.experiment, run.status, run.result) == ("theirs", "COMPLETED", {"loss": 0.5})
    assert run.config["rate"] == 0.5
    assert "secret" not in str(database["runs"].find_one())
    assert run.duration < 60
    assert run.artifact("table.csv") == b"1,2\n"
    assert run.metric("loss")["value"].tolist() == [1, 0.5, 0.25]
    assert run.metric("loss")["timestamp"].iloc[0].year == run.start_time.year
    assert "their output" in run.output()
    failed = store.run(2, status=None)
    assert failed.failure() == "ValueError: broken"
    sources = database["runs"].find_one({"_id": 1})["experiment"]["sources"]
    stored = database["fs.files"].find({"_id": {"$in": [file_id for _, file_id in sources]}})
    assert __file__ in {file["filename"] for file in stored}
    (resource,) = database["runs"].find_one({"_id": 1})["resources"]
    assert database["fs.files"].find_one({"md5": resource[1], "filename": resource[0]})


def test_again_nothing(folder, database):
    import_runs(database, file_storage_runs(folder))
    assert list(import_runs(database, file_storage_runs(folder)).here.values()) == [1, 2]


def test_one_run_alone(folder, database):
    report = import_runs(database, file_storage_runs(folder / "2"))
    assert list(report.imported.values()) == [1]
    assert report.lost  # its sources lie beside its folder


def change(path, **keys):
    path.write_text(json.dumps({**json.loads(path.read_text()), **keys}))


@pytest.mark.parametrize("name", ["../../data.csv", "/etc/hostname", "gone.csv"])
def test_artifacts_do_not_lead_out(folder, database, name):
    change(folder / "1" / "run.json", artifacts=[name])
    report = import_runs(database, file_storage_runs(folder))
    assert name in report.refused["run 1 of their runs"]
    assert list(report.imported) == ["run 2 of their runs"]


@pytest.mark.parametrize("name", ["run.json", "config.json", "metrics.json"])
def test_damaged_json(folder, database, name):
    (folder / "1" / name).write_text('{"a": ')
    report = import_runs(database, file_storage_runs(folder))
    assert name in report.refused["run 1 of their runs"]


def test_damaged_source(folder, database):
    (source,) = (folder / "_sources").glob("test_file_storage_*.py")
    source.write_text("print('another')")
    report = import_runs(database, file_storage_runs(folder))
    assert "its MD5 is not that of its name" in report.refused["run 1 of their runs"]


def test_nothing_is_unpickled(folder, database, tmp_path):
    trap = {"py/reduce": [{"py/type": "pathlib.Path"}, {"py/tuple": [str(tmp_path)]}]}
    change(folder / "1" / "config.json", trap=trap)
    import_runs(database, file_storage_runs(folder))
    assert database["runs"].find_one({"_id": 1})["config"]["trap"] == trap


def test_killed_runs_died(folder, database):
    change(
        folder / "1" / "run.json", status="RUNNING", heartbeat="2021-04-18T10:00:00.123456",
        start_time="2021-04-18T09:00:00",
    )  # fmt: skip
    import_runs(database, file_storage_runs(folder))
    run = database["runs"].find_one({"_id": 1})
    assert run["status"] == "DIED"
    assert (run["stop_time"] - run["start_time"]).seconds == 3600


def test_run_that_goes_on_is_left_for_later(folder, database):
    now = datetime.datetime.now(datetime.timezone.utc).replace(tzinfo=None)
    change(folder / "1" / "run.json", status="RUNNING", heartbeat=now.isoformat())
    report = import_runs(database, file_storage_runs(folder))
    assert report.waiting == ["run 1 of their runs"]
    assert list(report.imported) == ["run 2 of their runs"]


def test_times_of_other_zones_are_told_in_utc(folder, database):
    change(folder / "1" / "run.json", start_time="2021-04-18T09:00:00.123456+02:00")
    import_runs(database, file_storage_runs(folder))
    start = datetime.datetime(2021, 4, 18, 7, 0, 0, 123000)
    assert database["runs"].find_one({"_id": 1})["start_time"] == start


def test_links_are_no_runs(folder, database, tmp_path):
    (folder / "3").symlink_to(folder / "1")
    (tmp_path / "elsewhere").mkdir()
    for name in ("run.json", "config.json"):
        (tmp_path / "elsewhere" / name).write_text("{}")
    (folder / "4").symlink_to(tmp_path / "elsewhere")
    assert [run.id for run in file_storage_runs(folder)] == ["1", "2"]


@pytest.mark.parametrize(
    ("name", "changed"),
    [
        ("run.json", {"resources": 7}),
        ("run.json", {"start_time": "0001-01-01T00:00:00+14:00"}),
        ("run.json", {"heartbeat": "9999-12-31T23:59:59-12:00"}),
        ("run.json", {"artifacts": None}),
        ("metrics.json", {"loss": {"values": 5, "steps": None, "timestamps": {}}}),
        ("metrics.json", {"loss": 3}),
    ],
)
def test_fields_of_other_kinds_end_no_import(folder, database, home, name, changed):
    path = folder / "1" / name
    path.write_text(json.dumps({**json.loads(path.read_text()), **changed}))
    report = import_runs(database, file_storage_runs(folder))
    assert len(report.imported) == 2
    assert len(RunStore(database, home).find(status=None).table()) == 2


@pytest.mark.parametrize("artifacts", [5, "table.csv", ["../2/run.json"], [{"a": 1}]])
def test_artifacts_that_are_no_names_of_files(folder, database, artifacts):
    path = folder / "1" / "run.json"
    (folder / "1" / "table.csv").unlink()
    path.write_text(json.dumps({**json.loads(path.read_text()), "artifacts": artifacts}))
    report = import_runs(database, file_storage_runs(folder))
    assert (len(report.imported), len(report.refused)) == (1, 1)

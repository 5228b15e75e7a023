"""The observer as an experiment meets it: a program, a real server, and the server's absence."""

import datetime
import hashlib
import json
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pymongo
import pytest
from sacred import Experiment

from nn_clustering.errors import InvalidInputError, ServerUnavailableError
from nn_clustering.tracking import connect, make_observer, resolve_server, stop_embedded, track
from nn_clustering.tracking.writing.journal import Journal
from nn_clustering.tracking.writing.journal_reading import journal_folders
from nn_clustering.tracking.writing.registration import insert_run, register_run
from tests.programs import environment
from tests.tracking.conftest import PROGRAM
from tests.tracking.stage_programs import wait_for


def test_metrics_result_and_info_arrive_in_plain_python(run_sample, store):
    ended = run_sample("succeed")
    assert ended.returncode == 0, ended.stderr
    run = store.run("latest", experiment="sample")
    assert run.id == 1
    points = run.metric("test.accuracy")
    assert list(points["step"]) == [0, 1, 2]
    assert list(points["value"]) == [0.0, 0.5, 1.0]
    assert run.result == {"ncut": 1.5, "labels": [0, -1], "entropy": str(2**127)}
    assert run.info["scores"] == [1, 2]
    assert [entry["name"] for entry in run.info["metrics"]] == ["test.accuracy"]


def test_artifact_arrives_with_its_digest(run_sample, store, database, tmp_path):
    run_sample("succeed")
    run = store.run(1)
    content = (tmp_path / "network.npz").read_bytes()
    assert run.artifacts == ("network.npz",)
    assert run.artifact("network.npz") == content
    stored = database["fs.files"].find_one({"filename": {"$regex": "^artifact://"}})
    digest = hashlib.sha256(content).hexdigest()
    assert stored["metadata"] == {"kind": 3, "sha256": digest, "size": len(content)}
    assert stored["contentType"] == "application/octet-stream"


def test_sources_and_resources_are_stored_once(run_sample, database):
    for _ in range(2):
        assert run_sample("succeed").returncode == 0
    first, second = database["runs"].find().sort("_id", 1)
    assert first["experiment"]["sources"] == second["experiment"]["sources"]
    names = [file["filename"] for file in database["fs.files"].find() if "md5" in file]
    assert len(names) == len(set(names))
    (resource,) = first["resources"]
    assert resource[0] == str(PROGRAM)
    stored = database["fs.files"].find_one({"filename": resource[0], "md5": resource[1]})
    assert stored["length"] == PROGRAM.stat().st_size


def test_document_has_what_omniboard_needs_and_no_password(run_sample, database):
    run_sample("fail")
    document = database["runs"].find_one()
    assert document["artifacts"] == []
    assert document["status"] == "FAILED"
    assert document["config"]["address"] == "mongodb://***@example.org/"
    assert "ValueError" in "".join(document["fail_trace"])
    assert "secret" not in str(document)


def test_indexes(run_sample, database):
    run_sample("succeed")
    metrics = [index["key"] for index in database["metrics"].index_information().values()]
    assert [("run_id", 1), ("name", 1)] in [keys[:2] for keys in metrics]
    runs = [index["key"] for index in database["runs"].index_information().values()]
    newest = [("experiment.name", 1), ("status", 1), ("_id", -1)]
    assert newest in [keys[:3] for keys in runs]


def test_own_ids_and_queueing_are_refused(run_sample, database):
    refused = run_sample("succeed", "-i", "mine")
    assert refused.returncode == 1
    assert "leave out -i" in refused.stderr
    refused = run_sample("succeed", "-q")
    assert refused.returncode == 1
    assert "leave out -q" in refused.stderr
    assert database["runs"].count_documents({}) == 0


def test_ids_go_on_beside_a_text_id(run_sample, database):
    database["runs"].insert_many([{"_id": 7}, {"_id": "from elsewhere"}])
    assert run_sample("succeed").returncode == 0
    assert database["runs"].find_one({"status": "COMPLETED"})["_id"] == 8


def test_runs_that_start_together_get_different_ids(home, database, tmp_path):
    command = [sys.executable, str(PROGRAM), "with", f"folder={tmp_path}", "action=interrupt"]
    environ = environment(home, MONGO_DB=database.name)
    started = [
        subprocess.Popen(command, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        for _ in range(4)
    ]
    for run in started:
        run.communicate(timeout=60)
    found = list(database["runs"].find().sort("_id", 1))
    assert [run["_id"] for run in found] == [1, 2, 3, 4]
    assert {run["status"] for run in found} == {"INTERRUPTED"}


def test_large_output_and_results_become_artifacts(run_sample, store):
    ended = run_sample("large")
    assert ended.returncode == 0, ended.stderr
    run = store.run(1)
    assert set(run.artifacts) == {"info.json", "result.json", "captured_out.txt"}
    assert "info.json" in run.info["note"]
    assert len(json.loads(run.artifact("result.json"))) == 600_000
    assert len(run.artifact("captured_out.txt")) > 5_000_000


def test_killed_run_stays_running_and_loses_nothing_before(home, database, tmp_path):
    command = [sys.executable, str(PROGRAM), "with", "action=wait", f"folder={tmp_path}"]
    run = subprocess.Popen(
        command, env=environment(home, MONGO_DB=database.name), stdout=subprocess.DEVNULL
    )
    wait_for((tmp_path / "started").exists)
    run.send_signal(signal.SIGKILL)
    run.wait()
    assert database["runs"].find_one()["status"] == "RUNNING"


def test_server_that_goes_away_before_the_start_is_named(own_home):
    from nn_clustering.tracking import make_observer

    database = connect(resolve_server(environment(own_home)))
    stop_embedded(own_home)
    with pytest.raises(ServerUnavailableError, match="cannot write to database"):
        make_observer(database)
    database.client.close()


def test_interrupt_while_the_end_is_written(database, tmp_path, monkeypatch):
    """Ctrl-C comes between taking the end and writing it: Sacred then tells of the interruption."""
    observer = make_observer(database, journal_folder=tmp_path / "journal")
    start = datetime.datetime(2024, 1, 1)
    info = {"name": "sample", "base_dir": str(tmp_path), "sources": []}
    observer.started_event(info, "main", {}, start, {}, {}, None)
    observer.log_point("loss", 0.5, 0)
    write = Journal.write_document

    def interrupted(journal, document):
        monkeypatch.setattr(Journal, "write_document", write)
        raise KeyboardInterrupt

    monkeypatch.setattr(Journal, "write_document", interrupted)
    with pytest.raises(KeyboardInterrupt):
        observer.completed_event(start, None)
    observer.interrupted_event(start, "INTERRUPTED")
    assert database["runs"].find_one()["status"] == "INTERRUPTED"
    assert database["metrics"].find_one()["values"] == [0.5]
    assert list((tmp_path / "journal").iterdir()) == []


def test_experiment_is_tracked_from_any_thread(database, home, monkeypatch, tmp_path):
    """Only the main thread may say what a signal does."""
    monkeypatch.setenv("NN_CLUSTERING_HOME", str(home))
    experiment = Experiment("threaded", save_git_info=False, base_dir=str(tmp_path))
    before = signal.getsignal(signal.SIGTERM)
    with ThreadPoolExecutor(1) as thread:
        thread.submit(track, experiment, database).result()
    assert len(experiment.observers) == 1
    assert signal.getsignal(signal.SIGTERM) == before


ENTRY = {"experiment": {"name": "sample", "sources": []}, "start_time": None}


def test_number_of_a_deleted_run_is_not_given_again(database, store, tmp_path):
    assert [insert_run(database, ENTRY, tmp_path) for _ in range(2)] == [1, 2]
    store.delete([2])
    assert insert_run(database, ENTRY, tmp_path) == 3


def test_run_that_cannot_be_entered_leaves_no_journal(tmp_path):
    with (
        pymongo.MongoClient("127.0.0.1:1", serverSelectionTimeoutMS=1) as client,
        pytest.raises(ServerUnavailableError, match="the run cannot be stored"),
    ):
        register_run(client["runs"], tmp_path / "journal", "token", ENTRY, tmp_path)
    assert journal_folders(tmp_path / "journal") == []
    assert list((tmp_path / "journal").iterdir()) == []


def test_wrong_bound_of_journals_is_refused_before_there_is_a_run(database, monkeypatch, tmp_path):
    monkeypatch.setenv("NN_CLUSTERING_JOURNAL_MB", "lots")
    with pytest.raises(InvalidInputError, match="NN_CLUSTERING_JOURNAL_MB=lots"):
        make_observer(database, journal_folder=tmp_path)

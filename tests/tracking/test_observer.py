"""The observer as an experiment meets it: a program, a real server, and the server's absence."""

import hashlib
import json
import signal
import subprocess
import sys
import time

import pytest

from nn_clustering.errors import ServerUnavailableError
from nn_clustering.tracking import RunStore, connect, resolve_server, stop_embedded
from tests.programs import environment
from tests.tracking.conftest import PROGRAM


def test_metrics_result_and_info_arrive_in_plain_python(run_sample, store):
    ended = run_sample("succeed")
    assert ended.returncode == 0, ended.stderr
    run = store.run("latest", experiment="sample")
    assert run.id == 1
    assert run.metric("test.accuracy") == ([0, 1, 2], [0.0, 0.5, 1.0])
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
    assert [("run_id", 1), ("name", 1)] in metrics
    runs = [index["key"] for index in database["runs"].index_information().values()]
    assert [("experiment.name", 1), ("status", 1), ("start_time", -1)] in runs


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


def test_nothing_is_lost_in_an_outage(run_sample, own_home, tmp_path):
    ended = run_sample("outage", "-b", "0.1", home=own_home)
    assert ended.returncode == 0, ended.stderr
    with RunStore.open(environment(own_home, MONGO_DB=_database_of(own_home))) as store:
        run = store.run("latest", experiment="sample")
        assert run.metric("loss") == ([0, 1], [1.0, 0.5])
        assert run.artifact("a.txt") == b"after the outage"


def _database_of(home):
    database = connect(resolve_server(environment(home)))
    (name,) = [name for name in database.client.list_database_names() if name.startswith("test_")]
    database.client.close()
    return name


def test_what_cannot_be_delivered_is_saved_and_fails_the_run(run_sample, own_home):
    started = time.monotonic()
    ended = run_sample("loss", home=own_home)
    assert ended.returncode == 1
    assert time.monotonic() - started < 60
    last = ended.stderr.strip().splitlines()[-1]
    for part in ("incomplete in MongoDB", "loss", "a.txt", "undelivered"):
        assert part in last
    folder = own_home / ".mongo" / "undelivered" / "run-1"
    assert (folder / "a.txt").read_text() == "kept"
    (batch,) = json.loads((folder / "metrics.json").read_text())
    assert (batch["name"], batch["values"]) == ("loss", [1.0])
    assert json.loads((folder / "run.json").read_text())["status"] == "FAILED"


def test_missing_artifact_fails_the_run(run_sample, database):
    ended = run_sample("missing")
    assert ended.returncode == 1
    assert "no such file" in ended.stderr
    assert database["runs"].find_one()["status"] == "FAILED"


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
    deadline = time.monotonic() + 30
    while not (tmp_path / "started").exists() and time.monotonic() < deadline:
        time.sleep(0.1)
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

"""A worker computes a cell in a process of its own, from the study's frozen code."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time

import pytest

from nn_clustering.studies._cell_orders import CellOrder, CellOutcome
from nn_clustering.studies._cell_process import run_cell
from nn_clustering.studies._own_process import run_process
from tests.programs import environment
from tests.studies.counting_project import CountingStudy
from tests.studies.processes import is_there, read_when_there, wait_until


@pytest.fixture(scope="module")
def study(embedded_server, home, tmp_path_factory):
    study = CountingStudy(tmp_path_factory.mktemp("a project"), embedded_server, home).begin()
    # Somebody goes on working: nothing of that is any cell's.
    (study.folder / "experiments" / "step_size.py").write_text("STEP = 77\n")
    (study.folder / "configs" / "count" / "default.yaml").write_text("seed: 3\n")
    yield study
    study.close()


@pytest.fixture
def here(study, monkeypatch, tmp_path):
    """The test's process is a worker of the study, whose stages wait where the file `pause` is."""
    for name in set(os.environ) - set(study.environ):
        monkeypatch.delenv(name)
    for name, value in study.environ.items():
        monkeypatch.setenv(name, value)
    return tmp_path / "paused" / "pause"


def compute(order):
    """Run a cell; what travels is plain."""
    return CellOutcome.from_plain(json.loads(json.dumps(run_cell(json.loads(json.dumps(order))))))


def test_orders_and_outcomes_are_read_back(study):
    order = CellOrder.from_plain(study.order(1, configs=("a",), tags=["b"]))
    assert CellOrder.from_plain(json.loads(json.dumps(order.to_plain()))) == order
    assert order.updates == {"seed": 1, "tags": ["b"]}


def test_a_cell_is_computed_once_from_the_frozen_code(study, here):
    outcome = compute(study.order(1, tags=["it's", "a = b"]))
    assert (outcome.state, outcome.was_there, outcome.reason) == ("completed", False, "")
    run = study.store.run(outcome.run_id)
    assert run.result == {"number": 30, "first": 0}
    assert run.config["seed"] == 1
    assert run.tags == ("it's", "a = b")
    assert run.info["code"] == study.run.info["code"]
    again = compute(study.order(1))
    assert (again.state, again.run_id, again.was_there) == ("completed", outcome.run_id, True)
    assert study.store.count(experiment="count", config={"seed": 1}) == 1


@pytest.mark.parametrize(
    ("updates", "state", "told"),
    [
        ({"n_steps": 0}, "failed", "Error: n_steps=0; expected at least 1"),
        ({"then": "fail"}, "failed", "RuntimeError: told to fail"),
        ({"then": "abort"}, "crashed", "killed by SIGABRT"),
        # It is tried again, as the server may be there by then.
        ({"then": "read"}, "interrupted", "Error: MongoDB did not answer (127.0.0.1:9: [Errno"),
    ],
)
def test_how_a_process_ended_is_told(study, here, updates, state, told):
    outcome = compute(study.order(2, **updates))
    assert outcome.state == state, outcome
    assert told in outcome.reason
    assert "secret" not in outcome.output
    assert (outcome.exit_status < 0) == (state == "crashed")


@pytest.mark.parametrize(("n_gpus", "seen"), [(0, "-1"), (1, "3")])
def test_gpus_of_the_worker_are_hidden_from_runs_that_have_none(
    study, here, monkeypatch, n_gpus, seen
):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
    outcome = compute(study.order(20 + n_gpus, then="fail", n_gpus=n_gpus))
    assert f"devices {seen}\n" in f"{outcome.output}\n"


@pytest.mark.parametrize(
    ("keys", "is_used"), [({"reuse": False}, False), ({"reads_data": True}, True)]
)
def test_a_stored_run_stands_for_a_cell_only_where_it_may(study, here, keys, is_used):
    """Whether one that reads data by name does is for its stage to tell, in a process."""
    first = compute(study.order(30 + is_used))
    again = compute(study.order(30 + is_used, **keys))
    assert (again.state, again.exit_status) == ("completed", 0)  # a process was asked
    assert (again.run_id == first.run_id) == is_used


@pytest.mark.parametrize(
    ("fields", "cause"),
    [({"store": "another"}, "store"), ({"expected_code": "0" * 64, "code": "0" * 64}, "code")],
)
def test_a_worker_declines_what_it_would_compute_otherwise(study, here, fields, cause):
    outcome = compute(study.order(3, **fields))
    assert (outcome.state, outcome.cause) == ("declined", cause)
    assert outcome.reason
    assert study.store.count(experiment="count", config={"seed": 3}) == 0


def test_a_worker_declines_what_its_time_does_not_hold(study, here, monkeypatch):
    monkeypatch.setenv("SLURM_JOB_START_TIME", str(time.time() - 600))
    monkeypatch.setenv("SLURM_JOB_END_TIME", str(time.time() + 300))
    outcome = compute(study.order(3, expected_seconds=400))
    assert (outcome.state, outcome.cause) == ("declined", "walltime")


def test_a_worker_without_a_server_declines(study, here, monkeypatch):
    monkeypatch.setenv("MONGO_URL", "mongodb://me:hidden_password_1@127.0.0.1:1/")
    outcome = compute(study.order(3))
    assert (outcome.state, outcome.cause) == ("declined", "server")
    assert "hidden_password_1" not in json.dumps(outcome.to_plain())


def test_a_worker_without_room_declines(study, here, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", "/nowhere")
    outcome = compute(study.order(3))
    assert (outcome.state, outcome.cause) == ("declined", "machine")
    assert "/nowhere" in outcome.reason


def test_a_key_that_no_command_line_holds_fails_its_cell_alone(study, here):
    outcome = compute(study.order(3, n_steps=float("nan")))
    assert (outcome.state, outcome.run_id) == ("failed", None)
    assert "n_steps=nan" in outcome.reason


def test_a_killed_cell_is_gone_on_with(study, here, monkeypatch):
    here.parent.mkdir()
    monkeypatch.setenv("PAUSE", str(here))
    outcomes = []
    worker = threading.Thread(target=lambda: outcomes.append(compute(study.order(4))))
    worker.start()
    read_when_there(here)  # after the first step
    here.unlink()
    os.kill(int(read_when_there(here)), signal.SIGKILL)
    worker.join()
    (killed,) = outcomes
    assert (killed.state, killed.reason) == ("crashed", "killed by SIGKILL")
    # Nobody waits until the lease of the dead has run out.
    assert study.database["leases"].count_documents({"run_id": killed.run_id}) == 0
    monkeypatch.delenv("PAUSE")
    outcome = compute(study.order(4))
    assert (outcome.state, outcome.resumed) == ("completed", killed.run_id)
    assert study.store.run(outcome.run_id).result == {"number": 30, "first": 2}
    assert study.store.run(killed.run_id, status=None).status == "DIED"


def test_what_cannot_be_gone_on_with_is_begun_anew(study, here):
    first = compute(study.order(5, then="abort"))
    assert first.state == "crashed"
    run = study.database["runs"].find_one({"config.seed": 5})
    study.store.unfinished_run(run["_id"])  # which is delivered so
    study.database["runs"].update_one(
        {"_id": run["_id"]}, {"$set": {"config.then": "go on", "artifacts.$[step].name": "other"}},
        array_filters=[{"step.name": {"$regex": "^step_"}}],
    )  # fmt: skip
    outcome = compute(study.order(5))
    assert (outcome.state, outcome.resumed) == ("completed", None)
    assert study.store.run(outcome.run_id).result["first"] == 0


STUBBORN = """
import signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("mongodb://me:hidden@host/x", flush=True)
open(sys.argv[1], "w").close()
time.sleep(60)
"""


def test_a_process_that_does_not_end_is_killed(tmp_path):
    begun = tmp_path / "begun"
    ended = run_process(
        ["-c", STUBBORN, str(begun)],
        tmp_path,
        os.environ,
        tmp_path / "output",
        lambda: "cancelled" if begun.exists() else None,
        grace=0.05,
    )
    assert (ended.status, ended.cause) == (-signal.SIGKILL, "cancelled")
    assert ended.output == "mongodb://***@host/x"


WORKER = """
import os, sys
from pathlib import Path
from nn_clustering.studies._own_process import run_process
code = "import os, sys, time; print(os.getpid(), flush=True); time.sleep(60)"
run_process(["-c", code], Path.cwd(), os.environ, Path(sys.argv[1]), lambda: None)
"""


def test_a_process_ends_with_its_worker(tmp_path):
    output = tmp_path / "output"
    worker = subprocess.Popen([sys.executable, "-c", WORKER, output], env=environment(tmp_path))
    process = int(read_when_there(output))
    worker.kill()
    worker.wait()
    wait_until(lambda: not is_there(process))

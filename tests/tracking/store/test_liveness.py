"""Runs that died are told from those that live."""

import datetime
import fcntl
import os
import signal
import socket
import subprocess
import sys

import bson
import pymongo
import pytest
from pymongo import monitoring

from nn_clustering.tracking import RunStore
from nn_clustering.tracking.store.liveness import mark_died

LONG_AGO = datetime.timedelta(minutes=10)
RECENTLY = datetime.timedelta(seconds=30)


@pytest.fixture
def journals(tmp_path):
    folder = tmp_path / ".mongo" / "journal"
    folder.mkdir(parents=True)
    return folder


@pytest.fixture
def add_running(add_run):
    """Inserts a run in progress."""

    def add(run_id, seen=RECENTLY, **fields):
        now = datetime.datetime.utcnow()
        tracking = {"last_seen": now - seen, "token": f"token{run_id}"}
        start = now - 2 * LONG_AGO
        return add_run(
            run_id, status="RUNNING", **{"tracking": tracking, "start_time": start, **fields}
        )

    return add


@pytest.fixture
def make_journal(journals):
    def make(run_id, **document):
        folder = journals / f"token{run_id}"
        folder.mkdir()
        (folder / "lock").touch()
        (folder / "header.json").write_text("{}")
        if document:
            (folder / "document.bson").write_bytes(bson.encode(document))
        return folder

    return make


def test_silence_is_death(database, add_running):
    add_running(1, LONG_AGO)
    add_running(2)
    assert mark_died(database) == [1]
    dead = database["runs"].find_one({"_id": 1})
    assert dead["status"] == "DIED"
    assert dead["stop_time"] == dead["tracking"]["last_seen"]
    alive = database["runs"].find_one({"_id": 2})
    assert alive["status"] == "RUNNING"
    assert "stop_time" not in alive
    assert mark_died(database) == []


@pytest.mark.parametrize("days", [-365, 365])
def test_clock_of_the_machine_of_a_run_may_be_wrong(database, add_run, tmp_path, days):
    """A run that has just begun lives, one that died is dead, and took as long as it took."""
    now = datetime.datetime.utcnow().replace(microsecond=0)
    start = now + datetime.timedelta(days=days)
    tracking = {"token": "token", "registered": now}
    add_run(1, status="RUNNING", start_time=start, heartbeat=None, tracking=tracking)
    assert mark_died(database) == []
    fields = {"heartbeat": start + RECENTLY, "tracking.last_seen": now}
    database["runs"].update_one({"_id": 1}, {"$set": fields})
    assert RunStore(database, tmp_path).run(1, status=None).duration == RECENTLY.seconds
    fields = {"tracking.last_seen": now - LONG_AGO}
    database["runs"].update_one({"_id": 1}, {"$set": fields})
    assert mark_died(database) == [1]
    assert RunStore(database, tmp_path).run(1, status=None).duration == RECENTLY.seconds


def test_runs_of_others_are_judged_by_heartbeat_or_start(database, add_running):
    now = datetime.datetime.utcnow()
    add_running(1, tracking={}, heartbeat=now - LONG_AGO)
    add_running(2, tracking={}, heartbeat=now)
    add_running(3, tracking={}, heartbeat=None)
    add_running(4, tracking={"last_seen": "never"}, start_time=now)
    add_running(5, tracking={}, start_time=None)
    assert mark_died(database) == [1, 3]
    stops = {run["_id"]: run.get("stop_time") for run in database["runs"].find()}
    starts = {run["_id"]: run["start_time"] for run in database["runs"].find()}
    assert stops[1] < now
    assert stops[3] == starts[3]


@pytest.mark.parametrize("status", ["COMPLETED", "FAILED", "INTERRUPTED", "DIED"])
def test_runs_that_ended_stay_as_they_are(database, add_run, status):
    add_run(1, status=status)
    before = database["runs"].find_one()
    assert mark_died(database) == []
    assert database["runs"].find_one() == before


def test_lock_that_nobody_holds_is_death_at_once(database, journals, add_running, make_journal):
    add_running(1)
    make_journal(1)
    add_running(2)  # without a journal here
    assert mark_died(database, journals) == [1]


def test_lock_that_is_held_is_life_however_long_the_silence(
    database, journals, add_running, make_journal
):
    add_running(1, LONG_AGO)
    with (make_journal(1) / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert mark_died(database, journals) == []
        with (journals / "token1" / "lock").open() as other, pytest.raises(BlockingIOError):
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)  # the look did not take it
    assert mark_died(database, journals) == [1]


def test_lock_that_another_only_looks_at_is_held_by_nobody(
    database, journals, add_running, make_journal
):
    add_running(1)
    with (make_journal(1) / "lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)
        assert mark_died(database, journals) == [1]


def test_process_that_is_killed_has_died(database, journals, add_running, make_journal):
    add_running(1)
    script = (
        "import fcntl, sys, time; lock = open(sys.argv[1], 'w'); fcntl.flock(lock, fcntl.LOCK_EX); "
        "print(flush=True); time.sleep(60)"
    )
    command = [sys.executable, "-c", script, str(make_journal(1) / "lock")]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        assert mark_died(database, journals) == []
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    assert mark_died(database, journals) == [1]


def test_finished_run_that_waits_for_delivery_is_left_alone(
    database, journals, add_running, make_journal
):
    add_running(1, LONG_AGO)
    make_journal(1, finished=True)
    add_running(2)
    make_journal(2, finished=False)
    assert mark_died(database, journals) == [2]


def test_journal_of_another_machine_says_nothing(database, journals, add_running, make_journal):
    add_running(1, host={"hostname": "elsewhere.example.org"})
    add_running(2, host={"hostname": socket.gethostname()})
    for number in (1, 2):
        make_journal(number)
    assert mark_died(database, journals) == [2]


@pytest.mark.parametrize("token", ["..", "a/b", "", None, 5, {"$ne": 1}])
def test_token_is_no_path(database, journals, add_running, token):
    (journals.parent / "lock").touch()
    add_running(1, tracking={"token": token, "last_seen": datetime.datetime.utcnow()})
    assert mark_died(database, journals) == []


class Meanwhile(monitoring.CommandListener):
    """Does something just before the first update is sent."""

    def __init__(self, action):
        self.action = action
        self.count = 0

    def started(self, event):
        if event.command_name == "update":
            self.count += 1
            self.action()

    def succeeded(self, event):
        pass

    def failed(self, event):
        pass


@pytest.mark.parametrize(
    "change",
    [{"status": "COMPLETED"}, {"tracking.last_seen": datetime.datetime(2999, 1, 1)}],
    ids=["ended", "gave a sign"],
)
def test_run_that_changes_at_this_moment_is_left_alone(
    database, embedded_server, add_running, change
):
    add_running(1, LONG_AGO)
    listener = Meanwhile(lambda: database["runs"].update_one({"_id": 1}, {"$set": change}))
    with pymongo.MongoClient(embedded_server.url, event_listeners=[listener]) as client:
        assert mark_died(client[database.name]) == []
    assert listener.count == 1
    assert database["runs"].find_one()["status"] == change.get("status", "RUNNING")


def test_store_looks_before_it_answers(database, tmp_path, add_running):
    for number in (1, 2, 3):
        add_running(number, LONG_AGO)
    assert {run.status for run in RunStore(database, tmp_path).find()} == {"DIED"}
    add_running(4, LONG_AGO)
    assert RunStore(database, tmp_path).run(4, status=None).status == "DIED"


def test_store_looks_now_and_then_only(database, tmp_path, add_running):
    store = RunStore(database, tmp_path)
    assert store.find() == []
    add_running(1, LONG_AGO)
    assert store.find()[0].status == "RUNNING"


def test_store_looks_at_once_for_a_run_to_go_on_with(database, tmp_path, add_running):
    store = RunStore(database, tmp_path)
    assert store.find() == []
    add_running(1, LONG_AGO)
    assert store.unfinished_run(1, experiment="train").status == "DIED"

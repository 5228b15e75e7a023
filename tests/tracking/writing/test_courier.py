"""Whatever goes wrong in the thread that delivers is told, and no run ends better than it is."""

import datetime
import logging

import pytest

from nn_clustering.tracking import TrackingObserver, sync_journals
from nn_clustering.tracking.writing import courier
from nn_clustering.tracking.writing.delivery import Delivery
from nn_clustering.tracking.writing.journal_reading import journal_folders
from tests.tracking.stage_programs import wait_for

TIME = datetime.datetime(2024, 1, 1)
PROBLEMS = [RuntimeError, KeyError, MemoryError, UnicodeError, RecursionError, SystemExit]


@pytest.fixture
def observer(database, tmp_path, monkeypatch):
    """A run in progress, whose courier does not take its time."""
    for name, value in (("GATHER", 0.01), ("PAUSES", (0.01,)), ("GIVE_UP", 0.1), ("BEAT", 0.05)):
        monkeypatch.setattr(courier, name, value)
    observer = TrackingObserver(database, tmp_path / "journal")
    info = {"name": "sample", "base_dir": str(tmp_path), "sources": []}
    observer.started_event(info, "main", {}, TIME, {"seed": 1}, {}, None)
    yield observer
    observer._courier.stop()
    observer._courier.join()
    observer._journal.close()


def fail(monkeypatch, name, problem, times):
    """Let a step of the delivery fail so often."""
    step, left = getattr(Delivery, name), iter(range(times))

    def failing(delivery, *arguments):
        if next(left, None) is None:
            return step(delivery, *arguments)
        raise problem("odd")

    monkeypatch.setattr(Delivery, name, failing)


@pytest.mark.parametrize("step", ["deliver_events", "deliver_document"])
@pytest.mark.parametrize("problem", [problem for problem in PROBLEMS if problem is not SystemExit])
def test_what_fails_for_a_while_is_done_again(
    observer, database, monkeypatch, caplog, step, problem
):
    fail(monkeypatch, step, problem, 3)
    observer.log_point("loss", 0.5, 0)
    while "is stored again" not in caplog.text:
        assert observer._courier.is_alive()
    assert f"cannot be stored now ({problem.__name__}" in caplog.text
    observer.completed_event(TIME, 1.0)
    assert database["runs"].find_one()["status"] == "COMPLETED"
    assert database["metrics"].find_one()["values"] == [0.5]


@pytest.mark.parametrize("problem", PROBLEMS)
def test_what_fails_for_ever_is_told_and_can_be_synced(
    observer, database, monkeypatch, caplog, tmp_path, problem
):
    caplog.set_level(logging.WARNING)
    with monkeypatch.context() as patch:
        fail(patch, "deliver_events", problem, 10**6)
        observer.log_point("loss", 0.5, 0)
        with pytest.raises(SystemExit, match="run 1 is not all in MongoDB") as told:
            observer.completed_event(TIME, 1.0)
    assert problem.__name__ in str(told.value)
    assert problem.__name__ in caplog.text
    assert database["runs"].find_one()["status"] == "RUNNING"
    (folder,) = journal_folders(tmp_path / "journal")
    assert str(folder) in str(told.value)
    assert sync_journals(database.client, tmp_path / "journal", lambda line: None).delivered == (1,)
    assert database["runs"].find_one()["status"] == "COMPLETED"
    assert database["metrics"].find_one()["values"] == [0.5]


def test_events_that_only_the_lost_disk_had_fail_the_run(observer, database, monkeypatch, caplog):
    """More than memory keeps had to wait for the server when the disk went away."""
    monkeypatch.setattr("nn_clustering.tracking.writing.segments.KEPT_EVENTS", 10)
    with monkeypatch.context() as patch:
        fail(patch, "require_run", ConnectionError, 10**6)
        for step in range(60):
            observer.log_point("loss", step / 7, step)
            if step == 40:
                for path in observer._journal.segments():
                    path.unlink()
    with pytest.raises(SystemExit, match=r"run 1 is FAILED.* \d+ events of it are missing") as told:
        observer.completed_event(TIME, 1.0)
    assert "its damaged journal is kept in" in str(told.value)
    assert "events of it are missing" in caplog.text
    document, metric = database["runs"].find_one(), database["metrics"].find_one()
    assert document["status"] == "FAILED"
    assert "has 19 points of 60" in document["fail_trace"][-1]
    assert metric["steps"] == list(range(41, 60))
    assert metric["values"] == [step / 7 for step in range(41, 60)]


def test_run_that_logs_nothing_gives_signs_of_life(observer, database):
    """By which it is told from one whose process has died."""

    def seen():
        return database["runs"].find_one()["tracking"]["last_seen"]

    wait_for(lambda: "last_seen" in database["runs"].find_one()["tracking"])
    for _ in range(3):
        before = seen()
        wait_for(lambda before=before: seen() > before)

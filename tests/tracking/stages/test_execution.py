"""A stage's program in this process: what it adds to Sacred's run, and what it leaves behind."""

import os
import signal

import bson
import pytest
from pymongo.errors import InvalidOperation
from sacred.observers import RunObserver

from nn_clustering.tracking import StageExperiment
from tests.programs import WarmProcess, environment


@pytest.fixture
def weighing(project, server, home, monkeypatch):
    """A stage, and the list of the databases that its runs were given."""
    monkeypatch.setenv("MONGO_URL", server.url)
    monkeypatch.setenv("MONGO_DB", server.database)
    monkeypatch.setenv("NN_CLUSTERING_HOME", str(home))
    experiment = StageExperiment("weigh", base_dir=project, save_git_info=False)
    experiment.add_config(grams=3, seed=0, reuse=True, tags=7)
    databases = []

    @experiment.stage(inputs=lambda run: None)
    def weigh(run):
        databases.append(run.database)
        return {"grams": run.config["grams"], "typed": run.typed_keys()}

    before = signal.getsignal(signal.SIGTERM)
    yield experiment, databases
    signal.signal(signal.SIGTERM, before)


class Listener(RunObserver):
    def __init__(self):
        self.heard = []

    def started_event(self, **facts):
        self.heard.append("started")

    def completed_event(self, stop_time, result):
        self.heard.append(result["grams"])


def test_observers_and_hooks_of_the_users_own_are_kept(weighing, store):
    experiment, _ = weighing
    listener = Listener()
    experiment.observers.append(listener)
    experiment.pre_run_hook(lambda: listener.heard.append("hook"))
    experiment.run_commandline(["weigh.py", "with", "grams=5"])
    assert sorted(map(str, listener.heard)) == ["5", "hook", "started"]
    assert store.run(1).result["grams"] == 5


def test_connection_is_closed_after_the_end_and_used_again_never(weighing, store):
    experiment, databases = weighing
    for _ in range(2):
        experiment.run_commandline(["weigh.py", "with", "reuse=False"])
    assert len(store.find()) == 2
    for database in databases:
        with pytest.raises(InvalidOperation):
            database.client.admin.command("ping")


def test_keys_are_typed_on_the_command_line_only(weighing, store):
    experiment, _ = weighing
    assert experiment.run_commandline(["weigh.py", "with", "grams=5"]).result["typed"] == ["grams"]
    assert experiment.run(config_updates={"grams": 6}).result["typed"] == []


def test_run_that_is_used_has_the_comment_that_it_was_given_now(weighing, store):
    """Tags that are no list are another's key, which says nothing about the run."""
    experiment, _ = weighing
    made = experiment.run_commandline(["weigh.py"])
    used = experiment.run_commandline(["weigh.py", "-c", "once more"])
    assert used._id == made._id == 1
    assert used.stored.notes == store.run(1).notes == "once more"
    assert store.run(1).tags == ()


@pytest.mark.parametrize(("given", "expected"), [(None, str(os.cpu_count())), ("1", "1")])
def test_libraries_need_not_look_for_the_number_of_cores(
    weighing, store, monkeypatch, given, expected
):
    experiment, _ = weighing
    with monkeypatch.context() as own:
        if given is None:
            own.delenv("OMP_NUM_THREADS", raising=False)
        else:
            own.setenv("OMP_NUM_THREADS", given)
        experiment.run_commandline(["weigh.py"])
        assert os.environ["OMP_NUM_THREADS"] == expected


def test_output_is_in_order_in_a_file(project, home, database, tmp_path):
    program = [project / "experiments" / "measure.py", "-l", "DEBUG"]
    environ = environment(home, MONGO_DB=database.name)
    with (tmp_path / "log").open("w") as log:
        process = WarmProcess(program, env=environ, cwd=project, stdout=log, stderr=log)
        assert process.wait(timeout=60) == 0
    lines = (tmp_path / "log").read_text().splitlines()
    (measuring,) = (number for number, line in enumerate(lines) if line == "measuring")
    (completed,) = (number for number, line in enumerate(lines) if "Completed after" in line)
    assert measuring < completed
    # Nor with what stores the run.
    assert not [line for line in lines if "pymongo" in line]


def test_runs_that_wait_to_be_delivered_are_told_once(succeed, server, tmp_path):
    """By the program, and not by each part of it."""
    journals = tmp_path / "home" / ".mongo" / "journal"
    for name, is_finished in (("first", True), ("second", True), ("third", False)):
        (journals / name).mkdir(parents=True)
        (journals / name / "lock").touch()
        (journals / name / "header.json").write_text("{}")
        (journals / name / "document.bson").write_bytes(bson.encode({"finished": is_finished}))
    place = {"NN_CLUSTERING_HOME": str(tmp_path / "home"), "MONGO_URL": server.url}
    told = succeed("both", **place).stderr
    assert told.count("earlier run") == 1
    assert "2 earlier runs are not all in MongoDB yet: `python -m nn_clustering.tracking" in told

"""Going on with a run that was killed, stopped or failed: real runs, real signals."""

import contextlib
import copy
import datetime
import shutil
import signal
import socket

import pytest

from nn_clustering.tracking import InvalidInputError
from nn_clustering.tracking.stages.resumption import adopt_config
from tests.programs import environment
from tests.tracking.faulty_line import FaultyLine
from tests.tracking.stage_programs import assert_refused, started, wait_for


@pytest.fixture
def begin(project, home, database, tmp_path):
    """Starts counting, and waits until it is in the middle."""
    sign = tmp_path / "started"

    @contextlib.contextmanager
    def begin(*arguments, at_start=lambda process: None, **more):
        sign.unlink(missing_ok=True)
        environ = environment(home, MONGO_DB=database.name, SAMPLE_STARTED=str(sign), **more)
        given = ["with", *arguments] if arguments else []
        with started(project, "count", *given, environ=environ) as process:
            at_start(process)
            wait_for(lambda: sign.exists() and sign.read_text())
            yield process

    yield begin
    # Journals of those that were killed, in the home of other tests too.
    for found in database["runs"].find({"tracking.token": {"$exists": True}}):
        shutil.rmtree(home / ".mongo" / "journal" / found["tracking"]["token"], ignore_errors=True)


@pytest.fixture
def end(begin):
    """Starts counting, and ends it by a signal in the middle."""

    def end(number, *arguments, **more):
        with begin(*arguments, **more) as process:
            process.send_signal(number)
            process.wait(timeout=60)

    return end


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGKILL, "DIED"), (signal.SIGTERM, "INTERRUPTED")]
)
def test_goes_on_where_it_ended(end, succeed, store, number, status):
    end(number, "seed=2", "long", "step.size=0.5")
    succeed("count", "with", "resume=1", "tags=again")
    assert store.run(1, status=None).status == status
    going_on = store.run(2)
    # Six steps of 0.5 times three, the first two of them in the other run.
    assert going_on.result == {"number": 9.0, "first": 2}
    assert going_on.lineage == {"resume": 1}
    assert going_on.config == {
        **store.run(1, status=None).config, "resume": 1, "tags": ["again"],
    }  # fmt: skip
    assert store.lineage(1).read_by[0].run == 2
    assert succeed("count", "with", "resume=1").stdout.startswith("using count run 2:")


def test_plain_command_uses_the_run_that_went_on(end, succeed, store):
    """Also where that was interrupted in turn."""
    long = ["seed=2", "long", "step.size=0.5"]
    end(signal.SIGKILL, *long)
    end(signal.SIGTERM, "resume=1", SAMPLE_STEP="3")
    succeed("count", "with", "resume=2")
    assert store.run(3).result == {"number": 9.0, "first": 4}
    for given in (long, ["resume=1"]):
        assert succeed("count", "with", *given).stdout.startswith("using count run 3:")


def test_changed_code_is_told(end, succeed, project):
    end(signal.SIGTERM)
    told = "the code, or a package, is not what it was in run 1"
    assert told not in succeed("count", "with", "resume=1", "reuse=False").stdout
    (project / "experiments" / "added.py").touch()
    assert told in succeed("count", "with", "resume=1", "reuse=False").stdout
    # Half of what it gave is of other code than the plain command's.
    assert "using count run" not in succeed("count").stdout


def test_failed_run_goes_on(run, succeed, store):
    assert run("count", SAMPLE_FAILING="yes").returncode == 1
    assert store.run(1, status=None).status == "FAILED"
    succeed("count", "with", "resume=1")
    assert store.run(2).result == {"number": 4.0, "first": 2}


def test_artifacts_of_an_unfinished_run_can_be_read(end, store):
    end(signal.SIGKILL)
    unfinished = store.unfinished_run(1, experiment="count")
    assert unfinished.status == "DIED"
    assert unfinished.artifacts[-2:] == ("number_0", "number_1")
    assert unfinished.artifact("number_1") == b"2.0"


def test_what_was_killed_without_its_server_is_delivered_first(
    begin, succeed, server, database, store, tmp_path
):
    line, pause = FaultyLine(server.address), tmp_path / "pause"

    def cut_the_line(process):
        wait_for(pause.exists)
        line.cut()
        pause.unlink()

    url = server.url.replace(server.address, line.address)
    with begin(at_start=cut_the_line, MONGO_URL=url, SAMPLE_PAUSE=str(pause)) as process:
        process.kill()
        process.wait(timeout=60)
    line.close()
    # The rest of what it logged is on this machine only.
    assert "number_1" not in store.run(1, status=None).artifacts
    succeed("count", "with", "resume=1")
    assert store.run(1, status=None).artifacts[-1] == "number_1"
    assert store.run(2).result == {"number": 4.0, "first": 2}


def test_what_cannot_be_delivered_is_told(end, run, database, home):
    end(signal.SIGKILL)
    token = database["runs"].find_one({"_id": 1})["tracking"]["token"]
    (home / ".mongo" / "journal" / token / "99.events").mkdir()  # which nobody can read
    refused = run("count", "with", "resume=1")
    assert_refused(refused, "resume=1: ", "99.events", "before the run goes on")


def test_damaged_journal_does_not_keep_a_run_from_going_on(end, succeed, database, home):
    end(signal.SIGKILL)
    token = database["runs"].find_one({"_id": 1})["tracking"]["token"]
    (home / ".mongo" / "journal" / token / "header.json").write_text("torn")
    succeed("count", "with", "resume=1")
    assert "header.json is damaged" in database["runs"].find_one({"_id": 1})["fail_trace"][-1]


def test_living_run_is_refused(begin, run, store):
    with begin() as process:
        refused = run("count", "with", "resume=1")
        assert_refused(
            refused,
            f"resume=1: run 1 is still running on {socket.gethostname()} (pid {process.pid})",
            "stop it, or wait for it",
        )
    assert len(store.find()) == 1


def test_living_run_of_another_machine_is_refused(run, add_run, database):
    now = datetime.datetime.utcnow()
    add_run(1, "count", "RUNNING", heartbeat=now, host={"hostname": "elsewhere"})
    assert_refused(
        run("count", "with", "resume=1"), "resume=1: run 1 is still running on elsewhere;"
    )


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("1", ["run 1 is COMPLETED", "nothing to go on with", "DIED, FAILED or INTERRUPTED"]),
        ("2", ["run 2 is a 'measure' run; expected a 'count' run"]),
        ("9", ["there is no run 9"]),
        ("latest", ["'latest' is no run to go on with", "the number of one"]),
        ("True", ["True is no run to go on with"]),
        ("1.5", ["1.5 is no run to go on with"]),
    ],
)
def test_other_runs_are_refused(run, add_run, database, value, expected):
    add_run(1, "count")
    add_run(2, "measure", "DIED")
    assert_refused(run("count", "with", f"resume={value}"), f"resume={value}: ", *expected)
    assert database["runs"].count_documents({}) == 2


@pytest.fixture
def stored(add_run):
    """A run that died, with another config than the defaults, and an older one."""
    config = {
        "seed": 3, "n_steps": 6, "step": {"size": 0.5, "name": "step"}, "resume": 9,
        "reuse": False, "tags": ["old"], "gone": 1,
    }  # fmt: skip
    add_run(1, "count", "DIED", config=config)
    add_run(2, "count", "DIED", config={"seed": 3, "step": {"size": 0.5}})


def test_own_keys_and_new_keys_keep_their_values(succeed, stored, store):
    succeed("count", "with", "resume=2", "tags=new")
    assert store.run(3).config == {
        "seed": 3, "n_steps": 4, "step": {"size": 0.5, "name": "step"}, "resume": 2,
        "reuse": True, "tags": ["new"],
    }  # fmt: skip
    assert store.run(3).result["number"] == 4 * 0.5 * (1 + 3)


def test_same_values_may_be_set_again(succeed, stored, store):
    succeed("count", "with", "resume=1", "n_steps=6", "seed=3", "step.size=0.5")
    assert store.run(3).config["n_steps"] == 6


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["step.size=2.0"], "where step.size is 0.5; leave out step.size=2.0 (or start a new run"),
        # A default that was typed is not silently undone.
        (["n_steps=4"], "where n_steps is 6; leave out n_steps=4 (or start a new run without"),
        (["long"], "where step.name is step; leave out long, which sets step.name=long step (or"),
        (["mine.yaml"], "where seed is 3; leave out mine.yaml, which sets seed=0 (or"),
    ],
)
def test_other_values_are_refused(run, project, stored, database, arguments, expected):
    (project / "mine.yaml").write_text("seed: 0\n")
    refused = run("count", "with", "resume=1", *arguments)
    assert_refused(refused, "resume=1 goes on with the config of run 1, ", expected)
    assert database["runs"].count_documents({}) == 2


DEFAULTS = {"seed": 0, "step": {"size": 1.0, "n": 4}, "resume": None, "reuse": True, "tags": []}


@pytest.mark.parametrize(
    ("keep", "step"),
    [
        ((), {"size": 0.5, "n": 6}),
        (("step",), {"size": 1.0, "n": 4}),
        (("step.n",), {"size": 0.5, "n": 4}),
    ],
)
def test_keys_and_groups_that_are_kept_stay(add_run, store, keep, step):
    add_run(1, config={"seed": 3, "step": {"size": 0.5, "n": 6}, "reuse": False})
    config = copy.deepcopy(DEFAULTS)
    config["resume"] = 1
    adopt_config(config, DEFAULTS, {}, store.run(1), "resume", keep)
    assert config == {**DEFAULTS, "seed": 3, "step": step, "resume": 1}


def test_defaults_of_the_runs_to_come_stay_as_they_are(add_run, store):
    """Sacred's config of a run shares inner dictionaries with the experiment's defaults."""
    add_run(1, config={"step": {"size": 0.5, "n": 6}})
    shared = copy.deepcopy(DEFAULTS)
    config = {**shared, "resume": 1}
    adopt_config(config, DEFAULTS, {}, store.run(1), "resume", ())
    assert config["step"] == {"size": 0.5, "n": 6}
    assert shared == DEFAULTS


def test_value_that_is_no_default_is_refused_whoever_set_it(add_run, store):
    """A whole sets keys of its part without typing them."""
    add_run(1, config={"seed": 3})
    config = {**copy.deepcopy(DEFAULTS), "seed": 2, "resume": 1}
    with pytest.raises(InvalidInputError, match=r"where seed is 3; leave out seed=2 \(or start"):
        adopt_config(config, DEFAULTS, {}, store.run(1), "resume", ())


def test_untracked_run_can_go_on(end, succeed, store):
    end(signal.SIGKILL)
    assert "Completed" in succeed("count", "-u", "with", "resume=1").stderr
    assert len(store.find()) == 1

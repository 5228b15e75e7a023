"""Equal commands that are started together: one computes, the others wait for its run."""

import contextlib
import signal
import subprocess

import pytest

from tests.programs import WarmProcess, environment
from tests.tracking.stage_programs import wait_for

USING = "using count run {}: same config, inputs and code"


@pytest.fixture
def environ(home, database):
    return environment(home, MONGO_DB=database.name, PYTHONDONTWRITEBYTECODE="1")


@pytest.fixture
def start(project, environ, tmp_path):
    """Starts a stage; its output goes to a file, `process.said()`."""
    with contextlib.ExitStack() as stack:
        processes = []

        def start(stage, *arguments, **more):
            path = tmp_path / f"output {len(processes)}"
            output = stack.enter_context(path.open("w"))
            process = WarmProcess(
                [project / "experiments" / f"{stage}.py", *arguments],
                env={**environ, **more},
                cwd=project,
                stdout=output,
                stderr=subprocess.STDOUT,
                text=True,
            )
            process.said = path.read_text
            processes.append(process)
            return process

        yield start
        for process in processes:
            process.kill()
            process.wait()


@pytest.fixture
def held(start, tmp_path):
    """Counts to the middle, and stays there until the file is removed."""
    pause = tmp_path / "pause"

    def hold(*arguments, **more):
        process = start("count", *arguments, SAMPLE_PAUSE=str(pause), **more)
        wait_for(lambda: pause.exists() or process.poll() is not None)
        assert process.poll() is None, process.said()
        return process

    hold.release = lambda: pause.unlink(missing_ok=True)
    yield hold
    hold.release()


def waits(process):
    return "the same count is computed already" in process.said()


def runs(database):
    return [run["status"] for run in database["runs"].find().sort("_id")]


def test_second_waits_and_uses_the_run(held, start, database):
    first = held()
    second = start("count")
    wait_for(lambda: waits(second))
    (line,) = second.said().splitlines()
    assert f"(run 1, pid {first.pid} on " in line
    assert ", since " in line
    held.release()
    assert (first.wait(60), second.wait(60)) == (0, 0)
    assert USING.format(1) in second.said()
    assert runs(database) == ["COMPLETED"]
    assert database["leases"].count_documents({}) == 0


def test_of_five_at_once_one_computes(start, database):
    processes = [start("measure") for _ in range(5)]
    assert [process.wait(120) for process in processes] == [0] * 5
    assert runs(database) == ["COMPLETED"]
    assert sum("measuring" in process.said() for process in processes) == 1
    assert sum("using measure run 1" in process.said() for process in processes) == 4


def test_all_that_wait_use_the_run(held, start, database):
    first, others = held(), [start("count") for _ in range(3)]
    wait_for(lambda: all(map(waits, others)))
    held.release()
    assert [process.wait(120) for process in (first, *others)] == [0] * 4
    assert all(USING.format(1) in process.said() for process in others)
    assert runs(database) == ["COMPLETED"]


def test_other_commands_do_not_wait(held, start, database):
    held()
    others = [
        start("count", "with", "seed=1"),
        start("count", "with", "reuse=False"),
        start("draw"),
    ]
    assert [process.wait(60) for process in others] == [0] * 3
    assert not any(map(waits, others))
    assert sorted(runs(database)) == ["COMPLETED"] * 3 + ["RUNNING"]


def test_one_takes_over_where_the_first_fails(held, start, database):
    first, others = held(SAMPLE_FAILING="yes"), [start("count"), start("count")]
    wait_for(lambda: all(map(waits, others)))
    held.release()
    assert first.wait(60) == 1
    assert [process.wait(120) for process in others] == [0, 0]
    assert runs(database) == ["FAILED", "COMPLETED"]
    assert sum(USING.format(2) in process.said() for process in others) == 1
    assert sum("has ended without completing it" in other.said() for other in others) >= 1


def test_one_takes_over_where_the_first_is_killed(held, start, database):
    first = held()
    second = start("count")
    wait_for(lambda: waits(second))
    first.kill()
    first.wait()
    held.release()
    assert second.wait(120) == 0
    assert "has ended without completing it: it is done here" in second.said()
    assert runs(database)[1:] == ["COMPLETED"]


def test_one_that_slept_ends_where_another_has_taken_over(held, database):
    sleeper = held()
    awake = {"token": "of another", "run_id": 2, "pid": 4711, "host": "lab3"}
    assert database["leases"].update_one({}, {"$set": awake}).modified_count == 1
    assert sleeper.wait(60) == 130
    said = sleeper.said()
    assert "gave no sign for a while, and another does it now (run 2, pid 4711 on lab3" in said
    assert "Traceback" not in said
    assert runs(database) == ["INTERRUPTED"]
    assert database["leases"].find_one()["token"] == "of another"


def test_plain_command_waits_for_the_one_that_goes_on(held, start, database):
    killed = held("with", "long")
    killed.kill()
    killed.wait()
    held.release()
    resuming = held("with", "resume=1", SAMPLE_STEP="3")
    plain = start("count", "with", "long")
    wait_for(lambda: waits(plain))
    held.release()
    assert [process.wait(60) for process in (resuming, plain)] == [0, 0]
    assert USING.format(2) in plain.said()
    assert runs(database)[1:] == ["COMPLETED"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_who_waits_can_be_interrupted_and_leaves_no_run(held, start, database, number):
    first = held()
    second = start("count")
    wait_for(lambda: waits(second))
    second.send_signal(number)
    assert second.wait(60) == 130
    assert second.said().splitlines()[1:] == ["interrupted"]
    held.release()
    assert first.wait(60) == 0
    assert runs(database) == ["COMPLETED"]


def test_run_is_not_used_whose_code_changed_while_it_ran(held, start, project, database):
    """A module that it loaded late would be another than the one that it was started with."""
    first, program = held("with", "seed=1"), project / "experiments" / "count.py"
    content = program.read_text()
    program.write_text(f"{content}# edited\n")
    held.release()
    assert first.wait() == 0, first.said()
    assert "experiments/count.py changed while this ran" in first.said()
    program.write_text(content)
    for number in (2, 2):
        again = start("count", "with", "seed=1")
        assert again.wait() == 0, again.said()
        assert len(runs(database)) == number, again.said()
    assert USING.format(2) in again.said()


def test_parts_are_computed_once(start, database):
    processes = [start("both"), start("both"), start("measure")]
    assert [process.wait(120) for process in processes] == [0] * 3
    stages = sorted(run["experiment"]["name"] for run in database["runs"].find())
    assert stages == ["both", "both", "measure", "total"]
    assert set(runs(database)) == {"COMPLETED"}


def test_repeats_are_computed_once_each(start, database):
    processes = [start("draw", "with", f"n_repeats={n}") for n in (2, 3)]
    assert [process.wait(120) for process in processes] == [0, 0]
    assert runs(database) == ["COMPLETED"] * 3

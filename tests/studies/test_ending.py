"""A study's process is interrupted, or killed: cells end, and nobody is left behind."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from nn_clustering.tracking.server import processes
from tests.programs import PROJECT
from tests.studies.cheap_cells import starts

PATIENCE = 60.0  # seconds until a condition that shall come true counts as one that never will


def wait_until(condition):
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "it does not come true"
        time.sleep(0.02)


@pytest.fixture
def drive(tmp_path):
    """Starts a study's process in a session of its own, and ends it with the test."""
    started = []

    def drive(*arguments):
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.studies.drive", tmp_path, *map(str, arguments)],
            cwd=PROJECT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        started.append(process)
        return process

    yield drive
    for process in started:
        process.kill()
        process.wait()
        process.stdout.close()


def workers(folder):
    return [int(pid) for pid in Path(folder, "workers").read_text().split()]


def test_ctrl_c_ends_the_cells_well_and_leaves_nobody(drive, tmp_path):
    study = drive("until cancelled", 5, 2)
    wait_until(lambda: len(starts(tmp_path)) == 2)
    os.killpg(study.pid, signal.SIGINT)  # as a terminal does: all processes get it
    output, _ = study.communicate(timeout=PATIENCE)
    assert study.returncode == -signal.SIGINT
    assert {f"{name} has ended" for name in starts(tmp_path)} <= set(os.listdir(tmp_path))
    assert len(starts(tmp_path)) == 2
    assert "asking the 2 runs that go on to end" in output
    assert output.count("Traceback") == output.count("KeyboardInterrupt") == 1, output
    for pid in workers(tmp_path):
        assert processes.wait_until_gone(pid, PATIENCE)


def test_ctrl_c_twice_does_not_wait_for_cells(drive, tmp_path):
    study = drive("wait for go", 2, 2)
    wait_until(lambda: len(starts(tmp_path)) == 2)
    os.killpg(study.pid, signal.SIGINT)
    for line in study.stdout:
        if "asking the 2 runs" in line:
            break
    os.killpg(study.pid, signal.SIGINT)
    study.communicate(timeout=PATIENCE / 2)  # the cells would go on for ever
    for pid in workers(tmp_path):
        assert processes.wait_until_gone(pid, PATIENCE)


def test_workers_die_with_a_killed_study(drive, tmp_path):
    study = drive("wait for go", 2, 2)
    wait_until(lambda: len(starts(tmp_path)) == 2)
    # Which takes long, and it may have been edited since.
    assert "imported by a worker" not in os.listdir(tmp_path)
    study.kill()
    for pid in workers(tmp_path):
        assert processes.wait_until_gone(pid, PATIENCE)
    assert "Traceback" not in study.communicate()[0]

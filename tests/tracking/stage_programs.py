"""Starting the stages of the sample project, and how they refuse."""

import contextlib
import subprocess
import time

from tests.programs import WarmProcess


def assert_refused(finished, *expected, status=1):
    assert finished.returncode == status
    assert "Traceback" not in finished.stderr
    errors = [line for line in finished.stderr.splitlines() if line.startswith("Error: ")]
    assert len(errors) == 1, finished.stderr
    for text in expected:
        assert text in errors[0]


@contextlib.contextmanager
def started(project, stage, *arguments, environ):
    """A stage's process that runs beside the block; killed at the end of it."""
    process = WarmProcess(
        [project / "experiments" / f"{stage}.py", *arguments],
        env=environ,
        cwd=project,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def wait_for(condition, seconds=60):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.05)

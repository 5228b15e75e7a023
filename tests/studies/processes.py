"""Waiting for processes, and seeing whether they are there."""

import time
from pathlib import Path


def wait_until(condition, seconds=60):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)


def read_when_there(path):
    """The content of a file, once it has any."""
    wait_until(lambda: path.exists() and path.read_text())
    return path.read_text()


def is_there(process):
    """Whether a process runs; one that only waits to be asked after does not."""
    try:
        stat = Path(f"/proc/{process}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"

"""A program in a process of its own, which ends with the thread that started it."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from nn_clustering.tracking.passwords import mask_passwords
from nn_clustering.tracking.printing import printable

POLL_SECONDS = 0.25
# For a process that was asked to end: it delivers what it has logged.
GRACE_SECONDS = 30.0
_LINES, _TAIL_BYTES = 40, 2**16
# The kernel tells a process when the thread that started it is gone, however that came; before
# the program's own code, which may not be ours. PR_SET_PDEATHSIG is 1 and stays over an exec.
_TIED = """
import ctypes, os, signal, sys
parent, command = int(sys.argv[1]), sys.argv[2:]
ctypes.CDLL(None).prctl(1, int(signal.SIGTERM), 0, 0, 0)
if os.getppid() != parent:  # it was gone before
    sys.exit(143)
os.execv(command[0], command)
"""


@dataclass(frozen=True)
class EndedProcess:
    """A process that has ended.

    Attributes:
        pid: Its number.
        status: Its exit status; negative where a signal ended it.
        cause: Why it was asked to end before its time; None where it was not.
        seconds: For how long it ran.
        output: The last lines that it printed, without passwords.
    """

    pid: int
    status: int
    cause: str | None
    seconds: float
    output: str


def run_process(
    arguments: Sequence[str],
    folder: Path,
    environ: Mapping[str, str],
    output: Path,
    cause: Callable[[], str | None],
    *,
    grace: float = GRACE_SECONDS,
) -> EndedProcess:
    """Run a Python program to its end, in a session of its own.

    It is ended where `cause` gives one: by SIGTERM, and where that does not help, by SIGKILL. So it
    is when this process is killed: nothing of it outlives the thread that waits here.

    Args:
        arguments: After the interpreter.
        folder: That it is started in.
        environ: Its environment.
        output: The file that shall hold what it prints.
        cause: Is asked now and then why it shall end.
        grace: Seconds between the two signals.
    """
    began = time.monotonic()
    with output.open("wb") as handle:
        process = subprocess.Popen(
            [*_tie(), sys.executable, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=handle,
            stderr=subprocess.STDOUT,
            cwd=folder,
            env=dict(environ),
            # Ctrl-C in a terminal is the study's alone; and so all of its processes can be ended.
            start_new_session=True,
        )
    found = None
    try:
        with _Watched(process) as watched:
            while not watched.ends_within(POLL_SECONDS) and found is None:
                found = cause()
            if found is not None:
                process.send_signal(signal.SIGTERM)
                watched.ends_within(grace)
    finally:
        status = _reap(process)
    seconds = time.monotonic() - began
    return EndedProcess(process.pid, status, found, seconds, last_lines(output))


def last_lines(output: Path) -> str:
    """Return the end of what a process has printed, as a terminal may show it."""
    with output.open("rb") as handle:
        handle.seek(max(0, output.stat().st_size - _TAIL_BYTES))
        text = handle.read().decode(errors="replace")
    lines = [line.rstrip("\r").rpartition("\r")[2] for line in text.split("\n")]
    kept = [printable(mask_passwords(line)).rstrip() for line in lines[-_LINES - 1 :]]
    return "\n".join(kept).strip("\n")


def _tie() -> list[str]:
    """What a command has to stand behind to end with this thread."""
    if sys.platform != "linux":
        return []
    return [sys.executable, "-I", "-S", "-c", _TIED, str(os.getpid())]


def _reap(process: subprocess.Popen[bytes]) -> int:
    """End what still runs of a process' session, and return its exit status."""
    ended = _ended(process)
    if ended is None or ended.si_code != os.CLD_EXITED or ended.si_status != 0:
        # Its number is its own until it is waited for.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
    return process.wait()


def _ended(process: subprocess.Popen[bytes]) -> os.waitid_result | None:
    """How a process ended, which is asked without waiting for it; None where it runs."""
    return os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)


class _Watched:
    """Waits for a process' end without asking again and again, where the system can."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        self._descriptor: int | None = None

    def __enter__(self) -> _Watched:
        with contextlib.suppress(AttributeError, OSError):
            self._descriptor = os.pidfd_open(self._process.pid)
        return self

    def __exit__(self, *error: object) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)

    def ends_within(self, seconds: float) -> bool:
        """Wait for so long at most; returns whether the process has ended."""
        if self._descriptor is not None:
            poll = select.poll()
            poll.register(self._descriptor, select.POLLIN)
            return bool(poll.poll(1000 * seconds))
        deadline = time.monotonic() + seconds
        while _ended(self._process) is None:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.05)
        return True

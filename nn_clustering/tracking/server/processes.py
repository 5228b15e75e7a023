"""Detached helper processes: are they alive, what are they, wait until they are gone."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import itertools
import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from nn_clustering.tracking.atomic_files import write_at_once

LOOPBACK = "127.0.0.1"


def is_alive(pid: int) -> bool:
    """Whether the process runs; one that has ended and only waits to be reaped does not."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (OSError, IndexError):
        return not Path("/proc/self").exists()
    return state not in ("Z", "X")


def command_line(pid: int) -> list[str]:
    """The arguments that the process was started with, empty if it cannot be told."""
    try:
        raw = Path(f"/proc/{pid}/cmdline").read_bytes()
        return [os.fsdecode(argument) for argument in raw.split(b"\0") if argument]
    except OSError:
        pass
    shown = _shown_by_ps(pid, "command=")
    return [shown] if shown else []


def has_option(arguments: Sequence[str], name: str, value: str) -> bool:
    """Whether the option has this very value among the arguments of a process."""
    if len(arguments) == 1:  # as `ps` shows them, where there is no /proc
        return f" {name} {value} " in f"{arguments[0]} "
    return (name, value) in itertools.pairwise(arguments)


def owner(pid: int) -> int | None:
    """The id of the user whose process it is, None where it cannot be told."""
    try:
        return Path(f"/proc/{pid}").stat().st_uid
    except OSError:
        shown = _shown_by_ps(pid, "uid=")
    return int(shown) if shown.isdigit() else None


def start_of(pid: int) -> str | None:
    """When the process started; with its pid that tells it from any that gets the pid later.

    Returns:
        A text that is the same each time, None where no such process runs.
    """
    try:
        # The name, in parentheses, may hold anything; of what follows the 20th is field 22.
        ticks = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except (OSError, IndexError):
        return _shown_by_ps(pid, "lstart=") or None
    return f"{boot} {ticks}"


def _shown_by_ps(pid: int, column: str) -> str:
    try:
        shown = subprocess.run(
            ["ps", "-o", column, "-p", str(pid)], capture_output=True, text=True, check=False
        )
    except OSError:
        return ""
    return shown.stdout.strip()


def ask_to_end(pid: int, start: str | None) -> bool:
    """Send SIGTERM to the process that started then; False where the pid is another's by now."""
    try:
        with _held(pid) as handle:
            if start is None or start_of(pid) != start:
                return False
            if handle is None:
                os.kill(pid, signal.SIGTERM)
            else:
                signal.pidfd_send_signal(handle, signal.SIGTERM)
    except ProcessLookupError:
        return False
    return True


@contextlib.contextmanager
def _held(pid: int) -> Iterator[int | None]:
    """A descriptor that stays the process' own, whoever gets its pid; None without such."""
    try:
        handle = os.pidfd_open(pid)
    except (AttributeError, PermissionError):
        yield None
        return
    except OSError as problem:
        if problem.errno == errno.ENOSYS:
            yield None
            return
        raise ProcessLookupError from problem
    try:
        yield handle
    finally:
        os.close(handle)


def is_running(pid: int | None, mark: str) -> bool:
    """Whether the process runs and names `mark` in its arguments (a reused pid does not)."""
    return (
        pid is not None
        and is_alive(pid)
        and any(mark in argument for argument in command_line(pid))
    )


def wait_until_gone(pid: int, seconds: float) -> bool:
    """Wait for the process to end; False if it still runs after so many seconds."""
    deadline = time.monotonic() + seconds
    while is_alive(pid):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def terminate(pid: int, seconds: float) -> bool:
    """Ask the process to end and, after so many seconds, make it; False if it still runs."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
        if wait_until_gone(pid, seconds):
            return True
    return False


def start_detached(arguments: list[str], log: Path, environ: dict[str, str]) -> int:
    """Start a program that outlives this one and hears none of its signals; returns its pid.

    A shell in a session of its own starts it and ends at once, so that the program is nobody's
    child here: nothing has to wait for it, and it leaves no zombie behind.
    """
    script = 'log=$1; shift; "$@" >>"$log" 2>&1 </dev/null & echo $!'
    started = subprocess.run(
        ["/bin/sh", "-c", script, "sh", str(log), *arguments],
        capture_output=True,
        text=True,
        check=True,
        env=environ,
        start_new_session=True,
    )
    return int(started.stdout)


def is_free(port: int) -> bool:
    """Whether a server can listen on the loopback port."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def pick_port(preferred: int | None) -> int:
    """The preferred loopback port if it is free, else any free one."""
    if preferred is not None and is_free(preferred):
        return preferred
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock file for the length of the block; the system frees it if we are killed."""
    with path.open("a") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def read_state(path: Path) -> dict[str, Any]:
    """What the state file holds, empty where there is none or it is torn."""
    try:
        state = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return state if isinstance(state, dict) else {}


def write_state(path: Path, state: dict[str, Any]) -> None:
    """Replace the state file in one step, so that no reader sees half of it."""
    write_private(path, json.dumps(state) + "\n")


def write_private(path: Path, text: str) -> None:
    """Replace the file in one step by one that only its owner can read."""
    write_at_once(path, text.encode(), mode=0o600, is_synced=True)

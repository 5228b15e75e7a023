"""The project's own MongoDB server: one real mongod on loopback, data under `<root>/.mongo/`.

The first command that needs it starts it, all others share it, and it stays until `stop`. Nothing
but this machine reaches it, and it asks for a password that only the owner of the folder can read:
see `credentials.py`. It takes no compressed messages: before 6.0.27 mongod let whoever sends one
read its memory without a password (CVE-2025-14847). Only the one that this started is ever ended.
"""

from __future__ import annotations

import json
import logging
import os
import re
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from nn_clustering.tracking.errors import ServerUnavailableError
from nn_clustering.tracking.server import processes
from nn_clustering.tracking.server.binary import (
    LIBRARY_VERSION,
    WAYS_OUT,
    find_mongod,
    mongod_environment,
)
from nn_clustering.tracking.server.credentials import (
    CONNECT_MS,
    Credentials,
    make_key,
    make_users,
    read_credentials,
)
from nn_clustering.tracking.server.ownership import own_folder

_LOG = logging.getLogger(__name__)
START_SECONDS = 60.0
STOP_SECONDS = 60.0
NO_COMPRESSION = ("--networkMessageCompressors", "disabled")
PORT_TAKEN = 48  # mongod's exit status
AUTHENTICATION_FAILED = 18  # MongoDB's code of the error


def start(root: Path, environ: Mapping[str, str] = os.environ) -> Credentials:
    """Start the server of `root` unless it runs; returns its port and how to log in.

    Any number of commands may call this at once: one of them starts the server. One that a former
    version started, and that is not closed as it shall be, is started anew.

    Raises:
        ServerUnavailableError: No mongod is to be found, it does not start, the folder is another
            user's, or a mongod that was not started here holds the data.
    """
    folder = _make_folder(root)
    found = _answering(folder)
    if found is not None:
        return found
    with processes.locked(folder / "lock"):
        return _answering(folder) or _take_over(folder) or _launch(folder, environ)


def running(root: Path) -> Credentials | None:
    """Port of the server of `root` and how to log in, None where it does not run.

    Raises:
        ServerUnavailableError: The folder is another user's.
    """
    return _answering(own_folder(root), closed_to_compression=False)


def stop(root: Path) -> bool:
    """Shut the server of `root` down cleanly and wait until it is gone.

    Returns:
        False if none was running.

    Raises:
        ServerUnavailableError: It still runs after a minute, the folder is another user's, or the
            server was not started here.
    """
    folder = own_folder(root)
    if not folder.is_dir():
        return False
    with processes.locked(folder / "lock"):
        mongod = _running_mongod(folder)
        if mongod is None:
            return False
        _end(mongod, folder)
        return True


def _make_folder(root: Path) -> Path:
    folder = own_folder(root)
    try:
        # Only the owner may read the runs, and the passwords beside them.
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.chmod(0o700)
        (folder / "data").mkdir(mode=0o700, exist_ok=True)
    except OSError as problem:
        raise ServerUnavailableError(
            f"cannot keep the runs in {folder} ({problem.strerror}); expected a folder that can "
            "be written: set NN_CLUSTERING_HOME to one, or MONGO_URL to a server that runs"
        ) from None
    return folder


def _answering(folder: Path, *, closed_to_compression: bool = True) -> Credentials | None:
    """How to log in at the port in the state file, if our own mongod answers there.

    Args:
        folder: That of the data.
        closed_to_compression: Whether one that takes compressed messages does not count.
    """
    port = _state_port(folder)
    credentials = None if port is None else read_credentials(folder, port)
    if credentials is None or processes.is_free(credentials.port):
        return None
    import pymongo
    import pymongo.errors

    # Whoever took the port learns no password here, and cannot pass for a server that knows it.
    client: pymongo.MongoClient = pymongo.MongoClient(
        credentials.url, directConnection=True, serverSelectionTimeoutMS=CONNECT_MS,
        connectTimeoutMS=CONNECT_MS, socketTimeoutMS=CONNECT_MS,
    )  # fmt: skip
    try:
        options = client.admin.command("getCmdLineOpts").get("parsed", {})
    except pymongo.errors.PyMongoError:
        return None
    finally:
        client.close()
    ours = options.get("storage", {}).get("dbPath") == str(folder / "data")
    guarded = options.get("security", {}).get("authorization") == "enabled"
    compressors = options.get("net", {}).get("compression", {}).get("compressors")
    closed = compressors == NO_COMPRESSION[1] or not closed_to_compression
    return credentials if ours and guarded and closed else None


def _state_port(folder: Path) -> int | None:
    port = processes.read_state(folder / "server.json").get("port")
    return port if isinstance(port, int) else None


@dataclass(frozen=True)
class _Mongod:
    """A process that is known again, whoever gets its pid later."""

    pid: int
    start: str | None


def _running_mongod(folder: Path) -> _Mongod | None:
    """The process that holds our data, answering or not; mongod keeps its pid in its lock file.

    Raises:
        ServerUnavailableError: It was not started here, and so is not ours to use or to end.
    """
    data = folder / "data"
    try:
        pid = int((data / "mongod.lock").read_text())
    except (OSError, ValueError):
        return None
    mongod = _Mongod(pid, processes.start_of(pid))
    arguments = processes.command_line(pid)
    if not processes.is_alive(pid) or not processes.has_option(arguments, "--dbpath", str(data)):
        return None
    if not _is_ours(mongod, arguments, folder):
        raise ServerUnavailableError(
            f"process {pid} holds the data in {data} and was not started by `up` or a run; "
            f"expected no other mongod on them: end it as it was started (or `kill {pid}`), then "
            "try again"
        )
    return mongod


def _is_ours(mongod: _Mongod, arguments: list[str], folder: Path) -> bool:
    """Whether it is the one that was started here last.

    The state file says which that is: its pid is null from before a start until the server
    answers, and former versions did not note when it started.
    """
    state = processes.read_state(folder / "server.json")
    return (
        processes.owner(mongod.pid) == os.geteuid()
        and processes.has_option(arguments, "--logpath", str(folder / "mongod.log"))
        and state.get("pid") in (None, mongod.pid)
        and state.get("start") in (None, mongod.start)
    )


def _end(mongod: _Mongod, folder: Path) -> None:
    # SIGTERM is mongod's clean shutdown. It is never killed: that would cost a recovery.
    if processes.ask_to_end(mongod.pid, mongod.start) and not processes.wait_until_gone(
        mongod.pid, STOP_SECONDS
    ):
        raise ServerUnavailableError(
            f"the embedded MongoDB (process {mongod.pid}) does not stop; expected it gone within "
            f"{STOP_SECONDS:.0f} s; see {folder / 'mongod.log'}"
        )


def _await_mongod(folder: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while _running_mongod(folder) is None and time.monotonic() < deadline:
        time.sleep(0.1)


def _take_over(folder: Path) -> Credentials | None:
    """Log in to a server that runs: its starter was interrupted, or its credentials are lost.

    Returns:
        None where none runs; one that does not let us in (it asks for no password, or has another
        key) or that takes compressed messages was then stopped, to be started anew.
    """
    deadline = time.monotonic() + START_SECONDS
    while (mongod := _running_mongod(folder)) is not None:
        arguments = processes.command_line(mongod.pid)
        port = _port_of_closed(arguments)
        if port is None:
            _LOG.warning(
                "the embedded MongoDB (process %d) is of a former version, less closed to other "
                "users of this machine: it is started anew", mongod.pid,
            )  # fmt: skip
            _end(mongod, folder)
            return None
        state = {"port": port, "pid": mongod.pid, "start": mongod.start}
        processes.write_state(folder / "server.json", state)
        try:
            credentials = _answering(folder) or _admit(folder)
        except _LockedOutError:
            _end(mongod, folder)
            return None
        if credentials is not None:
            return credentials
        if time.monotonic() > deadline:
            raise ServerUnavailableError(
                f"the embedded MongoDB (process {mongod.pid}) runs but does not answer; see "
                f"{folder / 'mongod.log'}, stop it with `kill {mongod.pid}`, then try again"
            )
        time.sleep(0.1)
    return None


def _port_of_closed(arguments: list[str]) -> int | None:
    """The port of a mongod that asks for a password and takes no compressed message, else None."""
    port = re.search(r"--port (\d+) ", " ".join(arguments))
    is_guarded = any("--keyFile" in argument for argument in arguments)
    is_closed = processes.has_option(arguments, *NO_COMPRESSION)
    return int(port[1]) if port and is_guarded and is_closed else None


class _LockedOutError(Exception):
    """The server does not accept our key."""


def _admit(folder: Path) -> Credentials | None:
    """Make the users of the server that runs; None while it does not answer."""
    import pymongo.errors

    port = _state_port(folder)
    if port is None or processes.is_free(port):
        return None
    try:
        credentials = make_users(folder, port)
    except pymongo.errors.OperationFailure as problem:
        if problem.code == AUTHENTICATION_FAILED:
            raise _LockedOutError from None
        raise ServerUnavailableError(
            f"the embedded MongoDB makes no users (code {problem.code}); see "
            f"{folder / 'mongod.log'}, stop it with "
            "`python -m nn_clustering.tracking down`, then try again"
        ) from None
    except pymongo.errors.PyMongoError:
        return None
    if credentials is None:
        raise _LockedOutError
    return credentials if _answering(folder) else None


def _launch(folder: Path, environ: Mapping[str, str]) -> Credentials:
    binary = find_mongod(environ)
    port = _state_port(folder)
    make_key(folder)
    for _ in range(3):
        port = processes.pick_port(port)
        # Written before the start: whoever finds the server half-started learns its port here.
        state = {"port": port, "pid": None, "start": None}
        processes.write_state(folder / "server.json", state)
        log = folder / "mongod.log"
        log_start = log.stat().st_size if log.exists() else 0
        status, output = _run_mongod(binary, folder, port)
        if "DBPathInUse" in _first_error(log, log_start):
            # An interrupted starter has left one that has not got so far as to say its pid.
            _await_mongod(folder)
        credentials = _take_over(folder)
        if credentials is not None:
            return credentials
        if status != PORT_TAKEN:  # else someone was quicker: another port
            break
    raise ServerUnavailableError(_explain(binary, status, output, log, log_start))


def _run_mongod(binary: Path, folder: Path, port: int) -> tuple[int, str]:
    """Start mongod, which returns to us once it accepts connections or has failed."""
    command = [
        str(binary), "--fork", "--dbpath", str(folder / "data"),
        "--port", str(port), "--bind_ip", processes.LOOPBACK, "--nounixsocket",
        # Passwords from the first moment on: not even a server without users lets anybody in.
        "--auth", "--keyFile", str(folder / "mongod.key"),
        "--setParameter", "enableLocalhostAuthBypass=false",
        *NO_COMPRESSION,
        "--noscripting",  # nobody's query shall run a program in it
        "--logpath", str(folder / "mongod.log"), "--logappend",
        "--wiredTigerCacheSizeGB", "0.25",
        # Else it gathers up to 200 MB of figures about itself.
        "--setParameter", "diagnosticDataCollectionEnabled=false",
    ]  # fmt: skip
    try:
        ended = subprocess.run(
            command,
            env=mongod_environment(binary, folder / "lib"),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=START_SECONDS,
            start_new_session=True,  # Ctrl-C on the command is none of the server's business
            check=False,
        )
    except OSError as problem:
        return 127, f"{problem.strerror}"
    except subprocess.TimeoutExpired:
        return 1, f"not ready after {START_SECONDS:.0f} s"
    return ended.returncode, ended.stdout


def _explain(binary: Path, status: int, output: str, log: Path, log_start: int) -> str:
    """One line on why mongod did not start, with the next step."""
    marker = "error while loading shared libraries: "
    if marker in output:
        library = output.partition(marker)[2].partition(":")[0]
        if library.endswith(LIBRARY_VERSION):  # no system has a package of it any more
            return f"{binary} cannot start: {library} (OpenSSL 1.1) is missing; {WAYS_OUT}"
        package = "libcurl4" if library.startswith("libcurl") else f"the package of {library}"
        return (
            f"{binary} cannot start: the system library {library} is missing; "
            f"`apt-get install {package}`, or set MONGO_URL to a server that runs"
        )
    if "GLIBC" in output and "not found" in output:
        return f"{binary} cannot start: it needs a newer system library (glibc); {WAYS_OUT}"
    reason = _first_error(log, log_start) or _last_line(output) or f"it ended with status {status}"
    return f"{binary} does not start: {reason}; see {log}, or set MONGO_URL to a server that runs"


def _first_error(log: Path, log_start: int) -> str:
    """The first error that mongod logged since `log_start` (bytes): what follows comes of it."""
    try:
        with log.open("rb") as handle:
            handle.seek(log_start)
            lines = handle.read().decode("utf-8", "replace").splitlines()
    except OSError:
        return ""
    for line in lines:
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        if isinstance(entry, dict) and entry.get("s") in ("E", "F"):
            return " ".join(_texts(entry.get("msg"), entry.get("attr", {})))
    return ""


def _texts(message: object, details: Mapping[str, object]) -> list[str]:
    """The words of a log entry, wherever mongod has put them."""
    words = str(message).split()
    for key in ("error", "errmsg", "message", "msg", "error_str"):
        detail = details.get(key)
        if isinstance(detail, Mapping):
            words += _texts("", detail)
        elif isinstance(detail, str):
            words += detail.split()
    return words


def _last_line(output: str) -> str:
    """The last line that says something (mongod's advice to leave out --fork does not)."""
    lines = [line.strip() for line in output.splitlines() if "--fork" not in line and line.strip()]
    return lines[-1] if lines else ""

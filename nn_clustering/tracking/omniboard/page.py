"""Omniboard, the web page of the runs: install, start on loopback, stop, preset its columns.

Omniboard asks for no password and lets whoever reaches it delete runs. Here it only ever listens on
127.0.0.1, answers only what reads (see `guard.js` in `devops/omniboard`), and logs in to MongoDB as
a user that only reads, where there is one. It takes the URL, which holds a password, from the
environment: arguments are there for every user of the machine to read. A supervisor keeps it alive:
see `supervise.js` there.
"""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from nn_clustering.tracking.atomic_files import write_at_once
from nn_clustering.tracking.server import processes
from nn_clustering.tracking.server.connection import (
    Server,
    checkout_folder,
    project_root,
    url_with_database,
)
from nn_clustering.tracking.server.ownership import own_folder

PORT = 9000
START_SECONDS = 30.0
# So long where nothing is wrong: a start takes minutes on a machine with much else to do.
LONGEST_START_SECONDS = 600.0
STOP_SECONDS = 5.0
# What pins Omniboard, in an installed package; a checkout has it in `devops/omniboard`.
BROUGHT = Path(__file__).with_name("package")
WITHOUT = "the runs are stored all the same, without the web page"


def start_omniboard(
    server: Server,
    root: Path | None = None,
    *,
    layout: Mapping[str, Any] | None = None,
    say: Callable[[str], None] = print,
) -> str | None:
    """Start Omniboard on the server's runs unless it runs already and answers.

    From then on it is kept alive at its address, until `stop_omniboard`.

    Installs it first where that was not done yet (a minute, 70 MB, needs npm and the network).

    Args:
        server: Whose runs to show.
        root: Folder that holds `.mongo/`; default `project_root()`.
        layout: Columns of a browser's first visit, as `first_visit` reads them from a file.
        say: Gets the messages on progress and on what is missing, one line each.

    Returns:
        Its address, or None where it cannot run here (`say` was told why).
    """
    node = shutil.which("node")
    if node is None or shutil.which("npm") is None:
        say(f"Omniboard needs Node.js: install node and npm; {WITHOUT}")
        return None
    folder = _state_folder(root)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with processes.locked(folder / "omniboard.lock"):
        address = _answering_address(folder, _identity(server))
        if address is not None:
            return address
        _stop(folder)  # shows another database, or has lost its own and cannot find back
        if not _install(_package_folder(folder), say):
            return None
        return _launch(node, server, folder, layout, say)


def stop_omniboard(root: Path | None = None) -> bool:
    """Stop Omniboard; False if it was not running."""
    folder = _state_folder(root)
    if not folder.is_dir():
        return False
    with processes.locked(folder / "omniboard.lock"):
        return _stop(folder)


def omniboard_address(root: Path | None = None) -> str | None:
    """Its address while it answers, else None."""
    return _answering_address(_state_folder(root), None)


def _state_folder(root: Path | None) -> Path:
    return own_folder(root or project_root())


def _package_folder(folder: Path) -> Path:
    """The folder that pins Omniboard and into which it is installed.

    That of the checkout; of an installed package, where nobody may be allowed to write, one in the
    home's own folder with what the package brings.
    """
    checkout = checkout_folder()
    return checkout / "devops" / "omniboard" if checkout else folder / "omniboard"


def _identity(server: Server) -> str:
    user = " (reader)" if server.reader_url else ""
    return f"{server.address}/{server.database}{user}"


def _supervisor(folder: Path) -> Path:
    return _package_folder(folder) / "supervise.js"


def _answering_address(folder: Path, identity: str | None) -> str | None:
    """Address of our Omniboard if it answers (and shows the database of that identity)."""
    state = processes.read_state(folder / "omniboard.json")
    if not processes.is_running(state.get("pid"), str(_supervisor(folder))):
        return None
    if identity is not None and state.get("server") != identity:
        return None
    address = f"http://{processes.LOOPBACK}:{state.get('port')}"
    return address if _answers(address) else None


def _answers(address: str) -> bool:
    """Whether it serves, and reaches its database: it can lose that for good and still serve."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"{address}/sacred/api/v1/Runs/count", timeout=5) as reply:
            return "count" in json.load(reply)
    except (OSError, ValueError, TypeError):
        return False


def _install(folder: Path, say: Callable[[str], None]) -> bool:
    """Install the pinned packages unless they are there; False where that fails."""
    if BROUGHT.is_dir():  # each time: a newer one may pin others
        copy_files(BROUGHT, folder)
    if not (folder / "package-lock.json").exists():
        say(f"Omniboard is not part of this installation ({folder} is missing); {WITHOUT}")
        return False
    with processes.locked(folder / "package.json"):
        if _is_installed(folder):
            return True
        say(f"installing Omniboard into {folder}: about a minute, 70 MB")
        try:
            ended = subprocess.run(
                ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"],
                cwd=folder,
                capture_output=True,
                text=True,
                errors="replace",
                check=False,
            )
        except OSError as problem:
            say(f"Omniboard cannot be installed ({problem.strerror}); {WITHOUT}")
            return False
        if ended.returncode != 0:
            lines = [line for line in ended.stderr.splitlines() if line.strip()]
            reason = lines[0] if lines else f"npm ended with status {ended.returncode}"
            say(f"Omniboard cannot be installed ({reason}); {WITHOUT}")
            return False
        # What it was built with, which its package brings along and nothing loads: 350 MB.
        built_with = folder / "node_modules" / "omniboard" / "web" / "node_modules"
        shutil.rmtree(built_with, ignore_errors=True)
    return True


def copy_files(source: Path, target: Path) -> None:
    """Copy the files of a folder over those of another one; any of them may be read-only.

    An installation's files often are, and a former copy may have taken that over with them.
    """
    target.mkdir(parents=True, exist_ok=True)
    target.chmod(target.stat().st_mode | stat.S_IRWXU)
    for file in source.iterdir():
        if file.is_file():
            write_at_once(target / file.name, file.read_bytes())


def _is_installed(folder: Path) -> bool:
    """Whether npm came to the end with these versions: it writes its list of them last."""
    installed = _versions(folder / "node_modules" / ".package-lock.json")
    wanted = _versions(folder / "package-lock.json")
    return bool(installed) and wanted.items() <= installed.items()


def _versions(lock: Path) -> dict[str, Any]:
    """The version of each package that a list of npm's names, but of those that may be missing."""
    packages: Mapping[str, Mapping[str, Any]] = processes.read_state(lock).get("packages", {})
    return {
        name: package.get("version")
        for name, package in packages.items()
        if name and not package.get("optional")
    }


def _launch(
    node: str,
    server: Server,
    folder: Path,
    layout: Mapping[str, Any] | None,
    say: Callable[[str], None],
) -> str | None:
    log = folder / "omniboard.log"
    for preferred in (PORT, None, None):  # another may take the port between the look and the start
        port = processes.pick_port(preferred)
        address = f"http://{processes.LOOPBACK}:{port}"
        before = log.stat().st_size if log.exists() else 0
        pid = processes.start_detached(
            [node, str(_supervisor(folder))], log, _environment(server, port, layout)
        )
        state = {"port": port, "pid": pid, "server": _identity(server)}
        processes.write_state(folder / "omniboard.json", state)
        if _comes_to_answer(pid, address, log, before):
            return address
        _stop(folder)
        if not _is_taken(port, log, before):
            break
    say(f"Omniboard does not answer at {address}; see {log}; {WITHOUT}")
    return None


def _comes_to_answer(pid: int, address: str, log: Path, before: int) -> bool:
    """Whether it answers, once it listens: until then another one may answer at its port."""
    port, start = int(address.rpartition(":")[2]), time.monotonic()
    while processes.is_alive(pid) and not _is_taken(port, log, before):
        if b"is listening" in _said(log, before) and _answers(address):
            return True
        waited = time.monotonic() - start
        if waited > (LONGEST_START_SECONDS if _is_starting(log, before) else START_SECONDS):
            break
        time.sleep(0.2)
    return False


def _is_taken(port: int, log: Path, before: int) -> bool:
    """Whether it says that another program has its port."""
    return f"port {port} of {processes.LOOPBACK} is taken".encode() in _said(log, before)


def _is_starting(log: Path, before: int) -> bool:
    """Whether it has neither come to listen nor failed, as its log would say from there on."""
    said = _said(log, before)
    return b"is listening" not in said and b"trying again" not in said


def _said(log: Path, before: int) -> bytes:
    """What a log says from a byte on."""
    with log.open("rb") as lines:
        lines.seek(before)
        return lines.read()


def _environment(server: Server, port: int, layout: Mapping[str, Any] | None) -> dict[str, str]:
    # Of the variables that are meant for others, some would change the page, some hold passwords.
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("OMNIBOARD_", "MONGO_", "NODE_"))
    }
    kept["OMNIBOARD_LAYOUT"] = json.dumps(layout) if layout else ""
    return {**kept, "PORT": str(port), "MONGO_URI": url_with_database(server, reader=True)}


def _stop(folder: Path) -> bool:
    pid = processes.read_state(folder / "omniboard.json").get("pid")
    (folder / "omniboard.json").unlink(missing_ok=True)
    # Any script of the folder: former versions started Omniboard itself, without a supervisor.
    if pid is None or not processes.is_running(pid, str(_package_folder(folder))):
        return False
    return processes.terminate(pid, STOP_SECONDS)

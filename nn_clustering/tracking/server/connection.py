"""Which MongoDB server holds the runs, and a connection to it.

`MONGO_URL` and `MONGO_DB` name a server and the database on it; without `MONGO_DB` the URL's path
does, unless it is one of the server's own, such as `admin`. `MONGO_READER_URL` names a user on it
that only reads, for Omniboard. `MONGO_URL_FILE` and `MONGO_READER_URL_FILE` name files that hold
the URLs instead, as Docker keeps secrets. Without them the project's own embedded server is used:
see `embedded.py`.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from nn_clustering.tracking.errors import InvalidInputError, ServerUnavailableError
from nn_clustering.tracking.server import embedded
from nn_clustering.tracking.server.reasons import connection_reason
from nn_clustering.tracking.server.urls import (
    URL_FORM,
    WAYS_OUT,
    database_of,
    require_well_formed,
    split_url,
    unknown_options,
    with_database,
    without_options,
)

if TYPE_CHECKING:
    from pymongo.database import Database

    from nn_clustering.tracking.server.credentials import Credentials

_LOG = logging.getLogger(__name__)
DEFAULT_DATABASE = "nn_clustering"
UP_COMMAND = "python -m nn_clustering.tracking up"
# What is written is read back at once, which only the primary can be trusted with.
OF_READING = ("readPreference", "readPreferenceTags", "maxStalenessSeconds")
# An unreachable server shall refuse a run in less than five seconds, imports included.
CONNECT_SECONDS = 3.0
# A server that hangs in the middle of a run counts as out of reach after this.
SOCKET_MS = 30_000
NOT_AUTHORIZED = 13  # MongoDB's code of the error


@dataclass(frozen=True)
class Server:
    """A MongoDB server and the database on it that holds the runs.

    Attributes:
        url: The full MongoDB URL, password included: kept out of `repr` and of every message.
        database: Name of the database.
        embedded: Whether it is the project's own server.
        reader_url: The URL for a user that only reads, as secret as `url`; empty where none is
            known.
    """

    url: str = field(repr=False)
    database: str
    embedded: bool
    reader_url: str = field(default="", repr=False)

    @property
    def address(self) -> str:
        """Host and port of each member, comma separated; never user or password."""
        return split_url(self.url).hosts


def resolve_server(environ: Mapping[str, str] = os.environ, root: Path | None = None) -> Server:
    """The server that the environment names, else the embedded one, started if need be.

    Args:
        environ: Where to look for MONGO_URL, MONGO_READER_URL (each also with _FILE), MONGO_DB,
            NN_CLUSTERING_HOME and PATH.
        root: Folder that holds (or shall hold) `.mongo/`; default `project_root(environ)`.

    Raises:
        InvalidInputError: MONGO_DB, or the URL's path, is no name for a database; a URL is given
            twice, or its file cannot be read; NN_CLUSTERING_HOME is no folder.
        ServerUnavailableError: MONGO_URL is malformed, or the embedded server cannot start.
    """
    url = _given_url(environ, "MONGO_URL")
    database = _database_name(environ, url)
    if url:
        reader_url = _given_url(environ, "MONGO_READER_URL")
        return Server(url=url, database=database, embedded=False, reader_url=reader_url)
    return _embedded_server(embedded.start(root or project_root(environ), environ), database)


def find_server(environ: Mapping[str, str] = os.environ, root: Path | None = None) -> Server | None:
    """Like `resolve_server`, but starts nothing: None where no embedded server runs."""
    if _given_url(environ, "MONGO_URL"):
        return resolve_server(environ, root)
    found = embedded.running(root or project_root(environ))
    return None if found is None else _embedded_server(found, _database_name(environ, ""))


def project_root(environ: Mapping[str, str] = os.environ) -> Path:
    """The project's folder, which holds `.mongo/` and may be written to.

    NN_CLUSTERING_HOME where it is set, else the checkout that this package is in; of an installed
    one, the nearest folder from the current one upwards that holds `.mongo/`, else the current one.

    Raises:
        InvalidInputError: NN_CLUSTERING_HOME is no folder: a slip of the pen would begin an empty
            store of runs there.
    """
    home = environ.get("NN_CLUSTERING_HOME", "").strip()
    if home:
        if not Path(home).is_dir():
            raise InvalidInputError(
                f"NN_CLUSTERING_HOME={home!r} is no folder; expected the one that holds, or shall "
                "hold, the runs: make it first (mkdir -p), or unset NN_CLUSTERING_HOME"
            )
        return Path(home).resolve()
    here = Path.cwd()
    found = (folder for folder in (here, *here.parents) if (folder / ".mongo").is_dir())
    return checkout_folder() or next(found, here)


def checkout_folder(module: str = __file__) -> Path | None:
    """The folder of the checkout that this package is in, None where it was installed.

    Args:
        module: The file of this module.
    """
    folder = Path(module).resolve().parents[3]
    return folder if (folder / "pyproject.toml").is_file() else None


def stop_embedded(root: Path | None = None) -> bool:
    """Shut the embedded server down and wait until it is gone; False if none was running.

    Raises:
        ServerUnavailableError: It does not end.
    """
    return embedded.stop(root or project_root())


def connect(server: Server) -> Database:
    """Connect, with journalled writes, and make sure that the database answers.

    Reads come from the primary, whatever the URL says. Options that the driver does not know are
    left out, with a warning that names them.

    Returns:
        The database that holds the runs. Close it with `.client.close()`.

    Raises:
        ServerUnavailableError: Nothing answers, or the server refuses us; within five seconds,
            naming the address and never the password.
    """
    import pymongo
    import pymongo.errors

    unknown = unknown_options(server.url)
    if unknown:
        _LOG.warning("MONGO_URL: left out, for the driver does not know it: %s", ", ".join(unknown))
    url = without_options(server.url, (*unknown, *OF_READING))
    client: pymongo.MongoClient | None = None
    try:
        client = pymongo.MongoClient(
            url,
            journal=True,
            serverSelectionTimeoutMS=round(1000 * CONNECT_SECONDS),
            connectTimeoutMS=round(1000 * CONNECT_SECONDS),
            socketTimeoutMS=SOCKET_MS,
            appname="nn_clustering",
        )
        database = client[server.database]
        with pymongo.timeout(CONNECT_SECONDS):
            client.admin.command("ping")
            # A server that wants a password answers a ping without one: read something as well.
            next(database["runs"].find_raw_batches({}, {"_id": 1}, limit=1), None)
        return database
    except (pymongo.errors.PyMongoError, ValueError, OSError) as problem:
        reason = connection_reason(problem, url)
        if getattr(problem, "code", None) == NOT_AUTHORIZED:
            reason += f"; it was asked for database {server.database!r}: MONGO_DB names another"
    # Raised outside the handler: the driver's message may hold the password, and would travel
    # along as this error's context.
    if client is not None:
        client.close()
    ways_out = WAYS_OUT if not server.embedded else f"start it with `{UP_COMMAND}`"
    raise ServerUnavailableError(f"no usable MongoDB at {server.address}: {reason}; {ways_out}")


def url_with_database(server: Server, *, reader: bool = False) -> str:
    """The server's URL with its database as path, logging in as the URL did before.

    With `reader`, the URL for the user that only reads, where one is known.
    """
    return with_database((reader and server.reader_url) or server.url, server.database)


def _embedded_server(credentials: Credentials, database: str) -> Server:
    return Server(
        url=credentials.url, database=database, embedded=True, reader_url=credentials.reader_url
    )


def _given_url(environ: Mapping[str, str], name: str) -> str:
    """The URL in the variable of that name, or in the file that `<name>_FILE` names, else ''."""
    url = environ.get(name, "").strip()
    file = environ.get(f"{name}_FILE", "").strip()
    if url and file:
        raise InvalidInputError(
            f"{name} and {name}_FILE are both set; expected one of them: unset the other"
        )
    if file:
        url = _read_secret(f"{name}_FILE", Path(file))
    if url:
        require_well_formed(url, f"{name}_FILE" if file else name)
    return url


def _read_secret(name: str, path: Path) -> str:
    try:
        text = path.read_text(encoding="utf-8").strip()
        problem = "" if text else "it is empty"
    except OSError as error:
        problem = error.strerror or "it cannot be read"
    except ValueError:  # its bytes would be in the message
        problem = "it holds no text"
    if problem:
        raise InvalidInputError(
            f"{name}={str(path)!r} gives no URL ({problem}); expected a file that holds "
            f"{URL_FORM}: name one, or unset {name}"
        )
    return text


def _database_name(environ: Mapping[str, str], url: str) -> str:
    """MONGO_DB, else the database in the URL's path, else the default."""
    given = environ.get("MONGO_DB", "").strip()
    name = given or database_of(url) or DEFAULT_DATABASE
    if re.fullmatch(r"[A-Za-z0-9_-]{1,63}", name) is None:
        # Of a URL only that is known to be no part of a password.
        what = f"MONGO_DB={given!r}" if given else "the path of MONGO_URL"
        raise InvalidInputError(
            f"{what} is no name for a database: expected up to 63 letters, digits, "
            f"'_' or '-'; {'unset it' if given else 'leave it out'} to use {DEFAULT_DATABASE!r}"
        )
    return name

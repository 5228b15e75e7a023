"""Who may log in to the embedded server: its users, their passwords, and the key to make them.

Two files of the owner's alone, in `.mongo/`:

`mongod.key`: mongod's key file. With it mongod asks everybody for a password from its very first
    moment, with no users yet as well, and whoever holds the key may make users.
`credentials.json`: the passwords of the two users, one that writes runs and one that only reads
    (for Omniboard), and the port that they are for.

Whichever is lost, or open to others, is made again: by then the folder has shown who its owner is.
"""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nn_clustering.tracking.server import processes
from nn_clustering.tracking.server.ownership import is_private

if TYPE_CHECKING:
    from pymongo import MongoClient

USER = "nn_clustering"
READER = "nn_clustering_reader"
# clusterMonitor: to ask the server for its data folder, by which it is known to be ours.
ROLES = {
    USER: ["readWriteAnyDatabase", "dbAdminAnyDatabase", "clusterMonitor"],
    READER: ["readAnyDatabase"],
}
# Neither side shows its password in it, and the server proves that it knows the user's as well.
MECHANISM = "SCRAM-SHA-256"
CONNECT_MS = 2000
USER_NOT_FOUND = 11  # MongoDB's code of the error


@dataclass(frozen=True)
class Credentials:
    """Passwords of the embedded server's users.

    Attributes:
        port: Of the server that they are for.
        password: Of the user that reads and writes.
        reader_password: Of the user that only reads.
    """

    port: int
    password: str = field(repr=False)
    reader_password: str = field(repr=False)

    @property
    def url(self) -> str:
        """The server's URL for the user that reads and writes."""
        return self._url(USER, self.password)

    @property
    def reader_url(self) -> str:
        """The server's URL for the user that only reads."""
        return self._url(READER, self.reader_password)

    def _url(self, user: str, password: str) -> str:
        address = f"{user}:{password}@{processes.LOOPBACK}:{self.port}"
        return f"mongodb://{address}/?authSource=admin&authMechanism={MECHANISM}"


def read_credentials(folder: Path, port: int) -> Credentials | None:
    """The passwords for the server at the port; None where the file does not hold them.

    A server that has moved to another port gets new ones: a program that still writes to the old
    port, which anybody may have taken since, then has nothing that could be passed on to the new.
    """
    path = folder / "credentials.json"
    state = processes.read_state(path) if is_private(path) else {}
    passwords = [state.get(user) for user in ROLES]
    if state.get("port") != port or not all(isinstance(word, str) and word for word in passwords):
        return None
    return Credentials(port, *map(str, passwords))


def make_key(folder: Path) -> Path:
    """The key file for mongod, made where there is none that mongod would take."""
    path = folder / "mongod.key"
    if _read_key(folder) is None:
        processes.write_private(path, secrets.token_hex(128) + "\n")
    return path


def make_users(folder: Path, port: int) -> Credentials | None:
    """Make the users of the server at the port, or give them the passwords that the file holds.

    Returns:
        Their credentials, None where the key is lost.

    Raises:
        pymongo.errors.PyMongoError: The server does not answer, or was started with another key.
    """
    key = _read_key(folder)
    if key is None:
        return None
    found = read_credentials(folder, port)
    made = found or Credentials(port, secrets.token_urlsafe(32), secrets.token_urlsafe(32))
    with _system_client(port, key) as client:
        _set_user(client, USER, made.password)
        _set_user(client, READER, made.reader_password)
    state = {"port": port, USER: made.password, READER: made.reader_password}
    # Last: a file that is there holds for users that are there.
    processes.write_state(folder / "credentials.json", state)
    return made


def _read_key(folder: Path) -> str | None:
    path = folder / "mongod.key"
    if not is_private(path):
        return None
    try:
        key = path.read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return None
    return key if re.fullmatch(r"[0-9a-f]{256}", key) else None


def _system_client(port: int, key: str) -> MongoClient:
    import pymongo

    # Members of a cluster know each other by the key file and log in as this user of mongod's own.
    return pymongo.MongoClient(
        processes.LOOPBACK, port, username="__system", password=key, authSource="local",
        authMechanism=MECHANISM, directConnection=True, serverSelectionTimeoutMS=CONNECT_MS,
        connectTimeoutMS=CONNECT_MS, socketTimeoutMS=5 * CONNECT_MS,
    )  # fmt: skip


def _set_user(client: MongoClient, user: str, password: str) -> None:
    from pymongo.errors import OperationFailure

    settings: dict[str, Any] = {
        "pwd": password,
        "roles": ROLES[user],
        "mechanisms": [MECHANISM],
        # On the disk before the file that promises them, whatever ends the server next.
        "writeConcern": {"w": 1, "j": True},
    }
    try:
        client.admin.command("updateUser", user, **settings)
    except OperationFailure as problem:
        if problem.code != USER_NOT_FOUND:
            raise
        client.admin.command("createUser", user, **settings)

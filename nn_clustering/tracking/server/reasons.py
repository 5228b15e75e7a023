"""Why a server cannot be used, in a few words of our own: the driver's may quote its URL."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from nn_clustering.tracking.passwords import mask_passwords
from nn_clustering.tracking.server.urls import option, split_url, without_options

if TYPE_CHECKING:
    from pymongo import MongoClient
    from pymongo.database import Database

PROBE_MS = 500
LONGEST_REASON = 200
# MongoDB's codes of errors, and what they mean.
_MEANINGS = {
    13: "the server refuses access (user and password missing, or without the right)",
    18: "the server does not accept the user or the password",
    91: "the server is being shut down",
    11600: "the server is being shut down",
    10107: "the server is not the primary of its replica set, and takes no writes",
    13435: "the server is not the primary of its replica set",
    13436: "the server is not the primary of its replica set",
    14031: "the server's disk is full",
}
_OF_LOGIN_AND_SET = (
    *("replicaSet", "directConnection", "loadBalanced"),
    *("authSource", "authMechanism", "authMechanismProperties"),
)
_LATE = (24, 50, 89, 202, 262)  # of MongoDB's codes, those that mean that it took too long
_NO_MEMBERS, _NOT_REPLICATED, _UNCONFIRMED = 100, 2, 64


def connection_reason(problem: Exception, url: str) -> str:
    """Why no connection comes about.

    Args:
        problem: What the driver raised.
        url: Of the server; asked once more where a replica set is the reason.
    """
    from pymongo.errors import ConfigurationError, NotPrimaryError, OperationFailure

    if isinstance(problem, OperationFailure):
        return _meaning(problem)
    text = str(problem)
    if isinstance(problem, NotPrimaryError) and isinstance(problem.details, dict):
        text = _MEANINGS.get(problem.details.get("code", 0), text)
        return text.partition(", full error")[0]
    for pattern, meaning in (
        (r"connection refused", "connection refused"),
        (
            r"name or service not known|name resolution|nodename|no address|does not exist",
            "no such host",
        ),
        (r"ssl|tls|certificate", "no secure connection (TLS)"),
        (r"no replica set members|not primary|no primary", ""),
        (r"timed out|timeout", "no answer in time (it may be busy, or a firewall silent)"),
        (r"connection closed|reset by peer", "the connection was closed"),
        (r"dnspython", "a mongodb+srv address needs `pip install 'pymongo[srv]'`"),
    ):
        if re.search(pattern, text, re.IGNORECASE):
            return meaning or _replica_set_reason(url)
    if isinstance(problem, ConfigurationError):
        return "the options in MONGO_URL do not go together"
    return f"it does not answer ({type(problem).__name__})"


def operation_reason(problem: Exception, database: Database) -> str:
    """Why a connection that there is does not do what it was asked to.

    Args:
        problem: What the driver raised, or what cannot be sent.
        database: What it was asked for.
    """
    from pymongo.errors import ConnectionFailure, OperationFailure

    if isinstance(problem, ConnectionFailure):
        return connection_reason(problem, "")
    if not isinstance(problem, OperationFailure):
        return mask_passwords(" ".join(str(problem).split()))[:LONGEST_REASON]
    wanted = database.write_concern.document.get("w")
    if problem.code == _NO_MEMBERS or (problem.code == _NOT_REPLICATED and "'w'" in str(problem)):
        members = _count_of_members(database.client)
        has = "" if members is None else f": the server has {members}"
        return f"w={wanted} in MONGO_URL wants more members than there are{has}"
    if problem.code == _UNCONFIRMED:
        return f"too few members have confirmed a write in time (w={wanted}, wtimeoutMS)"
    return _meaning(problem)


def _meaning(problem: Any) -> str:
    if problem.code in _LATE or problem.timeout:
        return "no answer in time: the server is busy"
    if "authentication failed" in str(problem).lower():
        return _MEANINGS[18]
    words = mask_passwords(" ".join(str(problem).partition(", full error")[0].split()))
    return _MEANINGS.get(
        problem.code, f"the server refuses ({words[:LONGEST_REASON]}, code {problem.code})"
    )


def _count_of_members(client: MongoClient) -> int | None:
    """How many members hold data, None where that cannot be told."""
    from pymongo.errors import PyMongoError

    try:
        hello = client.admin.command("hello")
    except PyMongoError:
        return None
    return len([*hello.get("hosts", ()), *hello.get("passives", ())]) or 1


def _replica_set_reason(url: str) -> str:
    """Why no primary is found: the servers themselves know what set they are of."""
    wanted = option(url, "replicaSet")
    for host in split_url(url).hosts.split(","):
        hello = _hello(url, host) if host else None
        if hello is None:
            continue
        if hello.get("isreplicaset"):
            return f"{host} waits for its replica set to be initiated (rs.initiate())"
        name = hello.get("setName")
        if wanted is not None and name != wanted:
            of = f"of {name!r}" if name else "of none"
            return f"the server is no member of replica set {wanted!r}, it is {of}: see replicaSet"
    return "no primary in the replica set"


def _hello(url: str, host: str) -> dict[str, Any] | None:
    """What one member says of itself, which it does to everybody."""
    from pymongo import MongoClient
    from pymongo.errors import PyMongoError

    parts = split_url(without_options(url, _OF_LOGIN_AND_SET))
    options = f"?{parts.options}" if parts.options else ""
    try:
        with MongoClient(
            f"mongodb://{host}/{options}", directConnection=True,
            serverSelectionTimeoutMS=PROBE_MS, connectTimeoutMS=PROBE_MS, socketTimeoutMS=PROBE_MS,
        ) as client:  # fmt: skip
            hello: dict[str, Any] = client.admin.command("hello")
            return hello
    except (PyMongoError, ValueError, OSError):
        return None

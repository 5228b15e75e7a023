"""What tells a run from all others, in whatever store it is and whatever number it has there."""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from nn_clustering.tracking.encoding import to_plain
from nn_clustering.tracking.execution_keys import RESUME, own_keys

if TYPE_CHECKING:
    from pymongo.database import Database

TOKEN = "token"
FACTS = "facts"
_STORE = {"_id": "store"}
KEY_FIELDS = {
    "tracking.token": 1, "origin": 1, "start_time": 1, "experiment.name": 1, "host.hostname": 1,
}  # fmt: skip


def key_of(document: Mapping[str, Any]) -> str:
    """What tells a run from all others: its token, else a digest of how it began.

    A run that was imported has that of its original.

    Args:
        document: Of the run; `KEY_FIELDS` of it suffice.
    """
    origin, tracking = document.get("origin"), document.get("tracking")
    token = tracking.get("token") if isinstance(tracking, Mapping) else None
    if isinstance(token, str) and token:
        return f"{TOKEN}:{token}"
    if isinstance(origin, Mapping) and isinstance(origin.get("key"), str):
        return str(origin["key"])
    experiment, host = document.get("experiment"), document.get("host")
    facts = [
        str(document.get("_id")),
        str(document.get("start_time")),
        experiment.get("name") if isinstance(experiment, Mapping) else None,
        host.get("hostname") if isinstance(host, Mapping) else None,
    ]
    return f"{FACTS}:{hashlib.sha256(json.dumps(facts, default=str).encode()).hexdigest()}"


def find_by_key(database: Database, key: str, start_time: Any) -> Any:
    """The id of the run of this key, None where the database has none.

    Args:
        database: Where to look.
        key: From `key_of`.
        start_time: Of the run; only asked for where the key is no token.
    """
    kind, _, rest = key.partition(":")
    query = {"tracking.token": rest} if kind == TOKEN else {"origin.key": key}
    found = database["runs"].find_one(query, {"_id": 1})
    if found is not None or kind == TOKEN:
        return None if found is None else found["_id"]
    began_then = database["runs"].find({"start_time": {"$eq": start_time}}, KEY_FIELDS)
    return next((document["_id"] for document in began_then if key_of(document) == key), None)


def store_id(database: Database) -> str:
    """What tells this store from others, made when it is first asked for.

    Returns:
        Empty where there is none and we may not write.
    """
    import pymongo.errors

    stores = database["tracking"]
    made = {"$setOnInsert": {"id": secrets.token_hex(16)}}
    for _ in range(2):
        found = stores.find_one(_STORE)
        if found is not None:
            return str(found.get("id", ""))
        try:
            stores.update_one(_STORE, made, upsert=True)
        except pymongo.errors.DuplicateKeyError:
            continue  # somebody else has just made it
        except pymongo.errors.OperationFailure:
            return ""
    return str((stores.find_one(_STORE) or {}).get("id", ""))


def identity_digest(experiment: str, config: Mapping[str, Any], inputs: Any, code: str) -> str:
    """The SHA-256 of all that fixes a run's result.

    Args:
        experiment: Its name.
        config: The whole config, seed included. What says how to run (``reuse``, ``tags``, how
            often and how many side by side) does not count.
        inputs: Digests of what the run reads, and ids of the runs that it reads.
        code: Digest of the code and of what that rests on.
    """
    left_out = own_keys(config)
    return digest_of(
        {
            "experiment": experiment,
            "config": {key: value for key, value in config.items() if key not in left_out},
            "inputs": inputs,
            "code": code,
        }
    )


def request_digest(experiment: str, config: Mapping[str, Any]) -> str:
    """The SHA-256 of what a run was asked for, whatever the code and the data were then.

    That of a run which goes on with another (``resume``) is the other's.

    Args:
        experiment: Its name.
        config: The whole config, seed included. What says how to run does not count.
    """
    left_out = (*own_keys(config), RESUME)
    asked = {key: value for key, value in config.items() if key not in left_out}
    return digest_of({"experiment": experiment, "config": asked})


def digest_of(content: Mapping[str, Any]) -> str:
    """The SHA-256 of plain values, whatever the order of their keys."""
    canonical = json.dumps(to_plain(content), sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(canonical.encode()).hexdigest()

"""What a run is, in one digest: a completed run with the same one need not be repeated."""

from __future__ import annotations

import os
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sacred.dependencies import Source, get_digest

from nn_clustering.tracking.own_code import OwnCode, can_change_numbers, named_code
from nn_clustering.tracking.package_versions import counted_versions
from nn_clustering.tracking.run_keys import digest_of, identity_digest
from nn_clustering.tracking.store.dropping import DROPPED

if TYPE_CHECKING:
    from pymongo.database import Database

    from nn_clustering.tracking.run_ids import RunId

# In the info of a run: its sources that changed before it had ended.
CHANGED_CODE = "changed_code"


def run_identity(experiment: str, config: Mapping[str, Any], inputs: Any, code: str) -> str:
    """The SHA-256 of all that fixes a run's result.

    Args:
        experiment: Its name.
        config: The whole config, seed included. What says how to run (``reuse``, ``tags``, how
            often and how many side by side) does not count.
        inputs: Digests of what the run reads, and ids of the runs that it reads.
        code: From `code_digest`.
    """
    return identity_digest(experiment, config, inputs, code)


def completing_identity(
    database: Database,
    experiment: str,
    config: Mapping[str, Any],
    defaults: Mapping[str, Any],
    digests: Mapping[str, Any],
    lineage: Mapping[str, RunId],
    code: str,
) -> str | None:
    """The identity that a run takes over from the unfinished one that it goes on with.

    That is where it does all that the unfinished run would have done: with the same config, but for
    the key that names it, the same inputs and the same code.

    Args:
        database: Where the runs are.
        experiment: Name of the experiment.
        config: The whole config.
        defaults: Of its keys.
        digests: Of what the run reads.
        lineage: Ids of the runs that it reads, by config key.
        code: From `code_digest`.

    Returns:
        None where the run goes on with none, or not in all as that would have gone on.
    """
    for key, run_id in lineage.items():
        alone = {name: found for name, found in digests.items() if str(found) != str(run_id)}
        others = {name: other for name, other in lineage.items() if name != key}
        as_begun = {**config, key: defaults.get(key)}
        identity = run_identity(experiment, as_begun, [alone, others], code)
        # Whoever reads a completed run does something else with it.
        unfinished = {"_id": run_id, "status": {"$ne": "COMPLETED"}, "tracking.identity": identity}
        if database["runs"].find_one(unfinished, {"_id": 1}) is not None:
            return identity
    return None


def code_digest(experiment_info: Mapping[str, Any], code: OwnCode) -> str:
    """The SHA-256 of the sources, of the versions that can change numbers, and of Python's.

    Args:
        experiment_info: Sacred's: `base_dir`, and the sources with their digests.
        code: The same sources, with what is known of them besides.
    """
    return digest_of(code_facts(experiment_info, code))


def code_facts(experiment_info: Mapping[str, Any], code: OwnCode) -> dict[str, Any]:
    """What the digest of code is made of; for the arguments see `code_digest`."""
    folder = experiment_info["base_dir"]
    return {
        "sources": sorted(
            [name, digest]
            for name, digest in experiment_info["sources"]
            if can_change_numbers(Path(folder, name))
        ),
        "names": sorted(
            [os.path.relpath(stub, os.path.realpath(folder)), name, module]
            for stub, name, module in code.names
        ),
        "packages": counted_versions(code.packages),
        "python": sys.version_info[:2],
    }


def code_in_config(
    config: Mapping[str, Any], keys: Collection[str], own_packages: Sequence[str] = ()
) -> OwnCode:
    """The code of those modules that a config names, the current folder's before others.

    Args:
        config: The config, nested.
        keys: Dotted keys, in groups of any name, whose values name modules or what is in them.
            Values of others count where they are dotted names of modules of the user's own.
        own_packages: Names of packages that are the program's own even where they are installed.
    """
    return code_of_names(names_in_config(config, keys), own_packages)


def names_in_config(config: Mapping[str, Any], keys: Collection[str]) -> frozenset[str]:
    """The names in a config that can be of modules of the user's own; see `code_in_config`."""
    return frozenset(
        name
        for key, name in _words(config)
        if "." in name or any(f".{key}".endswith(f".{named}") for named in keys)
    )


def code_of_names(names: Collection[str], own_packages: Sequence[str] = ()) -> OwnCode:
    """The code of those modules that names are of, the current folder's before others."""
    found = OwnCode()
    for name in names:
        found |= named_code(name, Path.cwd(), own_packages)
    return found


def _words(value: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """The words of a config, at any depth, each with the dotted key that it is of."""
    if isinstance(value, str):
        yield key, value
    elif isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _words(inner, f"{key}.{name}" if key else str(name))
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _words(inner, key)


def with_sources(experiment_info: Mapping[str, Any], code: OwnCode) -> list[tuple[str, str]]:
    """An experiment's sources, as Sacred lists them, and those of more code."""
    sources = dict(experiment_info["sources"])
    for path in sorted(code.files | code.stubs):
        source = Source(str(path), get_digest(str(path)), None, None, None)
        name, digest = source.to_json(experiment_info["base_dir"])
        sources.setdefault(name, digest)  # as it was when it was loaded
    return sorted(sources.items())


def changed_sources(experiment_info: Mapping[str, Any]) -> list[str]:
    """The sources that count and are not what they were when the experiment was made."""
    folder, changed = Path(experiment_info["base_dir"]), []
    for name, digest in experiment_info["sources"]:
        path = folder / name
        if can_change_numbers(path) and not (path.is_file() and get_digest(str(path)) == digest):
            changed.append(name)
    return changed


def completed_run(database: Database, identity: str) -> int | None:
    """The id of the newest completed run of this identity whose files are whole, if any.

    Not of one whose code changed while it ran: which of both it ran, nobody can tell.
    """
    matching = {"tracking.identity": identity, "status": "COMPLETED", f"info.{CHANGED_CODE}": None}
    fields = {"artifacts": 1, DROPPED: 1}
    found = database["runs"].find(matching, fields).sort("_id", -1)
    return next((run["_id"] for run in found if _is_reusable(database, run)), None)


def run_without_artifacts(database: Database, identity: str) -> int | None:
    """The id of the newest completed run of this identity that lacks artifacts, if any.

    They were dropped to free disk.
    """
    matching = {
        "tracking.identity": identity,
        "status": "COMPLETED",
        f"{DROPPED}.0": {"$exists": 1},
    }
    found = database["runs"].find_one(matching, {"_id": 1}, sort=[("_id", -1)])
    return None if found is None else found["_id"]


def _is_reusable(database: Database, run: Mapping[str, Any]) -> bool:
    from nn_clustering.tracking.encoding import LARGE_FIELDS
    from nn_clustering.tracking.gridfs import is_whole

    artifacts = run.get("artifacts") or ()
    if run.get(DROPPED):
        return False  # whoever reads it may need what was dropped
    if any(entry["name"] == LARGE_FIELDS["result"] for entry in artifacts):
        return False  # the result was too large for the document, which holds a note instead
    return all(is_whole(database, file_id) for file_id in {entry["file_id"] for entry in artifacts})

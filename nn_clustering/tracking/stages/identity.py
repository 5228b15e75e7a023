"""What a run is, in one digest: a completed run with the same one need not be repeated."""

from __future__ import annotations

import hashlib
import json
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from importlib import metadata
from typing import TYPE_CHECKING, Any

from sacred.dependencies import PackageDependency

from nn_clustering.tracking.errors import InvalidInputError
from nn_clustering.tracking.execution_keys import own_keys
from nn_clustering.tracking.own_code import versions_of

if TYPE_CHECKING:
    from pymongo.database import Database


def run_identity(experiment_info: Mapping[str, Any], config: Mapping[str, Any], inputs: Any) -> str:
    """The SHA-256 of all that fixes a run's result.

    Args:
        experiment_info: Sacred's: name, sources with their digests, dependencies with versions.
        config: The whole config, seed included. What says how to run (``reuse``, ``tags``, how
            often and how many side by side) does not count.
        inputs: Digests of what the run reads, and ids of the runs that it reads.
    """
    left_out = own_keys(config)
    return _digest(
        {
            "experiment": experiment_info["name"],
            "config": {key: value for key, value in config.items() if key not in left_out},
            "inputs": inputs,
            "code": code_digest(experiment_info),
        }
    )


def code_digest(experiment_info: Mapping[str, Any]) -> str:
    """The SHA-256 of all sources, of the packages' versions and of Python's."""
    return _digest(
        {
            "sources": sorted(experiment_info["sources"]),
            "dependencies": sorted(experiment_info["dependencies"]),
            "python": sys.version_info[:2],
        }
    )


def completed_run(database: Database, identity: str) -> int | None:
    """The id of the newest completed run of this identity whose files are whole, if any."""
    matching = {"tracking.identity": identity, "status": "COMPLETED"}
    found = database["runs"].find(matching, {"artifacts": 1}).sort("_id", -1)
    return next((run["_id"] for run in found if _is_reusable(database, run)), None)


def required_packages(distributions: Iterable[str]) -> Iterator[PackageDependency]:
    """What installed distributions rest on, with the installed versions.

    Sacred itself sees only what the program's own file has imported so far.

    Args:
        distributions: Their names. Extras that they offer do not count.

    Raises:
        InvalidInputError: There is no such distribution.
    """
    for distribution in distributions:
        try:
            requirements = metadata.requires(distribution) or []
        except metadata.PackageNotFoundError:
            raise InvalidInputError(
                f"packages: no distribution {distribution} is installed, whose requirements would "
                "count as the experiment's; install it, or name another"
            ) from None
        for requirement in requirements:
            name, _, marker = requirement.partition(";")
            if "extra" not in marker:
                yield from _installed(re.split(r"[^\w.-]", name, maxsplit=1)[0])


def _installed(name: str) -> Iterator[PackageDependency]:
    try:
        yield PackageDependency(name, metadata.version(name))
    except metadata.PackageNotFoundError:
        yield from versions_of([name])


def _digest(content: Mapping[str, Any]) -> str:
    from nn_clustering.tracking.encoding import to_plain

    canonical = json.dumps(to_plain(content), sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(canonical.encode()).hexdigest()


def _is_reusable(database: Database, run: Mapping[str, Any]) -> bool:
    from nn_clustering.tracking.encoding import LARGE_FIELDS
    from nn_clustering.tracking.gridfs import is_whole

    artifacts = run.get("artifacts") or ()
    if any(entry["name"] == LARGE_FIELDS["result"] for entry in artifacts):
        return False  # the result was too large for the document, which holds a note instead
    return all(is_whole(database, file_id) for file_id in {entry["file_id"] for entry in artifacts})

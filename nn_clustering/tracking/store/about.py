"""What runs are about: facts that a run has from those that it read, down to where they began.

A run that computes on what others made is looked for by what that was: a clustering by the data set
of the training. A project says for each of its experiments what a run's own config tells; the rest
a run inherits along its lineage. It lies in ``info.about``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pymongo.database import Database

# What the config and the info of a run tell; None for what they do not.
Describe = Callable[[Mapping[str, Any], Mapping[str, Any]], Mapping[str, Any]]
_DIFFERENT = object()


def read_about(info: Any) -> Mapping[str, Any]:
    """What a run's info says that it is about; nothing where it does not."""
    about = info.get("about") if isinstance(info, Mapping) else None
    return about if isinstance(about, Mapping) else {}


def find_about(
    database: Database | None,
    describe: Describe | None,
    config: Mapping[str, Any],
    info: Mapping[str, Any],
) -> dict[str, Any]:
    """What a run is about: what it says of itself, over what those have in common that it read.

    Args:
        database: Where the runs are that it read; None where they are not to be looked at.
        describe: Tells what its own config says, if its project has one for its experiment.
        config: The run's.
        info: The run's, with its lineage.
    """
    own = {} if describe is None else describe(config, info)
    lineage = info.get("lineage")
    if database is None or not isinstance(lineage, Mapping):
        return overlaid({}, own)
    ids = [run_id for run_id in lineage.values() if isinstance(run_id, int)]
    found = database["runs"].find({"_id": {"$in": ids}}, {"info.about": 1})
    return overlaid(common(read_about(document.get("info")) for document in found), own)


def give_about(database: Database, describe: Mapping[str, Describe]) -> int:
    """Give it to runs of a former version, that ended without; those of other projects stay.

    Args:
        database: Where the runs are; we must be allowed to write.
        describe: By the names of a project's experiments.

    Returns:
        The number of runs that have it now.
    """
    runs, count = database["runs"], 0
    lacks_it = {
        "info.about": None,
        "experiment.name": {"$in": sorted(describe)},
        "status": {"$ne": "RUNNING"},  # its process writes its info
    }
    fields = {"experiment.name": 1, "config": 1, "info": 1}
    # By number: what a run read is older than itself.
    for document in list(runs.find(lacks_it, fields).sort("_id", 1)):
        config, info = document.get("config"), document.get("info")
        if isinstance(config, Mapping) and isinstance(info, Mapping):
            own = describe[document["experiment"]["name"]]
            about = find_about(database, own, config, info)
            still = {"_id": document["_id"], "info.about": None}
            count += runs.update_one(still, {"$set": {"info.about": about}}).modified_count
    return count


def common(abouts: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """What several say alike; what some of them do not speak of at all, the others say."""
    given = [about for about in abouts if about]
    names = dict.fromkeys(name for about in given for name in about)
    shared = {name: _shared([about[name] for about in given if name in about]) for name in names}
    return {name: value for name, value in shared.items() if value is not _DIFFERENT}


def overlaid(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Nested facts with others on top; None says nothing."""
    result = dict(below)
    for name, value in above.items():
        if isinstance(value, Mapping):
            former = result.get(name)
            result[name] = overlaid(former if isinstance(former, Mapping) else {}, value)
        elif value is not None:
            result[name] = list(value) if isinstance(value, (list, tuple)) else value
    return {name: value for name, value in result.items() if value != {}}


def _shared(values: Sequence[Any]) -> Any:
    first = values[0]
    if all(isinstance(value, Mapping) for value in values):
        keys = [key for key in first if all(key in value for value in values)]
        shared = {key: _shared([value[key] for value in values]) for key in keys}
        return {key: value for key, value in shared.items() if value is not _DIFFERENT}
    return first if all(value == first for value in values) else _DIFFERENT

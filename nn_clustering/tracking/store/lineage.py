"""Which runs a run rests on, and which rest on it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from nn_clustering.tracking.printing import printable
from nn_clustering.tracking.run_ids import (
    RunId,
    id_text,
    order_key,
    plain_id,
    read_id,
    stored_ids,
)
from nn_clustering.tracking.store.documents import read_documents
from nn_clustering.tracking.store.fields import (
    EXPERIMENT,
    as_mapping,
    as_text,
    name_of_experiment,
)
from nn_clustering.tracking.store.run import read_ids

if TYPE_CHECKING:
    from pymongo.database import Database

DEEPEST = 100
MISSING = "MISSING"
DELETED = "DELETED"
# By run: pairs of the config key and the run at its other end.
Links = Mapping[RunId, list[tuple[str, RunId]]]


@dataclass(frozen=True)
class Lineage:
    """A run with all that it read and all that read it, as a tree; `print` shows it.

    Attributes:
        run: The run's id.
        experiment: Name of its experiment; empty where that is not known any more.
        status: The run's status, DELETED, or MISSING (never heard of).
        key: The config key by which the run above read this one, or was read by it.
        reads: What the run read; empty in the branches of `read_by`.
        read_by: What read the run; empty in the branches of `reads`.
        is_cut: Whether its own branches are left out, since they are elsewhere in the tree.
    """

    run: RunId
    experiment: str
    status: str
    key: str = ""
    reads: tuple[Lineage, ...] = ()
    read_by: tuple[Lineage, ...] = ()
    is_cut: bool = False

    def to_dict(self) -> dict[str, Any]:
        """The tree in plain dictionaries and lists; an id that is no number is its text."""
        return {
            "run": plain_id(self.run),
            "experiment": self.experiment,
            "status": self.status,
            "key": self.key,
            "reads": [node.to_dict() for node in self.reads],
            "read_by": [node.to_dict() for node in self.read_by],
            "is_cut": self.is_cut,
        }

    def __str__(self) -> str:
        lines = [self._label()]
        for title, branches in (("read", self.reads), ("was read by", self.read_by)):
            if branches:
                lines += [title, *_branch_lines(branches)]
        return "\n".join(lines)

    def _label(self) -> str:
        name = f"{self.experiment} " if self.experiment else ""
        key = f" ({self.key})" if self.key else ""
        end = " ..." if self.is_cut else ""
        return printable(f"{id_text(self.run)} {name}{self.status}{key}{end}")


def read_lineage(database: Database, run_id: RunId) -> Lineage:
    """The lineage of a run, whether it still exists or not."""
    reads = read_links(database)
    read_by = reversed_links(reads)
    involved = {run_id, *closure(reads, [run_id]), *closure(read_by, [run_id])}
    facts = _facts(database, involved)
    experiment, status = facts[run_id]
    return Lineage(
        run_id,
        experiment,
        status,
        reads=_branches(reads, "reads", run_id, facts),
        read_by=_branches(read_by, "read_by", run_id, facts),
    )


def read_links(database: Database) -> Links:
    """Who read whom, of all runs: by reader, the config key and the run that it read."""
    # Compared with an empty mapping, so that the index alone can answer.
    query: dict[str, Any] = {"info.lineage": {"$gt": {}}}
    return {
        read_id(document["_id"]): list(
            read_ids(as_mapping(document.get("info")).get("lineage")).items()
        )
        for document in read_documents(database["runs"], query, {"info.lineage": 1})
    }


def reversed_links(links: Links) -> Links:
    """The same links from their other ends, oldest reader first."""
    turned: dict[RunId, list[tuple[str, RunId]]] = {}
    for reader in sorted(links, key=order_key):
        for key, run_id in links[reader]:
            turned.setdefault(run_id, []).append((key, reader))
    return turned


def closure(links: Links, run_ids: Iterable[RunId]) -> list[RunId]:
    """All runs at the ends of the links from the given ones, nearest first; not those itself."""
    start = list(run_ids)
    seen = dict.fromkeys(start)
    waiting = list(start)
    while waiting:
        level, waiting = waiting, []
        for run_id in level:
            for _, other in links.get(run_id, ()):
                if other not in seen:
                    seen[other] = None
                    waiting.append(other)
    return [run_id for run_id in seen if run_id not in start]


def _branches(
    links: Links, side: str, run_id: RunId, facts: Mapping[RunId, tuple[str, str]]
) -> tuple[Lineage, ...]:
    shown = {run_id}

    def grow(parent: RunId, depth: int) -> tuple[Lineage, ...]:
        nodes = []
        for key, other in links.get(parent, ()):
            is_cut = (other in shown and bool(links.get(other))) or depth == DEEPEST
            inner: tuple[Lineage, ...] = ()
            if not is_cut:
                shown.add(other)
                inner = grow(other, depth + 1)
            node = Lineage(other, *facts[other], key, is_cut=is_cut)
            is_read = side == "reads"
            nodes.append(replace(node, reads=inner) if is_read else replace(node, read_by=inner))
        return tuple(nodes)

    return grow(run_id, 1)


def _facts(database: Database, run_ids: Iterable[RunId]) -> dict[RunId, tuple[str, str]]:
    """Experiment and status of runs, of deleted and unknown ones too."""
    facts = dict.fromkeys(run_ids, ("", MISSING))
    query = {"_id": {"$in": stored_ids(facts)}}
    for document in read_documents(database["deleted_runs"], query, {"experiment": 1}):
        facts[read_id(document["_id"])] = (as_text(document.get("experiment")), DELETED)
    for document in read_documents(database["runs"], query, {**EXPERIMENT, "status": 1}):
        status = as_text(document.get("status"))
        facts[read_id(document["_id"])] = (name_of_experiment(document), status)
    return facts


def _branch_lines(branches: tuple[Lineage, ...]) -> Iterator[str]:
    for index, node in enumerate(branches):
        is_last = index == len(branches) - 1
        yield ("└─ " if is_last else "├─ ") + node._label()
        for line in _branch_lines(node.reads or node.read_by):
            yield ("   " if is_last else "│  ") + line

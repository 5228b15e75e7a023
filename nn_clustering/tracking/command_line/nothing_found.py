"""What is said where no run matches the conditions."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from nn_clustering.tracking.errors import did_you_mean
from nn_clustering.tracking.names import listed
from nn_clustering.tracking.printing import format_value, printable
from nn_clustering.tracking.store.run import Run
from nn_clustering.tracking.store.tables import config_leaves, leaves

if TYPE_CHECKING:
    from nn_clustering.tracking.store.run_store import RunStore

# Of so many of the newest runs it is said what they have where conditions ask for something else.
LOOKED_AT = 100

_LEAVES: dict[str, Callable[[Run], dict[str, Any]]] = {
    "config": config_leaves,
    "result": lambda run: leaves(run.result, "result"),
}


def nothing_found(store: RunStore, filters: Mapping[str, Any]) -> str:
    """The conditions as they were typed, what there is in their place, and what to do.

    Args:
        store: The store in which no run matches.
        filters: What it was asked, as `read_filters` returns it.
    """
    experiments = store.experiments()
    if not experiments:
        return f"there are no runs in database {store.database.name!r} yet; run an experiment first"
    experiment = filters["experiment"]
    is_unknown = experiment is not None and experiment not in experiments
    hint = did_you_mean(experiment, experiments) if is_unknown else ""
    parts = [
        f"no run matches {', '.join(_typed(filters))}{hint}",
        *_in_their_place(store, filters),
        f"there are runs of {', '.join(experiments)}: leave a condition out",
    ]
    return printable("; ".join(parts))


def _typed(filters: Mapping[str, Any]) -> Iterator[str]:
    for name, value in filters.items():
        if name in _LEAVES:
            yield from (f"{name} {text}" for key in value for text in _conditions(key, value[key]))
        elif value:
            yield f"{name} {value!r}"


def _conditions(key: str, condition: tuple[Any, ...]) -> Iterator[str]:
    for operator, value in zip(condition[::2], condition[1::2], strict=True):
        text = value if isinstance(value, str) and value else json.dumps(value)
        yield f"{key}{'=' if operator == '==' else operator}{text}"


def _in_their_place(store: RunStore, filters: Mapping[str, Any]) -> Iterator[str]:
    """Of each key that a condition names, which values it has, or that no run has it."""
    others = {name: value for name, value in filters.items() if name not in _LEAVES}
    asked = [(group, key) for group in _LEAVES for key in filters[group]]
    runs = store.find(**others, limit=LOOKED_AT) if asked else []
    if not runs:
        return
    for group, key in asked:
        rows = [_LEAVES[group](run) for run in runs]
        values = [row[f"{group}.{key}"] for row in rows if row.get(f"{group}.{key}") is not None]
        if values:
            there = listed(list(dict.fromkeys(map(format_value, values))))
            yield f"{key} is {there} in those that have it"
        else:
            known = [name.partition(".")[2] for row in rows for name in row]
            yield f"none has {key} in its {group}{did_you_mean(key, known)}"

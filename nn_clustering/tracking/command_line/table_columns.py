"""Columns of runs by the names that users give them, and the order of runs by one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from nn_clustering.tracking.errors import InvalidInputError, did_you_mean
from nn_clustering.tracking.names import listed
from nn_clustering.tracking.run_ids import plain_id
from nn_clustering.tracking.store.run import Run
from nn_clustering.tracking.store.runs import Runs
from nn_clustering.tracking.store.tables import config_leaves, leaves

# Of each group, so that a message is a few lines; a stage has fifty keys, a pipeline more.
MOST_NAMED = 12


def sorted_runs(runs: Runs, key: str, *, is_reversed: bool) -> list[Run]:
    """The runs by what they are, their config or their result; those without a value come last.

    Args:
        runs: The runs.
        key: Name of a column of their table; `result.` or `config.` can be left out.
        is_reversed: Whether the largest value comes first.

    Raises:
        InvalidInputError: No run has such a value.
    """
    if not runs:
        return []
    rows = [_sortable(run) for run in runs]
    known = list(dict.fromkeys(name for row in rows for name in row))
    column = column_of("--sort", key, known, known)
    keys = [_sort_key(row.get(column)) for row in rows]
    order = sorted(
        (index for index, value in enumerate(keys) if value is not None),
        key=lambda index: keys[index] or (0, 0),
        reverse=is_reversed,
    )
    order += [index for index, value in enumerate(keys) if value is None]
    return [runs[index] for index in order]


def column_of(option: str, name: str, known: Sequence[str], shown: Sequence[str]) -> str:
    """The column that a user means, who may leave out `result.` or `config.`.

    Args:
        option: The option that names it.
        name: What the user wrote.
        known: Names of all columns.
        shown: What a message names them.

    Raises:
        InvalidInputError: There is no such column.
    """
    found = [column for column in (name, f"result.{name}", f"config.{name}") if column in known]
    if found:
        return found[0]
    ends = [column.partition(".")[2] for column in known if "." in column]
    raise InvalidInputError(
        f"{option} {name}: none of these runs has it{did_you_mean(name, [*shown, *ends])}; "
        f"expected {_in_words(shown)} (`show ID` has all of a run's)"
    )


def _in_words(names: Sequence[str]) -> str:
    """All columns, those of the result and of the config without that word before each."""
    groups: dict[str, list[str]] = {}
    for name in names:
        group, dot, end = name.partition(".")
        is_part = bool(dot) and group in ("result", "config", "metric")
        groups.setdefault(group if is_part else "", []).append(end if is_part else name)
    return "; ".join(
        (f"of the {group}: " if group else "one of ") + listed(ends, MOST_NAMED)
        for group, ends in groups.items()
    )


def _sortable(run: Run) -> dict[str, Any]:
    start = run.start_time.timestamp() if run.start_time else None
    return {
        "run": plain_id(run.id),
        "experiment": run.experiment,
        "status": run.status,
        "start_time": start,
        "duration": run.duration,
        **leaves(run.result, "result"),
        **config_leaves(run),
    }


def _sort_key(value: Any) -> tuple[int, Any] | None:
    """Numbers before texts, texts before all else; None for what has no place."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, (bool, int, float)):
        return 0, value
    return (1, value) if isinstance(value, str) else (2, str(value))

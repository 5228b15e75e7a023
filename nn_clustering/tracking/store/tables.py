"""Runs as columns of a table: what they are, how they differ, what came out."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from nn_clustering.tracking.encoding import is_unicode
from nn_clustering.tracking.errors import InvalidInputError, did_you_mean
from nn_clustering.tracking.execution_keys import own_keys
from nn_clustering.tracking.names import listed
from nn_clustering.tracking.run_ids import RunId, plain_id
from nn_clustering.tracking.store.metrics import last_values, metric_names

if TYPE_CHECKING:
    from pandas import DataFrame
    from pymongo.database import Database

    from nn_clustering.tracking.store.run import Run

FIXED = ("experiment", "status", "start_time", "duration", "tags")
_SIMPLE = (int, float, str, type(None))
ABSENT = object()  # in the place of a value that a run does not have


def leaves(value: Any, root: str) -> dict[str, Any]:
    """What nested mappings hold, by dotted key under `root`; nothing for None and {}."""
    if not isinstance(value, dict):
        return {} if value is None else {root: value}
    found: dict[str, Any] = {}
    _collect_leaves(value, f"{root}.", found)
    return found


def config_leaves(run: Run) -> dict[str, Any]:
    """The run's config as `leaves`, without the keys that say how it was run and not what.

    Where it says nothing, by None or not at all, stands what the run is about.
    """
    left_out = own_keys(run.config)
    config = {key: value for key, value in run.config.items() if key not in left_out}
    own = leaves(config, "config")
    about = leaves(run.about, "config")
    return {**own, **{key: value for key, value in about.items() if own.get(key) is None}}


def _collect_leaves(tree: Mapping[str, Any], root: str, found: dict[str, Any]) -> None:
    for key, value in tree.items():
        if isinstance(value, dict) and value:
            _collect_leaves(value, f"{root}{key}.", found)
        else:
            found[f"{root}{key}"] = value


def table_columns(
    database: Database,
    runs: Sequence[Run],
    results: Sequence[str] | None,
    metrics: Sequence[str],
) -> dict[str, list[Any]]:
    """The columns of `Runs.table` by name, with None where a run has no value.

    Raises:
        InvalidInputError: No run has a result or a metric of that name.
    """
    columns: dict[str, list[Any]] = {
        "experiment": [run.experiment for run in runs],
        "status": [run.status for run in runs],
        "start_time": [run.start_time for run in runs],
        "duration": [run.duration for run in runs],
        "tags": [run.tags for run in runs],
    }
    configs = [config_leaves(run) for run in runs]
    outcomes = [leaves(run.result, "result") for run in runs]
    columns.update(_columns(configs, _keys_that_differ(runs, configs)))
    columns.update(_columns(outcomes, _result_keys(outcomes, results)))
    columns.update(_metric_columns(database, [run.id for run in runs], metrics))
    return columns


def _keys_that_differ(runs: Sequence[Run], configs: Sequence[Mapping[str, Any]]) -> list[str]:
    """Config keys that differ between runs of the same experiment: each has keys of its own."""
    by_experiment: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for run, config in zip(runs, configs, strict=True):
        by_experiment[run.experiment].append(config)
    keys = (key for rows in by_experiment.values() for key in _differing_keys(rows))
    return list(dict.fromkeys(keys))


def differences(runs: Sequence[Run]) -> dict[str, list[Any]]:
    """What is not the same in all runs, by key of config and result; ABSENT where one lacks it.

    First those keys that all the runs have.

    Raises:
        InvalidInputError: There are fewer than two runs.
    """
    if len(runs) < 2:
        raise InvalidInputError(
            f"compare {[plain_id(run.id) for run in runs]}: expected at least two runs"
        )
    rows = [{**config_leaves(run), **leaves(run.result, "result")} for run in runs]
    values = {key: [row.get(key, ABSENT) for row in rows] for key in _differing_keys(rows)}
    return dict(sorted(values.items(), key=lambda entry: ABSENT in entry[1]))


def table_of_differences(runs: Sequence[Run]) -> DataFrame:
    """The `differences` of runs as `RunStore.compare` returns them, a column for each run.

    Raises:
        InvalidInputError: There are fewer than two runs.
    """
    import pandas as pd

    rows = differences(runs)
    return pd.DataFrame(
        [[None if value is ABSENT else value for value in row] for row in rows.values()],
        index=pd.Index(list(rows), name="key"),
        columns=pd.Index([run.id for run in runs], name="run"),
        dtype=object,
    )


def _differing_keys(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Keys whose values are not the same in all rows; to lack a key is to differ."""
    keys: dict[str, None] = {}
    for row in rows:
        keys.update(dict.fromkeys(row))
    return [key for key in keys if _differ([row.get(key, ABSENT) for row in rows])]


def _differ(values: Sequence[Any]) -> bool:
    first, identity = values[0], _identity(values[0])
    is_simple, kind = type(first) in _SIMPLE, type(first)
    return any(
        not (is_simple and type(value) is kind and value == first)  # most are equal, and simple
        and _identity(value) != identity
        for value in values
    )


def _identity(value: Any) -> Any:
    """What tells values apart: 1 is 1.0 and NaN is NaN, but 1 is not True."""
    if isinstance(value, float) and math.isnan(value):
        return float, "NaN"
    if type(value) in _SIMPLE or value is ABSENT:
        return value
    return type(value), repr(value)  # not all that MongoDB stores can be hashed


def _columns(rows: Sequence[Mapping[str, Any]], keys: Iterable[str]) -> dict[str, list[Any]]:
    return {key: [row.get(key) for row in rows] for key in keys}


def _result_keys(rows: Sequence[Mapping[str, Any]], asked: Sequence[str] | None) -> list[str]:
    if asked is None:
        scalars: dict[str, None] = {}
        for row in rows:
            for key, value in row.items():
                if value is not None and not isinstance(value, (list, dict)):
                    scalars[key] = None
        return list(scalars)
    _require_list("results", asked)
    known = list(dict.fromkeys(key.removeprefix("result.") for row in rows for key in row))
    _check_names("results", asked, known)
    return [f"result.{name}" for name in asked]


def _metric_columns(
    database: Database, run_ids: Sequence[RunId], names: Sequence[str]
) -> dict[str, list[Any]]:
    _require_list("metrics", names)
    if not names or not run_ids:
        return {f"metric.{name}": [] for name in names}
    found = last_values(database, run_ids, names)
    if not set(names) <= {name for values in found.values() for name in values}:
        _check_names("metrics", names, metric_names(database, run_ids))
    return {
        f"metric.{name}": [found.get(run_id, {}).get(name) for run_id in run_ids] for name in names
    }


def _require_list(what: str, asked: Sequence[str]) -> None:
    if isinstance(asked, str):
        raise InvalidInputError(f"{what}={asked!r}: expected a list of names, [{asked!r}]")
    for name in asked:
        if isinstance(name, str) and not is_unicode(name):
            raise InvalidInputError(f"{what}: {name!r} is no name; expected text in UTF-8")


def _check_names(what: str, asked: Sequence[str], known: Sequence[str]) -> None:
    """Refuse a name that no run has; where nothing is known (yet), any will do."""
    for name in asked:
        if known and name not in known:
            raise InvalidInputError(
                f"{what}: none of these runs has {name!r}{did_you_mean(name, known)}; expected "
                f"some of: {listed(known)}"
            )

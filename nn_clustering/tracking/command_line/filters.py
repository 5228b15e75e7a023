"""Filters on the command line: which runs `list` and `export` are about."""

from __future__ import annotations

import argparse
import json
import math
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from nn_clustering.tracking.errors import InvalidInputError, RunNotFoundError, did_you_mean
from nn_clustering.tracking.names import listed
from nn_clustering.tracking.store.query import OPERATORS
from nn_clustering.tracking.store.run import Run
from nn_clustering.tracking.store.runs import Runs
from nn_clustering.tracking.store.tables import config_leaves, leaves

if TYPE_CHECKING:
    from nn_clustering.tracking.store.run_store import RunStore


def add_filters(parser: argparse.ArgumentParser) -> None:
    """Give a command the options that choose runs."""
    options = parser.add_argument_group("which runs (all conditions hold)")
    options.add_argument("--experiment", metavar="NAME", help="of this experiment: train, ...")
    options.add_argument(
        "--status", type=str.upper, metavar="STATUS",
        help="RUNNING, COMPLETED, FAILED, INTERRUPTED or DIED",
    )  # fmt: skip
    options.add_argument(
        "--config", action="append", default=[], metavar="CONDITION",
        help="on the config, like dataset.name=mnist or 'n_clusters>=8'; can be repeated",
    )  # fmt: skip
    options.add_argument(
        "--result", action="append", default=[], metavar="CONDITION",
        help="on the result, like 'ncut<9' (= != < <= > >=); can be repeated",
    )  # fmt: skip
    options.add_argument(
        "--tag", action="append", default=[], metavar="TAG", help="with this tag; can be repeated"
    )
    options.add_argument(
        "--since", metavar="TIME", help="started since a date (UTC) like 2026-11-01, or 30m, 3h, 2d"
    )


def read_filters(arguments: argparse.Namespace) -> dict[str, Any]:
    """The options as arguments of `RunStore.find`.

    Raises:
        InvalidInputError: A condition is malformed.
    """
    return {
        "experiment": arguments.experiment,
        "status": arguments.status,
        "config": _conditions("--config", arguments.config),
        "tags": arguments.tag,
        "since": arguments.since,
        "result": _conditions("--result", arguments.result),
    }


def parse_condition(option: str, text: str) -> tuple[str, tuple[str, Any]]:
    """Key, operator and value of a text like `ncut<9`.

    Raises:
        InvalidInputError: It is none.
    """
    parts = re.fullmatch(r"\s*([^<>=!\s]+)\s*(==|=|!=|<=|>=|<|>)\s*(.*?)\s*", text, re.DOTALL)
    if parts is None or not parts[3]:
        raise InvalidInputError(
            f"{option} {text}: expected a key, one of = {' '.join(OPERATORS)} and a value, like "
            'dataset.name=mnist (an empty text is "", no value is null)'
        )
    operator = "==" if parts[2] == "=" else parts[2]
    return parts[1], (operator, parse_value(parts[3]))


def parse_value(text: str) -> Any:
    """The number, text, true, false, null or list that JSON or YAML reads in a text."""
    import yaml

    try:
        return json.loads(text)  # unlike YAML, it takes 1e-3 for a number
    except ValueError:
        pass
    if text in ("True", "False", "None"):  # as Sacred's command line has them
        return {"True": True, "False": False, "None": None}[text]
    try:
        value = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError):
        return text
    # What a config cannot hold, a date or a mapping, was meant as a text.
    return value if isinstance(value, (bool, int, float, str, list, type(None))) else text


def number_runs(store: RunStore, texts: Sequence[str]) -> list[int]:
    """Ids of the runs that the user named, each once.

    Raises:
        RunNotFoundError: One is neither a number nor `latest`, or there is no run.
    """
    ids = []
    for text in texts:
        if text == "latest":
            ids.append(store.run("latest", status=None).id)
        elif re.fullmatch(r"\d{1,18}", text):
            ids.append(int(text))
        else:
            raise RunNotFoundError(
                f"{text!r} is no run{did_you_mean(text, ['latest'])}; expected a run's number, or "
                "'latest'"
            )
    return list(dict.fromkeys(ids))


def sorted_runs(runs: Runs, key: str, *, is_reversed: bool) -> list[Run]:
    """The runs by what they are, their config or their result; those without a value come last.

    Args:
        runs: The runs.
        key: Name of a column of their table; `result.` or `config.` can be left out.
        is_reversed: Whether the largest value comes first.

    Raises:
        InvalidInputError: No run has such a value.
    """
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
        f"expected one of {listed(shown)}"
    )


def _sortable(run: Run) -> dict[str, Any]:
    start = run.start_time.timestamp() if run.start_time else None
    return {
        "run": run.id,
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


def _conditions(option: str, texts: Sequence[str]) -> dict[str, Any]:
    conditions: dict[str, Any] = {}
    for text in texts:
        key, condition = parse_condition(option, text)
        conditions[key] = (*conditions.get(key, ()), *condition)
    return conditions

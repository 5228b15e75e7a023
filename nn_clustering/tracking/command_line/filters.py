"""The options that say which runs a command is about."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from nn_clustering.tracking.errors import RunNotFoundError, did_you_mean
from nn_clustering.tracking.printing import printable
from nn_clustering.tracking.run_ids import LATEST, RunId, find_id
from nn_clustering.tracking.store.query_conditions import parse_condition

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


def nothing_found(store: RunStore, filters: Mapping[str, Any]) -> str:
    """Say that no run matches these filters, and what there is."""
    experiments = store.experiments()
    if not experiments:
        return f"there are no runs in database {store.database.name!r} yet; run an experiment first"
    given = ", ".join(f"{name} {value!r}" for name, value in filters.items() if value)
    experiment = filters["experiment"]
    is_unknown = experiment is not None and experiment not in experiments
    hint = did_you_mean(experiment, experiments) if is_unknown else ""
    return printable(
        f"no run matches {given}{hint}; there are runs of {', '.join(experiments)}: leave a "
        "condition out"
    )


def add_run(parser: argparse.ArgumentParser) -> None:
    """Give a command the argument that names its run."""
    parser.add_argument(
        "run", metavar="ID", help="number of the run (or its id, as listed), or 'latest'"
    )


def number_runs(store: RunStore, texts: Sequence[str]) -> list[RunId]:
    """Ids of the runs that the user named, each once.

    Raises:
        RunNotFoundError: One is neither a number, nor another run's id, nor `latest`; or there is
            no run.
    """
    ids: list[RunId] = []
    for text in texts:
        if text == LATEST:
            ids.append(store.run(LATEST, status=None).id)
            continue
        run_id = find_id(store.database, text)
        if run_id is None:
            raise RunNotFoundError(
                f"{text!r} is no run{did_you_mean(text, [LATEST])}; expected a run's number, or "
                f"{LATEST!r}"
            )
        ids.append(run_id)
    return list(dict.fromkeys(ids))


def _conditions(option: str, texts: Sequence[str]) -> dict[str, Any]:
    conditions: dict[str, Any] = {}
    for text in texts:
        key, condition = parse_condition(option, text)
        conditions[key] = (*conditions.get(key, ()), *condition)
    return conditions

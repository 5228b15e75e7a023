"""What stages share that put tests of several networks into one table, a row for each condition."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from experiments._result_tables import add_table
from nn_clustering import reports
from nn_clustering.errors import InvalidInputError
from nn_clustering.significance import p_in_words
from nn_clustering.tracking import Input, parse_condition

if TYPE_CHECKING:
    from nn_clustering.reports import NetworkTable, NetworkTest
    from nn_clustering.tracking import Run, StageRun

# All of them are held at once.
MOST_RESAMPLES = 1_000_000


@dataclass(frozen=True)
class Inputs:
    """The table, whose digest names the runs that it is of."""

    table: Input[NetworkTable]


def check(run: StageRun) -> None:
    """Check what the config alone tells."""
    limit = run.config["query"]["limit"]
    if limit is not None and (type(limit) is not int or limit < 1):
        raise InvalidInputError(f"query.limit={limit!r}; expected an integer of 1 or more, or None")
    check_resamples(run.config["n_resamples"])


def check_resamples(n_resamples: int) -> None:
    """Check the number of resamples behind an interval.

    Raises:
        InvalidInputError: If it is none, or too large to be held at once.
    """
    if not 1 <= n_resamples <= MOST_RESAMPLES:
        raise InvalidInputError(
            f"n_resamples={n_resamples}; expected an integer from 1 to {MOST_RESAMPLES}"
        )


def inputs(run: StageRun, test: NetworkTest) -> Inputs:
    """Find the runs of a test, and read what they have stored; the table is made at once."""
    found = _runs(run, test.stage)
    lineage = {f"{test.stage}_run_{place}": one.id for place, one in enumerate(found)}
    run.sacred_run.info.setdefault("lineage", {}).update(lineage)
    networks = [reports.studied_network(run.store, one, test) for one in found]
    table = reports.table_of_networks(
        networks,
        level=run.config["level"],
        seed=run.seed,
        n_resamples=run.config["n_resamples"],
    )
    return Inputs(Input(table, " ".join(str(one.id) for one in found)))


def summary(run: StageRun[Inputs], result: Mapping[str, Any]) -> None:
    """Print the table."""
    table = run.inputs.table.value
    print(f"\n{table.text()}")
    found = p_in_words(table.critical_p, "critical p") if table.critical_p else "none is"
    print(
        f"p over networks: Bates combination; * significant with a false discovery rate of "
        f"{table.level:g} over {table.n_tests} tests ({found}); of random draws: the effect that "
        "draws have in the place of the partitions, in brackets from 5 to 95% of them"
    )


def store_table(run: StageRun[Inputs], name: str) -> dict[str, Any]:
    """Store the table as CSV, Parquet and Markdown; returns the result of the stage."""
    table = run.inputs.table.value
    add_table(run, name, table.rows)
    run.add_artifact(f"{name}.md", f"{table.text()}\n".encode())
    rows = table.rows.astype(object)
    return {
        "conditions": rows.where(rows.notna(), None).to_dict("records"),
        "critical_p": table.critical_p,
        "n_tests": table.n_tests,
    }


def _runs(run: StageRun, stage: str) -> Sequence[Run]:
    """Return the completed runs of a stage that the config names or describes, oldest first."""
    key, query = f"{stage}_runs", run.config["query"]
    named = run.config[key]
    asked = {key: value for key, value in query.items() if value not in (None, [])}
    if (named is None) == (not asked):
        raise InvalidInputError(
            f"{key}={named!r} with the query {asked or 'of nothing'}; expected one of the two: "
            f'{key}="[12,15,18]", or keys of query such as query.since=2d'
        )
    if named is not None:
        return _named_runs(run, key, stage)
    found = run.store.find(
        experiment=stage,
        status="COMPLETED",
        tags=query["tags"],
        since=query["since"],
        config=_conditions("config", query["config"]),
        result=_conditions("result", query["result"]),
        limit=query["limit"],
    )
    if not found:
        raise InvalidInputError(
            f"no completed {stage} run answers to {asked}; expected one at least: see "
            f"`python -m nn_clustering.tracking list --experiment {stage}`"
        )
    return found[::-1]


def _named_runs(run: StageRun, key: str, stage: str) -> list[Run]:
    """Return the runs of a list of ids, or of one; the config keeps ids in place of ``latest``."""
    named = run.config[key]
    names = list(named) if isinstance(named, Sequence) and not isinstance(named, str) else [named]
    found = [run.store.run(name, experiment=stage) for name in names]
    ids = [one.id for one in found]
    twice = next((run_id for run_id in ids if ids.count(run_id) > 1), None)
    if not ids or twice is not None:
        raise InvalidInputError(
            f"{key}={names}: {f'run {twice} is named twice' if ids else 'no run'}; expected "
            "each run once, and at least one"
        )
    run.sacred_run.config[key] = ids
    return found


def _conditions(key: str, texts: Sequence[Any]) -> dict[str, Any]:
    conditions: dict[str, Any] = {}
    for text in texts:
        name, condition = parse_condition(f"query.{key}", str(text))
        conditions[name] = (*conditions.get(name, ()), *condition)
    return conditions

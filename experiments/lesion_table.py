"""Lesion tests of several networks in one table, a row for each condition.

python experiments/lesion_table.py with "lesion_runs=[12,15,18]"
python experiments/lesion_table.py with "query.tags=['study']" query.since=2d
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from experiments import PROJECT, configure
from nn_clustering import reports
from nn_clustering.errors import InvalidInputError
from nn_clustering.significance import p_in_words
from nn_clustering.tracking import Input, StageExperiment, parse_condition

if TYPE_CHECKING:
    from nn_clustering.reports import LesionTable
    from nn_clustering.tracking import Run, StageRun

# All of them are held at once.
MOST_RESAMPLES = 1_000_000

experiment = StageExperiment("lesion_table", base_dir=PROJECT, save_git_info=False)
configure(experiment)


@dataclass(frozen=True)
class Inputs:
    """The table, whose digest names the lesion runs."""

    table: Input[LesionTable]


def check(run: StageRun) -> None:
    """Check what the config alone tells."""
    limit, n_resamples = run.config["query"]["limit"], run.config["n_resamples"]
    if limit is not None and (type(limit) is not int or limit < 1):
        raise InvalidInputError(f"query.limit={limit!r}; expected an integer of 1 or more, or None")
    if not 1 <= n_resamples <= MOST_RESAMPLES:
        raise InvalidInputError(
            f"n_resamples={n_resamples}; expected an integer from 1 to {MOST_RESAMPLES}"
        )


def inputs(run: StageRun) -> Inputs:
    """Find the lesion runs, and read what they have stored; the table is made at once."""
    found = _lesion_runs(run)
    lineage = {f"lesion_run_{place}": one.id for place, one in enumerate(found)}
    run.sacred_run.info.setdefault("lineage", {}).update(lineage)
    networks = [reports.lesioned_network(run.store, one) for one in found]
    table = reports.table_of_lesions(
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


@experiment.stage(check=check, inputs=inputs, summary=summary)
def lesion_table(run: StageRun[Inputs]) -> dict[str, Any]:
    """Make the table; the result holds its rows, and the critical p-value over all of them."""
    table = run.inputs.table.value
    run.add_artifact("lesion_table.csv", table.rows.to_csv(index=False).encode())
    run.add_artifact("lesion_table.parquet", table.rows.to_parquet(index=False))
    run.add_artifact("lesion_table.md", f"{table.text()}\n".encode())
    rows = table.rows.astype(object)
    return {
        "conditions": rows.where(rows.notna(), None).to_dict("records"),
        "critical_p": table.critical_p,
        "n_tests": table.n_tests,
    }


def _lesion_runs(run: StageRun) -> Sequence[Run]:
    """Return the completed lesion runs that the config names or describes, oldest first."""
    named, query = run.config["lesion_runs"], run.config["query"]
    asked = {key: value for key, value in query.items() if value not in (None, [])}
    if (named is None) == (not asked):
        raise InvalidInputError(
            f"lesion_runs={named!r} with the query {asked or 'of nothing'}; expected one of the "
            'two: lesion_runs="[12,15,18]", or keys of query such as query.since=2d'
        )
    if named is not None:
        return _named_runs(run, named)
    found = run.store.find(
        experiment="lesion",
        status="COMPLETED",
        tags=query["tags"],
        since=query["since"],
        config=_conditions("config", query["config"]),
        result=_conditions("result", query["result"]),
        limit=query["limit"],
    )
    if not found:
        raise InvalidInputError(
            f"no completed lesion run answers to {asked}; expected one at least: see "
            "`python -m nn_clustering.tracking list --experiment lesion`"
        )
    return found[::-1]


def _named_runs(run: StageRun, named: Any) -> list[Run]:
    """Return the runs of a list of ids, or of one; the config keeps ids in place of ``latest``."""
    keys = list(named) if isinstance(named, Sequence) and not isinstance(named, str) else [named]
    found = [run.store.run(key, experiment="lesion") for key in keys]
    ids = [one.id for one in found]
    twice = next((run_id for run_id in ids if ids.count(run_id) > 1), None)
    if not ids or twice is not None:
        raise InvalidInputError(
            f"lesion_runs={keys}: {f'run {twice} is named twice' if ids else 'no run'}; expected "
            "each run once, and at least one"
        )
    run.sacred_run.config["lesion_runs"] = ids
    return found


def _conditions(key: str, texts: Sequence[Any]) -> dict[str, Any]:
    conditions: dict[str, Any] = {}
    for text in texts:
        name, condition = parse_condition(f"query.{key}", str(text))
        conditions[name] = (*conditions.get(name, ()), *condition)
    return conditions


if __name__ == "__main__":
    experiment.run_commandline()

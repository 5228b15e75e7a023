"""The table that `list` prints: which columns it has, under which headings, what comes first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

from nn_clustering.tracking.command_line.description import shown_status
from nn_clustering.tracking.command_line.table_columns import column_of
from nn_clustering.tracking.errors import InvalidInputError
from nn_clustering.tracking.printing import (
    fitted_lines,
    format_seconds,
    format_value,
    printable,
)
from nn_clustering.tracking.run_ids import id_text
from nn_clustering.tracking.store.runs import Runs
from nn_clustering.tracking.store.tables import FIXED, config_leaves, leaves, table_columns

if TYPE_CHECKING:
    from pymongo.database import Database

    from nn_clustering.tracking.store.liveness import UndeliveredRun

STARTED = "started (UTC)"


def list_lines(
    database: Database,
    runs: Runs,
    width: int,
    *,
    columns: str | None,
    metrics: Sequence[str],
    sorted_by: str | None,
    undelivered: Mapping[Any, UndeliveredRun],
) -> list[str]:
    """The lines of a table of runs.

    Args:
        database: Where the runs are.
        runs: The runs.
        width: Room for the lines.
        columns: The columns to show, separated by commas; None for those that fit.
        metrics: Metrics whose last values to show.
        sorted_by: The column that the runs are sorted by.
        undelivered: From `RunStore.undelivered`.

    Raises:
        InvalidInputError: None of the runs has such a column or metric.
    """
    values = table_columns(database, runs, None, metrics)
    cells = {
        "run": [id_text(run.id) for run in runs],
        "experiment": [printable(run.experiment) for run in runs],
        "status": [printable(shown_status(run, undelivered.get(run.id))) for run in runs],
        STARTED: [format_value(run.start_time) for run in runs],
        "duration": [format_seconds(run.duration) for run in runs],
        "tags": [printable(", ".join(run.tags)) for run in runs],
    }
    headings = _headings([name for name in values if name not in FIXED], list(cells))
    cells.update(
        {heading: list(map(format_value, values[name])) for name, heading in headings.items()}
    )
    if columns is not None:
        chosen = _chosen(columns, cells, headings, runs)
        return fitted_lines(chosen, width, 1, list(chosen)[1:], "COLUMNS=200 makes more room")
    if not any(cells["tags"]):
        del cells["tags"]
    ranked = _ranked(cells, headings, {sorted_by, *(f"metric.{name}" for name in metrics)})
    preference = [STARTED, *ranked[:2], "duration", "tags", *ranked[2:]]
    preference = [name for name in preference if name in cells]
    return fitted_lines(cells, width, 3, preference, "see --columns")


def _chosen(
    names: str, cells: Mapping[str, list[str]], headings: Mapping[str, str], runs: Runs
) -> dict[str, list[str]]:
    """The columns that a user named, after that of the run's number."""
    facts = [{**leaves(run.result, "result"), **config_leaves(run)} for run in runs]
    hidden = {name: None for row in facts for name in row if name not in headings}
    full_names = {heading: name for name, heading in headings.items()}
    shown = [*cells, *hidden]
    chosen = {"run": cells["run"]}
    for name in map(str.strip, names.split(",")):
        if not name:
            raise InvalidInputError(
                f"--columns {names!r}: expected names of columns, separated by commas"
            )
        column = STARTED if name in ("started", "start_time") else name
        if column not in cells:
            column = column_of("--columns", name, [*full_names.values(), *hidden], shown)
            column = headings.get(column, column)
        chosen[column] = (
            cells[column] if column in cells else [format_value(row.get(column)) for row in facts]
        )
    return chosen


def _headings(names: Sequence[str], taken: Sequence[str]) -> dict[str, str]:
    """Names of columns without `config.` and the like, where that is clear."""
    short = [name.partition(".")[2] for name in names]
    occurrences = Counter(short)
    return {
        name: printable(end if end and end not in taken and occurrences[end] == 1 else name)
        for name, end in zip(names, short, strict=True)
    }


def _ranked(
    columns: Mapping[str, Sequence[str]], headings: Mapping[str, str], asked: Collection[Any]
) -> list[str]:
    """Headings, what matters most first: what was asked for, then what most of the runs have.

    Config and result take turns; what lies deeper in them comes later.
    """
    kinds: dict[str, list[str]] = {"result": [], "config": [], "metric": []}

    def rank(name: str) -> tuple[int, int]:
        depth = name.count(".") if name.startswith("result.") else 0
        return depth, -sum(map(bool, columns[headings[name]]))

    for name in sorted(headings, key=rank):
        kinds[name.partition(".")[0]].append(name)
    in_turns = [name for names in zip_longest(*kinds.values()) for name in names if name]
    in_turns.sort(key=lambda name: not {name, name.partition(".")[2]} & set(asked))
    return [headings[name] for name in in_turns]

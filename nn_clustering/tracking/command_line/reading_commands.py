"""The commands that read runs: list, show, compare, lineage, export."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Collection, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nn_clustering.tracking.command_line.command import (
    RunCommand,
    add_json,
    complete_folders,
)
from nn_clustering.tracking.command_line.description import describe_run, last_lines
from nn_clustering.tracking.command_line.filters import (
    add_filters,
    add_run,
    number_runs,
    read_filters,
)
from nn_clustering.tracking.command_line.listing import list_lines
from nn_clustering.tracking.command_line.nothing_found import nothing_found
from nn_clustering.tracking.command_line.parser import whole_number
from nn_clustering.tracking.command_line.table_columns import sorted_runs
from nn_clustering.tracking.errors import InvalidInputError, RunNotFoundError
from nn_clustering.tracking.printing import (
    count_of_runs,
    cut,
    fitted_lines,
    format_value,
    printable,
    terminal_width,
    to_json,
)
from nn_clustering.tracking.run_ids import id_text, plain_id
from nn_clustering.tracking.store.run import Run
from nn_clustering.tracking.store.runs import Runs
from nn_clustering.tracking.store.tables import ABSENT, differences

if TYPE_CHECKING:
    from nn_clustering.tracking.store.liveness import UndeliveredRun
    from nn_clustering.tracking.store.run_store import RunStore


def _list_arguments(parser: argparse.ArgumentParser) -> None:
    add_filters(parser)
    parser.add_argument(
        "--limit", type=whole_number, default=20, metavar="N", help="at most N (20)"
    )
    parser.add_argument(
        "--sort", metavar="KEY", help="by a column, like ncut, config.seed, start_time or duration"
    )
    parser.add_argument("--reverse", action="store_true", help="the other way round")
    parser.add_argument(
        "--metric", action="append", default=[], metavar="NAME",
        help="with the last value of this metric; can be repeated",
    )  # fmt: skip
    parser.add_argument(
        "--columns", metavar="NAMES",
        help="these columns, by the names that the table shows, like started,seed,ncut",
    )  # fmt: skip
    add_json(parser)


def list_runs(store: RunStore, arguments: argparse.Namespace) -> int:
    """Print a table of runs, newest first or by a column."""
    filters = read_filters(arguments)
    if arguments.limit < 1:
        raise InvalidInputError(f"--limit {arguments.limit}: expected at least 1")
    for option, names in (("--columns", arguments.columns), ("--metric", arguments.metric)):
        if arguments.json and names:
            raise InvalidInputError(
                f"{option} chooses columns of the table, which --json leaves out: expected one of "
                "the two"
            )
    if arguments.sort is None:
        runs = store.find(**filters, limit=arguments.limit)
        if arguments.reverse:
            runs = Runs(runs[::-1], store.database)
    else:
        ordered = sorted_runs(store.find(**filters), arguments.sort, is_reversed=arguments.reverse)
        runs = Runs(ordered[: arguments.limit], store.database)
    if arguments.json:
        _print_json([_facts(run) for run in runs])
    if not runs:
        print(nothing_found(store, filters), file=sys.stderr)
        return 1
    undelivered = store.undelivered()
    if not arguments.json:
        lines = list_lines(
            store.database,
            runs,
            terminal_width(),
            columns=arguments.columns,
            metrics=arguments.metric,
            sorted_by=arguments.sort,
            undelivered=undelivered,
        )
        print("\n".join(lines))
        total = store.count(**filters)
        if total > len(runs):
            print(f"{len(runs)} of {total} runs, {total - len(runs)} more with --limit {total}")
    _tell_of_undelivered(undelivered, runs.ids)
    return 0


def _one_run_arguments(parser: argparse.ArgumentParser) -> None:
    add_run(parser)
    add_json(parser)


def show_run(store: RunStore, arguments: argparse.Namespace) -> int:
    """Print what there is to know of one run."""
    (run_id,) = number_runs(store, [arguments.run])
    run = store.run(run_id, status=None)
    lineage, undelivered = store.lineage(run_id), store.undelivered()
    if arguments.json:
        _print_json(
            {
                **_facts(run),
                "lineage": lineage.to_dict(),
                "metrics": run.last_values(),
                "artifacts": [asdict(file) for file in run.artifact_info()],
                **_of_some(run),
                "failure": run.failure(),
                "output": last_lines(run.output()),
            }
        )
    else:
        width = terminal_width()
        for line in describe_run(run, lineage, undelivered.get(run_id)):
            print(cut(line, width))
    _tell_of_undelivered(undelivered, [run_id])
    return 0


def _compare_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("runs", nargs="+", metavar="ID", help="two runs or more")
    add_json(parser)


def compare_runs(store: RunStore, arguments: argparse.Namespace) -> int:
    """Print what differs between runs."""
    run_ids = number_runs(store, arguments.runs)
    rows = differences([store.run(run_id, status=None) for run_id in run_ids])
    if arguments.json:
        by_run = {
            key: {
                id_text(run_id): None if value is ABSENT else value
                for run_id, value in zip(run_ids, values, strict=True)
            }
            for key, values in rows.items()
        }
        _print_json({"runs": list(map(plain_id, run_ids)), "differences": by_run})
        return 0
    if not rows:
        print(f"runs {', '.join(map(id_text, run_ids))} have the same config and the same result")
        return 0
    columns = {"key": list(map(printable, rows))}
    for index, run_id in enumerate(run_ids):
        columns[f"run {id_text(run_id)}"] = [_compared(values[index]) for values in rows.values()]
    runs = [name for name in columns if name != "key"]
    advice = "compare fewer, or see --json"
    print("\n".join(fitted_lines(columns, terminal_width(), 1, runs, advice)))
    return 0


def print_lineage(store: RunStore, arguments: argparse.Namespace) -> int:
    """Print what a run read, and what read it."""
    (run_id,) = number_runs(store, [arguments.run])
    lineage = store.lineage(run_id)
    if arguments.json:
        _print_json(lineage.to_dict())
        return 0
    width = terminal_width()
    for line in str(lineage).split("\n"):
        print(cut(printable(line), width))
    return 0


def _export_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("runs", nargs="*", metavar="ID", help="the runs; all by default")
    to = parser.add_argument(
        "--to", required=True, metavar="FOLDER", help="where to; made if need be"
    )
    complete_folders(to)
    parser.add_argument(
        "--overwrite", action="store_true", help="replace files that are there already"
    )
    parser.add_argument("--with-inputs", action="store_true", help="and all runs that they rest on")
    add_filters(parser)


def export_runs(store: RunStore, arguments: argparse.Namespace) -> int:
    """Write runs to files."""
    from nn_clustering.tracking.command_line.export import export_runs as export, with_inputs

    if not arguments.to.strip():
        raise InvalidInputError(
            f"--to {arguments.to!r}: expected a folder, made if need be ('.' for the current one)"
        )
    filters = read_filters(arguments)
    runs = store.find(**filters)
    if arguments.runs:
        wanted = number_runs(store, arguments.runs)
        chosen = {run.id: run for run in runs}
        for run_id in wanted:
            if run_id not in chosen:
                store.run(run_id, status=None)  # says so where there is none
                raise RunNotFoundError(
                    f"run {id_text(run_id)} does not match the filters; leave one out"
                )
        runs = Runs([chosen[run_id] for run_id in wanted], store.database)
    if not runs:
        print(nothing_found(store, filters), file=sys.stderr)
        return 1
    if arguments.with_inputs:
        runs = with_inputs(store, runs)
    folder = export(store, runs, Path(arguments.to), overwrite=arguments.overwrite)
    print(f"{count_of_runs(len(runs))} written to {folder}: runs.csv, metrics.csv, run_*/")
    return 0


def _tell_of_undelivered(
    undelivered: Mapping[Any, UndeliveredRun], run_ids: Collection[Any]
) -> None:
    """Say which of these runs have ended without being all in MongoDB, and what to do."""
    for run_id in sorted(run_id for run_id in undelivered if run_id in run_ids):
        print(printable(f"run {run_id}: {undelivered[run_id]}"), file=sys.stderr)


def _facts(run: Run) -> dict[str, Any]:
    return {
        "run": plain_id(run.id),
        "experiment": run.experiment,
        "status": run.status,
        "start_time": run.start_time,
        "stop_time": run.stop_time,
        "duration": run.duration,
        "host": run.host,
        "tags": run.tags,
        "notes": run.notes,
        "config": run.config,
        "result": run.result,
        "lineage": {key: plain_id(run_id) for key, run_id in run.lineage.items()},
        **({"about": run.about} if run.about else {}),
        "artifacts": run.artifacts,
    }


def _of_some(run: Run) -> dict[str, Any]:
    """What only some runs have: a store that they came from, artifacts that were dropped."""
    dropped = [asdict(file) for file in run.dropped().values()]
    found = {"origin": dict(run.origin), "dropped_artifacts": dropped}
    return {key: value for key, value in found.items() if value}


def _print_json(value: Any) -> None:
    print(json.dumps(to_json(value), indent=1, allow_nan=False))


def _compared(value: Any) -> str:
    if value is ABSENT:
        return "-"
    return "None" if value is None else format_value(value)


COMMANDS = (
    RunCommand(
        "list", list_runs, "list the runs, newest first", _list_arguments,
        "The columns are those keys of the config that differ, and the results, as many as fit the "
        "terminal; in a pipe 160 letters, or what the variable COLUMNS says.",
    ),
    RunCommand(
        "show", show_run, "show one run", _one_run_arguments,
        "Its times, result, metrics, config, artifacts, tags, notes, the runs that it read and "
        "that read it, and its last output.",
    ),
    RunCommand(
        "compare", compare_runs, "show how configs and results differ", _compare_arguments,
        "First what all the runs have; - is what a run lacks.",
    ),
    RunCommand(
        "lineage", print_lineage, "show what a run read, and what read it, as a tree",
        _one_run_arguments,
    ),
    RunCommand(
        "export", export_runs, "write runs to files that anything can read", _export_arguments,
        "runs.csv holds the table, metrics.csv all points of all metrics, run_ID/ the whole "
        "document and the artifacts of each run, and what `import` needs beside them.",
    ),
)  # fmt: skip

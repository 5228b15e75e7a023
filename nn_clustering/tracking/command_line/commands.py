"""The commands of `python -m nn_clustering.tracking` that are about runs.

Each takes the run store and the parsed arguments, and returns the exit status.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nn_clustering.tracking.command_line.description import describe_run, last_lines
from nn_clustering.tracking.command_line.filters import number_runs, read_filters, sorted_runs
from nn_clustering.tracking.command_line.listing import list_lines
from nn_clustering.tracking.errors import InvalidInputError, RunNotFoundError, did_you_mean
from nn_clustering.tracking.printing import (
    cut,
    fitted_lines,
    format_value,
    printable,
    terminal_width,
    to_json,
)
from nn_clustering.tracking.store.run import Run
from nn_clustering.tracking.store.runs import Runs
from nn_clustering.tracking.store.tables import ABSENT, differences

if TYPE_CHECKING:
    from nn_clustering.tracking.store.run_store import RunStore


def list_runs(store: RunStore, arguments: argparse.Namespace) -> int:
    """Print a table of runs, newest first or by a column."""
    filters = read_filters(arguments)
    if arguments.limit < 1:
        raise InvalidInputError(f"--limit {arguments.limit}: expected at least 1")
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
        print(_nothing_found(store, filters), file=sys.stderr)
        return 1
    if not arguments.json:
        lines = list_lines(
            store.database,
            runs,
            terminal_width(),
            columns=arguments.columns,
            metrics=arguments.metric,
            sorted_by=arguments.sort,
        )
        print("\n".join(lines))
        total = store.count(**filters)
        if total > len(runs):
            print(f"{len(runs)} of {total} runs, {total - len(runs)} more with --limit {total}")
    return 0


def show_run(store: RunStore, arguments: argparse.Namespace) -> int:
    """Print what there is to know of one run."""
    (run_id,) = number_runs(store, [arguments.run])
    run = store.run(run_id, status=None)
    lineage = store.lineage(run_id)
    if arguments.json:
        _print_json(
            {
                **_facts(run),
                "lineage": lineage.to_dict(),
                "metrics": run.last_values(),
                "artifacts": [asdict(file) for file in run.artifact_info()],
                "failure": run.failure(),
                "output": last_lines(run.output()),
            }
        )
        return 0
    width = terminal_width()
    for line in describe_run(run, lineage):
        print(cut(line, width))
    return 0


def compare_runs(store: RunStore, arguments: argparse.Namespace) -> int:
    """Print what differs between runs."""
    run_ids = number_runs(store, arguments.runs)
    rows = differences([store.run(run_id, status=None) for run_id in run_ids])
    if arguments.json:
        by_run = {
            key: {
                str(run_id): None if value is ABSENT else value
                for run_id, value in zip(run_ids, values, strict=True)
            }
            for key, values in rows.items()
        }
        _print_json({"runs": run_ids, "differences": by_run})
        return 0
    if not rows:
        print(f"runs {', '.join(map(str, run_ids))} have the same config and the same result")
        return 0
    columns = {"key": list(rows)}
    for index, run_id in enumerate(run_ids):
        columns[f"run {run_id}"] = [_compared(values[index]) for values in rows.values()]
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


def export_runs(store: RunStore, arguments: argparse.Namespace) -> int:
    """Write runs to files."""
    from nn_clustering.tracking.command_line.export import export_runs as export

    filters = read_filters(arguments)
    runs = store.find(**filters)
    if arguments.runs:
        wanted = number_runs(store, arguments.runs)
        chosen = {run.id: run for run in runs}
        for run_id in wanted:
            if run_id not in chosen:
                store.run(run_id, status=None)  # says so where there is none
                raise RunNotFoundError(f"run {run_id} does not match the filters; leave one out")
        runs = Runs([chosen[run_id] for run_id in wanted], store.database)
    if not runs:
        print(_nothing_found(store, filters), file=sys.stderr)
        return 1
    folder = export(store, runs, Path(arguments.to), overwrite=arguments.overwrite)
    print(f"{_count(len(runs))} written to {folder}: runs.csv, metrics.csv, run_*/")
    return 0


def delete_runs(store: RunStore, arguments: argparse.Namespace) -> int:
    """Delete runs, once the user has confirmed it."""
    run_ids = number_runs(store, arguments.runs)
    to_delete = store.plan_deletion(run_ids, with_dependents=arguments.with_dependents)
    for run_id in to_delete:
        print(f"{run_id} {_described(store, run_id)}")
    if not arguments.yes:
        if not sys.stdin.isatty():
            raise InvalidInputError(
                f"{_count(len(to_delete))} would be deleted for good, with metrics and artifacts; "
                "expected a confirmation: add --yes"
            )
        question = f"Delete {_count(len(to_delete))} for good, with metrics and artifacts? [y/N] "
        try:
            answer = input(question)
        except EOFError:
            answer = ""
        if answer.strip().lower() not in ("y", "yes"):
            print("nothing was deleted")
            return 1
    store.delete(run_ids, with_dependents=arguments.with_dependents)
    print(f"deleted {_count(len(to_delete))}")
    return 0


def tag_run(store: RunStore, arguments: argparse.Namespace) -> int:
    """Give tags to a run, or take them away."""
    (run_id,) = number_runs(store, [arguments.run])
    if arguments.remove:
        store.untag(run_id, *arguments.tags)
    else:
        store.tag(run_id, *arguments.tags)
    tags = store.run(run_id, status=None).tags
    print(
        printable(
            f"run {run_id} has the tags {', '.join(tags)}" if tags else f"run {run_id} has no tags"
        )
    )
    return 0


def note_run(store: RunStore, arguments: argparse.Namespace) -> int:
    """Append a line to a run's notes."""
    (run_id,) = number_runs(store, [arguments.run])
    store.note(run_id, " ".join(arguments.text))
    print(f"noted with run {run_id}")
    return 0


def add_file(store: RunStore, arguments: argparse.Namespace) -> int:
    """Store a file with a run."""
    (run_id,) = number_runs(store, [arguments.run])
    store.add_artifact(run_id, arguments.file, arguments.name)
    print(printable(f"{arguments.file} is stored with run {run_id}"))
    return 0


def sync_journals(store: RunStore, arguments: argparse.Namespace) -> int:
    """Deliver what runs on this machine could not."""
    from nn_clustering.tracking.writing.sync import sync_journals as deliver

    report = deliver(store.database.client, store.journal_root)
    if report.running:
        print(f"running, and delivering themselves: {', '.join(map(str, report.running))}")
    if not (report.delivered or report.running or report.left):
        print("nothing waits to be delivered")
    return 1 if report.left else 0


def _facts(run: Run) -> dict[str, Any]:
    return {
        "run": run.id,
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
        "lineage": run.lineage,
        "artifacts": run.artifacts,
    }


def _print_json(value: Any) -> None:
    print(json.dumps(to_json(value), indent=1, allow_nan=False))


def _compared(value: Any) -> str:
    if value is ABSENT:
        return "-"
    return "None" if value is None else format_value(value)


def _described(store: RunStore, run_id: int) -> str:
    document = store.database["runs"].find_one({"_id": run_id}, {"experiment.name": 1, "status": 1})
    if document is None:
        return "(the rest of what was deleted before)"
    return printable(f"{document.get('experiment', {}).get('name', '')} {document.get('status')}")


def _nothing_found(store: RunStore, filters: Mapping[str, Any]) -> str:
    experiments = store.experiments()
    if not experiments:
        return (
            f"there are no runs in database {store.database.name!r} yet; run an experiment first, "
            "like `python experiments/pipeline.py with demo`"
        )
    given = ", ".join(f"{name} {value!r}" for name, value in filters.items() if value)
    experiment = filters["experiment"]
    is_unknown = experiment is not None and experiment not in experiments
    hint = did_you_mean(experiment, experiments) if is_unknown else ""
    return printable(
        f"no run matches {given}{hint}; there are runs of {', '.join(experiments)}: leave a "
        "condition out"
    )


def _count(number: int) -> str:
    return "1 run" if number == 1 else f"{number} runs"

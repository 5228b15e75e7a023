"""The commands of `python -m nn_clustering.tracking` that are about runs.

Each takes the run store and the parsed arguments, and returns the exit status.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nn_clustering.errors import InvalidInputError, RunNotFoundError
from nn_clustering.tracking._description import describe_run, last_lines
from nn_clustering.tracking._filters import number_runs, read_filters, sorted_runs
from nn_clustering.tracking._printing import (
    cut,
    fit_columns,
    format_seconds,
    format_value,
    printable,
    table_lines,
    terminal_width,
    to_json,
)
from nn_clustering.tracking._run import Run
from nn_clustering.tracking._runs import Runs
from nn_clustering.tracking._tables import FIXED, table_columns

if TYPE_CHECKING:
    from nn_clustering.tracking.store import RunStore

NAMED = 4  # columns left out that are named


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
        _print_table(store, runs, arguments)
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
    table = store.compare(run_ids)
    rows = {key: list(values) for key, values in zip(table.index, table.to_numpy(), strict=True)}
    if arguments.json:
        differences = {
            key: dict(zip(map(str, run_ids), values, strict=True)) for key, values in rows.items()
        }
        _print_json({"runs": run_ids, "differences": differences})
        return 0
    if not rows:
        print(f"runs {', '.join(map(str, run_ids))} have the same config and the same result")
        return 0
    columns = {"key": list(rows)}
    for index, run_id in enumerate(run_ids):
        columns[f"run {run_id}"] = [format_value(values[index]) for values in rows.values()]
    _print_fitted(columns, 1, [name for name in columns if name != "key"])
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
    from nn_clustering.tracking._export import export_runs as export

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
    doomed = store.plan_deletion(run_ids, with_dependents=arguments.with_dependents)
    for run_id in doomed:
        print(f"{run_id} {_described(store, run_id)}")
    if not arguments.yes:
        if not sys.stdin.isatty():
            raise InvalidInputError(
                f"{_count(len(doomed))} would be deleted for good, with metrics and artifacts; "
                "expected a confirmation: add --yes"
            )
        question = f"Delete {_count(len(doomed))} for good, with metrics and artifacts? [y/N] "
        try:
            answer = input(question)
        except EOFError:
            answer = ""
        if answer.strip().lower() not in ("y", "yes"):
            print("nothing was deleted")
            return 1
    store.delete(run_ids, with_dependents=arguments.with_dependents)
    print(f"deleted {_count(len(doomed))}")
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
    from nn_clustering.tracking.sync import sync_journals as deliver

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


def _print_table(store: RunStore, runs: Runs, arguments: argparse.Namespace) -> None:
    values = table_columns(store.database, runs, None, arguments.metric)
    columns = {
        "run": [str(run.id) for run in runs],
        "experiment": [printable(run.experiment) for run in runs],
        "status": [run.status for run in runs],
        "started (UTC)": [format_value(time) for time in values["start_time"]],
        "duration": [format_seconds(seconds) for seconds in values["duration"]],
        "tags": [printable(", ".join(tags)) for tags in values["tags"]],
    }
    if not any(columns["tags"]):
        del columns["tags"]
    headings = _headings([name for name in values if name not in FIXED], list(columns))
    for name, heading in headings.items():
        columns[heading] = [format_value(value) for value in values[name]]
    asked = {arguments.sort, *(f"metric.{name}" for name in arguments.metric)}
    ranked = _ranked(columns, headings, asked)
    first, rest = ranked[:2], ranked[2:]
    _print_fitted(columns, 3, ["started (UTC)", *first, "duration", "tags", *rest])


def _headings(names: Sequence[str], taken: Sequence[str]) -> dict[str, str]:
    """Names of columns without `config.` and the like, where that is clear."""
    short = [name.partition(".")[2] for name in names]
    return {
        name: printable(end if end and end not in taken and short.count(end) == 1 else name)
        for name, end in zip(names, short, strict=True)
    }


def _ranked(
    columns: Mapping[str, Sequence[str]], headings: Mapping[str, str], asked: Collection[str]
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


def _print_fitted(
    columns: Mapping[str, Sequence[str]], always: int, preference: Sequence[str]
) -> None:
    width = terminal_width()
    wanted = [name for name in preference if name in columns]
    fitted = fit_columns(columns, width, always, wanted)
    for line in table_lines(fitted, width):
        print(line)
    left_out = [name for name in columns if name not in fitted]
    if left_out:
        named = ", ".join(left_out[:NAMED]) + (", ..." if len(left_out) > NAMED else "")
        count = "1 column" if len(left_out) == 1 else f"{len(left_out)} columns"
        print(cut(f"{count} did not fit, see --json: {named}", width))


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
    return printable(
        f"no run matches {given}; there are runs of {', '.join(experiments)}: leave a condition out"
    )


def _count(number: int) -> str:
    return "1 run" if number == 1 else f"{number} runs"

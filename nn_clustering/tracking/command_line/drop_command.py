"""The command that drops artifacts to free disk, while their runs stay."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from nn_clustering.tracking.command_line.command import RunCommand
from nn_clustering.tracking.command_line.filters import add_filters, number_runs, read_filters
from nn_clustering.tracking.command_line.nothing_found import nothing_found
from nn_clustering.tracking.errors import InvalidInputError
from nn_clustering.tracking.names import listed
from nn_clustering.tracking.printing import (
    count_of_runs,
    cut,
    format_size,
    printable,
    table_lines,
    terminal_width,
)
from nn_clustering.tracking.run_ids import RunId, id_text

if TYPE_CHECKING:
    from nn_clustering.tracking.store.dropping import Drop
    from nn_clustering.tracking.store.run_store import RunStore

_UNITS = {
    "": 1, "b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12,
    "k": 10**3, "m": 10**6, "g": 10**9, "kib": 2**10, "mib": 2**20, "gib": 2**30,
}  # fmt: skip


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("runs", nargs="*", metavar="ID", help="the runs; else those that match")
    parser.add_argument(
        "--artifacts", action="append", default=[], metavar="GLOB",
        help="by their names, like '*.npz'; can be repeated",
    )  # fmt: skip
    parser.add_argument("--larger", metavar="SIZE", help="above a size, like 10MB or 500kB")
    parser.add_argument("--dry-run", action="store_true", help="only say what would be dropped")
    parser.add_argument("--yes", action="store_true", help="do not ask")
    add_filters(parser)


def drop_artifacts(store: RunStore, arguments: argparse.Namespace) -> int:
    """Drop artifacts, once the user has seen what that frees and has confirmed it."""
    larger = None if arguments.larger is None else parse_size(arguments.larger)
    run_ids = _chosen(store, arguments)
    if not run_ids:
        print(nothing_found(store, read_filters(arguments)), file=sys.stderr)
        return 1
    plan = store.plan_drop(run_ids, arguments.artifacts, larger)
    if not plan:
        runs = (store.run(run_id, status=None) for run_id in run_ids)
        names = sorted({name for run in runs for name in run.artifacts})
        there_are = f"there are {printable(listed(names))}" if names else "there are none"
        print(
            f"no artifact of {count_of_runs(len(run_ids))} matches; nothing was dropped; "
            f"{there_are}",
            file=sys.stderr,
        )
        return 1
    print("\n".join(cut(line, terminal_width()) for line in _lines(plan)))
    counted = f"{len(plan)} artifact{'' if len(plan) == 1 else 's'}"
    of_runs = count_of_runs(len({drop.run for drop in plan}))
    freed = format_size(sum(drop.frees for drop in plan))
    print(f"{counted} of {of_runs}; to drop them frees {freed}")
    if arguments.dry_run:
        return 0
    if not arguments.yes and not _is_confirmed(counted):
        print("nothing was dropped")
        return 1
    print(f"dropped {store.drop_artifacts(plan)}")
    return 0


def parse_size(text: str) -> int:
    """The bytes that a text like `10MB` means.

    Raises:
        InvalidInputError: It is no size.
    """
    found = re.fullmatch(r"(\d{1,15}(?:\.\d{1,6})?)\s*([a-zA-Z]*)", text.strip())
    unit = _UNITS.get(found[2].lower()) if found else None
    if found is None or unit is None:
        raise InvalidInputError(
            f"--larger {text}: expected a size, like 10MB, 500kB, 1.5GB or a number of bytes"
        )
    return round(float(found[1]) * unit)


def _chosen(store: RunStore, arguments: argparse.Namespace) -> list[RunId]:
    """The runs that the command names, or those that match its conditions.

    Raises:
        InvalidInputError: It names none and has no condition, or both.
    """
    filters = read_filters(arguments)
    is_filtered = any(filters.values())
    if bool(arguments.runs) == is_filtered:
        raise InvalidInputError(
            "drop: expected either the ids of runs or conditions on them (--experiment, ...)"
        )
    if arguments.runs:
        return number_runs(store, arguments.runs)
    return [run.id for run in store.find(**filters) if run.status not in ("RUNNING", "QUEUED")]


def _lines(plan: Sequence[Drop]) -> list[str]:
    return table_lines(
        {
            "run": [id_text(drop.run) for drop in plan],
            "artifact": [printable(drop.name) for drop in plan],
            "size": [format_size(drop.size) for drop in plan],
            "frees": [format_size(drop.frees) for drop in plan],
            "kept by": [listed([id_text(run_id) for run_id in drop.kept_by]) for drop in plan],
        }
    )


def _is_confirmed(counted: str) -> bool:
    if not sys.stdin.isatty():
        raise InvalidInputError(
            f"{counted} would be dropped for good; expected a confirmation: add --yes"
        )
    try:
        answer = input(f"Drop {counted} for good? [y/N] ")
    except EOFError:
        answer = ""
    return answer.strip().lower() in ("y", "yes")


COMMANDS = (
    RunCommand(
        "drop", drop_artifacts, "drop artifacts to free disk; their runs stay", _arguments,
        "Says first what that frees: a file that other runs have too stays with them. What needs a "
        "dropped artifact later says when it was dropped; `rerun` makes a run that has it again.",
    ),
)  # fmt: skip

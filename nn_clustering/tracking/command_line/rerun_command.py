"""The command that runs a stored run's program again."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from nn_clustering.tracking.command_line.command import RunCommand, complete_folders
from nn_clustering.tracking.command_line.filters import add_run, number_runs

if TYPE_CHECKING:
    from nn_clustering.tracking.store.run_store import RunStore


def _arguments(parser: argparse.ArgumentParser) -> None:
    add_run(parser)
    to = parser.add_argument(
        "--to", metavar="FOLDER", help="where the program is written to, and stays; an empty folder"
    )
    complete_folders(to)
    start = parser.add_argument(
        "--start-in", metavar="FOLDER",
        help="where the program is started, for the files that it finds by relative paths; by "
        "default the folder that it is written to",
    )  # fmt: skip
    complete_folders(start)


def rerun(store: RunStore, arguments: argparse.Namespace) -> int:
    """Run a stored program again; returns 0 where the results are equal."""
    from nn_clustering.tracking.command_line.rerun import run_again

    (run_id,) = number_runs(store, [arguments.run])
    return run_again(store, store.run(run_id, status=None), arguments.to, arguments.start_in)


COMMANDS = (
    RunCommand(
        "rerun", rerun, "run a stored run's program again, and compare the results", _arguments,
        "This executes code out of the database: the sources that are stored with the run, in a "
        "clean folder, with the run's config and seed, and with the packages that are installed "
        "here. What it makes is a new run. The exit status is 0 where result and metrics are equal "
        "in every digit, else 1.",
    ),
)  # fmt: skip

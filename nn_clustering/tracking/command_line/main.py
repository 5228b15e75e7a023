"""The program: `python -m nn_clustering.tracking COMMAND`, its parser and the server's commands."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nn_clustering.tracking.errors import NnClusteringError

if TYPE_CHECKING:
    from nn_clustering.tracking.server.connection import Server

# As shells report programs that SIGINT and SIGPIPE ended.
INTERRUPTED, PIPE_CLOSED = 130, 141


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    for stream in (sys.stdout, sys.stderr):
        # A letter that a terminal cannot show is no reason to end.
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    try:
        parsed = build_parser().parse_args(arguments)
        exit_status = _run(parsed)
        sys.stdout.flush()
        return exit_status
    except NnClusteringError as problem:
        print(problem, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # Python would complain once more when it closes the standard output.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return PIPE_CLOSED


def build_parser() -> argparse.ArgumentParser:
    """The parser of all commands; each sets `function`, and `is_about_runs`."""
    parser = argparse.ArgumentParser(
        prog="python -m nn_clustering.tracking",
        description="The runs in MongoDB, the server that holds them, and Omniboard, its web page.",
        epilog="`COMMAND --help` says more about each.",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_readers(commands)
    _add_writers(commands)
    for name, function, explanation in (
        ("up", up, "start MongoDB (unless MONGO_URL names one) and Omniboard, say where they are"),
        ("down", down, "stop Omniboard and the embedded MongoDB; the data stay"),
        ("status", status, "show what runs, and start nothing"),
    ):
        _add(commands, name, function, explanation, is_about_runs=False)
    return parser


def up(arguments: argparse.Namespace) -> int:
    """Start MongoDB (unless MONGO_URL names one) and Omniboard, and say where they are."""
    from nn_clustering.tracking.omniboard.columns import first_visit, preset_columns
    from nn_clustering.tracking.omniboard.page import start_omniboard
    from nn_clustering.tracking.server.connection import connect, project_root, resolve_server

    server = resolve_server()
    database = connect(server)
    layout = None
    try:
        if columns_file().exists():
            preset_columns(database, columns_file())
            layout = first_visit(columns_file())
    finally:
        database.client.close()
    address = start_omniboard(server, layout=layout, say=_say)
    _show("MongoDB", _describe(server))
    _show("Omniboard", address or "not running")
    if server.embedded:
        _show("Data", str(project_root() / ".mongo"))
    return 0


def down(arguments: argparse.Namespace) -> int:
    """Stop Omniboard and the embedded MongoDB; does no harm where they do not run."""
    from nn_clustering.tracking.omniboard.page import stop_omniboard
    from nn_clustering.tracking.server.connection import stop_embedded

    _show("Omniboard", "stopped" if stop_omniboard() else "was not running")
    _show("MongoDB", "stopped, the data stay" if stop_embedded() else "was not running")
    return 0


def status(arguments: argparse.Namespace) -> int:
    """Show what runs, and start nothing."""
    from nn_clustering.tracking.omniboard.page import omniboard_address
    from nn_clustering.tracking.server.connection import connect, find_server

    server = find_server()
    if server is None:
        _show("MongoDB", "not running; the first command that needs it starts it")
    else:
        database = connect(server)
        try:
            runs = database["runs"].estimated_document_count()
        finally:
            database.client.close()
        _show("MongoDB", f"{_describe(server)}, {runs} runs")
    _show("Omniboard", omniboard_address() or "not running")
    return 0


def columns_file() -> Path:
    """The file of Omniboard's preset columns."""
    return Path(__file__).resolve().parents[3] / "configs" / "omniboard.yaml"


def _run(arguments: argparse.Namespace) -> int:
    if not arguments.is_about_runs:
        return int(arguments.function(arguments))
    import pymongo.errors

    from nn_clustering.tracking.command_line import commands
    from nn_clustering.tracking.store.run_store import RunStore

    try:
        with RunStore.open() as store:
            return int(getattr(commands, arguments.function)(store, arguments))
    except pymongo.errors.PyMongoError as problem:
        reason = type(problem).__name__
        code = getattr(problem, "code", None)
    raise NnClusteringError(
        f"MongoDB could not do this ({reason}{f', code {code}' if code else ''}); expected a "
        "server that answers and lets us in: see `python -m nn_clustering.tracking status`, then "
        "try again"
    )


def _add(
    commands: Any,
    name: str,
    function: Callable[[argparse.Namespace], int] | str,
    explanation: str,
    *,
    is_about_runs: bool = True,
    details: str = "",
) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(
        name, help=explanation, description=f"{explanation[0].upper()}{explanation[1:]}. {details}"
    )
    parser.set_defaults(function=function, is_about_runs=is_about_runs)
    return parser


def _add_readers(commands: Any) -> None:
    from nn_clustering.tracking.command_line.filters import add_filters

    listing = _add(
        commands, "list", "list_runs", "list the runs, newest first",
        details="The columns are those keys of the config that differ, and the results, as many as "
        "fit the terminal; in a pipe 160 letters, or what the variable COLUMNS says.",
    )  # fmt: skip
    add_filters(listing)
    listing.add_argument("--limit", type=int, default=20, metavar="N", help="at most N (20)")
    listing.add_argument(
        "--sort", metavar="KEY", help="by a column, like ncut, config.seed, start_time or duration"
    )
    listing.add_argument("--reverse", action="store_true", help="the other way round")
    listing.add_argument(
        "--metric", action="append", default=[], metavar="NAME",
        help="with the last value of this metric; can be repeated",
    )  # fmt: skip
    listing.add_argument(
        "--columns", metavar="NAMES",
        help="these columns, by the names that the table shows, like started,seed,ncut",
    )  # fmt: skip
    _add_json(listing)

    show = _add(
        commands, "show", "show_run", "show one run",
        details="Its times, result, metrics, config, artifacts, tags, notes, the runs that it read "
        "and that read it, and its last output.",
    )  # fmt: skip
    _add_run(show)
    _add_json(show)

    compare = _add(
        commands, "compare", "compare_runs", "show how configs and results differ",
        details="First what all the runs have; - is what a run lacks.",
    )  # fmt: skip
    compare.add_argument("runs", nargs="+", metavar="ID", help="two runs or more")
    _add_json(compare)

    lineage = _add(
        commands, "lineage", "print_lineage", "show what a run read, and what read it, as a tree"
    )
    _add_run(lineage)
    _add_json(lineage)

    export = _add(
        commands, "export", "export_runs", "write runs to files that anything can read",
        details="runs.csv holds the table, metrics.csv all points of all metrics, run_ID/ the "
        "whole document and the artifacts of each run.",
    )  # fmt: skip
    export.add_argument("runs", nargs="*", metavar="ID", help="the runs; all by default")
    export.add_argument("--to", required=True, metavar="FOLDER", help="where to; made if need be")
    export.add_argument(
        "--overwrite", action="store_true", help="replace files that are there already"
    )
    add_filters(export)


def _add_writers(commands: Any) -> None:
    tag = _add(commands, "tag", "tag_run", "give tags to a run, or take them away")
    _add_run(tag)
    tag.add_argument("tags", nargs="+", metavar="TAG", help="the tags")
    tag.add_argument("--remove", action="store_true", help="take the tags away")

    note = _add(commands, "note", "note_run", "append a line to the notes of a run")
    _add_run(note)
    note.add_argument("text", nargs="+", metavar="TEXT", help="the line")

    add = _add(commands, "add", "add_file", "store a file with a run")
    _add_run(add)
    add.add_argument("file", metavar="FILE", help="the file")
    add.add_argument("--name", metavar="NAME", help="name of the artifact; the file's by default")

    delete = _add(
        commands, "delete", "delete_runs", "delete runs with their metrics and artifacts",
        details="Artifacts that other runs have too are kept, sources and resources always. A run "
        "that others rest on is not deleted without those.",
    )  # fmt: skip
    delete.add_argument("runs", nargs="+", metavar="ID", help="the runs")
    delete.add_argument(
        "--with-dependents", action="store_true", help="and all runs that rest on them"
    )
    delete.add_argument("--yes", action="store_true", help="do not ask")

    _add(
        commands, "sync", "sync_journals", "deliver what runs on this machine could not",
        details="For runs whose server was away at their end, or that were killed.",
    )  # fmt: skip


def _add_run(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", metavar="ID", help="number of the run, or 'latest'")


def _add_json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print JSON, for programs")


def _describe(server: Server) -> str:
    kind = "embedded" if server.embedded else "from MONGO_URL"
    return f"{server.address}, database {server.database} ({kind})"


def _show(what: str, value: str) -> None:
    print(f"{what + ':':<11}{value}", flush=True)


def _say(message: str) -> None:
    print(message, file=sys.stderr, flush=True)


def run() -> None:
    """Run as a program: main, then out."""
    exit_status = main()
    with contextlib.suppress(BrokenPipeError):
        sys.stdout.flush()
        sys.stderr.flush()
    # All is closed and written; Python would wait half a second for threads of MongoDB's driver.
    os._exit(exit_status)

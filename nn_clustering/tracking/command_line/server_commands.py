"""The commands about the server and Omniboard: up, down, status."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from nn_clustering.tracking.command_line.command import Command, complete_files
from nn_clustering.tracking.errors import InvalidInputError

if TYPE_CHECKING:
    from nn_clustering.tracking.server.connection import Server


def _up_arguments(parser: argparse.ArgumentParser) -> None:
    columns = parser.add_argument(
        "--columns", metavar="FILE",
        help="YAML file of the columns that Omniboard's table gets; by default "
        "configs/omniboard_columns.yaml in the project's folder, where there is one",
    )  # fmt: skip
    complete_files(columns)


def up(arguments: argparse.Namespace) -> int:
    """Start MongoDB (unless MONGO_URL names one) and Omniboard, and say where they are."""
    from nn_clustering.tracking.omniboard.column_presets import (
        columns_file,
        first_visit,
        preset_columns,
    )
    from nn_clustering.tracking.omniboard.page import start_omniboard
    from nn_clustering.tracking.server.connection import connect, project_root, resolve_server

    root = project_root()
    if arguments.columns is not None and not arguments.columns.strip():
        raise InvalidInputError(f"--columns {arguments.columns!r}: expected a YAML file")
    columns = columns_file(root) if arguments.columns is None else Path(arguments.columns)
    layout = None if columns is None else first_visit(columns)
    server = resolve_server()
    database = connect(server)
    try:
        preset_columns(database, columns)
    finally:
        database.client.close()
    address = start_omniboard(server, layout=layout, say=_say)
    _show("MongoDB", _describe(server))
    _show("Omniboard", address or "not running")
    if server.embedded:
        _show("Data", str(root / ".mongo"))
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
        _show("MongoDB", f"{_describe(server)}, {runs} run{'' if runs == 1 else 's'}")
    _show("Omniboard", omniboard_address() or "not running")
    return 0


def _describe(server: Server) -> str:
    kind = "embedded" if server.embedded else "from MONGO_URL"
    return f"{server.address}, database {server.database} ({kind})"


def _show(what: str, value: str) -> None:
    print(f"{what + ':':<11}{value}", flush=True)


def _say(message: str) -> None:
    print(message, file=sys.stderr, flush=True)


COMMANDS = (
    Command(
        "up", up, "start MongoDB (unless MONGO_URL names one) and Omniboard, say where they are",
        _up_arguments,
    ),
    Command("down", down, "stop Omniboard and the embedded MongoDB; the data stay"),
    Command("status", status, "show what runs, and start nothing"),
)  # fmt: skip

"""Run as `python -m nn_clustering.tracking up | down | status`: the server and its web page."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from nn_clustering.errors import NnClusteringError
from nn_clustering.tracking.columns import first_visit, preset_columns
from nn_clustering.tracking.omniboard import omniboard_address, start_omniboard, stop_omniboard
from nn_clustering.tracking.server import (
    Server,
    connect,
    find_server,
    project_root,
    resolve_server,
    stop_embedded,
)


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m nn_clustering.tracking",
        description="The MongoDB server that holds the runs, and Omniboard, its web page.",
    )
    commands = {"up": up, "down": down, "status": status}
    parser.add_argument("command", choices=commands, help="start, stop, or show what runs")
    try:
        return commands[parser.parse_args(arguments).command]()
    except NnClusteringError as problem:
        print(problem, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def up() -> int:
    """Start MongoDB (unless MONGO_URL names one) and Omniboard, and say where they are."""
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


def down() -> int:
    """Stop Omniboard and the embedded MongoDB; does no harm where they do not run."""
    _show("Omniboard", "stopped" if stop_omniboard() else "was not running")
    _show("MongoDB", "stopped, the data stay" if stop_embedded() else "was not running")
    return 0


def status() -> int:
    """Show what runs, and start nothing."""
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
    return Path(__file__).resolve().parents[2] / "configs" / "omniboard.yaml"


def _describe(server: Server) -> str:
    kind = "embedded" if server.embedded else "from MONGO_URL"
    return f"{server.address}, database {server.database} ({kind})"


def _show(what: str, value: str) -> None:
    print(f"{what + ':':<11}{value}", flush=True)


def _say(message: str) -> None:
    print(message, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())

"""The command that takes runs of a folder, or of another server, into this store."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nn_clustering.tracking.command_line.command import RunCommand, complete_folders
from nn_clustering.tracking.command_line.filters import add_filters, read_filters
from nn_clustering.tracking.errors import (
    InvalidInputError,
    NnClusteringError,
    ServerUnavailableError,
)
from nn_clustering.tracking.passwords import mask_logins
from nn_clustering.tracking.printing import count_of_runs, printable
from nn_clustering.tracking.run_ids import read_id

if TYPE_CHECKING:
    from pymongo.database import Database

    from nn_clustering.tracking.store.importing import ImportReport
    from nn_clustering.tracking.store.originals import OriginalRun
    from nn_clustering.tracking.store.run_store import RunStore

URL, URL_FILE = "IMPORT_MONGO_URL", "IMPORT_MONGO_URL_FILE"
# What the URL of a MongoDB server begins with.
_SCHEMES = ("mongodb://", "mongodb+srv://")


def _arguments(parser: argparse.ArgumentParser) -> None:
    source = parser.add_argument(
        "source", nargs="?", metavar="SOURCE",
        help="a folder that `export` or Sacred's FileStorageObserver wrote, one run of it, or the "
        "URL of a server, mongodb://...; by default the server of IMPORT_MONGO_URL(_FILE)",
    )  # fmt: skip
    complete_folders(source)
    parser.add_argument(
        "--database", metavar="NAME",
        help="the database on that server; by default that of the URL, else nn_clustering",
    )  # fmt: skip
    parser.add_argument(
        "--without-inputs", action="store_true",
        help="import runs, too, that read one which is neither there nor here",
    )  # fmt: skip
    add_filters(parser)


def import_runs(store: RunStore, arguments: argparse.Namespace) -> int:
    """Take runs of another store into this one."""
    from nn_clustering.tracking.store.importing import import_runs as take
    from nn_clustering.tracking.store.query import build_query

    filters = read_filters(arguments)
    build_query(**filters)  # before a server is asked
    url = _given_url(arguments.source, os.environ)
    if url is None:
        originals = _in_folder(Path(arguments.source), filters, arguments.database)
        report = take(
            store.database, originals, without_inputs=arguments.without_inputs, on_run=_say
        )
        return _summed_up(report)
    other = _other_database(url, arguments.database)
    try:
        originals = _on_server(other, filters)
        report = take(
            store.database, originals, without_inputs=arguments.without_inputs, on_run=_say
        )
        return _summed_up(report)
    finally:
        other.client.close()


def _given_url(source: str | None, environ: Mapping[str, str]) -> dict[str, str] | None:
    """The variables that name the server to import from; None where a folder is named.

    Raises:
        InvalidInputError: Nothing is named, or the command holds a password.
    """
    if source is None or not source.strip():
        url, file = environ.get(URL, "").strip(), environ.get(URL_FILE, "").strip()
        if source is not None or (not url and not file):
            raise InvalidInputError(
                "import: expected a folder, or the URL of a server (as an argument without a "
                f"password, or in {URL}, or in a file that {URL_FILE} names)"
            )
        return {"MONGO_URL": url, "MONGO_URL_FILE": file}
    if "://" not in source or Path(source).exists():
        return None
    login, _, rest = source.partition("://")[2].rpartition("@")
    if ":" in login or mask_logins(f"://{rest}") != f"://{rest}":
        raise InvalidInputError(
            "the URL holds a password, which every user of this machine could read in the list of "
            f"processes; put it into a file of your own and name that in {URL_FILE}, without an "
            "argument"
        )
    if not source.startswith(_SCHEMES):
        raise InvalidInputError(
            f"{source} is no URL of a MongoDB server, which begins with mongodb://; expected one, "
            "or a folder"
        )
    return {"MONGO_URL": source, "MONGO_URL_FILE": ""}


def _other_database(url: Mapping[str, str], name: str | None) -> Database:
    from nn_clustering.tracking.server.connection import Server, connect, resolve_server

    environ = {**url, **({"MONGO_DB": name} if name else {})}
    try:
        server = resolve_server(environ)
        if not name:
            _, _, rest = server.url.partition("://")
            path = rest.partition("?")[0].rpartition("@")[2].partition("/")[2]
            server = Server(server.url, path or server.database, embedded=False)
        return connect(server)
    except NnClusteringError as problem:
        reason = str(problem).partition("; ")[0].replace("MONGO_URL", URL)
    raise ServerUnavailableError(
        f"{reason}; expected a server to import from: check its URL, and --database"
    )


def _on_server(database: Database, filters: Mapping[str, Any]) -> list[OriginalRun]:
    """The runs of a server that match, with those that they rest on.

    Raises:
        InvalidInputError: None matches.
    """
    from nn_clustering.tracking.store.lineage import closure, read_links
    from nn_clustering.tracking.store.originals import originals_in
    from nn_clustering.tracking.store.query import build_query

    found = database["runs"].find(build_query(**filters), {"_id": 1}).sort("start_time", 1)
    run_ids = [read_id(document["_id"]) for document in found]
    if not run_ids:
        raise InvalidInputError(
            f"no run of database {database.name!r} there matches; leave a condition out, or name "
            "another database (--database)"
        )
    inputs = closure(read_links(database), run_ids)
    return originals_in(database, [*run_ids, *inputs])


def _in_folder(folder: Path, filters: Mapping[str, Any], database: str | None) -> list[OriginalRun]:
    """The runs of a folder.

    Raises:
        InvalidInputError: There are none, or they cannot be filtered.
    """
    from nn_clustering.tracking.store.export_folders import exported_runs
    from nn_clustering.tracking.store.file_storage import file_storage_runs

    if database or any(filters.values()):
        raise InvalidInputError(
            "conditions and --database are for a server; of a folder all runs are imported, or "
            "those of the folder of one run"
        )
    try:
        found = exported_runs(folder) or file_storage_runs(folder)
    except OSError as problem:
        raise InvalidInputError(f"{folder} cannot be read ({problem.strerror})") from None
    if not found:
        raise InvalidInputError(
            f"{folder} holds no runs; expected a folder that `export` or Sacred's "
            "FileStorageObserver wrote"
        )
    return found


def _summed_up(report: ImportReport) -> int:
    parts = [f"{count_of_runs(len(report.imported))} imported"]
    for name, found in (
        ("here already", report.here), ("not ended", report.waiting), ("refused", report.refused),
    ):  # fmt: skip
        if found:
            parts.append(f"{len(found)} {name}")
    print(", ".join(parts))
    return 1 if report.refused else 0


def _say(line: str, is_refused: bool) -> None:
    print(printable(line), file=sys.stderr if is_refused else sys.stdout, flush=True)


COMMANDS = (
    RunCommand(
        "import", import_runs, "take runs of a folder or of another server into this store",
        _arguments,
        "They get new numbers, and what they read is named by its new number. A run that is here "
        "already is not imported again. What is damaged is named, and its run is left out; the "
        "exit status is then 1. From a server the runs that the chosen ones rest on come along.",
    ),
)  # fmt: skip

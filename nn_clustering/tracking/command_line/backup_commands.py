"""The commands that back the whole store up, and restore it."""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import sys
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from nn_clustering.tracking.atomic_files import DRAFT, sync
from nn_clustering.tracking.command_line.command import RunCommand, complete_files
from nn_clustering.tracking.errors import InvalidInputError
from nn_clustering.tracking.printing import count_of_runs, printable

if TYPE_CHECKING:
    from nn_clustering.tracking.store.backup_files import Manifest
    from nn_clustering.tracking.store.run_store import RunStore

STANDARD_OUTPUT = "-"
FOLDER = "backups"


def _backup_arguments(parser: argparse.ArgumentParser) -> None:
    to = parser.add_argument(
        "--to", metavar="PATH",
        help="a new file, or a folder, in which it is called NAME-DATE.tar.gz after the database; "
        f"by default {FOLDER}/ in the project's folder; - for the standard output",
    )  # fmt: skip
    complete_files(to)


def back_up_store(store: RunStore, arguments: argparse.Namespace) -> int:
    """Write all that the database holds into one file."""
    from nn_clustering.tracking.store.backup import back_up

    going_on = store.database["runs"].count_documents({"status": "RUNNING"})
    if arguments.to == STANDARD_OUTPUT:
        if sys.stdout.isatty():
            raise InvalidInputError("--to -: a backup is not for a terminal; expected a pipe")
        manifest = back_up(store.database, sys.stdout.buffer)
        target = "the standard output"
    else:
        path = _target(arguments.to, store)
        manifest = _write_file(store, path)
        target = str(path)
    print(printable(f"backed up {_summary(manifest)} to {target}"), file=sys.stderr)
    if going_on:
        print(
            f"{count_of_runs(going_on)} had not ended: the backup has what was stored of them",
            file=sys.stderr,
        )
    return 0


def _target(given: str | None, store: RunStore) -> Path:
    """The file to write, which is not there yet; its folder is.

    Raises:
        InvalidInputError: It is there, or no folder can be made.
    """
    if given is not None and not given.strip():
        raise InvalidInputError(f"--to {given!r}: expected a file, a folder, or -")
    path = store.journal_root.parents[1] / FOLDER if given is None else Path(given)
    is_folder = given is None or given.endswith(os.sep) or path.is_dir()
    if is_folder:
        path /= f"{store.database.name}-{datetime.now():%Y-%m-%d-%H%M%S}.tar.gz"
    try:
        if is_folder:
            path.parent.mkdir(parents=True, exist_ok=True)
        is_there = path.exists()
    except OSError as problem:
        raise _not_writable(path, problem) from None
    if is_there:
        raise InvalidInputError(f"{path} is there already; expected a new file: name another")
    return path


def _write_file(store: RunStore, path: Path) -> Manifest:
    """Write the file in one step, for its owner alone, and read it once more."""
    from nn_clustering.tracking.store.backup import back_up
    from nn_clustering.tracking.store.backup_files import read_backup

    draft = path.with_name(f"{DRAFT}{os.urandom(8).hex()}")
    try:
        with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as handle:
            manifest = back_up(store.database, handle)
            handle.flush()
            os.fsync(handle.fileno())
        read_backup(draft)
        draft.replace(path)
        sync(path.parent)
        return manifest
    except OSError as problem:
        raise _not_writable(path, problem) from None
    finally:
        with contextlib.suppress(OSError):
            draft.unlink()


def _not_writable(path: Path, problem: OSError) -> InvalidInputError:
    return InvalidInputError(
        f"{path} cannot be written ({problem.strerror}); expected a place with room that can be "
        "written to: name another (--to)"
    )


def _restore_arguments(parser: argparse.ArgumentParser) -> None:
    complete_files(parser.add_argument("file", metavar="FILE", help="what `backup` wrote"))
    parser.add_argument(
        "--into", metavar="NAME", help="another database of the server, made if need be"
    )


def restore_store(store: RunStore, arguments: argparse.Namespace) -> int:
    """Put all that a backup holds into a database without runs."""
    from nn_clustering.tracking.store.backup_files import read_backup
    from nn_clustering.tracking.store.restoring import check_holds_no_runs, restore_backup

    if not Path(arguments.file).is_file():
        raise InvalidInputError(
            f"restore {arguments.file!r}: no such file; expected one that `backup` wrote"
        )
    name = store.database.name if arguments.into is None else arguments.into
    if re.fullmatch(r"[A-Za-z0-9_-]{1,63}", name) is None:
        raise InvalidInputError(
            f"--into {name!r} is no name for a database: expected up to 63 letters, digits, '_' or "
            "'-'"
        )
    database = store.database.client[name]
    check_holds_no_runs(database)  # before a large file is read
    backup = read_backup(Path(arguments.file))
    restore_backup(database, backup)
    print(printable(f"restored {_summary(backup.manifest)} into database {name}"))
    if arguments.into is not None and name != store.database.name:
        print(f"MONGO_DB={name} names it from now on")
    return 0


def _summary(manifest: Manifest) -> str:
    size = sum(entry.bytes for entry in manifest.collections) / 1e6
    files = manifest.count("fs.files")
    return (
        f"{count_of_runs(manifest.count('runs'))} and {files} file{'' if files == 1 else 's'} "
        f"({size:.1f} MB) of database {manifest.database}"
    )


COMMANDS = (
    RunCommand(
        "backup", back_up_store, "write the whole store into one file", _backup_arguments,
        "Every document, file and index of the database, as MongoDB has them, compressed and with "
        "checksums. Runs may go on meanwhile; nothing should be deleted.",
    ),
    RunCommand(
        "restore", restore_store, "put a backup into a database without runs", _restore_arguments,
        "All is checked before anything is written, and the store is there as a whole, or not at "
        "all.",
    ),
)  # fmt: skip

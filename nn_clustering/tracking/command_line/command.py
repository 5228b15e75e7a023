"""What a command is: its name, its arguments, what it does, and what its help says."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nn_clustering.tracking.store.run_store import RunStore

# By the names of shtab, which is imported only to make the scripts.
FILES = {"bash": "_shtab_compgen_files", "zsh": "_files", "tcsh": "f"}
FOLDERS = {"bash": "_shtab_compgen_dirs", "zsh": "_files -/", "tcsh": "d"}


def no_arguments(parser: argparse.ArgumentParser) -> None:
    """Of a command that takes none."""


@dataclass(frozen=True)
class Command:
    """A command that is about servers or the program itself.

    Attributes:
        name: What the user types.
        function: Does it; takes the parsed arguments and returns the exit status.
        explanation: What it does, in a line that begins with a small letter.
        add_arguments: Gives its parser the arguments.
        details: What its own help says besides.
    """

    name: str
    function: Callable[[argparse.Namespace], int]
    explanation: str
    add_arguments: Callable[[argparse.ArgumentParser], None] = no_arguments
    details: str = ""

    def run(self, arguments: argparse.Namespace) -> int:
        """Do it; returns the exit status."""
        return self.function(arguments)


@dataclass(frozen=True)
class RunCommand:
    """A command that is about runs: its function takes the run store first, else as `Command`."""

    name: str
    function: Callable[[RunStore, argparse.Namespace], int]
    explanation: str
    add_arguments: Callable[[argparse.ArgumentParser], None] = no_arguments
    details: str = ""

    def run(self, arguments: argparse.Namespace) -> int:
        """Do it with the store that the environment names; returns the exit status.

        Raises:
            NnClusteringError: It cannot be done, or MongoDB fails.
        """
        import pymongo.errors

        from nn_clustering.tracking.errors import NnClusteringError
        from nn_clustering.tracking.server.reasons import operation_reason
        from nn_clustering.tracking.store.run_store import RunStore

        with RunStore.open() as store:
            try:
                return self.function(store, arguments)
            except pymongo.errors.PyMongoError as problem:
                reason = operation_reason(problem, store.database)
        raise NnClusteringError(
            f"MongoDB could not do this: {reason}; expected a server that answers and lets us in: "
            "see `python -m nn_clustering.tracking status`, then try again"
        )


def complete_files(argument: argparse.Action) -> None:
    """Have shells complete an argument with files."""
    argument.complete = FILES  # type: ignore[attr-defined]  # shtab reads it


def complete_folders(argument: argparse.Action) -> None:
    """Have shells complete an argument with folders."""
    argument.complete = FOLDERS  # type: ignore[attr-defined]


def add_json(parser: argparse.ArgumentParser) -> None:
    """Give a command the option to print JSON."""
    parser.add_argument("--json", action="store_true", help="print JSON, for programs")

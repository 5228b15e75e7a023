"""The command that prints what makes a shell complete the others."""

from __future__ import annotations

import argparse
from collections.abc import Callable

from nn_clustering.tracking.command_line.command import Command

PROGRAM = "nn-clustering"
SHELLS = ("bash", "zsh")


def completion_command(make_parser: Callable[[str], argparse.ArgumentParser]) -> Command:
    """The command `completion` of a program.

    Args:
        make_parser: Makes the program's parser, for a program of that name.
    """

    def print_completion(arguments: argparse.Namespace) -> int:
        import shtab

        print(shtab.complete(make_parser(PROGRAM), arguments.shell))
        return 0

    return Command(
        "completion", print_completion, "print the script that makes a shell complete commands",
        _arguments,
        f'Type `eval "$({PROGRAM} completion bash)"`, or put that line into ~/.bashrc. For zsh, '
        f"write the script to a file _{PROGRAM} in a folder of $fpath.",
    )  # fmt: skip


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("shell", choices=SHELLS, help="the shell")

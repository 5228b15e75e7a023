"""The program: `python -m nn_clustering.tracking COMMAND`, or `nn-clustering COMMAND`."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path

from nn_clustering.tracking.command_line.commands import COMMANDS
from nn_clustering.tracking.command_line.completion import completion_command
from nn_clustering.tracking.command_line.parser import CommandParser, parse
from nn_clustering.tracking.errors import NnClusteringError
from nn_clustering.tracking.printing import printable

# As shells report programs that SIGINT and SIGPIPE ended.
INTERRUPTED, PIPE_CLOSED = 130, 141


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    for stream in (sys.stdout, sys.stderr):
        # A letter that a terminal cannot show is no reason to end.
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    try:
        parsed = parse(build_parser(program_name()), arguments)
        exit_status: int = parsed.command.run(parsed)
        sys.stdout.flush()
        return exit_status
    except NnClusteringError as problem:
        # It may repeat what others stored.
        print(printable(str(problem)), file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # Python would complain once more when it closes the standard output.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return PIPE_CLOSED


def build_parser(program: str) -> CommandParser:
    """The parser of all commands; each sets `command`, the `Command` to run, and `parser`, its own.

    Args:
        program: Name of the program, as the user types it.
    """
    parser = CommandParser(
        prog=program,
        description="The runs in MongoDB, the server that holds them, and Omniboard, its web page.",
        epilog="`COMMAND --help` says more about each.",
    )
    parsers = parser.add_subparsers(required=True, metavar="COMMAND")
    for command in (*COMMANDS, completion_command(build_parser)):
        explanation = command.explanation
        own = parsers.add_parser(
            command.name,
            help=explanation,
            description=f"{explanation[0].upper()}{explanation[1:]}. {command.details}",
        )
        command.add_arguments(own)
        own.set_defaults(command=command, parser=own)
    return parser


def program_name(started_as: str | None = None) -> str:
    """What the user typed to start this program.

    Args:
        started_as: The path of the program; default that of this one.
    """
    path = Path(sys.argv[0] if started_as is None else started_as)
    return "python -m nn_clustering.tracking" if path.name == "__main__.py" else path.name


def run() -> None:
    """Run as a program: main, then out."""
    exit_status = main()
    with contextlib.suppress(BrokenPipeError):
        sys.stdout.flush()
        sys.stderr.flush()
    # All is closed and written; Python would wait half a second for threads of MongoDB's driver.
    os._exit(exit_status)

"""The parser of the commands: what a user mistypes is answered in one line."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from typing import Any, NoReturn

from nn_clustering.tracking.errors import did_you_mean
from nn_clustering.tracking.printing import printable


class CommandParser(argparse.ArgumentParser):
    """Says what is wrong and where help is, without the usage in lines above it."""

    def error(self, message: str) -> NoReturn:
        """Print it in one line, and end with the status 2."""
        choice = re.fullmatch(
            r"argument (.*?): invalid choice: '?(.*?)'? \(choose from (.*)\)", message, re.DOTALL
        )
        if choice is not None:
            what, given, known = choice.groups()
            names = known.replace("'", "").split(", ")
            hint = did_you_mean(given.lower(), names)
            message = f"{what} {given!r}{hint}: expected one of {', '.join(names)}"
        self.exit(2, f"{printable(f'{self.prog}: {message}; see `{self.prog} --help`')}\n")

    def refuse_rest(self, words: Sequence[str]) -> NoReturn:
        """Say which word is one too many: an option that there is not, or an argument."""
        given = words[0]
        if not given.startswith("-"):
            self.error(f"{given!r} is one argument too many")
        name = given.partition("=")[0]
        known = re.findall(r"(?<![\w-])--[a-z][a-z-]*", self.format_help())
        if name in known:
            self.error(f"{name} stands before the command; expected behind it")
        self.error(f"{name} is no option of this command{did_you_mean(name, known)}")


def whole_number(text: str) -> int:
    """The number that an option's text says.

    Raises:
        ArgumentTypeError: It says none.
    """
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r}: expected a whole number") from None


def parse(parser: CommandParser, arguments: Sequence[str] | None) -> Any:
    """The arguments, of which the command takes each; ends the program where they are wrong."""
    parsed, rest = parser.parse_known_args(arguments)
    if rest:
        parsed.parser.refuse_rest(rest)
    return parsed

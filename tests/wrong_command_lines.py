"""Tables of wrong command lines, and what has to be said to each."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Line:
    """A wrong command line, and what has to be said to it.

    Attributes:
        program: What is run: a stage, a command, or a module that runs as a program.
        words: The words after it; those in braces are runs.
        expected: Texts that the answer has.
        environ: Environment variables.
        files: Files in the folder of the command besides those of all.
    """

    program: str
    words: tuple[str, ...]
    expected: tuple[str, ...]
    environ: dict[str, str] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)

    def __str__(self):
        files = "".join(f", {name}: {content!r}" for name, content in self.files.items())
        environ = "".join(f"{name}={value} " for name, value in self.environ.items())
        text = f"{environ}{self.program} {shlex.join(self.words)}{files}"
        return text.encode("unicode_escape").decode()


def lines_of(path):
    """The lines of a file: headings in brackets, below each the words, an arrow, the texts."""
    command = []
    for row in path.read_text(encoding="utf-8").splitlines():
        words, arrow, expected = row.partition("->")
        if row.startswith("["):
            command = shlex.split(row[1:-1]) or [""]
        elif arrow:
            texts = tuple(text.strip() for text in expected.split(" ; "))
            yield Line(command[0], (*command[1:], *shlex.split(words)), texts)


def everything_in(folder):
    """Names and sizes of all that is in a folder."""
    return sorted((str(path), path.stat().st_size) for path in folder.rglob("*"))

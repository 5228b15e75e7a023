"""The blocks of code in README and docs, and what shall be done with each.

A comment before a block says so, where it is not simply run:

- `<!-- not run: REASON -->`;
- `<!-- config checked: REASON -->`: its experiments are only asked for their config, with the same
  named configs and keys, so that it is known to be valid up to computing;
- `<!-- fails: REASON -->`: it ends with another status than 0.

A block of `text` after one that was run is what that printed, in part: each line of it occurs, in
this order, whatever its numbers are; `...` stands for anything. A block with a title is a file to
be written, a diff with a title a change to one.
"""

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

from tests.programs import PROJECT

MARKERS = ("not run", "config checked", "fails")
_FENCE = re.compile(r"^( *)```(\w*)(.*)$")
_MARKER = re.compile(rf"^ *<!-- ({'|'.join(MARKERS)}): (.+) -->$")
_INLINE = re.compile(r"`([^`\n]+)`")
_NUMBER = re.compile(r"-?\d+(\.\d+)?(e[-+]?\d+)?")


@dataclass(frozen=True)
class Block:
    """A fenced block of a page: where it is, what it is, and its text."""

    page: str
    line: int
    language: str
    title: str
    text: str
    marker: str = ""

    def __str__(self):
        return f"{self.page}:{self.line}"


def pages():
    """README and all pages of docs/, by their names from the project's folder."""
    found = [PROJECT / "README.md", PROJECT / "CONTRIBUTING.md", PROJECT / "datasets" / "README.md"]
    found += sorted((PROJECT / "docs").rglob("*.md"))
    return {str(path.relative_to(PROJECT)): path for path in found}


def blocks_of(page):
    """The blocks of a page, in order."""
    path = pages()[page]
    return list(_blocks(page, path.read_text(encoding="utf-8").splitlines()))


def _blocks(page, lines):
    marker, begin, fence = "", None, None
    for number, line in enumerate(lines, start=1):
        found = _FENCE.match(line)
        if begin is None and found and found[2]:
            begin, fence = number, found
        elif begin is not None and found and not found[2]:
            text = "\n".join(line[len(fence[1]) :] for line in lines[begin : number - 1])
            title = re.search(r'title="([^"]*)"', fence[3])
            yield Block(page, begin, fence[2], title[1] if title else "", text, marker)
            marker, begin = "", None
        elif begin is None and line.strip():
            said = _MARKER.match(line)
            marker = said[1] if said else ""


def inline_commands(page):
    """What stands in backticks within the text of a page."""
    text = pages()[page].read_text(encoding="utf-8")
    text = re.sub(r"^ *```.*?^ *```$", "", text, flags=re.MULTILINE | re.DOTALL)
    return [" ".join(span.split()) for span in _INLINE.findall(text.replace("\n", " "))]


def experiment_commands(text):
    """The commands of a text that run a stage, each as the stage's name and its arguments."""
    for line in text.replace("\\\n", " ").splitlines():
        words = shlex.split(line, comments=True)
        if words[:1] == ["python"] and words[1].startswith("experiments/"):
            yield Path(words[1]).stem, words[2:]
        elif words[:2] == ["python", "-m"] and words[2].startswith("experiments."):
            yield words[2].partition(".")[2], words[3:]


def missing_lines(expected, printed):
    """The lines of an expected output that were not printed, or not in this order."""
    lines = iter([_comparable(line) for line in printed.splitlines()])
    return [line for line in expected.splitlines() if not _is_among(line, lines)]


def _is_among(expected, lines):
    pattern = ".*".join(re.escape(_comparable(part)) for part in expected.split("..."))
    return any(re.fullmatch(pattern, line) for line in lines)


def _comparable(line):
    return re.sub(r"\s+", " ", _NUMBER.sub("#", line)).strip()

"""A table as people read it: Markdown for pages, LaTeX for papers, CSV for programs."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nn_clustering.reports._figure_text import MINUS

if TYPE_CHECKING:
    import pandas

_LATEX = {
    **{letter: f"\\{letter}" for letter in "&%$#_{}"},
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": "$<$",
    ">": "$>$",
    "|": r"\textbar{}",
    "±": r"$\pm$",
    "\N{MULTIPLICATION SIGN}": r"$\times$",
    MINUS: "$-$",
    "\N{EN DASH}": "--",
    "…": r"\dots{}",
}
# A hyphen before a number is a minus sign.
_HYPHEN = re.compile(r"(?<![\w.])-(?=\d)")
_NUMBER = re.compile(r"^(< |-)?\d")
# What stands in the place of a number that there is not.
_NO_NUMBERS = ("", "-", "undefined")


@dataclass(frozen=True, eq=False)
class StudyTable:
    """A table of a study.

    Attributes:
        name: Of its files, without what they end with.
        caption: What it shows.
        rows: The numbers, for programs.
        header: What people read above the columns.
        lines: What they read in the rows, one text a column.
        notes: What is to be known of the numbers.
    """

    name: str
    caption: str
    rows: pandas.DataFrame
    header: tuple[str, ...]
    lines: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()

    def csv(self) -> str:
        """Return the numbers as CSV, with all digits; what is undefined is empty."""
        return self.rows.to_csv(index=False, lineterminator="\n")

    def markdown(self) -> str:
        """Return the table as Markdown, with its notes below."""
        marks = ["---:" if number else "---" for number in self.are_numbers()]
        table = [_markdown_line(self.header), _markdown_line(marks)]
        table += map(_markdown_line, self.lines)
        notes = [line for note in self.notes for line in ("", note)]
        return "\n".join([*table, *notes, ""])

    def latex(self) -> str:
        """Return the table as a float for LaTeX, with the rules of the package booktabs."""
        columns = "".join("r" if number else "l" for number in self.are_numbers())
        caption = " ".join(_sentence(text) for text in (self.caption, *self.notes))
        body = [
            r"\toprule",
            _latex_line(self.header),
            r"\midrule",
            *map(_latex_line, self.lines),
            r"\bottomrule",
        ]
        return "\n".join(
            [
                r"% in the preamble: \usepackage{booktabs}",
                r"\begin{table}",
                r"  \centering",
                r"  \footnotesize",
                f"  \\caption{{{latex_text(caption)}}}",
                f"  \\label{{tab:{re.sub('[^A-Za-z0-9]+', '-', self.name)}}}",
                f"  \\begin{{tabular}}{{{columns}}}",
                *(f"    {line}" for line in body),
                r"  \end{tabular}",
                r"\end{table}",
                "",
            ]
        )

    def are_numbers(self) -> list[bool]:
        """Return of each column whether it holds numbers, which stand to the right."""
        return [
            any(map(_NUMBER.match, texts))
            and all(_NUMBER.match(text) or text in _NO_NUMBERS for text in texts)
            for texts in zip(*self.lines, strict=True)
        ] or [False] * len(self.header)


def latex_text(text: str) -> str:
    """Return a text as LaTeX sets it, letter by letter."""
    return "".join(_LATEX.get(letter, letter) for letter in _HYPHEN.sub(MINUS, text))


def _latex_line(texts: Sequence[str]) -> str:
    return " & ".join(map(latex_text, texts)) + r" \\"


def _markdown_line(texts: Sequence[str]) -> str:
    cells = (text.replace("\\", "\\\\").replace("|", "\\|") for text in texts)
    return "| " + " | ".join(cells) + " |"


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:].rstrip(".") + "."

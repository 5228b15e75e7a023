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
# With a spread, or what stands in brackets behind it.
_NUMBER = re.compile(r"(< )?-?\d[\d.]*(e[-+]?\d+)?( [±(*].*)?")
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
        """Return the table as a float for LaTeX, with the rules of the package booktabs.

        One that is wider than the page is made as wide as it, which graphicx does.
        """
        columns = "".join("r" if number else "l" for number in self.are_numbers())
        label = re.sub("[^A-Za-z0-9]+", "-", self.name)
        notes = [rf"  \par\smallskip {{\scriptsize {latex_text(note)}\par}}" for note in self.notes]
        return "\n".join(
            [
                r"% in the preamble: \usepackage{booktabs,graphicx}",
                r"\begin{table}",
                r"  \centering",
                f"  \\caption{{{latex_text(self.caption)}.}}",
                f"  \\label{{tab:{label}}}",
                r"  \footnotesize",
                r"  \resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%",
                f"  \\begin{{tabular}}{{{columns}}}",
                r"    \toprule",
                f"    {_latex_line(self.header)}",
                r"    \midrule",
                *(f"    {_latex_line(line)}" for line in self.lines),
                r"    \bottomrule",
                r"  \end{tabular}}",
                *notes,
                r"\end{table}",
                "",
            ]
        )

    def are_numbers(self) -> list[bool]:
        """Return of each column whether it holds numbers, which stand to the right."""
        return [
            any(map(_NUMBER.fullmatch, texts))
            and all(_NUMBER.fullmatch(text) or text in _NO_NUMBERS for text in texts)
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

"""A study's report as one text: its tables, its figures, and what is to be known of its runs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nn_clustering.reports._study_results import StudyResults
    from nn_clustering.reports._study_table import StudyTable

# What is said of a digest is told apart by so many of its digits.
_DIGITS = 8


def study_markdown(
    results: StudyResults, tables: Sequence[StudyTable], figures: Sequence[str]
) -> str:
    """Return the report in Markdown.

    Args:
        results: Of the study.
        tables: Its tables, in their order.
        figures: Names of its figures, whose PNG files lie beside.
    """
    parts = [f"# {results.title}", f"{results.in_words()}."]
    parts += [f"{line}." for line in mixed_code(results)]
    parts += [f"## {table.caption}\n\n{table.markdown().rstrip()}" for table in tables]
    parts += [f"![{name.replace('_', ' ')}]({name}.png)" for name in figures]
    if results.missing:
        missing = "\n".join(f"- {name}" for name in results.missing)
        parts.append(f"## Without a completed run\n\n{missing}")
    return "\n\n".join(parts) + "\n"


def mixed_code(results: StudyResults) -> Iterator[str]:
    """Yield of each step whose runs are not all of one version of the code what they are of."""
    if results.cells.empty:
        return
    for step, cells in results.cells.groupby("step", sort=False):
        versions = Counter(
            "that do not say" if code is None else f"of {str(code)[:_DIGITS]}"
            for code in cells["code"]
        )
        if len(versions) > 1:
            counts = ", ".join(f"{n} {version}" for version, n in versions.most_common())
            yield f"{step}: its runs are of {len(versions)} versions of the code ({counts})"

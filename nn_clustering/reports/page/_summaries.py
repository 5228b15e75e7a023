"""Tables by condition as the page shows them: every number leads to the runs behind it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from nn_clustering.reports._clusterability_table import label_text
from nn_clustering.reports._study_results import LABEL, StudyResults
from nn_clustering.reports._study_table import StudyTable
from nn_clustering.reports.page._html import plain

# A mean, its spread, and what stands in brackets behind it.
_NUMBER = re.compile(
    r"(?P<mean>-?[\d.]+(?:e[-+]?\d+)?)(?P<spread> ± [^ ]+)?(?: \((?P<beside>.*)\))?"
)


@dataclass(frozen=True)
class Entry:
    """What stands in a column of a row.

    Attributes:
        text: The mean, or whatever else there is.
        spread: Beside it, with its sign; empty where there is none.
        beside: Below it; empty where there is none.
        value: By which rows are sorted; None for the text.
        is_number: Whether it stands to the right.
        link: To the runs that it is about; empty where they are not known.
    """

    text: str
    spread: str
    beside: str
    value: float | str
    is_number: bool
    link: str


@dataclass(frozen=True)
class Summary:
    """A table by condition.

    Attributes:
        name: Of the table.
        caption: What it shows.
        header: Column titles, each with whether numbers are below.
        rows: A condition each.
        notes: What is to be known of the numbers.
        n_labels: Columns that say which condition it is.
    """

    name: str
    caption: str
    header: tuple[tuple[str, bool], ...]
    rows: tuple[tuple[Entry, ...], ...]
    notes: tuple[str, ...]
    n_labels: int


def summary(table: StudyTable, results: StudyResults) -> Summary:
    """Return a study's table with links to the runs of each row's condition."""
    n_labels = 0
    while n_labels < len(table.header) and table.header[n_labels] in results.labels:
        n_labels += 1
    names = table.header[:n_labels]
    are_numbers = table.are_numbers()
    found = _runs_by_condition(results, names)
    rows = []
    for line in table.lines:
        runs = found.get(tuple(line[:n_labels]), [])
        link = f"#runs={quote(','.join(map(str, runs)))}" if runs else ""
        rows.append(
            tuple(
                _entry(text, link, is_number=is_number, is_label=place < n_labels)
                for place, (text, is_number) in enumerate(zip(line, are_numbers, strict=True))
            )
        )
    header = tuple(zip(table.header, are_numbers, strict=True))
    return Summary(table.name, table.caption, header, tuple(rows), table.notes, n_labels)


def _runs_by_condition(
    results: StudyResults, names: Sequence[str]
) -> dict[tuple[str, ...], list[Any]]:
    """Return the runs that have the labels of a condition, and those that they rest on."""
    rows: dict[str, Mapping[Any, Any]] = {
        row["cell"]: row for row in results.cells.to_dict("records")
    }
    found: dict[tuple[str, ...], set[str]] = {}
    for row in rows.values():
        key = tuple(label_text(row[f"{LABEL}{name}"]) for name in names)
        cells = found.setdefault(key, set())
        above: Mapping[Any, Any] | None = row
        while above is not None:
            cells.add(above["cell"])
            above = rows.get(above["parent"])
    return {
        key: [plain(row["run"]) for cell, row in rows.items() if cell in cells]
        for key, cells in found.items()
    }


def _entry(text: str, link: str, *, is_number: bool, is_label: bool) -> Entry:
    matched = None if is_label else _NUMBER.fullmatch(text)
    if matched is None:
        is_known = text not in ("", "-", "undefined")
        return Entry(text, "", "", _sorted_as(text), is_number, link if is_known else "")
    mean, spread, beside = (matched[name] or "" for name in ("mean", "spread", "beside"))
    return Entry(mean, spread, beside, _sorted_as(mean), is_number, link)


def _sorted_as(text: str) -> float | str:
    try:
        return float(text.removeprefix("< "))
    except ValueError:
        return "" if text in ("-", "undefined") else text

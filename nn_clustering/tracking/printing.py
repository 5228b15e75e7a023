"""Runs as text on a terminal, and as JSON for programs."""

from __future__ import annotations

import math
import shutil
import unicodedata
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from typing import Any

from nn_clustering.tracking.names import listed
from nn_clustering.tracking.passwords import mask_logins

WIDTH_OF_FILES = 160
WIDEST_CELL = 24  # of a column on a terminal, where room is short
GAP = "  "
NAMED = 4  # columns left out that are named


def terminal_width() -> int:
    """Columns of the terminal; in a file or a pipe COLUMNS, else enough for most tables."""
    return max(shutil.get_terminal_size(fallback=(WIDTH_OF_FILES, 0)).columns, 20)


def to_json(value: Any) -> Any:
    """The value as strict JSON has it: NaN and infinities as null, dates in ISO 8601.

    URLs lose user and password: what others have stored may hold them.
    """
    if isinstance(value, Mapping):
        return {mask_logins(str(key)): to_json(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_json(entry) for entry in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, (bool, int)):
        return value
    if isinstance(value, datetime):
        return (value if value.tzinfo else value.replace(tzinfo=timezone.utc)).isoformat()
    text = value.hex() if isinstance(value, bytes) else str(value)
    return mask_logins(text.encode(errors="replace").decode())


def format_value(value: Any) -> str:
    """A value in a few letters, on one line."""
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M}"
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(format_value(entry) for entry in value)}]"
    return printable(str(value))


def format_seconds(seconds: float | None) -> str:
    """A duration, with the two largest units that matter."""
    if seconds is None:
        return ""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days} d {hours:02d} h"
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


def format_size(n_bytes: int | None) -> str:
    """A number of bytes, in the unit that fits."""
    if n_bytes is None:
        return "lost"
    size = float(n_bytes)
    for unit in ("B", "kB", "MB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" or size >= 100 else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} GB"


def count_of_runs(number: int) -> str:
    """A number of runs, in words."""
    return "1 run" if number == 1 else f"{number} runs"


def printable(text: str) -> str:
    """The text without line breaks, what would steer a terminal, and passwords of URLs."""
    text = mask_logins(text)
    if text.isprintable():
        return text
    return "".join(
        letter if letter.isprintable() else " " if letter.isspace() else "?" for letter in text
    )


def cut(text: str, width: int) -> str:
    """The text in at most `width` columns, with an ellipsis where it was longer."""
    if len(text) <= width and text.isascii():
        return text
    if text_width(text) <= width:
        return text
    kept = text[: max(width, 0)]
    while kept and text_width(kept) >= width:
        kept = kept[:-1]
    return f"{kept}…"


def text_width(text: str) -> int:
    """Columns that the text takes on a terminal."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(letter) else 2 if unicodedata.east_asian_width(letter) in "WF"
        else 1
        for letter in text
    )  # fmt: skip


def fit_columns(
    columns: Mapping[str, Sequence[str]], width: int, always: int, preference: Sequence[str]
) -> dict[str, list[str]]:
    """Those columns that fit beside each other, cut where they are long.

    Args:
        columns: Cells by heading.
        width: Room for the lines.
        always: How many of the first columns are there in any case.
        preference: Headings of the other columns, what matters most first.
    """
    chosen = list(columns)[:always]
    short = {}
    for name, cells in columns.items():
        # What is there in any case says which row it is.
        widest = max(WIDEST_CELL, len(name), width // 2 if name in chosen else 0)
        is_short = max(map(len, cells), default=0) <= widest and all(map(str.isascii, cells))
        short[name] = list(cells) if is_short else [cut(cell, widest) for cell in cells]
    room = width - sum(_column_width(name, short[name]) + len(GAP) for name in chosen) + len(GAP)
    for name in preference:
        needed = _column_width(name, short[name]) + len(GAP)
        if needed <= room:
            chosen.append(name)
            room -= needed
    return {name: short[name] for name in columns if name in chosen}


def fitted_lines(
    columns: Mapping[str, Sequence[str]],
    width: int,
    always: int,
    preference: Sequence[str],
    advice: str,
) -> list[str]:
    """The lines of a table of those columns that fit; a last one names those that did not.

    Args:
        columns: Cells by heading.
        width: Room for the lines.
        always: How many of the first columns are there in any case.
        preference: Headings of the other columns, what matters most first.
        advice: How the user gets to see the others.
    """
    fitted = fit_columns(columns, width, always, preference)
    lines = table_lines(fitted)
    left_out = [name for name in columns if name not in fitted]
    if left_out:
        count = "1 column" if len(left_out) == 1 else f"{len(left_out)} columns"
        lines.append(f"{count} did not fit ({advice}): {listed(left_out, NAMED)}")
    return [cut(line, width) for line in lines]


def table_lines(columns: Mapping[str, Sequence[str]]) -> list[str]:
    """The lines of a table: a heading, then the rows; numbers to the right."""
    padded = [_padded(name, cells) for name, cells in columns.items()]
    return [GAP.join(row).rstrip() for row in zip(*padded, strict=True)]


def _column_width(name: str, cells: Sequence[str]) -> int:
    if all(map(str.isascii, cells)):
        return max(text_width(name), max(map(len, cells), default=0))
    return max(map(text_width, (name, *cells)))


def _padded(name: str, cells: Sequence[str]) -> list[str]:
    """The heading and the cells of a column, all of one width."""
    width, is_to_the_right = _column_width(name, cells), all(map(_is_number, cells))
    return [_pad(cell, width, is_to_the_right) for cell in (name, *cells)]


def _is_number(cell: str) -> bool:
    try:
        float(cell or "0")
    except ValueError:
        return False
    return True


def _pad(cell: str, width: int, is_to_the_right: bool) -> str:
    space = " " * (width - text_width(cell))
    return space + cell if is_to_the_right else cell + space

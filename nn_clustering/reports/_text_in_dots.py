"""Text that is fitted into a number of dots."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import lru_cache

# So that every pixel of an image takes up a whole number of dots.
DOTS_PER_INCH = 200
_NAME_LINES = 2
# The longest names that are not cut in the middle, less where more of them have the room then.
_SHARES_OF_LINE = (0.8, 0.5)


@lru_cache(maxsize=4096)
def text_width(text: str, size: float) -> float:
    """Return the width in dots of a text of a size in points."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import TextToPath

    font = FontProperties(size=size)
    points = TextToPath().get_text_width_height_descent(text, font, ismath=False)[0]
    return float(points) * DOTS_PER_INCH / 72


def fitted(text: str, width: float, size: float) -> str:
    """Return a text without its middle if it is wider than so many dots."""
    found, n_kept = text, len(text)
    while text_width(found, size) > width and n_kept > 2:
        n_kept -= 1
        found = f"{text[: n_kept - n_kept // 2]}\u2026{text[len(text) - n_kept // 2 :]}"
    return found


def names_in_lines(names: Sequence[str], width: float, size: float) -> list[str]:
    """Return names in two lines at most, the most frequent first, with how many of each.

    What has no room is left out and counted.

    Args:
        names: With repeats.
        width: Of a line, in dots.
        size: Of the type, in points.
    """
    counts = Counter(names).most_common()
    for n_shown in range(len(counts), 0, -1):
        n_left_out = sum(count for _, count in counts[n_shown:])
        for longest in _SHARES_OF_LINE:
            words = [
                name if count == 1 else f"{name} ({count})"
                for name, count in (
                    (fitted(name, longest * width, size), count) for name, count in counts[:n_shown]
                )
            ]
            more = [f"{n_left_out} more"] if n_left_out else []
            lines = _in_lines([*words, *more], width, size)
            if len(lines) <= _NAME_LINES:
                return lines
    return []


def _in_lines(words: Sequence[str], width: float, size: float) -> list[str]:
    lines: list[str] = []
    for index, word in enumerate(words):
        text = word if index == len(words) - 1 else f"{word},"
        if lines and text_width(f"{lines[-1]} {text}", size) <= width:
            lines[-1] = f"{lines[-1]} {text}"
        else:
            lines.append(text)
    return lines

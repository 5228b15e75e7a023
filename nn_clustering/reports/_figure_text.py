"""Numbers and titles in figures."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

if TYPE_CHECKING:
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

MINUS = "\N{MINUS SIGN}"
_LETTERS_AN_INCH = 13  # of a title, on the safe side
# Smaller numbers are written with a power of ten.
_SMALLEST_PLAIN = 1e-6


def number(value: float, spec: str = "g") -> str:
    """Return a number as it is printed: with a true minus sign, which hyphens are too short for.

    Args:
        value: The number.
        spec: How it is formatted, as in ``format``.
    """
    return format(value, spec).replace("-", MINUS)


def plain_number(value: float) -> str:
    """Return a number of few digits without a power of ten, unless it is tiny or huge."""
    if _SMALLEST_PLAIN <= abs(value) < 1:
        digits: str = np.format_float_positional(float(f"{value:g}"), trim="-")
        return digits.replace("-", MINUS)
    return number(value)


def set_plain_ticks(axis: Axis, ticks: Sequence[float]) -> None:
    """Set ticks in plain numbers: mathematical type wants fonts that not every machine has."""
    axis.set_major_locator(FixedLocator(ticks))
    name_ticks_plainly(axis)
    axis.set_minor_locator(NullLocator())


def name_ticks_plainly(axis: Axis) -> None:
    """Write the numbers at an axis's ticks as :func:`plain_number` does."""
    axis.set_major_formatter(FuncFormatter(lambda value, _: plain_number(value)))


def add_title(figure: Figure, title: str) -> None:
    """Set a figure's title, in lines that fit its width."""
    width = max(int(_LETTERS_AN_INCH * figure.get_figwidth()), 20)
    lines = [line for part in title.splitlines() for line in textwrap.wrap(part, width) or [""]]
    figure.suptitle("\n".join(lines), fontsize=10)

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
# Smaller numbers, and those from the largest on, are written with a power of ten.
_SMALLEST_PLAIN, _LARGEST_PLAIN = 1e-6, 1e9
_FEW_DIGITS = 1e4  # from it on digits are grouped
_SUPERSCRIPTS = str.maketrans("-0123456789", "\N{SUPERSCRIPT MINUS}⁰¹²³⁴⁵⁶⁷⁸⁹")


def number(value: float, spec: str = "g") -> str:
    """Return a number as it is printed: with a true minus sign, which hyphens are too short for.

    Args:
        value: The number.
        spec: How it is formatted, as in ``format``.
    """
    return format(value, spec).replace("-", MINUS)


def plain_number(value: float) -> str:
    """Return a number of few digits without a power of ten, unless it is tiny or huge."""
    size = abs(value)
    if _SMALLEST_PLAIN <= size < 1:
        digits: str = np.format_float_positional(float(f"{value:g}"), trim="-")
        return digits.replace("-", MINUS)
    if size >= _FEW_DIGITS and float(f"{size:g}") < _LARGEST_PLAIN:
        return number(float(f"{value:g}"), ",.10g")
    if size == 0 or not np.isfinite(size) or _SMALLEST_PLAIN <= size < _FEW_DIGITS:
        return number(value)
    factor, power = f"{size:.5e}".split("e")
    ten = f"10{str(int(power)).translate(_SUPERSCRIPTS)}"
    factor = factor.rstrip("0").rstrip(".")
    sign = MINUS if value < 0 else ""
    return sign + (ten if factor == "1" else f"{factor} \N{MULTIPLICATION SIGN} {ten}")


def counted(count: int, one: str) -> str:
    """Return a number of things in words.

    Args:
        count: How many there are.
        one: What one of them is called, of which several end in s.
    """
    return f"{count:,} {one}{'' if count == 1 else 's'}"


def several(one: str) -> str:
    """Return what several things are called, of which one is a "class", a "group of targets"."""
    first, *rest = one.split(" of ", 1)
    return " of ".join([first + ("es" if first.endswith("s") else "s"), *rest])


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

"""Figures of two partitions side by side."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from nn_clustering.partitions import (
    cluster_profile,
    common_layers,
    common_shares,
    matched_order,
)
from nn_clustering.reports._figure_text import add_title
from nn_clustering.reports._sub_cluster_figure_parts import shortened

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from nn_clustering.partitions import Contingency, Partition

# All in inches. Of type of 7 points, the width of a letter and the height of a line; of larger
# type, how many letters there are to an inch, on the safe side, and the height of a line.
_LETTER, _LINE = 0.067, 0.105
_LETTERS_AN_INCH = 13
_LINE_OF_NAMES = 0.17
# Few cells are larger than many, up to so much, and so that they fill about so much room.
_LARGEST_CELL, _ROOM = 0.75, 2.2
# Heat maps of more clusters than this have smaller cells, without numbers.
_MOST_WITH_NUMBERS = 32
# Two heat maps of no more columns together than this stand side by side.
_MOST_ABREAST = 40
# ... and so do those of more layers than this.
_MOST_STACKED = 20
_GAP = 0.25
_LEAST_WIDTH = 3.4  # for the title
_MARGIN = 0.1
_BAR, _LEAST_BAR, _LONGEST_BAR = 0.13, 1.2, 3.0
_BESIDE_BAR = 0.85  # its ticks and label


@dataclass(frozen=True)
class _Cells:
    """The cells of heat maps.

    Attributes:
        width: In inches.
        height: In inches.
        numbered: Whether there is room for numbers.
    """

    width: float
    height: float
    numbered: bool

    @classmethod
    def of(cls, n_rows: int, n_columns: int, n_digits: int) -> _Cells:
        """Return the cells of a heat map, or of several together, with numbers of so many digits.

        They are square where there are as many rows as columns.
        """
        least_width = max(0.24, _LETTER * n_digits + 0.05)
        numbered = max(n_rows, n_columns) <= _MOST_WITH_NUMBERS
        least = max(least_width, 0.24) if n_rows == n_columns else 0.24
        return cls(_length(n_columns, least_width), _length(n_rows, least), numbered)


def _length(count: int, least: float) -> float:
    if count > _MOST_WITH_NUMBERS:
        return least * _MOST_WITH_NUMBERS / count
    return min(max(_ROOM / count, least), _LARGEST_CELL)


def figure_of_contingency(table: Contingency, names: tuple[str, str], title: str) -> Figure:
    """Draw how many units two partitions' clusters have in common, matched ones on the diagonal.

    The shade is the share of the row's units, up to the largest that there is; the number is how
    many they are.

    Args:
        table: The contingency table.
        names: What to call the two partitions.
        title: Of the figure.
    """
    size = (table.first.size, table.second.size)
    cells = _Cells.of(*size, n_digits=len(str(table.counts.max())))
    of_rows = _wrapped(f"cluster of {names[0]}", max(cells.height * size[0], 1.5))
    page = _Page(cells, [size], 0.35 + _LINE_OF_NAMES * len(of_rows.splitlines()), title)
    of_columns = _wrapped(f"cluster of {names[1]}", max(page.content, 1.5))
    figure, (axes,) = page.figure(above=0.0, below=0.2 + _lines(of_columns))
    shares = table.counts / table.counts.sum(axis=1, keepdims=True)
    highest = float(shares.max())
    _heat_map(axes, shares, table.counts, cells, highest=highest)
    _label_ticks(axes, table.second, table.first, cells)
    axes.set_xlabel(of_columns, fontsize=9)
    axes.set_ylabel(of_rows, fontsize=9)
    page.add_colour_bar(figure, axes, f"share of the row's units (0 to {highest:.2g})")
    return figure


def figure_of_profiles(
    first: Partition, second: Partition, names: tuple[str, str], title: str
) -> Figure:
    """Draw which share of each layer's units every cluster has, matched clusters in one order.

    The two stand side by side, or below each other where that makes a better shape.

    Args:
        first: A partition.
        second: Another, with layers of the same name and size.
        names: What to call the two partitions.
        title: Of the figure.

    Raises:
        InvalidInputError: If they share no layer.
    """
    layers = common_layers(first, second)
    profiles = [cluster_profile(partition, layers) for partition in (first, second)]
    orders = matched_order(common_shares(*profiles))
    counts = [order.size for order in orders]
    # below each other, one of many and one of few clusters would leave half of a figure empty
    is_uneven = max(counts) > 3 * min(counts)
    abreast = sum(counts) <= _MOST_ABREAST or is_uneven or len(layers) > _MOST_STACKED
    n_columns = sum(counts) if abreast else max(counts)
    if not abreast or n_columns > _MOST_ABREAST:
        cells = _Cells.of(len(layers), n_columns, n_digits=3)
    else:
        cells = _Cells(_length(max(*counts, 1), 0.26), _length(len(layers), 0.2), True)
    of_layers = [shortened(layer) for layer in layers]
    sizes = [(len(layers), count) for count in counts]
    page = _Page(cells, sizes, 0.2 + _LETTER * max(map(len, of_layers)), title, abreast=abreast)
    titles = [
        _wrapped(name, max(cells.width * count, page.content if not abreast else 1.2))
        for name, count in zip(names, counts, strict=True)
    ]
    figure, panels = page.figure(above=0.05 + max(map(_lines, titles)), below=0.4)
    highest = max(profile.max() for profile in profiles)
    for axes, profile, order, of_panel in zip(panels, profiles, orders, titles, strict=True):
        shares = profile[:, order]
        _heat_map(axes, shares, np.rint(100 * shares).astype(int), cells, highest=highest)
        _label_ticks(axes, order, of_layers, cells)
        axes.set_title(of_panel, fontsize=9)
        axes.set_xlabel("cluster", fontsize=9)
    if abreast:
        panels[1].tick_params(labelleft=False)
    label = "share of the layer's units" + (" (numbers: %)" if cells.numbered else "")
    page.add_colour_bar(figure, panels[0], label)
    return figure


@dataclass(frozen=True)
class _Page:
    """A figure as large as the heat maps on it want, and no larger.

    Attributes:
        cells: Their cells.
        sizes: The rows and columns of each.
        left: Inches to the left of them, for what names the rows.
        title: Of the figure.
        abreast: Whether they stand side by side, or below each other.
    """

    cells: _Cells
    sizes: Sequence[tuple[int, int]]
    left: float
    title: str
    abreast: bool = True

    @property
    def content(self) -> float:
        """Width of all heat maps with what is between them."""
        widths = [self.cells.width * n_columns for _, n_columns in self.sizes]
        return sum(widths) + _GAP * (len(widths) - 1) if self.abreast else max(widths)

    @property
    def tallest(self) -> float:
        """Height of a heat map."""
        return max(self.cells.height * n_rows for n_rows, _ in self.sizes)

    @property
    def bar(self) -> float:
        """Height of the colour bar."""
        return min(max(self.tallest, _LEAST_BAR), _LONGEST_BAR)

    @property
    def _inches(self) -> tuple[float, float]:
        """Left edge of the heat maps, and the width of the figure."""
        wanted = self.left + self.content + _GAP / 2 + _BAR + _BESIDE_BAR + 2 * _MARGIN
        width = max(wanted, _LEAST_WIDTH)
        return (width - wanted) / 2 + _MARGIN + self.left, width

    def figure(self, *, above: float, below: float) -> tuple[Figure, list[Axes]]:
        """Return the figure with its title, and where the heat maps are to be drawn.

        Args:
            above: Inches above each heat map, for what it is called.
            below: Below each.
        """
        left, width = self._inches
        figure = Figure(figsize=(width, 1))
        add_title(figure, self.title)
        n_lines = len(figure.get_suptitle().splitlines())
        row = above + max(self.tallest + below, self.bar + _MARGIN)
        n_rows = 1 if self.abreast else len(self.sizes)
        top = _LINE_OF_NAMES * n_lines + 2 * _MARGIN
        height = top + row * n_rows + _MARGIN
        figure.set_size_inches(width, height)
        figure.suptitle(figure.get_suptitle(), fontsize=10, y=1 - _MARGIN / height)
        panels = []
        upper = height - top - above
        for n_of_rows, n_columns in self.sizes:
            across, down = self.cells.width * n_columns, self.cells.height * n_of_rows
            place = (left / width, (upper - down) / height, across / width, down / height)
            panels.append(figure.add_axes(place))
            if self.abreast:
                left += across + _GAP
            else:
                upper -= row
        return figure, panels

    def add_colour_bar(self, figure: Figure, beside: Axes, label: str) -> None:
        """Explain the shades, to the right of all heat maps."""
        width, height = figure.get_size_inches()
        left = self._inches[0] + self.content + _GAP / 2
        upper = beside.get_position().y1
        place = (left / width, upper - self.bar / height, _BAR / width, self.bar / height)
        bar = figure.colorbar(beside.images[0], cax=figure.add_axes(place))
        bar.set_label(_wrapped(label, self.bar), fontsize=8)
        bar.ax.tick_params(labelsize=7)
        bar.ax.yaxis.set_major_locator(MaxNLocator(5))


def _wrapped(text: str, inches: float) -> str:
    return "\n".join(textwrap.wrap(text, max(int(_LETTERS_AN_INCH * inches), 12)))


def _lines(text: str) -> float:
    return _LINE_OF_NAMES * len(text.splitlines())


def _heat_map(
    axes: Axes, shares: NDArray[Any], numbers: NDArray[Any], cells: _Cells, highest: float
) -> None:
    """Draw shares as shades, and numbers above 0 into cells that have the room."""
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=highest, aspect="auto", interpolation="nearest")
    axes.tick_params(length=2)
    if not cells.numbered:
        return
    for (row, column), number in np.ndenumerate(numbers):
        if number:
            colour = "white" if shares[row, column] > 0.55 * highest else "black"
            axes.text(column, row, str(number), ha="center", va="center", fontsize=7, color=colour)


def _label_ticks(
    axes: Axes,
    columns: Sequence[Any] | NDArray[Any],
    rows: Sequence[Any] | NDArray[Any],
    cells: _Cells,
) -> None:
    """Name columns by number, and rows: as many as have room beside each other."""
    every = math.ceil(_LETTER * (len(str(max(columns))) + 1) / cells.width)
    axes.set_xticks(range(0, len(columns), every), columns[::every], fontsize=7)
    every = math.ceil(_LINE / cells.height)
    axes.set_yticks(range(0, len(rows), every), rows[::every], fontsize=7)

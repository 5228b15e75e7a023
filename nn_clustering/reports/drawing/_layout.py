"""Where the layers and units of a drawn network lie, in points (1/72 inch) from the lower left."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count, pairwise

import numpy as np
from numpy.typing import NDArray

from nn_clustering.graphs import UnitGraph

PAGE_WIDTH = 17 / 2.54 * 72  # what A4 leaves between its margins
MARGIN = 8.0
# More columns than these in a row would leave no room between them.
MAX_COLUMNS = 20

_LARGEST_SPACING = 110.0
_LEAST_WIDTH = 10.0
_ROW_HEIGHT = 200.0
_HEIGHT_OF_ALL_ROWS = 360.0
_MOST_OF_ONE_ROW = 560.0
# Units lie one above the other as long as they can be told apart, then several in a line.
_CLEAR_PITCH = 2.2
_LARGEST_PITCH = 10.0
_GAP = 2.5
_FILLED = 0.8  # of a column, the rest being gaps


@dataclass(frozen=True, eq=False)
class Column:
    """A layer as it is drawn: units sorted by cluster, isolated ones at the bottom.

    Attributes:
        layer: Index of the layer.
        left: Left edge.
        right: Right edge.
        units: Place of every unit, shape (units, 2).
        diameter: Of the dot that is a unit.
        spans: Lower and upper end of every sub-cluster, by cluster, from the top down.
        is_single_file: Whether the units lie one above the other.
        is_repeat: Whether the column only shows again what ends the row above.
    """

    layer: int
    left: float
    right: float
    units: NDArray[np.float64]
    diameter: float
    spans: dict[int, tuple[float, float]]
    is_single_file: bool
    is_repeat: bool = False

    @property
    def centre(self) -> float:
        """Middle between the left and the right edge."""
        return (self.left + self.right) / 2

    @property
    def top(self) -> float:
        """Upper end of the highest sub-cluster."""
        return max((high for _, high in self.spans.values()), default=0.0)


def rows_of_layers(n_layers: int) -> list[range]:
    """Spread layers evenly over as few rows as hold ``MAX_COLUMNS`` each."""
    n_rows = max(1, -(-n_layers // MAX_COLUMNS))
    ends = [round(row * n_layers / n_rows) for row in range(n_rows + 1)]
    return [range(start, end) for start, end in pairwise(ends)]


def column_spacing(rows: Sequence[range]) -> float:
    """Return the distance from column to column, with a repeated one in all rows but the first."""
    most = max(len(row) + (index > 0) for index, row in enumerate(rows))
    return float(min(_LARGEST_SPACING, (PAGE_WIDTH - 2 * MARGIN) / max(most, 1)))


def row_heights(graph: UnitGraph, rows: Sequence[range], of_labels: Sequence[float]) -> list[float]:
    """Return the height of every row: of its tallest column, and of what stands beside a column.

    A column is the lower the fewer units it has, by the fourth root, so that a layer of 10 beside
    one of 1,000 can still be read.

    Args:
        graph: The graph.
        rows: Indices of their layers.
        of_labels: The height that each row wants for what stands beside a column; it gets no more
            than leaves all rows on a page.
    """
    largest = max((layer.n_units for layer in graph.layers), default=0)
    n_gaps = 8  # or so, of small clusters
    height = _ROW_HEIGHT if len(rows) == 1 else _HEIGHT_OF_ALL_ROWS / len(rows)
    height = min(height, max(largest, 1) * _LARGEST_PITCH + n_gaps * _GAP)
    most = _MOST_OF_ONE_ROW if len(rows) == 1 else _HEIGHT_OF_ALL_ROWS / len(rows)
    return [
        max(height * _share(graph, _shown(row), range(len(graph.layers))), min(wanted, most))
        for row, wanted in zip(rows, of_labels, strict=True)
    ]


def place_row(
    graph: UnitGraph,
    labels: NDArray[np.integer],
    layers: range,
    *,
    spacing: float,
    bottom: float,
    height: float,
) -> list[Column]:
    """Place the layers of one row; all rows but the first begin with the last layer above.

    Args:
        graph: The graph.
        labels: Cluster of every unit, -1 where isolated.
        layers: Indices of the row's layers.
        spacing: From column to column.
        bottom: Lower end of the tallest column.
        height: Of the tallest column.
    """
    shown = _shown(layers)
    is_only_row = len(layers) == len(graph.layers)
    # A single row stands in the middle; several rows begin at the left.
    start = (PAGE_WIDTH - spacing * len(shown)) / 2 if is_only_row else MARGIN
    return [
        _place_column(
            layer,
            labels[graph.units(layer)],
            (start + spacing * (place + 0.5), bottom + height / 2),
            height * _share(graph, range(layer, layer + 1), shown),
            spacing / 3,
            is_repeat=layer < layers.start,
        )
        for place, layer in enumerate(shown)
    ]


def _shown(layers: range) -> range:
    return range(max(layers.start - 1, 0), layers.stop)


def _share(graph: UnitGraph, layers: range, among: range) -> float:
    """Return how tall the tallest column of some layers is beside the tallest among others."""
    largest, of_all = (
        max([1, *(graph.layers[layer].n_units for layer in some)]) for some in (layers, among)
    )
    return float((largest / of_all) ** 0.25)


def _place_column(
    layer: int,
    labels: NDArray[np.integer],
    middle: tuple[float, float],
    height: float,
    widest: float,
    *,
    is_repeat: bool,
) -> Column:
    """Place a layer's units in lines, in a column of the height or lower around its middle."""
    present = np.unique(labels)[::-1]
    sizes = np.array([(labels == label).sum() for label in present], int)
    n_gaps = max(len(present) - 1, 0)
    gap = min(_GAP, 0.25 * height / (n_gaps + 1))
    room = height - gap * n_gaps
    # Layers of one size look the same however many gaps they have.
    width, per_line = _width_and_units_per_line(labels.size, _FILLED * height, widest)
    lines = _lines(sizes, per_line)
    pitch = min(room / max(lines.sum(), 1), _LARGEST_PITCH)
    diameter = 0.84 * min(pitch, width / per_line, 0.7 * _LARGEST_PITCH)
    if per_line == 1:
        width = 1.3 * diameter
    left = middle[0] - width / 2
    upper = middle[1] + (pitch * lines.sum() + gap * n_gaps) / 2
    units = np.empty((labels.size, 2))
    spans = {}
    for label, size, n_lines in zip(present.tolist(), sizes, lines.tolist(), strict=True):
        line, place = np.divmod(np.arange(size), per_line)
        units[labels == label, 0] = left + width / per_line * (place + 0.5)
        units[labels == label, 1] = upper - pitch * (line + 0.5)
        spans[label] = (upper - pitch * n_lines, upper)
        upper -= pitch * n_lines + gap
    return Column(layer, left, left + width, units, diameter, spans, per_line == 1, is_repeat)


def _width_and_units_per_line(n_units: int, height: float, widest: float) -> tuple[float, int]:
    """Return how wide a column must be to tell its units apart, if there is room."""
    width = min(max(n_units * _CLEAR_PITCH**2 / height, _LEAST_WIDTH), widest)
    per_line = next(
        number
        for number in count(1)
        if height / max(-(-n_units // number), 1) >= min(_CLEAR_PITCH, width / number)
    )
    return width, per_line


def _lines(sizes: NDArray[np.int64], per_line: int) -> NDArray[np.int64]:
    """Every sub-cluster begins a new line."""
    return -(-sizes // per_line)

"""Arcs above the columns: the edges between layers that do not stand side by side."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.path import Path
from numpy.typing import NDArray

from nn_clustering.graphs import Edges, UnitGraph
from nn_clustering.reports.drawing._layout import Column

_WIDTH = 3.0
_LANE = 5.5
_MOST_LANES = 8
_CORNER = 4.0


@dataclass(frozen=True, eq=False)
class Arc:
    """A block of edges that is drawn above its row, and how high.

    Attributes:
        block: The edges.
        lane: Number of the lane that it has to itself between its ends, counted from below.
    """

    block: Edges
    lane: int

    @property
    def layers(self) -> tuple[int, int]:
        """The left and the right layer."""
        return (
            min(self.block.source, self.block.target),
            max(self.block.source, self.block.target),
        )

    @property
    def height(self) -> float:
        """Of the middle of its lane above the row."""
        return (self.lane + 1) * _LANE


def lay_arcs(graph: UnitGraph, row: range) -> list[Arc]:
    """Give every block between distant layers of a row a lane, short ones the lowest.

    Blocks that find none among the lanes that there is room for are left out.
    """
    distant = [
        block
        for block in graph.edges
        if abs(block.source - block.target) > 1
        and block.source in row
        and block.target in row
        and block.weights.any()
    ]
    arcs: list[Arc] = []
    for block in sorted(distant, key=_length_and_start):
        left, right = sorted((block.source, block.target))
        taken = {arc.lane for arc in arcs if arc.layers[0] < right and left < arc.layers[1]}
        lane = next((lane for lane in range(_MOST_LANES) if lane not in taken), None)
        if lane is not None:
            arcs.append(Arc(block, lane))
    return arcs


def arcs_height(arcs: Sequence[Arc]) -> float:
    """Return the room that a row's arcs take above it."""
    return max((arc.height + _WIDTH for arc in arcs), default=0.0)


def _length_and_start(block: Edges) -> tuple[int, int]:
    return abs(block.source - block.target), min(block.source, block.target)


def arc_paths(
    arc: Arc, source: Column, target: Column, bottom: float, shares: NDArray[np.float64]
) -> tuple[list[Path], list[float]]:
    """Return an arc's stripes and their widths: one for every share that is not zero.

    Args:
        arc: The arc.
        source: The left column; the arc leaves it in its right half.
        target: The right column; the arc comes to its left half.
        bottom: Upper end of the row's tallest column.
        shares: Of the block's weight, for each stripe from the outermost in; they add up to 1.
    """
    widths = _WIDTH * shares[shares > 0]
    insets = np.cumsum(widths) - widths / 2 - _WIDTH / 2
    quarter = (source.right - source.left) / 4
    start, end = source.centre + quarter, target.centre - quarter
    paths = []
    for inset in insets:
        left, right = start + inset, end - inset
        level = bottom + arc.height - inset
        corner = _CORNER - inset
        vertices = [
            (left, source.top + 1),
            (left, level - corner),
            (left, level),
            (left + corner, level),
            (right - corner, level),
            (right, level),
            (right, level - corner),
            (right, target.top + 1),
        ]
        codes = [
            Path.MOVETO, Path.LINETO, Path.CURVE3, Path.CURVE3,
            Path.LINETO, Path.CURVE3, Path.CURVE3, Path.LINETO,
        ]  # fmt: skip
        paths.append(Path(np.round(vertices, 2), codes))
    return paths, widths.tolist()

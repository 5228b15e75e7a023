"""Figures of two partitions side by side."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from nn_clustering.partitions import (
    cluster_profile,
    common_layers,
    common_shares,
    matched_order,
)
from nn_clustering.reports._lesion_figure_parts import shortened

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from nn_clustering.partitions import Contingency, Partition

# Cells larger than this, in inches, have room for their number.
_CELL = 0.34
# Height of a line of names.
_LINE = 0.105
# Heat maps of more clusters than this have smaller cells, without numbers.
_MOST_WITH_NUMBERS = 32


def figure_of_contingency(table: Contingency, names: tuple[str, str], title: str) -> Figure:
    """Draw how many units two partitions' clusters have in common, matched ones on the diagonal.

    The shade is the share of the row's units; the number is how many they are.

    Args:
        table: The contingency table.
        names: What to call the two partitions.
        title: Of the figure.
    """
    n_rows, n_columns = table.counts.shape
    cell = _cell_size(max(n_rows, n_columns))
    size = (max(2.2 + cell * n_columns, 4.5), max(1.6 + cell * n_rows, 3.4))
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots()
    shares = table.counts / table.counts.sum(axis=1, keepdims=True)
    _heat_map(axes, shares, table.counts, cell, highest=1.0)
    _label_ticks(axes, table.second, table.first, cell)
    axes.set_xlabel(f"cluster of {names[1]}")
    axes.set_ylabel(f"cluster of {names[0]}")
    axes.set_aspect("equal")
    figure.colorbar(axes.images[0], ax=axes, label="share of the row's units")
    figure.suptitle(title, fontsize=10)
    return figure


def figure_of_profiles(
    first: Partition, second: Partition, names: tuple[str, str], title: str
) -> Figure:
    """Draw which share of each layer's units every cluster has, matched clusters in one column.

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
    n_columns = max(order.size for order in orders)
    cell = _cell_size(max(n_columns, len(layers)))
    highest = max(profile.max() for profile in profiles)
    height = 1.6 + 2 * (0.6 + cell * len(layers))
    figure = Figure(figsize=(max(3.2 + cell * n_columns, 6), height), layout="constrained")
    panels = figure.subplots(2, 1, sharex=False)
    for axes, profile, order, name in zip(panels, profiles, orders, names, strict=True):
        shares = profile[:, order]
        _heat_map(axes, shares, np.rint(100 * shares).astype(int), cell, highest=highest)
        _label_ticks(axes, order, [shortened(layer) for layer in layers], cell)
        axes.set_xlim(-0.5, n_columns - 0.5)
        axes.set_title(name, fontsize=9)
    panels[1].set_xlabel("cluster")
    label = "share of the layer's units" + (" (numbers: %)" if cell >= _CELL else "")
    figure.colorbar(panels[0].images[0], ax=panels, label=label)
    figure.suptitle(title, fontsize=10)
    return figure


def _cell_size(n_cells: int) -> float:
    return _CELL if n_cells <= _MOST_WITH_NUMBERS else _CELL * _MOST_WITH_NUMBERS / n_cells


def _heat_map(
    axes: Axes, shares: NDArray[Any], numbers: NDArray[Any], cell: float, highest: float
) -> None:
    """Draw shares as shades, and numbers above 0 into cells that have the room."""
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=highest, aspect="auto", interpolation="nearest")
    if cell < _CELL:
        return
    for (row, column), number in np.ndenumerate(numbers):
        if number:
            colour = "white" if shares[row, column] > 0.55 * highest else "black"
            axes.text(column, row, str(number), ha="center", va="center", fontsize=7, color=colour)


def _label_ticks(
    axes: Axes,
    columns: Sequence[Any] | NDArray[Any],
    rows: Sequence[Any] | NDArray[Any],
    cell: float,
) -> None:
    """Name columns by number, and rows: as many as have room beside each other."""
    every = 1 + len(columns) // _MOST_WITH_NUMBERS
    axes.set_xticks(range(0, len(columns), every), columns[::every], fontsize=7)
    every = math.ceil(_LINE / cell)
    axes.set_yticks(range(0, len(rows), every), rows[::every], fontsize=7)

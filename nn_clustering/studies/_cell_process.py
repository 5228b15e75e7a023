"""Computing a cell on a worker, in a process of its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nn_clustering.studies._cell_orders import CellOrder, CellOutcome

__all__ = ["CellOrder", "CellOutcome", "run_cell"]


def run_cell(order: Mapping[str, Any]) -> dict[str, Any]:
    """Compute a cell, or find its completed run; what a Dask worker is asked to do.

    It ends the cell's process when its task is cancelled, the worker closes, or its walltime is
    nearly over. Called without a worker, it does all the same.

    Args:
        order: A :class:`CellOrder`, from its `to_plain`.

    Returns:
        A :class:`CellOutcome`, for its `from_plain`. Nothing is raised that the cell, the server
        or the store can bring about.
    """
    raise NotImplementedError(CellOrder.from_plain(order).name)

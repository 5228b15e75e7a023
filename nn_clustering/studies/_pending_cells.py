"""Which cells of a study can be computed now, by what has become of the others."""

from __future__ import annotations

import bisect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from nn_clustering.studies._cells import Cell


@dataclass(eq=False)
class PendingCell:
    """A cell that shall be computed.

    Attributes:
        cell: It.
        parent_run: Id of the run that it reads, once there is one.
        n_attempts: How many times it was begun in vain.
        declined: Why workers do not take it, by their addresses.
        order: What a worker is told, once that is made.
    """

    cell: Cell
    parent_run: Any = None
    n_attempts: int = 0
    declined: dict[str, str] = field(default_factory=dict)
    order: Mapping[str, Any] | None = None


class PendingCells:
    """Cells that have not ended, each ready as soon as the one that it reads has a run.

    Attributes:
        ready: Those that can be computed now, in the order of the study.
    """

    def __init__(self, cells: Sequence[Cell], completed: Mapping[str, Any]) -> None:
        """Begin.

        Args:
            cells: Of a study, each after the one that it reads.
            completed: The ids of runs that there are already, by the names of cells; their cells
                need not be among `cells`.
        """
        self._places = {cell.name: number for number, cell in enumerate(cells)}
        self._children: dict[str, list[Cell]] = {}
        self.ready: list[PendingCell] = []
        self._n_left = 0
        for cell in cells:
            if cell.name in completed:
                continue
            self._n_left += 1
            if cell.parent is None:
                self.ready.append(PendingCell(cell))
            elif cell.parent.name in completed:
                self.ready.append(PendingCell(cell, completed[cell.parent.name]))
            else:
                self._children.setdefault(cell.parent.name, []).append(cell)

    @property
    def n_left(self) -> int:
        """How many have not ended."""
        return self._n_left

    def take(self, pending: PendingCell) -> None:
        """Let a cell that was ready be computed."""
        self.ready.remove(pending)

    def complete(self, cell: Cell, run_id: Any) -> None:
        """Let what reads a cell be ready, which was taken and has a run now."""
        self._n_left -= 1
        for child in self._children.pop(cell.name, ()):
            self.put_back(PendingCell(child, run_id))

    def give_up(self, cell: Cell) -> list[Cell]:
        """Let a cell that was taken have no run.

        Returns:
            The cells that rest on it, which will have none either.
        """
        self._n_left -= 1
        lost = self._children.pop(cell.name, [])
        return [each for child in lost for each in (child, *self.give_up(child))]

    def put_back(self, pending: PendingCell) -> None:
        """Let a cell be ready, in its place."""
        bisect.insort(self.ready, pending, key=lambda other: self._places[other.cell.name])

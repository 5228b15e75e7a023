"""What a study will do: which of its cells are stored, and what the others should cost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from nn_clustering.studies._cells import Cell
from nn_clustering.studies._costs import Costs
from nn_clustering.studies._spec import Study
from nn_clustering.studies._stages import Stages
from nn_clustering.studies._stored import StoredCell


@dataclass(frozen=True)
class Plan:
    """A study's cells, before any of them is computed.

    Attributes:
        study: The study.
        cells: All of its cells, each after the one that it reads.
        stored: The runs of those that are stored, by name.
        costs: What cells cost before.
        stages: The study's.
    """

    study: Study
    cells: tuple[Cell, ...]
    stored: Mapping[str, StoredCell]
    costs: Costs
    stages: Stages

    @property
    def to_do(self) -> tuple[Cell, ...]:
        """The cells that have no run yet."""
        return tuple(cell for cell in self.cells if cell.name not in self.stored)

    def lines(self, n_workers: int | None = None) -> list[str]:
        """Return what is to be said beforehand.

        Args:
            n_workers: How many cells go side by side, where that is known.
        """
        n_cells, n_to_do = len(self.cells), len(self.to_do)
        rows: list[tuple[str, ...]] = [("step", "runs", "stored", "to do", "estimate")]
        for step in self.study.steps:
            cells = [cell for cell in self.cells if cell.step == step.name]
            to_do = [cell for cell in cells if cell.name not in self.stored]
            counts = (len(cells), len(cells) - len(to_do), len(to_do))
            rows.append((step.name, *map(str, counts), self._estimate(to_do)))
        widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
        lines = [
            "  ".join(
                text.ljust(width) if column in (0, 4) else text.rjust(width)
                for column, (text, width) in enumerate(zip(row, widths, strict=True))
            ).rstrip()
            for row in rows
        ]
        lines.append(f"{n_cells - n_to_do} of {n_cells} runs are stored; {self._rest(n_workers)}")
        return lines

    def _rest(self, n_workers: int | None) -> str:
        if not self.to_do:
            return "there is nothing to compute"
        seconds, n_unknown = self.costs.total(self.to_do, self.stages)
        if n_unknown == len(self.to_do):
            return "what the rest takes cannot be told: no run of these stages is stored"
        told = f"the rest should take {in_words(seconds)} of computing"
        if n_workers is not None and n_workers > 1:
            told += f", {in_words(seconds / n_workers)} with {n_workers} workers"
        if n_unknown:
            told += f", and {n_unknown} runs of stages of which none is stored"
        return told

    def _estimate(self, to_do: list[Cell]) -> str:
        if not to_do:
            return ""
        seconds, n_unknown = self.costs.total(to_do, self.stages)
        return "unknown" if n_unknown == len(to_do) else in_words(seconds)


def in_words(seconds: float) -> str:
    """Return a time that is roughly known, in words."""
    if seconds < 100:
        return f"some {max(1, round(seconds))} s"
    if seconds < 6000:
        return f"some {round(seconds / 60)} minutes"
    return f"some {seconds / 3600:.1f} hours"

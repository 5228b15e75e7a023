"""What workers are told of cells."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from nn_clustering.studies._cell_orders import CellOrder, Snapshot
from nn_clustering.studies._cells import Cell, full_config
from nn_clustering.studies._costs import Costs
from nn_clustering.studies._spec import merged
from nn_clustering.studies._stages import Stages


@dataclass(frozen=True)
class Orders:
    """Makes the orders for a study's cells.

    Attributes:
        stages: The study's.
        snapshot: Its code.
        store: Tells the store that its runs go into.
        costs: What cells cost before.
        max_resumed: How many times an unfinished run is gone on with.
        reuse: Whether stored runs may stand for new ones, or be gone on with.
    """

    stages: Stages
    snapshot: Snapshot
    store: str
    costs: Costs
    max_resumed: int
    reuse: bool = True

    def order(self, cell: Cell, parent_run: Any = None) -> CellOrder:
        """Return the order for a cell.

        Args:
            cell: The cell.
            parent_run: Id of the run that it reads, if it reads one.
        """
        stage = self.stages[cell.stage]
        config = full_config(cell, self.stages, parent_run)
        link: Mapping[str, Any] = {} if cell.link is None else {cell.link: parent_run}
        return CellOrder(
            name=cell.name,
            stage=cell.stage,
            program=stage.program,
            snapshot=self.snapshot,
            expected_code=stage.expected_code(config),
            code=stage.code_digest(config),
            store=self.store,
            configs=cell.configs,
            updates=merged(cell.updates, link),
            config=config,
            n_threads=config.get("n_threads"),
            n_gpus=cell.needs.gpu,
            expected_seconds=self.costs.seconds(cell, self.stages),
            reuse=self.reuse,
            reads_data=cell.parent is None,
            max_resumed=self.max_resumed,
        )

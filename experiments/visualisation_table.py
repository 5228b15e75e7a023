"""Tests of optimised inputs of several networks in one table, a row for each condition.

python experiments/visualisation_table.py with "visualise_runs=[12,15,18]"
python experiments/visualisation_table.py with "query.tags=['study']" query.since=2d
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from experiments import PROJECT, _network_tables, configure
from nn_clustering import reports
from nn_clustering.tracking import StageExperiment

if TYPE_CHECKING:
    from nn_clustering.tracking import StageRun

experiment = StageExperiment("visualisation_table", base_dir=PROJECT, save_git_info=False)
configure(experiment)


@experiment.stage(
    check=_network_tables.check,
    inputs=lambda run: _network_tables.inputs(run, reports.VISUALISATIONS),
    summary=_network_tables.summary,
)
def visualisation_table(run: StageRun[_network_tables.Inputs]) -> dict[str, Any]:
    """Make the table; the result holds its rows, and the critical p-value over all of them."""
    return _network_tables.store_table(run, "visualisation_table")


if __name__ == "__main__":
    experiment.run_commandline()

"""Measure, then add up."""

import copy
from pathlib import Path

import measure
import total

from nn_clustering.tracking import StageExperiment

PROJECT = Path(__file__).resolve().parents[1]
experiment = StageExperiment("both", base_dir=PROJECT, save_git_info=False)
experiment.configure(
    PROJECT / "configs",
    sources=[PROJECT / "experiments"],
    parts={"measure": ("seed",), "total": ("seed", "measure_run")},
    exclusive_keys=("measure.scale.factor",),
)


@experiment.stage
def both(run):
    """Run both stages."""
    updates = {**copy.deepcopy(dict(run.config["measure"])), "seed": run.seed}
    measured = run.run_part(measure.experiment, updates, run.named_configs)
    updates = {"seed": run.seed, "measure_run": measured._id}
    added = run.run_part(total.experiment, updates, run.named_configs)
    assert {measured.status, added.status} == {"COMPLETED"}
    assert measured.config["seed"] == run.seed
    assert added.info["lineage"] == {"measure_run": measured._id}
    return {"runs": [measured._id, added._id], **added.result}


if __name__ == "__main__":
    experiment.run_commandline()

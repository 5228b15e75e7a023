"""Count, keeping every number, so that another run can go on."""

import os
import time
from pathlib import Path

from nn_clustering.tracking import StageExperiment
from nn_clustering.tracking.stages.experiment import Input

PROJECT = Path(__file__).resolve().parents[1]
experiment = StageExperiment("count", base_dir=PROJECT, save_git_info=False)
experiment.configure(PROJECT / "configs", sources=[PROJECT / "experiments"])


def inputs(run):
    if run.config["resume"] is None:
        return {}
    stored = run.unfinished_run("resume", "count")
    run.adopt_config(stored)
    return {"start": Input(stored, stored.id)}


@experiment.stage(inputs=inputs)
def count(run):
    """Count from 0, or from the last number of another run."""
    number, first = 0.0, 0
    if "start" in run.inputs:
        stored = run.inputs["start"].value
        names = [name for name in stored.artifacts if name.startswith("number_")]
        number = float(stored.artifact(names[-1])) if names else 0.0
        first = len(names)
        for name in names:
            run.add_artifact(name, stored.artifact(name))
    disturbed = int(os.environ.get("SAMPLE_STEP", "1"))
    for step in range(first, run.config["n_steps"]):
        if step == disturbed and "SAMPLE_PAUSE" in os.environ:
            pause = Path(os.environ["SAMPLE_PAUSE"])
            pause.touch()
            while pause.exists():
                time.sleep(0.02)
        number += run.config["step"]["size"] * (1 + run.seed)
        run.add_artifact(f"number_{step}", str(number).encode())
        if step == disturbed and "SAMPLE_STARTED" in os.environ:
            Path(os.environ["SAMPLE_STARTED"]).write_text(str(run.id))
            time.sleep(60)
        if step == disturbed and "SAMPLE_FAILING" in os.environ:
            raise RuntimeError("told to fail")
    return {"number": number, "first": first}


if __name__ == "__main__":
    experiment.run_commandline()

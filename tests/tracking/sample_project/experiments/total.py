"""Add up what a run of measure found."""

import os
import time
from pathlib import Path

from nn_clustering.tracking import StageExperiment
from nn_clustering.tracking.stages.experiment import Input

PROJECT = Path(__file__).resolve().parents[1]
experiment = StageExperiment("total", base_dir=PROJECT, save_git_info=False)
experiment.configure(PROJECT / "configs", sources=[PROJECT / "experiments"])


def inputs(run):
    measured = run.read_run("measure_run", "measure")
    return {"numbers": Input.of_bytes(measured.artifact("numbers.txt"), measured.result["numbers"])}


def summary(run, result):
    print(f"total {result['total']}")


@experiment.stage(inputs=inputs, summary=summary)
def total(run):
    """Add them up."""
    if "SAMPLE_STARTED" in os.environ:
        Path(os.environ["SAMPLE_STARTED"]).touch()
        time.sleep(60)
    return {"total": sum(run.inputs["numbers"].value)}


if __name__ == "__main__":
    experiment.run_commandline()

"""Draw numbers; several seeds at once can wait for each other."""

import os
import random
import time
from pathlib import Path

from nn_clustering.errors import InvalidInputError
from nn_clustering.tracking import StageExperiment

PROJECT = Path(__file__).resolve().parents[1]
THREADS = ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")
experiment = StageExperiment("draw", base_dir=PROJECT, save_git_info=False)
experiment.configure(PROJECT / "configs", sources=[PROJECT / "experiments"])


def check(run):
    if run.config["below"] < 1:
        raise InvalidInputError(f"below={run.config['below']}; expected 1 or more")


def workers(run):
    return run.config["side_by_side"]


@experiment.stage(check=check, inputs=lambda run: {}, workers=workers)
def draw(run):
    """Draw two numbers."""
    if run.seed in run.config["unlucky_seeds"]:
        raise RuntimeError(f"seed {run.seed} is unlucky")
    if "SAMPLE_MEETING" in os.environ:
        _meet(Path(os.environ["SAMPLE_MEETING"]))
    source = random.Random(run.seed)
    first, second = (source.randrange(run.config["below"]) for _ in range(2))
    print(f"drew {first} and {second}")
    return {
        "first": first,
        "both": [first, second],
        "mean": (first + second) / 2,
        "is_even": first % 2 == 0,
        "text": str(first),
        "parts": {"second": second},
        "threads": {name: os.environ.get(name) for name in THREADS},
        **{f"power_{exponent}": first**exponent for exponent in range(2, 8)},
    }


def _meet(folder):
    """Come to the folder, and stay until as many are there as its file `n_runs` says."""
    (folder / f"{os.getpid()}.here").touch()
    while len(list(folder.glob("*.here"))) < int((folder / "n_runs").read_text()):
        time.sleep(0.02)


if __name__ == "__main__":
    experiment.run_commandline()

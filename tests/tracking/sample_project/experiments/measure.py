"""Read numbers from a file and scale them."""

from pathlib import Path

from nn_clustering.errors import InvalidInputError
from nn_clustering.tracking import StageExperiment
from nn_clustering.tracking.stages.experiment import Input

PROJECT = Path(__file__).resolve().parents[1]
experiment = StageExperiment("measure", base_dir=PROJECT, save_git_info=False)
experiment.configure(
    PROJECT / "configs", sources=[PROJECT / "experiments"], exclusive_keys=("scale.factor",)
)


def inputs(run):
    path = PROJECT / run.config["file"]
    if not path.is_file():
        raise InvalidInputError(f"file={run.config['file']}; expected a file that is there")
    content = path.read_bytes()
    return {"numbers": Input.of_bytes(content, [float(line) for line in content.split()])}


def summary(run, result):
    print(f"largest {max(result['numbers'])}")
    run.suggest(f"python experiments/total.py with measure_run={run.id}")


@experiment.stage(inputs=inputs, summary=summary)
def measure(run):
    """Scale the numbers."""
    numbers = run.inputs["numbers"].value
    if numbers == [13.0]:
        raise RuntimeError("an unlucky number")
    print("measuring")
    factor = run.config["scale"]["factor"]
    run.add_artifact("numbers.txt", str(numbers).encode())
    return {"numbers": [number * factor / 3 + run.seed for number in numbers]}


if __name__ == "__main__":
    experiment.run_commandline()

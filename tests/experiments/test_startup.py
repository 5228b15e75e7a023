"""What a command imports that computes nothing: what takes seconds comes in when it is needed."""

from tests.programs import environment, run_python

SLOW = {
    "IPython", "PIL", "git", "joblib", "keras", "matplotlib", "networkx", "pymongo", "scipy",
    "sklearn", "sknetwork", "tensorflow", "tensorflow_datasets", "threadpoolctl",
}  # fmt: skip

PRINT_EVERY_CONFIG = """
import importlib, pkgutil, sys
import experiments

stages = [name for _, name, _ in pkgutil.iter_modules(experiments.__path__) if name[0] != "_"]
assert len(stages) >= 10, stages
for name in stages:
    importlib.import_module(f"experiments.{name}").experiment.run("print_config")
"""

REFUSE = """
import sys
from experiments import cluster, lesion, pipeline, shuffle_test, train
from nn_clustering.errors import InvalidInputError

for stage, wrong in (
    (train, {"training.epochs": 0}),
    (cluster, {"train_run": 1, "n_clusters": 1}),
    (shuffle_test, {"cluster_run": 1, "n_shuffles": 0}),
    (lesion, {"cluster_run": 1, "n_shuffles": -1}),
):
    try:
        stage.experiment.run(config_updates=wrong)
    except InvalidInputError:
        continue
    raise AssertionError(f"{wrong} was not refused")
"""

SAY_WHAT_IS_IMPORTED = """
print("imported:", *{name.split(".")[0] for name in sys.modules}, file=sys.stderr)
"""


def imported_by(code, home):
    finished = run_python(["-c", code + SAY_WHAT_IS_IMPORTED], environment(home))
    assert finished.returncode == 0, finished.stderr
    told = finished.stderr.splitlines()[-1]
    assert told.startswith("imported: ")
    return set(told.split())


def test_configs_are_printed_without_what_computes(tmp_path):
    imported = imported_by(PRINT_EVERY_CONFIG, tmp_path)
    assert "sacred" in imported
    assert sorted(SLOW & imported) == []


def test_configs_are_refused_without_what_computes(tmp_path):
    imported = imported_by(REFUSE, tmp_path)
    assert "sacred" in imported
    assert sorted((SLOW - {"pymongo"}) & imported) == []


def test_notes_of_tensorflow_do_not_stand_among_the_lines_of_a_stage(run_experiment, runs):
    clustered, trained = runs["cluster"].id, runs["train"].id
    for stage, *options in (
        ("lesion", f"cluster_run={clustered}", "fast", "seed=41"),
        ("cluster", f"train_run={trained}", "activations", "fast", "n_clusters=3", "seed=41"),
    ):
        finished = run_experiment(stage, "with", *options, in_new_interpreter=True)
        assert finished.returncode == 0, finished.stderr
        lines = finished.stderr.splitlines()
        assert [line for line in lines if not line.startswith("INFO - ")] == [], stage

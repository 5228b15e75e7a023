"""What counts as a stage's code: all that it loads, and nothing that it cannot load."""

import json
from pathlib import Path

import pytest

from experiments import (
    agreement,
    choose_k,
    cluster,
    lesion,
    lesion_table,
    pipeline,
    random_init,
    shuffle_test,
    study,
    train,
)
from nn_clustering.tracking.own_code import can_change_numbers
from nn_clustering.tracking.package_versions import counted_versions
from tests.experiments.conftest import DATABASE, PIPELINE_OPTIONS
from tests.programs import PROJECT, environment, run_warm

STAGES = {
    stage.experiment.path: stage.experiment
    for stage in (
        agreement, choose_k, cluster, lesion, lesion_table, pipeline, random_init, shuffle_test,
        study, train,
    )
}  # fmt: skip
# A run of each that computes; {stage} stands for the run of a stage of the pipeline.
COMMANDS = {
    "agreement": ["fast", "cluster_run={cluster}", "other_run={cluster}"],
    "choose_k": ["fast", "cluster_run={cluster}"],
    "cluster": ["fast", "train_run={train}"],
    "lesion": ["fast", "cluster_run={cluster}"],
    "lesion_table": ["fast", "lesion_runs=[{lesion}]"],
    "pipeline": PIPELINE_OPTIONS[1:],
    "random_init": ["fast"],
    "shuffle_test": ["fast", "cluster_run={cluster}"],
    "study": ["fast"],
    "train": ["mlp", "digits", "pruned", "fast", "l2", "training.epochs=1"],
}


def own_files(stage):
    """The files that count as a stage's code, by their names from the project's folder."""
    sources = [PROJECT / name for name, _ in STAGES[stage].get_experiment_info()["sources"]]
    return {str(path.relative_to(PROJECT)) for path in sources if can_change_numbers(path)}


def test_every_stage_is_looked_at():
    programs = {path.stem for path in (PROJECT / "experiments").glob("[!_]*.py")}
    assert set(STAGES) == set(COMMANDS) == programs


@pytest.mark.parametrize("stage", STAGES)
def test_everything_that_a_run_loads_counts(stage, home, runs, tmp_path):
    ids = {name: run.id for name, run in runs.items()}
    options = [option.format(**ids) for option in COMMANDS[stage]]
    if stage not in ("pipeline", "study"):  # these always run
        options.append("reuse=False")
    told = tmp_path / "loaded"
    program = [
        PROJECT / "tests" / "loaded_program.py",
        told,
        PROJECT / "experiments" / f"{stage}.py",
    ]
    finished = run_warm(
        [*program, "with", *options], environment(home, MONGO_DB=DATABASE), computes=True
    )
    assert finished.returncode == 0, finished.stderr
    loaded = [Path(file).resolve() for file in json.loads(told.read_text())]
    own = {
        str(path.relative_to(PROJECT))
        for path in loaded
        if any(path.is_relative_to(PROJECT / name) for name in ("nn_clustering", "experiments"))
        and can_change_numbers(path)
    }
    assert f"experiments/{'_keras' if stage == 'train' else '__init__'}.py" in own
    assert own - own_files(stage) == set()


@pytest.mark.parametrize(
    ("stage", "others"),
    [
        ("train", ["experiments/cluster.py", "experiments/_graphs.py"]),
        ("train", ["nn_clustering/reports/_lesion_table.py", "nn_clustering/reports/drawing/"]),
        ("train", ["nn_clustering/partitions/", "nn_clustering/significance/"]),
        ("train", ["nn_clustering/lesions/", "nn_clustering/datasets/__main__.py"]),
        ("cluster", ["experiments/train.py", "nn_clustering/training/_epochs.py"]),
        ("cluster", ["nn_clustering/lesions/", "nn_clustering/reports/_learning_curve_figures.py"]),
        ("shuffle_test", ["nn_clustering/lesions/", "nn_clustering/reports/drawing/"]),
        ("lesion", ["nn_clustering/training/_epochs.py", "nn_clustering/partitions/_spectral.py"]),
        ("lesion_table", ["nn_clustering/training/", "nn_clustering/networks/_builders.py"]),
    ],
)
def test_what_a_stage_cannot_load_does_not_count(stage, others):
    assert [name for name in own_files(stage) if name.startswith(tuple(others))] == []
    assert all((PROJECT / other).exists() for other in others)


@pytest.mark.parametrize("stage", STAGES)
def test_how_runs_are_stored_counts_for_none_and_is_stored_with_all(stage):
    assert not [name for name in own_files(stage) if name.startswith("nn_clustering/tracking/")]
    stored = {name for name, _ in STAGES[stage].get_experiment_info()["sources"]}
    assert "nn_clustering/tracking/stages/execution.py" in stored


@pytest.mark.parametrize("stage", STAGES)
def test_packages_count_that_compute(stage):
    counted = counted_versions(STAGES[stage]._own_code.packages)
    assert "numpy" in counted
    assert set(counted).isdisjoint(
        {"sacred", "pymongo", "tqdm", "matplotlib", "lazy-loader", "pooch", "rich", "requests"}
    )
    if stage == "train":
        assert {"keras", "tensorflow", "scipy", "networkx", "tensorflow-datasets"} <= set(counted)
        assert {"h5py", "ml-dtypes"} <= set(counted)  # keras' and tensorflow's own
        assert "scikit-learn" not in counted
    if stage == "cluster":
        assert {"scikit-learn", "scikit-network", "keras", "tensorflow"} <= set(counted)

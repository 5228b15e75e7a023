"""What counts as a stage's code: all that it loads, and nothing that it cannot load."""

import json
import os
import shutil
from pathlib import Path

import gridfs
import pytest

from experiments import (
    agreement,
    choose_k,
    cluster,
    import_network,
    lesion,
    lesion_table,
    pipeline,
    random_init,
    report,
    shuffle_test,
    study,
    train,
    visualisation_table,
    visualise,
)
from nn_clustering.networks import network_of_run
from nn_clustering.tracking.own_code import can_change_numbers
from nn_clustering.tracking.package_versions import counted_versions
from tests.experiments.conftest import DATABASE, PIPELINE_OPTIONS
from tests.programs import PROJECT, environment, run_python, run_warm

STAGES = {
    stage.experiment.path: stage.experiment
    for stage in (
        agreement, choose_k, cluster, import_network, lesion, lesion_table, pipeline, random_init,
        report, shuffle_test, study, train, visualisation_table, visualise,
    )
}  # fmt: skip
# A run of each that computes; {stage} stands for the run of a stage of the pipeline.
COMMANDS = {
    "agreement": ["fast", "cluster_run={cluster}", "other_run={other}"],
    "choose_k": ["fast", "cluster_run={cluster}"],
    "cluster": ["fast", "train_run={train}"],
    "import_network": ["fast", "resnet18"],
    "lesion": ["fast", "cluster_run={cluster}"],
    "lesion_table": ["fast", "lesion_runs=[{lesion}]"],
    "pipeline": PIPELINE_OPTIONS[1:],
    "random_init": ["fast"],
    "report": ["fast", "quick"],
    "shuffle_test": ["fast", "cluster_run={cluster}"],
    "study": ["fast", "quick"],
    "train": ["mlp", "digits", "pruned", "fast"],
    "visualisation_table": ["fast", "visualise_runs=[{visualise}]"],
    "visualise": ["fast", "cluster_run={cluster}"],
}


def own_files(stage):
    """The files that count as a stage's code, by their names from the project's folder."""
    sources = [PROJECT / name for name, _ in STAGES[stage].get_experiment_info()["sources"]]
    return {str(path.relative_to(PROJECT)) for path in sources if can_change_numbers(path)}


def test_every_stage_is_looked_at():
    programs = {path.stem for path in (PROJECT / "experiments").glob("[!_]*.py")}
    assert set(STAGES) == set(COMMANDS) == programs


@pytest.mark.parametrize("stage", STAGES)
def test_everything_that_a_run_loads_counts(stage, home, runs, run_experiment, tmp_path):
    ids = {name: run.id for name, run in runs.items()}
    if stage == "agreement":
        other = run_experiment("cluster", "with", "fast", f"train_run={ids['train']}", "seed=8")
        ids["other"] = other.run_id
    if stage == "report":
        assert run_experiment("study", "with", *COMMANDS["study"]).returncode == 0
    options = [option.format(**ids) for option in COMMANDS[stage]]
    if stage not in ("pipeline", "report", "study"):  # these always run
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


@pytest.fixture(scope="module")
def changed(tmp_path_factory):
    """For each edit of a copy of the project, the stages whose code it makes another."""
    folder = tmp_path_factory.mktemp("a project")
    for name in ("nn_clustering", "experiments", "configs"):
        left_out = shutil.ignore_patterns("__pycache__")
        shutil.copytree(PROJECT / name, folder / name, ignore=left_out)
    program = ["-c", EDIT_AND_LOOK, *STAGES, "-", *EDITS]
    finished = run_python(program, {**os.environ, "PYTHONPATH": str(folder)}, cwd=folder)
    assert finished.returncode == 0, finished.stderr
    return json.loads(finished.stdout)


EDIT_AND_LOOK = """
import json, sys
from pathlib import Path
from nn_clustering.tracking.own_code import own_code

split = sys.argv.index("-")
stages, edits, here = sys.argv[1:split], sys.argv[split + 1:], Path.cwd()

def digests():
    packages = ["nn_clustering", "experiments"]
    found = {name: own_code(here / f"experiments/{name}.py", here, packages) for name in stages}
    return {name: code.digest(here) for name, code in found.items()}

before, changed = digests(), {}
for edit in edits:
    content = Path(edit).read_text()
    more = "from ._figures import new as new" if edit.endswith(".pyi") else "# edited"
    Path(edit).write_text(f"{content}{more}\\n")
    after = digests()
    changed[edit] = [name for name in stages if after[name] != before[name]]
    Path(edit).write_text(content)
assert digests() == before
print(json.dumps(changed))
"""
TRAINING = {"train", "pipeline", "report", "study"}
CLUSTERING = {"cluster", "pipeline", "report", "study"}
LESIONS = {"lesion", "pipeline", "report", "study"}
INPUTS = {"visualise", "pipeline", "report", "study"}
WITH_TABLES = {"report", "study"}
EDITS = {
    "nn_clustering/tracking/command_line/listing.py": set(),
    "nn_clustering/tracking/stages/reuse.py": set(),
    "nn_clustering/reports/__init__.pyi": set(),
    "nn_clustering/datasets/__main__.py": set(),
    "nn_clustering/reports/_lesion_table.py": {"lesion_table", *WITH_TABLES},
    "nn_clustering/reports/_visualisation_table.py": {"visualisation_table", *WITH_TABLES},
    "nn_clustering/reports/_network_table.py": {
        *("lesion_table", "visualisation_table"), *WITH_TABLES,
    },
    "nn_clustering/reports/page/_page.py": {"report"},
    "nn_clustering/reports/_lesion_figures.py": LESIONS,
    "nn_clustering/reports/_learning_curve_figures.py": TRAINING,
    "nn_clustering/reports/_cluster_figures.py": CLUSTERING,
    "nn_clustering/training/_steps.py": TRAINING,
    "nn_clustering/lesions/_engine.py": LESIONS,
    "nn_clustering/partitions/_kmeans.py": {
        *("choose_k", "random_init", "shuffle_test"), *CLUSTERING,
    },
    "experiments/lesion.py": LESIONS,
    "nn_clustering/visualisation/_input_optimiser.py": INPUTS,
    "experiments/_visualise_steps.py": INPUTS,
    "experiments/_sub_cluster_tests.py": LESIONS | INPUTS,
    "experiments/_chosen_null_model.py": {"shuffle_test", "pipeline", "report", "study"},
    "nn_clustering/seeds.py": set(STAGES),
}  # fmt: skip


@pytest.mark.parametrize("edit", EDITS)
def test_edit_makes_those_stages_others_that_load_the_file(edit, changed):
    assert set(changed[edit]) == EDITS[edit]


OWN_NETWORK = """
import keras


def wide(input_shape, n_outputs):
    from my_blocks import WIDTH

    return keras.Sequential([
        keras.Input(input_shape),
        keras.layers.Flatten(),
        keras.layers.Dense(WIDTH, activation="relu"),
        keras.layers.Dense(n_outputs, activation="softmax"),
    ])
"""


def test_change_in_what_a_network_of_ones_own_imports_makes_a_run_anew(
    home, store, tmp_path, monkeypatch
):
    """It was used again, with the former module's network."""
    (tmp_path / "my_nets.py").write_text(OWN_NETWORK)
    program = [PROJECT / "experiments" / "train.py", "with", "fast", "digits"]
    environ = environment(home, MONGO_DB=DATABASE, PYTHONDONTWRITEBYTECODE="1")
    found = []
    for width in (5, 7, 5):
        (tmp_path / "my_blocks.py").write_text(f"WIDTH = {width}")
        options = ["network.kind=my_nets.wide", "training.epochs=1"]
        finished = run_warm([*program, *options], environ, computes=True, cwd=tmp_path)
        assert finished.returncode == 0, finished.stderr
        found.append((store.run("latest", experiment="train").id, "using" in finished.stdout))
    (first, _), (second, _), _ = found
    assert found == [(first, False), (second, False), (second, True)]
    for run_id, width in ((first, 5), (second, 7)):
        run = store.run(run_id)
        assert network_of_run(run, "unpruned").layers[-2].units == width
        # Told without a run, from the same folder; as it was when this was first asked for.
        (tmp_path / "my_blocks.py").write_text(f"WIDTH = {width}")
        monkeypatch.chdir(tmp_path)
        assert train.experiment.code_digest(run.config) == store.run(first).info["code"]
        document = store.database["runs"].find_one({"_id": run_id})
        names = {Path(name).name: file for name, file in document["experiment"]["sources"]}
        content = gridfs.GridFS(store.database).get(names["my_blocks.py"]).read()
        assert content == f"WIDTH = {width}".encode()
        assert "my_nets.py" in names


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
        ("lesion", ["nn_clustering/visualisation/", "experiments/_visualise_steps.py"]),
        (
            "visualise",
            ["nn_clustering/lesions/_engine.py", "nn_clustering/partitions/_spectral.py"],
        ),
        ("lesion_table", ["nn_clustering/training/", "nn_clustering/networks/_builders.py"]),
        ("visualisation_table", ["nn_clustering/training/", "nn_clustering/visualisation/"]),
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


def test_stored_sources_are_whole(tmp_path):
    """With the configs, which are stored as artifacts, they train by themselves."""
    for name, _ in train.experiment.get_experiment_info()["sources"]:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(PROJECT / name, path)
    shutil.copytree(PROJECT / "configs" / "train", tmp_path / "configs" / "train")
    (tmp_path / "pyproject.toml").touch()  # it is a checkout
    told = tmp_path / "loaded"
    program = [PROJECT / "tests" / "loaded_program.py", told, tmp_path / "experiments" / "train.py"]
    environ = {**os.environ, "PYTHONPATH": str(tmp_path)}
    options = ["-u", "with", "fast", "mlp", "digits"]
    finished = run_warm([*program, *options], environ, computes=True, cwd=tmp_path)
    assert finished.returncode == 0, finished.stderr
    own = [file for file in json.loads(told.read_text()) if "nn_clustering/" in file]
    assert all(file.startswith(str(tmp_path)) for file in own)
    assert len(own) > 50


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

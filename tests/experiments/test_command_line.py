"""Sacred's own command line, and the ends that a run can come to."""

import shutil
import signal
import subprocess
import sys

import pytest
import yaml

from tests.experiments.conftest import DATABASE, wait_for
from tests.programs import PROJECT, environment, run_warm

EXPERIMENTS = (
    "train", "cluster", "shuffle_test", "lesion", "visualise", "pipeline", "study",
    "report", "random_init", "choose_k", "agreement", "lesion_table", "visualisation_table",
)  # fmt: skip


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_print_config_help_and_named_configs(run_experiment, experiment):
    for arguments, expected in (
        (["print_config"], "seed = 0"),
        (["-h"], "usage"),
        (["print_named_configs"], "fast"),
        (["print_config", "-l", "DEBUG"], "seed = 0"),
    ):
        finished = run_experiment(experiment, *arguments)
        assert finished.returncode == 0, finished.stderr
        assert expected in (finished.stdout + finished.stderr).lower()


def test_print_named_configs_says_what_each_is(run_experiment):
    for experiment in ("cluster", "pipeline"):
        finished = run_experiment(experiment, "print_named_configs")
        lines = [line for line in finished.stdout.splitlines() if line.startswith("  ")]
        assert len(lines) > 2
        for line in lines:
            assert "   # " in line  # one line each, with the first comment of its file
        assert any("by the Leiden algorithm" in line for line in lines)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["digits"], "digits is no command; expected a `with` before it: with digits"),
        (["n_clusters=8"], "expected a `with` before it: with n_clusters=8"),
        (["print_confg"], "print_confg is no command (did you mean print_config"),
        (["wiht", "leiden"], "wiht leiden is no command line; expected [COMMAND] [with "),
        (["with", "leiden", "--fast"], "with leiden --fast is no command line; expected [COM"),
        (["with", "leiden", "-l"], "with leiden -l is no command line; expected [COM"),
    ],
)
def test_malformed_commands_are_refused_in_one_line(run_experiment, arguments, expected):
    stage = "train" if arguments == ["digits"] else "cluster"
    finished = run_experiment(stage, *arguments)
    assert finished.returncode == 1
    assert finished.stdout == ""
    (line,) = finished.stderr.splitlines()
    assert line.startswith("Error: ")
    assert expected in line


def test_unknown_key_of_a_file_is_refused_by_file_and_key(run_experiment, tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("training: {epoch: 3}")
    finished = run_experiment("train", "with", path)
    assert finished.returncode == 1
    assert f"{path}: training.epoch=3: train has no such key (did you mean" in finished.stderr


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_every_key_is_documented(experiment):
    lines = (PROJECT / "configs" / experiment / "default.yaml").read_text().splitlines()
    explained = False
    for line in lines:
        text = line.strip()
        if text.startswith("#"):
            explained = True
        elif not text:
            explained = False
        elif not text.endswith(":"):
            assert explained, f"{experiment}: {text} has no comment above it"


def test_yaml_file_adds_a_named_config(home, tmp_path):
    for folder in ("nn_clustering", "experiments", "configs"):
        shutil.copytree(
            PROJECT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__")
        )
    shutil.copy(PROJECT / "pyproject.toml", tmp_path)  # by which a checkout is known
    path = tmp_path / "configs" / "train" / "added.yaml"
    path.write_text(yaml.safe_dump({"training": {"epochs": 77}}))
    environ = environment(home, PYTHONPATH=f"{tmp_path}:{PROJECT}")
    for stage in ("train", "pipeline"):
        program = tmp_path / "experiments" / f"{stage}.py"
        finished = run_warm([program, "print_config", "with", "added"], environ, cwd=tmp_path)
        assert "epochs = 77" in finished.stdout, finished.stderr


def test_comment_tag_and_sources_are_stored(run_experiment, store):
    options = ["with", "fast", "reuse=False", "tags=first"]
    finished = run_experiment("train", "--comment", "a first try", *options)
    assert finished.returncode == 0, finished.stderr
    run_id = finished.run_id
    document = store.database["runs"].find_one({"_id": run_id})
    assert document["meta"]["comment"] == "a first try"
    assert document["config"]["tags"] == ["first"]
    assert "test accuracy" in document["captured_out"]
    assert len(document["experiment"]["sources"]) > 40


@pytest.mark.parametrize("signal_number", [signal.SIGTERM, signal.SIGINT])
def test_interrupted_run_is_marked_so(home, store, signal_number):
    arguments = ["with", "training.epochs=100000", f"seed={int(signal_number)}"]
    process = subprocess.Popen(
        [sys.executable, PROJECT / "experiments" / "train.py", *arguments],
        env=environment(home, MONGO_DB=DATABASE),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    running = {"experiment": "train", "status": "RUNNING", "config": {"seed": int(signal_number)}}
    wait_for(lambda: store.find(**running) or process.poll() is not None)
    (found,) = store.find(**running)
    wait_for(lambda: store.database["metrics"].count_documents({"run_id": found.id}))
    process.send_signal(signal_number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert "Traceback" not in errors
    assert f"interrupted: resume={found.id} goes on" in errors
    interrupted = store.run(found.id, status="INTERRUPTED")
    steps = interrupted.metric("unpruned.test.accuracy")["step"].tolist()
    assert steps == list(range(1, len(steps) + 1))

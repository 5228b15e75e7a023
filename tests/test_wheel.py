"""An installed wheel, in a virtual environment of its own, used from a folder of the user's."""

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from tests.programs import PROJECT

# What a wheel is made of.
PARTS = ("nn_clustering", "experiments", "configs", "devops")
FILES = ("pyproject.toml", "setup.py", "README.md")
LEFT_OUT = ("node_modules", "__pycache__", "*.egg-info")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel, built of a copy: setuptools leaves its work in the folder that it builds."""
    folder = tmp_path_factory.mktemp("wheel")
    for name in PARTS:
        shutil.copytree(
            PROJECT / name, folder / "source" / name, ignore=shutil.ignore_patterns(*LEFT_OUT)
        )
    for name in FILES:
        shutil.copy(PROJECT / name, folder / "source")
    pip("wheel", "--no-deps", "--no-build-isolation", "-w", folder, folder / "source")
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def programs(wheel, tmp_path_factory):
    """The folder of the programs of a virtual environment that the wheel is installed into.

    What the wheel requires is that of the tests: to install it once more takes minutes.
    """
    venv = tmp_path_factory.mktemp("venv")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", venv], check=True)
    python = venv / "bin" / "python"
    (site,) = venv.glob("lib/python*/site-packages")
    # A folder that a .pth file names is searched after the environment's own, and the .pth files
    # there, as that of a checkout installed with -e, are not read.
    (site / "required.pth").write_text(f"{sysconfig.get_path('purelib')}\n")
    pip("--python", python, "install", "--no-deps", "--no-index", wheel)
    return venv / "bin"


@pytest.fixture(scope="module")
def run(programs, tmp_path_factory):
    """Runs a program of that environment in a folder of its own, ``run.folder``."""
    folder = tmp_path_factory.mktemp("folder of a user")
    others = ("PYTHON", "MONGO_", "NN_CLUSTERING_", "COLUMNS", "LINES")
    environ = {name: text for name, text in os.environ.items() if not name.startswith(others)}

    def run(program, *arguments):
        command = [str(programs / program), *map(str, arguments)]
        return subprocess.run(
            command, cwd=folder, env=environ, capture_output=True, text=True, check=False
        )

    run.folder = folder
    yield run
    run("nn-clustering", "down")


@pytest.fixture(scope="module")
def trained(run):
    """A training in the folder, the one of its server that is new."""
    finished = run("python", "-m", "experiments.train", "with", "mlp", "digits", "fast")
    assert finished.returncode == 0, finished.stderr
    return finished


def pip(*arguments):
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pip",
            "--quiet",
            "--disable-pip-version-check",
            *map(str, arguments),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_package_is_that_of_the_wheel(run, programs):
    finished = run("python", "-c", "import nn_clustering as n; print(n.__file__)")
    assert finished.stdout.startswith(str(programs.parent)), finished.stderr


def test_stage_finds_its_configs_from_any_folder(run):
    finished = run("python", "-m", "experiments.train", "print_config", "with", "cnn", "mnist")
    assert finished.returncode == 0, finished.stderr
    assert "kind = 'cnn'" in finished.stdout
    assert "name = 'mnist'" in finished.stdout


def test_configs_of_the_folder_come_on_top(run):
    configs = run.folder / "configs" / "train"
    configs.mkdir(parents=True)
    (configs / "mine.yaml").write_text("training:\n  epochs: 1234\n")
    (configs / "fast.yaml").write_text("training:\n  epochs: 4321\n")
    try:
        command = ("python", "-m", "experiments.train", "print_config", "with", "mlp")
        assert "epochs = 1234" in run(*command, "mine").stdout
        assert "epochs = 4321" in run(*command, "fast").stdout
    finally:
        shutil.rmtree(run.folder / "configs")


def test_training_is_tracked_in_the_folder(run, trained):
    assert (run.folder / ".mongo").is_dir()
    assert "next: python -m experiments.cluster with train_run=1" in trained.stdout
    listed = run("nn-clustering", "list", "--experiment", "train")
    assert listed.returncode == 0, listed.stderr
    assert "COMPLETED" in listed.stdout


def test_training_is_known_again(run, trained):
    again = run("python", "-m", "experiments.train", "with", "mlp", "digits", "fast")
    assert "using train run 1: same config, inputs and code" in again.stdout, again.stderr


def test_datasets_are_looked_for_in_the_folder(run):
    finished = run("python", "-m", "nn_clustering.datasets", "list")
    assert finished.returncode == 0, finished.stderr
    assert "digits" in finished.stdout
    folders = "from nn_clustering.datasets._data_files import dataset_folders as f; print(*f())"
    assert run("python", "-c", folders).stdout.strip() == str(run.folder / "datasets")


def test_columns_of_omniboard_are_those_of_the_wheel(run, programs):
    code = "from nn_clustering.tracking.omniboard.column_presets import columns_file as f\n"
    found = run("python", "-c", f"{code}from pathlib import Path\nprint(f(Path.cwd()))")
    path = Path(found.stdout.strip())
    assert path.is_relative_to(programs.parent), found.stderr
    assert path.parts[-3:] == ("experiments", "configs", "omniboard_columns.yaml")


def test_wheel_brings_the_templates_of_pages(run, programs):
    code = "from nn_clustering.reports.page import _html\nprint(*sorted(_html.TEMPLATES.iterdir()))"
    found = run("python", "-c", code)
    paths = [Path(path) for path in found.stdout.split()]
    assert all(path.is_relative_to(programs.parent) for path in paths), found.stderr
    assert [path.name for path in paths] == ["page.css", "page.html.j2", "page.js"]


def test_wheel_brings_what_runs_omniboard(run, programs):
    (package,) = programs.parent.glob(
        "lib/*/site-packages/nn_clustering/tracking/omniboard/package"
    )
    brought = {path.name for path in package.iterdir()}
    needed = {path.name for path in (PROJECT / "devops" / "omniboard").glob("*.js*")}
    assert {"guard.js", "package-lock.json"} < needed
    assert needed == brought - {"__pycache__"}

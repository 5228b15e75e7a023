"""`python -m nn_clustering.tracking`, as a user types it."""

import shutil
import subprocess
import sys

import pytest

from nn_clustering.tracking import omniboard_address
from tests.programs import PROJECT, environment, run_python

COMMAND = ["-m", "nn_clustering.tracking"]
COLUMNS = "config_columns: [{{name: {}, config_path: result.ncut}}]"


def test_up_status_down(own_home):
    environ = environment(own_home)
    up = run_python([*COMMAND, "up"], environ)
    assert up.returncode == 0, up.stderr
    assert "MongoDB:   127.0.0.1:" in up.stdout
    if shutil.which("node"):
        assert omniboard_address(own_home) is not None
        assert f"Omniboard: {omniboard_address(own_home)}" in up.stdout
    status = run_python([*COMMAND, "status"], environ)
    assert "database nn_clustering (embedded), 0 runs" in status.stdout
    down = run_python([*COMMAND, "down"], environ)
    assert down.stdout.count("stopped") == (2 if shutil.which("node") else 1)
    again = run_python([*COMMAND, "down"], environ)
    assert again.returncode == 0
    assert again.stdout.count("was not running") == 2


def test_status_starts_nothing(tmp_path):
    status = run_python([*COMMAND, "status"], environment(tmp_path))
    assert status.returncode == 0
    assert status.stdout.count("not running") == 2
    assert list(tmp_path.iterdir()) == []


def test_up_without_a_mongod_is_one_line(tmp_path):
    (tmp_path / ".mongo").write_text("in the way")
    up = run_python([*COMMAND, "up"], environment(tmp_path))
    assert up.returncode == 1
    assert up.stdout == ""
    assert up.stderr.count("\n") == 1


def test_package_imports_neither_tensorflow_nor_sacred(tmp_path):
    script = (
        "import sys; from nn_clustering.tracking import RunStore, resolve_server; "
        "assert not {'tensorflow', 'sacred', 'keras'} & set(sys.modules)"
    )
    ended = run_python(["-c", script], environment(tmp_path))
    assert ended.returncode == 0, ended.stderr


def test_mistakes_name_the_help_as_it_was_started(tmp_path):
    script = tmp_path / "nn-clustering"
    script.write_text("from nn_clustering.tracking.command_line.main import run\nrun()\n")
    environ = environment(tmp_path)
    as_script = subprocess.run(
        [sys.executable, script, "show"], env=environ, capture_output=True, text=True, check=False
    )
    assert as_script.returncode == 2
    assert as_script.stderr.endswith("; see `nn-clustering show --help`\n")
    as_module = run_python([*COMMAND, "show"], environ)
    assert as_module.stderr.endswith("see `python -m nn_clustering.tracking show --help`\n")


def test_help_imports_no_driver_and_no_tables(tmp_path):
    script = (
        "import sys; from nn_clustering.tracking.command_line.main import build_parser; "
        "build_parser('nn-clustering').format_help(); "
        "print({'pymongo', 'bson', 'pandas', 'numpy', 'sacred', 'yaml', 'shtab'} & {*sys.modules})"
    )
    ended = run_python(["-c", script], environment(tmp_path))
    assert ended.stdout == "set()\n", ended.stderr


@pytest.fixture
def without_node(tmp_path):
    """The folder of a PATH with a mongod and no Node.js, so that no page is started."""
    folder = tmp_path / "bin"
    folder.mkdir()
    if mongod := shutil.which("mongod"):
        (folder / "mongod").symlink_to(mongod)
    return folder


@pytest.fixture
def up(database, server, without_node, tmp_path):
    """Types `up` in a project of no columns; returns the finished process."""

    def up(*arguments):
        environ = environment(
            tmp_path, MONGO_URL=server.url, MONGO_DB=database.name, PATH=str(without_node)
        )
        return run_python([*COMMAND, "up", *arguments], environ, cwd=tmp_path)

    return up


def columns_of(database):
    return [column["name"] for column in database["omniboard.custom.columns"].find()]


def test_up_takes_columns_from_a_file(up, database, tmp_path):
    (tmp_path / "mine.yaml").write_text(COLUMNS.format("own"))
    ended = up("--columns", "mine.yaml")
    assert ended.returncode == 0, ended.stderr
    assert columns_of(database) == ["own"]


def test_up_finds_the_columns_of_the_project(up, database, tmp_path):
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "omniboard_columns.yaml").write_text(COLUMNS.format("the project's"))
    assert up().returncode == 0
    assert columns_of(database) == ["the project's"]


def test_up_refuses_a_file_that_is_not_there(up, database):
    ended = up("--columns", "nowhere.yaml")
    assert ended.returncode == 1
    assert ended.stderr.startswith("nowhere.yaml cannot be read")
    assert ended.stderr.count("\n") == 1
    assert columns_of(database) == []


@pytest.fixture
def installed(server, database, without_node, tmp_path):
    """A copy of the package as pip installs it; runs Python with it in a folder."""
    site = tmp_path / "site-packages"
    shutil.copytree(
        PROJECT / "nn_clustering",
        site / "nn_clustering",
        ignore=shutil.ignore_patterns("__pycache__"),
    )
    environ = environment(tmp_path, MONGO_URL=server.url, MONGO_DB=database.name)
    environ.update(PATH=str(without_node), PYTHONPATH=str(site))
    del environ["NN_CLUSTERING_HOME"]

    def installed(*arguments, cwd):
        ended = run_python(arguments, environ, cwd=cwd)
        assert ended.returncode == 0, ended.stderr
        return ended

    installed.site = site
    return installed


@pytest.fixture
def foreign_project(tmp_path):
    """A project that has runs, and no configs."""
    folder = tmp_path / "foreign project"
    (folder / "scripts").mkdir(parents=True)
    (folder / ".mongo").mkdir()
    return folder


def test_installed_package_finds_the_project_from_the_current_folder(installed, foreign_project):
    script = "import nn_clustering.tracking as t; print(t.__file__); print(t.project_root())"
    told = installed("-c", script, cwd=foreign_project / "scripts").stdout.splitlines()
    package = installed.site / "nn_clustering" / "tracking" / "__init__.py"
    assert told == [str(package), str(foreign_project)]
    assert installed("-c", script, cwd="/").stdout.splitlines()[1] == "/"


def test_installed_package_serves_a_foreign_project(installed, foreign_project):
    ended = installed(*COMMAND, "up", cwd=foreign_project)
    assert "MongoDB:" in ended.stdout


def test_columns_come_from_a_package_that_names_itself_for_it(installed, foreign_project, database):
    metadata = installed.site / "theirs-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: theirs\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(
        "[nn_clustering.omniboard]\nbefore = half_removed.part\ncolumns = theirs\n"
    )
    (installed.site / "theirs" / "configs").mkdir(parents=True)
    columns = installed.site / "theirs" / "configs" / "omniboard_columns.yaml"
    columns.write_text(COLUMNS.format("packaged"))
    installed(*COMMAND, "up", cwd=foreign_project)
    assert columns_of(database) == ["packaged"]
    # The project's own come first.
    (foreign_project / "configs").mkdir()
    (foreign_project / "configs" / "omniboard_columns.yaml").write_text(COLUMNS.format("own"))
    installed(*COMMAND, "up", cwd=foreign_project)
    assert "own" in columns_of(database)


NPM = """#!/bin/sh
cp package-lock.json asked.json
echo 'npm was asked' >&2
exit 1
"""


def test_omniboard_of_an_installed_package_is_installed_in_the_project(
    installed, foreign_project, without_node
):
    ended = installed(*COMMAND, "up", cwd=foreign_project)
    assert "needs Node.js" in ended.stderr
    for name, script in (("node", "#!/bin/sh\n"), ("npm", NPM)):
        (without_node / name).write_text(script)
        (without_node / name).chmod(0o755)
    for tool in ("cp", "sh"):
        (without_node / tool).symlink_to(shutil.which(tool))
    ended = installed(*COMMAND, "up", cwd=foreign_project)
    assert "is not part of this installation" in ended.stderr

    brought = installed.site / "nn_clustering" / "tracking" / "omniboard" / "package"
    brought.mkdir()
    (brought / "package-lock.json").write_text("{}")
    (brought / "package.json").write_text("{}")
    ended = installed(*COMMAND, "up", cwd=foreign_project)
    assert "Omniboard cannot be installed (npm was asked)" in ended.stderr
    assert (foreign_project / ".mongo" / "omniboard" / "asked.json").exists()
    assert not (brought / "asked.json").exists()

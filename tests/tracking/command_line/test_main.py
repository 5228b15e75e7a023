"""`python -m nn_clustering.tracking`, as a user types it."""

import shutil

from nn_clustering.tracking import omniboard_address
from tests.programs import environment, run_python

COMMAND = ["-m", "nn_clustering.tracking"]


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


def test_unknown_command_shows_the_usage(tmp_path):
    wrong = run_python([*COMMAND, "sideways"], environment(tmp_path))
    assert wrong.returncode == 2
    assert "usage:" in wrong.stderr


def test_package_imports_neither_tensorflow_nor_sacred(tmp_path):
    script = (
        "import sys; from nn_clustering.tracking import RunStore, resolve_server; "
        "assert not {'tensorflow', 'sacred', 'keras'} & set(sys.modules)"
    )
    ended = run_python(["-c", script], environment(tmp_path))
    assert ended.returncode == 0, ended.stderr

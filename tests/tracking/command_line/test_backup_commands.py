"""`backup` and `restore`, as a user types them."""

import re
import stat
import subprocess
import sys

import pytest

from tests.programs import run_warm
from tests.tracking.command_line.test_commands import COMMAND, environ, type_in  # noqa: F401
from tests.tracking.stored_files import store_file


@pytest.fixture
def two_runs(database, add_run):
    add_run(1)
    add_run(2, status="RUNNING", artifacts=[store_file(database, "network.keras", b"x" * 1000)])


@pytest.fixture
def other_name(database):
    name = f"{database.name}_other"
    yield name
    database.client.drop_database(name)


@pytest.mark.usefixtures("two_runs")
def test_a_store_comes_back_in_another_database(
    type_in, environ, tmp_path, database, other_name  # noqa: F811
):  # fmt: skip
    made = type_in("backup", "--to", f"{tmp_path}/backups/")
    assert made.returncode == 0, made.stderr
    (file,) = (tmp_path / "backups").iterdir()
    assert re.fullmatch(rf"{database.name}-\d{{4}}-\d\d-\d\d-\d{{6}}\.tar\.gz", file.name)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    first, second = made.stderr.splitlines()
    assert first == f"backed up 2 runs and 1 file (0.0 MB) of database {database.name} to {file}"
    assert second == "1 run had not ended: the backup has what was stored of them"

    refused = type_in("restore", str(file))
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "holds 2 runs, which would be lost" in refused.stderr
    restored = type_in("restore", str(file), "--into", other_name)
    assert restored.returncode == 0, restored.stderr
    assert f"into database {other_name}" in restored.stdout
    shown = run_warm([*COMMAND, "show", "2"], {**environ, "MONGO_DB": other_name})
    assert "network.keras" in shown.stdout, shown.stderr


@pytest.mark.usefixtures("two_runs")
def test_a_backup_goes_through_a_pipe(environ, type_in, tmp_path, other_name):  # noqa: F811
    command = [sys.executable, *COMMAND, "backup", "--to", "-"]
    with (
        (tmp_path / "piped").open("wb") as target,
        subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=target) as cat,
    ):
        subprocess.run(command, env=environ, stdout=cat.stdin, check=True)
    restored = type_in("restore", str(tmp_path / "piped"), "--into", other_name)
    assert restored.returncode == 0, restored.stderr

"""A folder of runs that another user has made, or could change, is refused."""

import os
import shutil
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from nn_clustering.errors import ServerUnavailableError
from nn_clustering.tracking import (
    Server,
    connect,
    find_server,
    make_observer,
    resolve_server,
    stop_embedded,
)
from nn_clustering.tracking.server.ownership import require_own
from tests.programs import environment, run_python

NOBODY = 65534
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be a second user")


@pytest.fixture
def shared_folder():
    """A folder that every user of the machine can enter."""
    folder = Path(tempfile.mkdtemp(prefix="shared home "))
    folder.chmod(0o777)
    yield folder
    if (folder / ".mongo").exists():
        for path in (folder / ".mongo", *(folder / ".mongo").iterdir()):
            os.lchown(path, os.geteuid(), os.getegid())
        stop_embedded(folder)
    shutil.rmtree(folder)


def as_nobody(arguments, environ):
    """Run Python as another user of the machine, who may have no way to the interpreter."""
    return subprocess.run(
        ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups",
         sys.executable, *arguments],
        env={**environ, "HOME": "/", "PYTHONDONTWRITEBYTECODE": "1"},
        cwd="/", capture_output=True, text=True, check=False,
    )  # fmt: skip


def require_nobody_runs(environ):
    if as_nobody(["-c", "import nn_clustering.tracking, pymongo"], environ).returncode:
        pytest.skip("another user has no way to this Python")


def refusal(action):
    with pytest.raises(ServerUnavailableError) as refused:
        action()
    message = str(refused.value)
    assert "\n" not in message
    assert "NN_CLUSTERING_HOME" in message
    assert "chown" in message
    return message


@needs_root
@pytest.mark.parametrize("command", ["list", "up", "down", "status"])
def test_another_users_folder_is_refused_in_one_line(tmp_path, command):
    (tmp_path / ".mongo").mkdir()
    os.chown(tmp_path / ".mongo", NOBODY, NOBODY)
    ended = run_python(["-m", "nn_clustering.tracking", command], environment(tmp_path))
    assert ended.returncode == 1
    assert f"{tmp_path}/.mongo belongs to the user nobody" in ended.stderr
    assert "NN_CLUSTERING_HOME" in ended.stderr
    assert ended.stderr.count("\n") == 1
    assert list((tmp_path / ".mongo").iterdir()) == []  # and nothing is made in it


@needs_root
def test_second_user_leads_nobody_to_a_server_of_their_own(shared_folder):
    environ = environment(shared_folder)
    require_nobody_runs(environ)
    planted = as_nobody(["-m", "nn_clustering.tracking", "list"], environ)
    assert "no runs" in planted.stdout + planted.stderr
    try:
        # The trap answers, with a password that lies there to be read.
        assert (shared_folder / ".mongo" / "credentials.json").stat().st_uid == NOBODY
        for action in (resolve_server, find_server):
            assert "belongs to the user nobody" in refusal(lambda action=action: action(environ))
        assert "nobody" in refusal(lambda: stop_embedded(shared_folder))
    finally:
        as_nobody(["-m", "nn_clustering.tracking", "down"], environ)


@needs_root
def test_second_user_is_refused_our_folder(shared_folder):
    environ = environment(shared_folder)
    require_nobody_runs(environ)
    resolve_server(environ)
    for command in ("list", "down"):
        ended = as_nobody(["-m", "nn_clustering.tracking", command], environ)
        assert ended.returncode == 1
        assert ".mongo belongs to the user root" in ended.stderr
        assert ended.stderr.count("\n") == 1
    assert find_server(environ) is not None


@needs_root
@pytest.mark.parametrize("name", ["credentials.json", "mongod.key", "server.json", "data", "lock"])
def test_planted_file_is_refused(own_home, name):
    resolve_server(environment(own_home))
    stop_embedded(own_home)
    planted = own_home / ".mongo" / name
    os.chown(planted, NOBODY, NOBODY)
    message = refusal(lambda: resolve_server(environment(own_home)))
    assert f"{planted} belongs to the user nobody" in message
    os.chown(planted, os.geteuid(), os.getegid())


@needs_root
def test_link_of_another_user_is_refused(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / ".mongo").symlink_to(tmp_path / "real")
    require_own(tmp_path / ".mongo")  # one's own runs may lie on another disk
    os.lchown(tmp_path / ".mongo", NOBODY, NOBODY)
    assert "nobody" in refusal(lambda: require_own(tmp_path / ".mongo"))
    os.lchown(tmp_path / ".mongo", os.geteuid(), os.getegid())
    os.chown(tmp_path / "real", NOBODY, NOBODY)
    assert "nobody" in refusal(lambda: require_own(tmp_path / ".mongo"))


@needs_root
def test_journals_of_another_user_are_refused(tmp_path, database, monkeypatch):
    monkeypatch.setenv("NN_CLUSTERING_HOME", str(tmp_path))
    (tmp_path / ".mongo").mkdir()
    (tmp_path / ".mongo" / "journal").mkdir()
    os.chown(tmp_path / ".mongo" / "journal", NOBODY, NOBODY)
    assert "journal belongs to the user nobody" in refusal(lambda: make_observer(database))


@pytest.mark.parametrize("name", ["credentials.json", "mongod.key"])
@pytest.mark.parametrize("still_runs", [False, True])
def test_secret_that_was_open_to_others_is_made_anew(own_home, name, still_runs):
    former = resolve_server(environment(own_home))
    secret = own_home / ".mongo" / name
    content = secret.read_text()
    if not still_runs:
        stop_embedded(own_home)
    secret.chmod(0o644)
    server = resolve_server(environment(own_home))
    connect(server).client.close()
    if name == "mongod.key" and still_runs:
        assert server == former  # nothing asks for the key while the server runs
        return
    assert secret.read_text() != content
    assert stat.S_IMODE(secret.stat().st_mode) == 0o600
    if name == "credentials.json":
        # at the same port, unless somebody has taken that meanwhile
        passed_on = former.url.replace(former.address, server.address)
        with pytest.raises(ServerUnavailableError, match="does not accept the user"):
            connect(Server(passed_on, "runs", embedded=True))


def test_folder_that_is_not_there_is_nobody_elses(tmp_path):
    require_own(tmp_path / "nowhere" / ".mongo")
    (tmp_path / ".mongo").symlink_to(tmp_path / "gone")
    require_own(tmp_path / ".mongo")

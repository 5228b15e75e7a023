"""The embedded server: one for all, survives kills, says what it lacks."""

import os
import shutil
import signal
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from nn_clustering.errors import ServerUnavailableError
from nn_clustering.tracking import _processes as processes
from nn_clustering.tracking import connect, find_server, resolve_server, stop_embedded
from nn_clustering.tracking.embedded import find_mongod
from tests.programs import environment, run_python

RESOLVE = "from nn_clustering.tracking import resolve_server; print(resolve_server().address)"


def server_pid(home):
    return processes.read_state(home / ".mongo" / "server.json")["pid"]


def kill_server(home):
    pid = server_pid(home)
    os.kill(pid, signal.SIGKILL)
    assert processes.wait_until_gone(pid, 10)


def mongods_of(home):
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and processes.is_running(int(entry.name), f"{home}/.mongo/data"):
            found.append(int(entry.name))
    return found


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="counts processes in /proc")
def test_twenty_commands_at_once_start_one_server(own_home):
    commands = [
        subprocess.Popen(
            [sys.executable, "-c", RESOLVE], env=environment(own_home), stdout=subprocess.PIPE
        )
        for _ in range(20)
    ]
    addresses = [command.communicate(timeout=120)[0] for command in commands]
    assert [command.returncode for command in commands] == [0] * 20
    assert len(set(addresses)) == 1
    assert mongods_of(own_home) == [server_pid(own_home)]


def test_server_survives_its_starter_and_is_found_again(own_home):
    first = run_python(["-c", RESOLVE], environment(own_home))
    pid = server_pid(own_home)
    second = run_python(["-c", RESOLVE], environment(own_home))
    assert first.stdout == second.stdout != ""
    assert server_pid(own_home) == pid
    assert os.getsid(pid) != os.getsid(0)  # Ctrl-C here does not reach it


def test_data_survive_a_kill(own_home):
    server = resolve_server(environment(own_home))
    database = connect(server)
    database["runs"].insert_many([{"_id": number} for number in range(100)])
    database.client.close()
    kill_server(own_home)
    assert find_server(environment(own_home)) is None
    again = resolve_server(environment(own_home))
    assert again.address == server.address  # the port was free again
    database = connect(again)
    assert database["runs"].count_documents({}) == 100
    database.client.close()


def test_taken_port_and_reused_pid_are_not_mistaken_for_the_server(own_home, embedded_server):
    environ = environment(own_home)
    resolve_server(environ)
    kill_server(own_home)
    # As after a restart of the machine: another mongod on the port, another process with the pid.
    port = int(embedded_server.address.rpartition(":")[2])
    state = {"port": port, "pid": os.getpid()}
    processes.write_state(own_home / ".mongo" / "server.json", state)
    (own_home / ".mongo" / "data" / "mongod.lock").write_text(str(os.getpid()))
    assert not stop_embedded(own_home)
    server = resolve_server(environ)
    assert server.address != embedded_server.address
    assert server_pid(own_home) != os.getpid()


def test_stop_is_clean_and_harmless_twice(own_home):
    resolve_server(environment(own_home))
    pid = server_pid(own_home)
    assert stop_embedded(own_home)
    assert not processes.is_alive(pid)
    assert not stop_embedded(own_home)
    assert not stop_embedded(own_home / "nothing here")
    log = (own_home / ".mongo" / "mongod.log").read_text()
    assert '"msg":"Shutting down","attr":{"exitCode":0}' in log


def test_folder_is_the_owners_alone(own_home):
    resolve_server(environment(own_home))
    assert stat.S_IMODE((own_home / ".mongo").stat().st_mode) == 0o700


def test_start_that_was_interrupted_is_waited_for(own_home):
    environ = environment(own_home)
    server = resolve_server(environ)
    os.kill(server_pid(own_home), signal.SIGSTOP)  # it runs and does not answer, as while starting
    waking = threading.Timer(3.0, os.kill, (server_pid(own_home), signal.SIGCONT))
    waking.start()
    assert resolve_server(environ) == server
    waking.join()


def test_without_a_mongod_the_message_names_the_ways_out(monkeypatch, tmp_path):
    monkeypatch.setattr("nn_clustering.tracking.embedded.WHEELS", ())
    with pytest.raises(ServerUnavailableError) as refused:
        resolve_server({"PATH": str(tmp_path), "NN_CLUSTERING_HOME": str(tmp_path)})
    message = str(refused.value)
    assert "\n" not in message
    for way_out in ("on PATH", "pip install -e .[mongod]", "MONGO_URL"):
        assert way_out in message


def fake_mongod(folder, script):
    folder.mkdir(exist_ok=True)
    path = folder / "mongod"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return {"PATH": f"{folder}:{os.environ['PATH']}", "NN_CLUSTERING_HOME": str(folder)}


def test_mongod_on_path_comes_first(tmp_path):
    environ = fake_mongod(tmp_path / "bin", "exit 1")
    assert find_mongod(environ) == tmp_path / "bin" / "mongod"


@pytest.mark.parametrize(
    ("library", "package"), [("libcurl.so.4", "libcurl4"), ("libssl.so.3", "libssl.so.3")]
)
def test_missing_system_library_is_named(tmp_path, library, package):
    error = f"mongod: error while loading shared libraries: {library}: cannot open shared object"
    environ = fake_mongod(tmp_path / "bin", f"echo '{error}' >&2; exit 127")
    with pytest.raises(ServerUnavailableError, match=library) as refused:
        resolve_server(environ)
    assert "apt-get install" in str(refused.value)
    assert package in str(refused.value)


def test_mongod_that_dies_at_start_is_explained_by_its_log(own_home):
    environ = environment(own_home)
    resolve_server(environ)
    stop_embedded(own_home)
    shutil.copyfile(__file__, own_home / ".mongo" / "data" / "WiredTiger.turtle")
    with pytest.raises(ServerUnavailableError) as refused:
        resolve_server(environ)
    message = str(refused.value)
    assert "\n" not in message
    assert "mongod.log" in message
    assert "WiredTiger" in message


def test_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / ".mongo").write_text("in the way")
    with pytest.raises(ServerUnavailableError, match=r"\.mongo"):
        resolve_server({"NN_CLUSTERING_HOME": str(tmp_path)})

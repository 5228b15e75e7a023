"""A process is known by its pid and its start: whoever gets the pid later is left alone."""

import os
import signal
import subprocess
import sys

import pytest

from nn_clustering.errors import ServerUnavailableError
from nn_clustering.tracking import resolve_server, stop_embedded
from nn_clustering.tracking.server import processes
from nn_clustering.tracking.server.binary import find_mongod, mongod_environment
from tests.programs import environment


@pytest.fixture
def sleeper():
    """Starts a process that waits, under the arguments of any other."""
    started = []

    def start(*arguments):
        code = "import sys; print(flush=True); sys.stdin.read()"
        process = subprocess.Popen(
            [sys.executable, "-c", code, *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        process.stdout.readline()
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def test_start_tells_processes_apart(sleeper):
    process = sleeper()
    start = processes.start_of(process.pid)
    assert start == processes.start_of(process.pid)
    assert start != processes.start_of(os.getpid())
    assert processes.owner(process.pid) == os.geteuid()
    assert not processes.ask_to_end(process.pid, processes.start_of(os.getpid()))
    assert not processes.ask_to_end(process.pid, None)
    assert process.poll() is None
    assert processes.ask_to_end(process.pid, start)
    assert process.wait() == -signal.SIGTERM
    assert processes.start_of(process.pid) is None
    assert not processes.ask_to_end(process.pid, start)


def test_process_that_only_waits_to_be_reaped_is_gone(sleeper):
    process = sleeper()
    assert processes.is_alive(process.pid)
    assert not processes.wait_until_gone(process.pid, 0)
    process.kill()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert not processes.is_alive(process.pid)
    assert processes.wait_until_gone(process.pid, 0)


@pytest.mark.parametrize(
    ("arguments", "has_it"),
    [
        (["mongod", "--dbpath", "/a/data", "--port", "1"], True),
        (["less", "/a/data/mongod.lock"], False),
        (["mongod", "--dbpath", "/a/data2"], False),
        (["mongod", "--logpath", "/a/data"], False),
        (["mongod", "--dbpath", "/b", "--logpath", "/a/data"], False),
        (["mongod --dbpath /a/data"], True),  # as ps shows them
        (["mongod --dbpath /a/data2"], False),
        ([], False),
    ],
)
def test_option_has_its_very_value(arguments, has_it):
    assert processes.has_option(arguments, "--dbpath", "/a/data") == has_it


def recycle(home, process, **more):
    """Leave `.mongo` as a server that was killed does whose pid the process has now."""
    folder = home / ".mongo"
    state = processes.read_state(folder / "server.json")
    processes.write_state(folder / "server.json", {**state, "pid": process.pid, **more})
    (folder / "data" / "mongod.lock").write_text(str(process.pid))


@pytest.fixture
def stopped_home(own_home):
    resolve_server(environment(own_home))
    assert stop_embedded(own_home)
    yield own_home
    (own_home / ".mongo" / "data" / "mongod.lock").write_text("")


def server_arguments(home):
    folder = home / ".mongo"
    return ["--dbpath", folder / "data", "--logpath", folder / "mongod.log"]


def test_recycled_pid_is_never_ended(stopped_home, sleeper):
    reader = sleeper(stopped_home / ".mongo" / "data")  # names the folder, as an editor would
    recycle(stopped_home, reader, start=processes.start_of(reader.pid))
    assert not stop_embedded(stopped_home)
    # One with a server's own arguments, even: it started at another time.
    double = sleeper(*server_arguments(stopped_home))
    recycle(stopped_home, double)
    with pytest.raises(ServerUnavailableError, match="was not started by"):
        stop_embedded(stopped_home)
    assert reader.poll() is None
    assert double.poll() is None


def test_server_that_somebody_else_started_on_the_data_is_left(stopped_home):
    folder = stopped_home / ".mongo"
    port = processes.pick_port(None)
    mongod = [find_mongod(), "--dbpath", folder / "data", "--port", str(port)]
    own = subprocess.run(
        [*mongod, "--fork", "--logpath", folder.parent / "own.log", "--nounixsocket"],
        check=True, stdout=subprocess.DEVNULL,
        env=mongod_environment(find_mongod(), folder.parent / "lib"),
    )  # fmt: skip
    assert own.returncode == 0
    pid = int((folder / "data" / "mongod.lock").read_text())
    try:
        for action in (
            lambda: stop_embedded(stopped_home),
            lambda: resolve_server(environment(stopped_home)),
        ):
            with pytest.raises(ServerUnavailableError, match=f"process {pid} holds the data"):
                action()
        assert processes.is_alive(pid)
    finally:
        assert processes.terminate(pid, 30)
    resolve_server(environment(stopped_home))


def test_state_of_a_former_version_names_the_server_still(own_home):
    resolve_server(environment(own_home))
    path = own_home / ".mongo" / "server.json"
    state = processes.read_state(path)
    assert state["start"] == processes.start_of(state["pid"])
    processes.write_state(path, {"port": state["port"], "pid": state["pid"]})
    assert stop_embedded(own_home)
    assert not processes.is_alive(state["pid"])

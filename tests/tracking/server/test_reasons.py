"""What is said of a server that cannot be used is what is wrong with it."""

import subprocess
import time

import pymongo
import pytest

from nn_clustering.errors import ServerUnavailableError
from nn_clustering.tracking import connect, make_observer, resolve_server
from nn_clustering.tracking.command_line.main import main
from nn_clustering.tracking.server import processes
from nn_clustering.tracking.server.binary import find_mongod, mongod_environment
from nn_clustering.tracking.server.reasons import operation_reason
from nn_clustering.tracking.writing.registration import insert_run

ENTRY = {"experiment": {"name": "sample", "sources": []}, "start_time": None}


@pytest.fixture(scope="module")
def start_mongod(tmp_path_factory):
    """Starts a server without passwords, with more options; returns its address."""
    pids = []

    def start(*options):
        folder = tmp_path_factory.mktemp("mongod")
        port = processes.pick_port(None)
        subprocess.run(
            [find_mongod(), "--fork", "--dbpath", folder, "--port", str(port), "--bind_ip",
             "127.0.0.1", "--nounixsocket", "--logpath", folder / "log", *options],
            check=True, stdout=subprocess.DEVNULL,
            env=mongod_environment(find_mongod(), folder.parent / "lib"),
        )  # fmt: skip
        pids.append(int((folder / "mongod.lock").read_text()))
        return f"127.0.0.1:{port}"

    yield start
    assert [processes.terminate(pid, 30) for pid in pids] == [True] * len(pids)


@pytest.fixture(scope="module")
def standalone(start_mongod):
    return start_mongod("--setParameter", "enableTestCommands=1")


@pytest.fixture(scope="module")
def waiting(start_mongod):
    """A member of a set that was not initiated."""
    return start_mongod("--replSet", "rs0")


@pytest.fixture(scope="module")
def replica_set(start_mongod):
    """The one member of the set rs0."""
    address = start_mongod("--replSet", "rs0")
    with pymongo.MongoClient(address, directConnection=True) as client:
        members = [{"_id": 0, "host": address}]
        client.admin.command("replSetInitiate", {"_id": "rs0", "members": members})
        deadline = time.monotonic() + 60
        while not client.admin.command("hello")["isWritablePrimary"]:
            assert time.monotonic() < deadline
            time.sleep(0.1)
    return address


def server_at(url):
    return resolve_server({"MONGO_URL": url})


def refusal(url):
    with pytest.raises(ServerUnavailableError) as refused:
        connect(server_at(url))
    assert "\n" not in str(refused.value)
    return str(refused.value)


def test_wrong_name_of_a_set(standalone, replica_set, waiting):
    message = refusal(f"mongodb://{standalone}/?replicaSet=rs0")
    assert "no member of replica set 'rs0', it is of none" in message
    message = refusal(f"mongodb://{replica_set}/?replicaSet=wrong")
    assert "no member of replica set 'wrong', it is of 'rs0'" in message
    message = refusal(f"mongodb://ann:secret@{replica_set}/?replicaSet=wrong&authSource=admin")
    assert "no member of replica set 'wrong', it is of 'rs0'" in message
    message = refusal(f"mongodb://{waiting}/?replicaSet=rs0")
    assert "waits for its replica set to be initiated" in message


def test_set_without_a_primary(replica_set):
    with pymongo.MongoClient(replica_set, directConnection=True) as client:
        client.admin.command({"replSetStepDown": 600, "force": True})
        try:
            message = refusal(f"mongodb://{replica_set}/?replicaSet=rs0")
        finally:
            client.admin.command("replSetFreeze", 0)
    assert "no primary in the replica set" in message


@pytest.mark.parametrize(
    "options",
    ["readPreference=secondary", "readPreference=nearest&readPreferenceTags=a:b",
     "readPreference=secondary&maxStalenessSeconds=120"],
)  # fmt: skip
def test_what_is_written_is_read_from_the_primary(replica_set, options, tmp_path):
    database = connect(server_at(f"mongodb://{replica_set}/reading?{options}"))
    assert database.read_preference == pymongo.ReadPreference.PRIMARY
    run_id = insert_run(database, ENTRY, tmp_path)
    assert database["runs"].find_one({"_id": run_id})
    database.client.drop_database(database.name)
    database.client.close()


@pytest.mark.parametrize("member", ["standalone", "replica_set"])
@pytest.mark.parametrize("options", ["w=2", "w=2&wtimeoutMS=1500"])
def test_more_members_wanted_than_there_are(request, member, options, tmp_path):
    database = connect(server_at(f"mongodb://{request.getfixturevalue(member)}/wanting?{options}"))
    for action in (
        lambda: make_observer(database, journal_folder=tmp_path),
        lambda: insert_run(database, ENTRY, tmp_path),
    ):
        with pytest.raises(ServerUnavailableError) as refused:
            action()
        message = str(refused.value)
        assert "w=2 in MONGO_URL wants more members than there are: the server has 1" in message
        assert "\n" not in message
    database.client.close()


def test_commands_say_it_too(standalone, tmp_path, capsys, monkeypatch):
    with pymongo.MongoClient(standalone) as client:
        client.commanded.runs.insert_one({"_id": 1, "status": "COMPLETED"})
    monkeypatch.setenv("NN_CLUSTERING_HOME", str(tmp_path))
    monkeypatch.setenv("MONGO_URL", f"mongodb://{standalone}/commanded?w=2")
    monkeypatch.delenv("MONGO_DB", raising=False)
    assert main(["tag", "1", "good"]) == 1
    message = capsys.readouterr().err
    assert "w=2 in MONGO_URL wants more members than there are: the server has 1" in message
    assert message.count("\n") == 1


@pytest.fixture
def failing(standalone):
    """Lets the next commands of these names fail with a code, as a busy or ending server does."""
    with pymongo.MongoClient(standalone) as client:

        def fail(code, *commands):
            data = {"errorCode": code, "failCommands": list(commands)}
            client.admin.command("configureFailPoint", "failCommand", mode="alwaysOn", data=data)

        yield fail
        client.admin.command("configureFailPoint", "failCommand", mode="off")


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (10107, "not the primary"),
        (50, "no answer in time"),
        (262, "no answer in time"),
        (91, "the server is being shut down"),
        (13436, "not the primary"),
        (13, "refuses access"),
        (96, "code 96"),
    ],
)
def test_busy_server_does_not_refuse(standalone, failing, tmp_path, code, reason):
    """A reading that is late is tried again until its time is over: either says that it is late."""
    database = connect(server_at(f"mongodb://{standalone}/busy"))
    with database.client:
        failing(code, "createIndexes")
        with pytest.raises(ServerUnavailableError) as refused:
            make_observer(database, journal_folder=tmp_path)
    assert reason in str(refused.value)
    assert ("the server is busy" in str(refused.value)) == (reason == "no answer in time")
    failing(code, "find")
    assert reason in refusal(f"mongodb://{standalone}/busy")


def test_what_the_server_never_saw_is_told_as_it_is(standalone):
    with pymongo.MongoClient(standalone) as client:
        problem = ValueError("it holds mongodb://ann:it's 4@h")
        assert operation_reason(problem, client["a"]) == "it holds mongodb://***@h"

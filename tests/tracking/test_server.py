"""Which server is used, and how one that cannot be used is refused."""

import time
import traceback

import pytest

from nn_clustering.errors import InvalidInputError, ServerUnavailableError
from nn_clustering.tracking import Server, connect, find_server, resolve_server
from nn_clustering.tracking import _processes as processes
from nn_clustering.tracking.embedded import find_mongod
from nn_clustering.tracking.server import url_with_database
from tests.programs import environment, run_python

PASSWORD = "secret"


def refusal(url):
    """Message and time in seconds with which the URL is refused; the whole error is searched."""
    started = time.monotonic()
    with pytest.raises(ServerUnavailableError) as refused:
        connect(resolve_server({"MONGO_URL": url}))
    seconds = time.monotonic() - started
    assert PASSWORD not in "".join(traceback.format_exception(refused.value))
    assert refused.value.__context__ is None
    assert "\n" not in str(refused.value)
    assert "MONGO_URL" in str(refused.value)
    return str(refused.value), seconds


@pytest.mark.parametrize(
    ("url", "names"),
    [
        (f"mongodb://user:{PASSWORD}@127.0.0.1:1", "127.0.0.1:1: connection refused"),
        (f"mongodb://user:{PASSWORD}@no-such-host.invalid/db", "no-such-host.invalid"),
        (f"mongodb://user:{PASSWORD}@127.0.0.1:1,127.0.0.1:2/?replicaSet=a", "127.0.0.1:2"),
        (f"mongodb://user:{PASSWORD}@127.0.0.1:1/?w=0", "127.0.0.1:1"),
    ],
)
def test_unreachable_server_is_refused_soon_and_without_password(url, names):
    message, seconds = refusal(url)
    assert names in message
    assert seconds < 5


@pytest.mark.parametrize(
    "url",
    [
        "localhost:27017",
        "http://localhost",
        "mongodb://",
        f"mongodb://user:{PASSWORD}@host:99999",
        f"mongodb://user:pass/{PASSWORD}@host",
        f"mongodb://user:pass@{PASSWORD}@host",
        f"mongodb://user:{PASSWORD}@host/?readPreference={PASSWORD}",
    ],
)
def test_malformed_url_is_refused_without_password(url):
    message, _ = refusal(url)
    assert "mongodb://[user:password@]host" in message


def test_whole_command_refuses_within_five_seconds(tmp_path):
    url = f"mongodb://user:{PASSWORD}@127.0.0.1:1"
    started = time.monotonic()
    ended = run_python(
        ["-m", "nn_clustering.tracking", "status"], environment(tmp_path, MONGO_URL=url)
    )
    assert time.monotonic() - started < 5
    assert ended.returncode == 1
    assert ended.stderr.count("\n") == 1
    assert PASSWORD not in ended.stderr + ended.stdout


@pytest.fixture
def guarded_server(tmp_path):
    """Port of a mongod that asks for a password."""
    port = processes.pick_port(None)
    log = tmp_path / "log"
    (tmp_path / "data").mkdir()
    mongod = [str(find_mongod()), "--auth", "--bind_ip", "127.0.0.1", "--nounixsocket"]
    pid = processes.start_detached(
        [*mongod, "--port", str(port), "--dbpath", str(tmp_path / "data")], log, {}
    )
    deadline = time.monotonic() + 30
    while processes.is_free(port) and time.monotonic() < deadline:
        time.sleep(0.1)
    # The first user can be made without a password, from this machine.
    import pymongo

    with pymongo.MongoClient("127.0.0.1", port) as client:
        roles = [{"role": "readWrite", "db": "runs"}]
        admin = [{"role": "userAdminAnyDatabase", "db": "admin"}]
        client.admin.command("createUser", "admin", pwd=PASSWORD, roles=admin)
    with pymongo.MongoClient("127.0.0.1", port, username="admin", password=PASSWORD) as client:
        client.runs.command("createUser", "user", pwd=PASSWORD, roles=roles)
        client.runs.command("createUser", "other", pwd=PASSWORD, roles=[])
    yield port
    assert processes.terminate(pid, 20)


def test_server_that_wants_a_password(guarded_server):
    host = f"127.0.0.1:{guarded_server}"
    message, _ = refusal(f"mongodb://{host}/")
    assert "refuses access" in message
    message, _ = refusal(f"mongodb://user:{PASSWORD}x@{host}/runs")
    assert "does not accept the user or the password" in message
    message, _ = refusal(f"mongodb://other:{PASSWORD}@{host}/runs")
    assert "refuses access" in message
    url = f"mongodb://user:{PASSWORD}@{host}/runs"
    server = resolve_server({"MONGO_URL": url, "MONGO_DB": "runs"})
    connect(server).client.close()
    # The address for Omniboard logs in the same way and opens the right database.
    connect(Server(url_with_database(server), "runs", embedded=False)).client.close()


def test_environment_names_the_server(embedded_server):
    server = resolve_server({"MONGO_URL": f"mongodb://{embedded_server.address}/some_path"})
    assert (server.database, server.embedded) == ("nn_clustering", False)
    assert server.address == embedded_server.address
    assert find_server({"MONGO_URL": server.url}) == server
    connect(server).client.close()


def test_writes_are_journalled(database):
    assert database.client.write_concern.document == {"j": True}


def test_server_never_shows_its_password():
    url = f"mongodb://user:{PASSWORD}@a.example:27017,b.example/db?replicaSet=x"
    server = resolve_server({"MONGO_URL": url})
    assert server.address == "a.example:27017,b.example"
    assert PASSWORD not in repr(server)


@pytest.mark.parametrize("name", ["a.b", "a b", "a/b", "$a", "x" * 64])
def test_database_name_is_checked(name):
    with pytest.raises(InvalidInputError, match="MONGO_DB"):
        resolve_server({"MONGO_DB": name, "MONGO_URL": "mongodb://localhost"})


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("mongodb://h:1", "mongodb://h:1/runs"),
        ("mongodb://h/other?tls=true", "mongodb://h/runs?tls=true"),
        ("mongodb://u:p@h", "mongodb://u:p@h/runs?authSource=admin"),
        ("mongodb://u:p@h/users", "mongodb://u:p@h/runs?authSource=users"),
        ("mongodb://u:p@h/x?authSource=users", "mongodb://u:p@h/runs?authSource=users"),
    ],
)
def test_url_with_database_logs_in_as_before(url, expected):
    assert url_with_database(Server(url, "runs", embedded=False)) == expected

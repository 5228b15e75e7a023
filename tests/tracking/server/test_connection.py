"""Which server is used, and how one that cannot be used is refused."""

import time
import traceback

import pymongo
import pytest

from nn_clustering.errors import InvalidInputError, ServerUnavailableError
from nn_clustering.tracking import Server, connect, find_server, project_root, resolve_server
from nn_clustering.tracking.server import processes
from nn_clustering.tracking.server.binary import find_mongod, mongod_environment
from nn_clustering.tracking.server.connection import url_with_database
from tests.programs import PROJECT, environment, run_python

PASSWORD = "Tr0ub4dor"


def refusal(url):
    """Message with which the URL is refused; the whole error is searched."""
    with pytest.raises(ServerUnavailableError) as refused:
        connect(resolve_server({"MONGO_URL": url}))
    assert PASSWORD not in "".join(traceback.format_exception(refused.value))
    assert refused.value.__context__ is None
    assert "\n" not in str(refused.value)
    assert "MONGO_URL" in str(refused.value)
    return str(refused.value)


@pytest.fixture
def longest_waits(monkeypatch):
    """What the driver is told to wait at most, in seconds, for all that is done in a block."""
    waits = []

    def timeout(seconds):
        waits.append(seconds)
        return pymongo_timeout(seconds)

    pymongo_timeout = pymongo.timeout
    monkeypatch.setattr(pymongo, "timeout", timeout)
    return waits


@pytest.mark.parametrize(
    ("url", "names"),
    [
        (f"mongodb://user:{PASSWORD}@127.0.0.1:1", "127.0.0.1:1: connection refused"),
        (f"mongodb://user:{PASSWORD}@no-such-host.invalid/db", "no-such-host.invalid"),
        (f"mongodb://user:{PASSWORD}@127.0.0.1:1,127.0.0.1:2/?replicaSet=a", "127.0.0.1:2"),
        (f"mongodb://user:{PASSWORD}@127.0.0.1:1/?w=0", "127.0.0.1:1"),
    ],
)
def test_unreachable_server_is_refused_soon_and_without_password(url, names, longest_waits):
    assert names in refusal(url)
    # Of the five seconds that a whole command may take; the driver itself refuses the last URL.
    assert longest_waits == ([] if "w=0" in url else [3])


@pytest.mark.parametrize(
    "url",
    [
        "localhost:27017",
        "http://localhost",
        "mongodb://",
        f"mongodb://user:{PASSWORD}@host:99999",
        f"mongodb://user:pass/{PASSWORD}@host",
        f"mongodb://user:pass@{PASSWORD}@host",
        f"mongodb://user:pass?x={PASSWORD}@host",
        f"mongodb://user:12?{PASSWORD}=x@host",
    ],
)
def test_malformed_url_is_refused_without_password(url):
    message = refusal(url)
    assert "mongodb://[user:password@]host" in message


def test_whole_command_refuses_in_one_line(tmp_path):
    url = f"mongodb://user:{PASSWORD}@127.0.0.1:1"
    ended = run_python(
        ["-m", "nn_clustering.tracking", "status"], environment(tmp_path, MONGO_URL=url)
    )
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
        [*mongod, "--port", str(port), "--dbpath", str(tmp_path / "data")],
        log,
        mongod_environment(find_mongod(), tmp_path / "lib"),
    )
    deadline = time.monotonic() + 30
    while processes.is_free(port) and time.monotonic() < deadline:
        time.sleep(0.1)
    # The first user can be made without a password, from this machine.
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
    message = refusal(f"mongodb://{host}/")
    assert "refuses access" in message
    message = refusal(f"mongodb://user:{PASSWORD}x@{host}/runs")
    assert "does not accept the user or the password" in message
    message = refusal(f"mongodb://other:{PASSWORD}@{host}/runs")
    assert "refuses access" in message
    assert "database 'runs'" in message
    assert "MONGO_DB" in message
    url = f"mongodb://user:{PASSWORD}@{host}/runs"
    server = resolve_server({"MONGO_URL": url})
    assert server.database == "runs"  # where the user has rights
    connect(server).client.close()
    # The address for Omniboard logs in the same way and opens the right database.
    connect(Server(url_with_database(server), "runs", embedded=False)).client.close()


def test_environment_names_the_server(embedded_server):
    server = resolve_server({"MONGO_URL": embedded_server.url})
    assert (server.database, server.embedded) == ("nn_clustering", False)
    assert server.address == embedded_server.address
    assert find_server({"MONGO_URL": server.url}) == server
    connect(server).client.close()


@pytest.fixture
def url_file(tmp_path):
    """Writes a file as Docker keeps secrets; returns its path as text."""

    def write(content):
        path = tmp_path / "url"
        path.write_bytes(content)
        return str(path)

    return write


def test_files_name_the_server_as_well(embedded_server, url_file, tmp_path):
    reader_file = tmp_path / "reader"
    reader_file.write_text(f" {embedded_server.reader_url}\n")
    environ = {
        "MONGO_URL": "",
        "MONGO_URL_FILE": url_file(f"{embedded_server.url}\n".encode()),
        "MONGO_READER_URL_FILE": str(reader_file),
    }
    server = resolve_server(environ)
    assert (server.url, server.embedded) == (embedded_server.url, False)
    assert server.reader_url == embedded_server.reader_url
    assert find_server(environ) == server
    connect(server).client.close()


def file_refusal(environ, error=InvalidInputError):
    with pytest.raises(error) as refused:
        resolve_server(environ)
    message = str(refused.value)
    assert PASSWORD not in "".join(traceback.format_exception(refused.value))
    assert "\n" not in message
    return message


@pytest.mark.parametrize("name", ["MONGO_URL", "MONGO_READER_URL"])
def test_url_given_twice_is_refused(url_file, name):
    url = f"mongodb://user:{PASSWORD}@host"
    environ = {"MONGO_URL": url, name: url, f"{name}_FILE": url_file(url.encode())}
    message = file_refusal(environ)
    assert f"{name} and {name}_FILE are both set" in message


@pytest.mark.parametrize("name", ["MONGO_URL_FILE", "MONGO_READER_URL_FILE"])
@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "it is empty"),
        (b" \n", "it is empty"),
        (f"{PASSWORD}\xff".encode("latin-1"), "it holds no text"),
    ],
)
def test_file_without_a_url_is_refused(url_file, name, content, reason):
    environ = {name: url_file(content)}
    if name != "MONGO_URL_FILE":
        environ["MONGO_URL"] = f"mongodb://user:{PASSWORD}@host"
    message = file_refusal(environ)
    assert f"{name}=" in message
    assert reason in message
    assert "mongodb://[user:password@]host" in message


def test_file_that_cannot_be_read_is_refused(tmp_path):
    assert "No such file" in file_refusal({"MONGO_URL_FILE": str(tmp_path / "nowhere")})
    assert "directory" in file_refusal({"MONGO_URL_FILE": str(tmp_path)})


@pytest.mark.parametrize(
    "content",
    [f"mongodb://user:{PASSWORD}@host\nmongodb://other", f"user:{PASSWORD}", f"http://{PASSWORD}"],
)
def test_malformed_url_in_a_file_is_refused(url_file, content):
    environ = {"MONGO_URL_FILE": url_file(content.encode())}
    message = file_refusal(environ, ServerUnavailableError)
    assert "MONGO_URL_FILE holds no address" in message
    environ = {"MONGO_URL": "mongodb://host", "MONGO_READER_URL": content}
    message = file_refusal(environ, ServerUnavailableError)
    assert "MONGO_READER_URL holds no address" in message


def test_writes_are_journalled(database):
    assert database.client.write_concern.document == {"j": True}


def test_server_never_shows_its_password():
    url = f"mongodb://user:{PASSWORD}@a.example:27017,b.example/db?replicaSet=x"
    server = resolve_server({"MONGO_URL": url, "MONGO_READER_URL": url})
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
        ("mongodb://u@h/?authMechanism=GSSAPI", "mongodb://u@h/runs?authMechanism=GSSAPI"),
        # The only one of those outside that is looked up where the path says.
        (
            "mongodb://u:p@h/?authMechanism=PLAIN",
            "mongodb://u:p@h/runs?authMechanism=PLAIN&authSource=$external",
        ),
        (
            "mongodb://u:p@h/users?authMechanism=PLAIN",
            "mongodb://u:p@h/runs?authMechanism=PLAIN&authSource=users",
        ),
    ],
)
def test_url_with_database_logs_in_as_before(url, expected):
    assert url_with_database(Server(url, "runs", embedded=False)) == expected


def test_url_of_the_reader_is_used_where_there_is_one():
    server = Server("mongodb://u:p@h", "runs", embedded=False)
    assert url_with_database(server, reader=True) == url_with_database(server)
    server = Server("mongodb://u:p@h", "runs", embedded=False, reader_url="mongodb://r:q@h/users")
    assert url_with_database(server, reader=True) == "mongodb://r:q@h/runs?authSource=users"


def test_root_is_the_named_folder_else_the_checkout(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".mongo").mkdir()
    (tmp_path / "home").mkdir()
    assert project_root({"NN_CLUSTERING_HOME": str(tmp_path / "home")}) == tmp_path / "home"
    assert project_root({}) == PROJECT


@pytest.mark.parametrize("command", ["list", "status", "up", "down"])
def test_home_that_is_no_folder_is_refused_and_not_made(tmp_path, command):
    ended = run_python(["-m", "nn_clustering.tracking", command], environment(tmp_path / "slip"))
    assert ended.returncode == 1
    assert "slip' is no folder" in ended.stderr
    assert ended.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []

"""The services of docker-compose.yml, as far as they can be tried without Docker."""

import json
import os
import re
import shutil
import stat
import subprocess

import pytest
import yaml
from pymongo.errors import OperationFailure

from nn_clustering.tracking import (
    Server,
    back_up,
    connect,
    read_backup,
    resolve_server,
    restore_backup,
)
from nn_clustering.tracking.server import credentials
from tests.programs import PROJECT, environment

COMPOSE = PROJECT / "docker-compose.yml"
PASSWORDS = {"MONGO_APP_PASSWORD": "a" * 48, "MONGO_READER_PASSWORD": "b" * 48}
# Stands for the shell that runs the script in a container, and tells what it is asked for.
SHELL = """
global.db = {getSiblingDB: (name) => ({
    createUser: ({user, ...more}) => console.log(JSON.stringify([name, user, more])),
})};
require(process.argv[1]);
"""


@pytest.fixture(scope="module")
def services():
    return yaml.safe_load(COMPOSE.read_text())["services"]


def test_nothing_is_published_beyond_loopback_unless_that_is_said(services):
    published = [port for service in services.values() for port in service.get("ports", ())]
    assert len(published) == len(set(published)) == 5
    for port in published:
        assert re.fullmatch(r"\$\{[A-Z]+_PORT:-127\.0\.0\.1:(\d+)\}:\1", port), port


def test_workers_are_reached_by_the_scheduler_alone(services):
    networks = yaml.safe_load(COMPOSE.read_text())["networks"]
    assert networks["inside"] == {"internal": True}
    for name in ("worker", "gpu-worker"):
        assert services[name]["networks"] == ["inside"]
        assert "ports" not in services[name]


def test_every_service_is_watched_and_starts_again(services):
    for service in services.values():
        assert service["restart"] == "unless-stopped"
        assert service["healthcheck"]["test"][0] == "CMD"


def test_gpus_are_used_by_whoever_asks_for_them(services):
    assert [name for name, service in services.items() if "profiles" in service] == ["gpu-worker"]


def test_no_password_is_on_a_command_line(services):
    for service in services.values():
        assert not re.search("PASSWORD|TOKEN|mongodb:", str(service.get("command")))


def composed(home, *arguments, **environ):
    program = shutil.which("docker-compose")
    if program is None:
        pytest.skip("docker-compose is missing")
    command = [program, "-f", COMPOSE, "--project-directory", PROJECT, *arguments, "config"]
    environ = {"PATH": os.environ["PATH"], "HOME": str(home), **environ}
    return subprocess.run(command, env=environ, capture_output=True, text=True, check=False)


def test_docker_compose_takes_it_with_the_passwords_alone(tmp_path):
    make_passwords(tmp_path)
    names = re.findall("^[A-Z_]+", (tmp_path / ".env").read_text(), re.MULTILINE)
    whole = composed(tmp_path, "--env-file", tmp_path / ".env", "--profile", "gpu")
    assert whole.returncode == 0, whole.stderr
    shown = yaml.safe_load(whole.stdout)["services"]
    assert set(shown) == set(yaml.safe_load(COMPOSE.read_text())["services"])
    assert "10.1.2.3" not in whole.stdout
    more = {"NOTEBOOK_PORT": "10.1.2.3:80", "WORKERS": "3"}
    moved = composed(tmp_path, "--env-file", tmp_path / ".env", **more)
    shown = yaml.safe_load(moved.stdout)["services"]
    assert "10.1.2.3" in str(shown["notebook"]["ports"])
    assert shown["worker"]["deploy"]["replicas"] == 3
    for name in names:
        lines = (tmp_path / ".env").read_text().splitlines(keepends=True)
        (tmp_path / "less").write_text("".join(x for x in lines if not x.startswith(name)))
        refused = composed(tmp_path, "--env-file", tmp_path / "less")
        assert refused.returncode == 1
        assert "see docker-compose.yml for how to make .env" in refused.stderr


# The first releases in which a stranger cannot read the memory by a compressed message, of those
# series that are maintained.
FIXED = {"7.0": 28, "8.0": 17}


def test_mongodb_is_pinned_to_a_release_that_is_fixed_and_maintained(services):
    found = re.fullmatch(r"mongo:(\d+\.\d+)\.(\d+)", services["mongo"]["image"])
    assert found, "the whole version is to be named"
    assert found[1] in FIXED
    assert int(found[2]) >= FIXED[found[1]]


def test_omniboards_driver_judges_a_server_by_its_smallest_wire_version(embedded_server):
    """So that it takes any newer one that still speaks as this does; see docker-compose.yml."""
    lock = json.loads((PROJECT / "devops" / "omniboard" / "package-lock.json").read_text())
    assert lock["packages"]["node_modules/mongodb"]["version"] == "3.7.4"
    database = connect(embedded_server)
    hello = database.client.admin.command("hello")
    database.client.close()
    assert hello["minWireVersion"] == 0
    assert hello["maxWireVersion"] > 13  # the newest that this driver knows


def test_missing_passwords_are_refused(services):
    settings = services["mongo"]["environment"]
    for name in ("ROOT", "APP", "READER"):
        # Compose ends with the text after `:?` where the variable is not set or empty.
        assert f"${{MONGO_{name}_PASSWORD:?no password" in str(settings.values())


def make_passwords(place):
    (line,) = re.findall(r"^#   (\(umask .*> \.env\))$", COMPOSE.read_text(), re.MULTILINE)
    for _ in range(2):
        subprocess.run(["/bin/sh", "-c", line], cwd=place, check=True)


def test_the_line_that_makes_passwords_does(tmp_path):
    make_passwords(tmp_path)
    file = tmp_path / ".env"
    names = [f"MONGO_{name}_PASSWORD" for name in ("ROOT", "APP", "READER")]
    lines = "\n".join(f"{name}=([0-9a-f]{{48}})" for name in (*names, "JUPYTER_TOKEN"))
    found = re.fullmatch(lines + "\n", file.read_text())
    assert found
    assert len(set(found.groups())) == 4
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert ".env" in (PROJECT / ".gitignore").read_text().splitlines()


def run_users_script(**more):
    node = shutil.which("node")
    if node is None:
        pytest.skip("Node.js is missing")
    script = PROJECT / "devops" / "mongo" / "users.js"
    return subprocess.run(
        [node, "-e", SHELL, str(script)],
        env={"PATH": os.environ["PATH"], **more},
        capture_output=True,
        text=True,
        check=False,
    )


def test_users_have_the_rights_that_they_need_and_no_more(own_home, services, tmp_path):
    embedded = resolve_server(environment(own_home))
    port = int(embedded.address.rpartition(":")[2])
    key = (own_home / ".mongo" / "mongod.key").read_text().strip()
    ended = run_users_script(MONGO_DB="shared", **PASSWORDS)
    with credentials._system_client(port, key) as client:
        for line in ended.stdout.splitlines():
            database, user, more = json.loads(line)
            # The names of the users are those of the embedded server, too.
            client[database].command("updateUser", user, **more)
    template = services["omniboard"]["environment"]["MONGO_URI"]
    reader_url = (
        template.replace("${MONGO_READER_PASSWORD}", PASSWORDS["MONGO_READER_PASSWORD"])
        .replace("mongo:27017/${MONGO_DB:-nn_clustering}", f"{embedded.address}/shared")
    )  # fmt: skip
    writer_url = (
        f"mongodb://nn_clustering:{PASSWORDS['MONGO_APP_PASSWORD']}@{embedded.address}/"
        "?authSource=admin"
    )
    writer = connect(Server(writer_url, "shared", embedded=False))
    writer["runs"].create_index("status")
    writer["runs"].insert_one({"_id": 1})
    with pytest.raises(OperationFailure):
        writer.client["other"]["runs"].insert_one({"_id": 1})
    reader = connect(Server(reader_url, "shared", embedded=False))
    assert reader["runs"].find_one() == {"_id": 1}
    with pytest.raises(OperationFailure):
        reader["runs"].delete_one({"_id": 1})
    with (tmp_path / "backup").open("wb") as handle:
        back_up(reader, handle)
    writer["runs"].delete_many({})
    restore_backup(writer, read_backup(tmp_path / "backup"))
    assert reader["runs"].find_one() == {"_id": 1}
    assert len(list(reader["runs"].list_indexes())) == 2
    writer.client.close()
    reader.client.close()


def test_users_without_passwords_are_not_made():
    ended = run_users_script(MONGO_APP_PASSWORD="a")
    assert ended.returncode != 0
    assert "no password for nn_clustering_reader" in ended.stderr


def test_image_holds_what_the_supervisor_loads():
    package = PROJECT / "devops" / "omniboard"
    ignored = (package / ".dockerignore").read_text().split("\n")
    assert {"*", "!*.js", "!package.json", "!package-lock.json"} <= set(ignored)
    loaded = re.findall(r"'(\w+\.js)'", (package / "supervise.js").read_text())
    assert {"guard.js", "loopback.js"} <= set(loaded)
    assert all((package / name).is_file() for name in loaded if name != "start.js")

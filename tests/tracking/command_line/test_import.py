"""Importing runs by the command: from folders, and from another server."""

import os
import signal
import subprocess
import sys
import time

import pytest

from nn_clustering.tracking import RunStore, connect, resolve_server, stop_embedded
from tests.programs import environment, run_warm
from tests.tracking.command_line.test_commands import COMMAND, environ, type_in  # noqa: F401
from tests.tracking.stored_files import store_file


@pytest.fixture(scope="module")
def other_home(tmp_path_factory):
    """The home of another server."""
    folder = tmp_path_factory.mktemp("their home")
    yield folder
    stop_embedded(folder)


@pytest.fixture
def other(other_home):
    """The database of another server, with a training and what rests on it."""
    database = connect(resolve_server(environment(other_home), other_home))
    database.client.drop_database(database.name)
    entry = store_file(database, "network.keras", b"x" * 1000)
    for run_id, experiment, lineage in ((4, "train", {}), (5, "cluster", {"train_run": 4}),
                                        (6, "train", {})):  # fmt: skip
        database["runs"].insert_one(
            {
                "_id": run_id, "experiment": {"name": experiment}, "status": "COMPLETED",
                "config": {"seed": run_id, **lineage},
                "info": {"lineage": lineage} if lineage else {},
                "tracking": {"token": f"{run_id}" * 32}, "artifacts": [entry],
            }
        )  # fmt: skip
    yield database
    database.client.close()


@pytest.fixture
def url_file(other, other_home, tmp_path):
    path = tmp_path / "url"
    path.write_text(resolve_server(environment(other_home), other_home).url)
    return path


def typed(process):
    assert process.returncode == 0, process.stderr
    return process.stdout.splitlines()


def test_from_another_server_with_what_it_rests_on(url_file, environ, store):  # noqa: F811
    environ = {**environ, "IMPORT_MONGO_URL_FILE": str(url_file)}
    command = [*COMMAND, "import", "--experiment", "cluster"]
    lines = typed(run_warm(command, environ))
    assert lines == ["run 4 is run 1 now", "run 5 is run 2 now", "2 runs imported"]
    assert store.run(2).lineage == {"train_run": 1}
    assert store.run(2).config["train_run"] == 1
    assert store.run(1).artifact("network.keras") == b"x" * 1000
    assert typed(run_warm(command, environ))[-1] == "0 runs imported, 2 here already"
    nothing = run_warm([*COMMAND, "import", "--tag", "none"], environ)
    assert nothing.returncode == 1
    assert "matches; leave a condition out" in nothing.stderr


def test_passwords_stay_out_of_the_list_of_processes(url_file, type_in):  # noqa: F811
    url = url_file.read_text()
    refused = type_in("import", url)
    assert refused.returncode == 1
    assert "IMPORT_MONGO_URL_FILE" in refused.stderr
    assert url.partition("://")[2].partition("@")[0] not in refused.stderr
    away = type_in("import", "mongodb://127.0.0.1:9/")
    assert "no usable MongoDB at 127.0.0.1:9" in away.stderr
    assert away.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "url",
    [
        "MONGODB://ann:s3cret@127.0.0.1:9/",
        " mongodb://ann:s3cret@127.0.0.1:9/",
        "mongodb://ann:s3/cret@127.0.0.1:9/",
        "mongodb://127.0.0.1:9/?tlsCertificateKeyFilePassword=s3cret",
        "mongodb://ann@127.0.0.1:9/?authMechanismProperties=AWS_SESSION_TOKEN:s3cret",
    ],
)
def test_odd_urls_with_passwords_are_refused_too(type_in, url):  # noqa: F811
    refused = type_in("import", url)
    assert refused.returncode == 1
    assert "which every user of this machine could read" in refused.stderr
    assert "s3" not in refused.stderr


def test_from_a_folder(add_run, type_in, tmp_path, database):  # noqa: F811
    add_run(1)
    typed(type_in("export", "--to", tmp_path / "out"))
    assert typed(type_in("import", tmp_path / "out")) == [
        "run 1 in run_1 is here already, as run 1", "0 runs imported, 1 here already",
    ]  # fmt: skip
    database["runs"].delete_many({})
    assert typed(type_in("import", tmp_path / "out"))[-1] == "1 run imported"
    (tmp_path / "out" / "run_1" / "exact.json").write_text("{}")
    damaged = type_in("import", tmp_path / "out")
    assert damaged.returncode == 1
    assert "'exact.json' is damaged" in damaged.stderr
    assert damaged.stdout.splitlines()[-1] == "0 runs imported, 1 refused"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "expected a folder, or the URL of a server"),
        (["nowhere"], "nowhere is no folder"),
        (["docs"], "docs holds no runs"),
        (["docs", "--tag", "a"], "conditions and --database are for a server"),
    ],
)
def test_what_cannot_be_imported(type_in, arguments, message):  # noqa: F811
    refused = type_in("import", *arguments)
    assert refused.returncode == 1
    assert message in refused.stderr
    assert refused.stderr.count("\n") == 1


def test_killed_and_gone_on_with(url_file, other, environ, database, home):  # noqa: F811
    files = [store_file(other, f"{number}", os.urandom(2_000_000)) for number in range(20)]
    other["runs"].update_one({"_id": 6}, {"$set": {"artifacts": files}})
    environ = {**environ, "IMPORT_MONGO_URL_FILE": str(url_file)}
    command = [sys.executable, *COMMAND, "import", "--config", "seed=6"]
    process = subprocess.Popen(command, env=environ, stdout=subprocess.DEVNULL)
    while database["fs.files"].estimated_document_count() < 2 and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert database["runs"].count_documents({}) == 0
    assert database["imports"].count_documents({}) == 1
    assert subprocess.run(command, env=environ, check=True)
    assert len(RunStore(database, home).run(1).artifacts) == 20
    assert database["imports"].count_documents({}) == 0
    assert database["fs.files"].count_documents({}) == 20

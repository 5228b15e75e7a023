"""A real MongoDB server in a temporary home, and runs made by a real experiment."""

import os
import subprocess
import sys
import uuid
from pathlib import Path

import pytest

from nn_clustering.tracking import RunStore, Server, connect, resolve_server, stop_embedded

PROJECT = Path(__file__).resolve().parents[2]
PROGRAM = Path(__file__).with_name("sample_experiment.py")


def environment(home, **more):
    """The environment of a command whose runs go to the embedded server of `home`."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MONGO_")}
    path = os.pathsep.join(filter(None, [str(PROJECT), kept.get("PYTHONPATH")]))
    return {**kept, "PYTHONPATH": path, "NN_CLUSTERING_HOME": str(home), **more}


def run_python(arguments, environ, **options):
    """Run Python to its end; returns the finished process with its output."""
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        env=environ,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        **options,
    )


@pytest.fixture(scope="session")
def home(tmp_path_factory):
    """A folder with a space in its name, as home folders may have."""
    folder = tmp_path_factory.mktemp("home of runs")
    yield folder
    stop_embedded(folder)


@pytest.fixture(scope="session")
def embedded_server(home):
    return resolve_server(environment(home))


@pytest.fixture
def own_home(tmp_path):
    """A home whose server a test may kill."""
    folder = tmp_path / "own home"
    folder.mkdir()
    yield folder
    stop_embedded(folder)


@pytest.fixture
def server(embedded_server):
    """The shared server with an empty database of the test's own."""
    return Server(embedded_server.url, f"test_{uuid.uuid4().hex}", embedded=True)


@pytest.fixture
def database(server):
    database = connect(server)
    yield database
    database.client.drop_database(database.name)
    database.client.close()


@pytest.fixture
def store(database):
    return RunStore(database)


@pytest.fixture
def run_sample(home, database, tmp_path):
    """Runs the sample experiment into the test's database; returns the finished process."""

    def run(action, *options, home=home, **more):
        environ = environment(home, **{"MONGO_DB": database.name, **more})
        updates = [f"action={action}", f"folder={tmp_path}"]
        return run_python([PROGRAM, *options, "with", *updates], environ)

    return run


@pytest.fixture
def add_run(database):
    """Inserts a bare run document; returns its id."""

    def add(run_id, experiment="train", status="COMPLETED", **fields):
        import datetime

        started = datetime.datetime(2024, 1, 1) + datetime.timedelta(hours=run_id)
        document = {"_id": run_id, "experiment": {"name": experiment}, "status": status}
        database["runs"].insert_one({**document, "start_time": started, "config": {}, **fields})
        return run_id

    return add

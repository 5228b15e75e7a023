"""A real MongoDB server in a temporary home, and runs made by a real experiment."""

import shutil
import uuid
from pathlib import Path

import pytest

from nn_clustering.tracking import RunStore, Server, connect, stop_embedded
from tests.programs import environment, run_warm

PROGRAM = Path(__file__).with_name("sample_experiment.py")
SAMPLE = Path(__file__).with_name("sample_project")


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
def store(database, home):
    return RunStore(database, home)


@pytest.fixture
def run_sample(home, database, tmp_path):
    """Runs the sample experiment into the test's database; returns the finished process."""

    def run(action, *options, home=home, **more):
        environ = environment(home, **{"MONGO_DB": database.name, **more})
        updates = [f"action={action}", f"folder={tmp_path}"]
        return run_warm([PROGRAM, *options, "with", *updates], environ)

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


@pytest.fixture
def project(tmp_path):
    """A copy of the sample project, to be changed."""
    folder = tmp_path / "a project"
    shutil.copytree(SAMPLE, folder, ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "numbers.txt").write_text("1\n2\n4\n")
    (folder / "few.txt").write_text("1\n")
    return folder


@pytest.fixture
def run(project, home, database):
    """Runs a stage of the project; returns the finished process."""

    def run(stage, *arguments, **more):
        environ = environment(home, MONGO_DB=database.name, PYTHONDONTWRITEBYTECODE="1", **more)
        program = project / "experiments" / f"{stage}.py"
        return run_warm([program, *arguments], environ, cwd=project)

    return run


@pytest.fixture
def succeed(run):
    def succeed(*arguments, **more):
        finished = run(*arguments, **more)
        assert finished.returncode == 0, finished.stderr
        return finished

    return succeed

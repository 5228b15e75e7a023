"""One small network, studied once by the pipeline as a process, for all tests to look at."""

import os
import subprocess
import tempfile
import time
from pathlib import Path

import pytest

from nn_clustering.tracking import RunStore, Server, connect
from tests.programs import PROJECT, WarmProcess, environment, run_python, run_warm

DATABASE = "test_experiments"
# Enough training for dropout-free clusters to differ, few units to be quick.
PIPELINE_OPTIONS = (
    "with", "mlp", "digits", "pruned", "fast", "train.training.epochs=8", "seed=3",
)  # fmt: skip


@pytest.fixture(scope="session")
def run_experiment(home, embedded_server):
    """Runs an experiment to its end; returns the finished process.

    In a process that was forked from one with TensorFlow imported, or in a new interpreter. Its
    `run_id` is that of the run that it made, or used: which is the latest depends on other tests.
    """

    def run(name, *arguments, in_new_interpreter=False, in_folder=PROJECT, **more):
        command = [PROJECT / "experiments" / f"{name}.py", *arguments]
        with tempfile.TemporaryDirectory() as folder:
            noted = Path(folder, "run_id")
            environ = environment(
                home, MONGO_DB=DATABASE, NN_CLUSTERING_RUN_ID_FILE=str(noted), **more
            )
            if in_new_interpreter:
                finished = run_python(command, environ, cwd=in_folder)
            else:
                finished = run_warm(command, environ, computes=True, cwd=in_folder)
            finished.run_id = int(noted.read_text()) if noted.exists() else None
        return finished

    return run


@pytest.fixture(scope="session")
def store(embedded_server, home):
    database = connect(Server(embedded_server.url, DATABASE, embedded=True))
    yield RunStore(database, home)
    database.client.drop_database(DATABASE)
    database.client.close()


@pytest.fixture
def here(store, home, tmp_path, monkeypatch):
    """The current folder, and runs of this process in the tests' database."""
    monkeypatch.setenv("NN_CLUSTERING_HOME", str(home))
    monkeypatch.setenv("MONGO_DB", DATABASE)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def killed_run(home, store, tmp_path):
    """Kills a stage in the middle, after an event of its run that is stored by then."""

    def kill(stage, *arguments, after):
        sign = tmp_path / "held"
        script = PROJECT / "experiments" / f"{stage}.py"
        held = [PROJECT / "tests" / "held_program.py", *after, sign, script, "with", *arguments]
        with WarmProcess(
            held,
            computes=True,
            env=environment(home, MONGO_DB=DATABASE),
            cwd=PROJECT,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        ) as process:
            try:
                wait_for(lambda: sign.exists() or process.poll() is not None)
                assert process.poll() is None, "it ended before"
                (run,) = store.find(experiment=stage, status="RUNNING")
                wait_for(lambda: n_stored(store, run.id, *after) == int(after[2]))
            finally:
                process.kill()
        return run

    return kill


def n_stored(store, run_id, kind, pattern, count):
    """The number of the run's artifacts, or points of metrics, that are in the database."""
    chosen = {"name": {"$regex": pattern}}
    if kind == "artifact":
        found = store.database["runs"].aggregate(
            [
                {"$match": {"_id": run_id}},
                {"$unwind": "$artifacts"},
                {"$match": {"artifacts.name": {"$regex": pattern}}},
            ]
        )
        return len(list(found))
    metrics = store.database["metrics"].find({"run_id": run_id, **chosen})
    return sum(len(part["values"]) for part in metrics)


def wait_for(condition, seconds=300):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.05)


@pytest.fixture(scope="session")
def pipeline(run_experiment, store):
    """The finished pipeline process."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    finished = run_experiment("pipeline", *PIPELINE_OPTIONS, in_new_interpreter=True)
    assert finished.returncode == 0, finished.stderr
    return finished


@pytest.fixture(scope="session")
def runs(pipeline, store):
    """The pipeline's run and those of its stages, by experiment."""
    whole = store.run(pipeline.run_id, experiment="pipeline")
    stages = {name: store.run(run_id) for name, run_id in whole.result["runs"].items()}
    return {"pipeline": whole, **stages}


def identity_of(store, run):
    """By which a later command finds the run, to use it."""
    return store.database["runs"].find_one({"_id": run.id})["tracking"]["identity"]

"""One small network, studied once by the pipeline as a process, for all tests to look at."""

import os

import pytest

from nn_clustering.tracking import RunStore, Server, connect
from tests.programs import PROJECT, environment, run_python, run_warm

DATABASE = "test_experiments"
# Enough training for dropout-free clusters to differ, few units to be quick.
PIPELINE_OPTIONS = (
    "with", "mlp", "digits", "pruned", "fast", "train.training.epochs=8", "seed=3",
)  # fmt: skip


@pytest.fixture(scope="session")
def run_experiment(home, embedded_server):
    """Runs an experiment to its end; returns the finished process.

    In a process that was forked from one with TensorFlow imported, or in a new interpreter.
    """

    def run(name, *arguments, in_new_interpreter=False, **more):
        command = [PROJECT / "experiments" / f"{name}.py", *arguments]
        environ = environment(home, MONGO_DB=DATABASE, **more)
        if in_new_interpreter:
            return run_python(command, environ)
        return run_warm(command, environ, computes=True)

    return run


@pytest.fixture(scope="session")
def store(embedded_server, home):
    database = connect(Server(embedded_server.url, DATABASE, embedded=True))
    yield RunStore(database, home)
    database.client.drop_database(DATABASE)
    database.client.close()


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
    whole = store.run("latest", experiment="pipeline")
    stages = {name: store.run(run_id) for name, run_id in whole.result["runs"].items()}
    return {"pipeline": whole, **stages}

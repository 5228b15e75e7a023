"""A cell ends with what it was for: its task on a Dask worker, or the worker itself."""

import os
import signal

import dask
import pytest
from distributed import Client, KilledWorker, LocalCluster

from nn_clustering.studies._cell_process import run_cell
from tests.studies.counting_project import CountingStudy
from tests.studies.processes import is_there, read_when_there, wait_until


@pytest.fixture(scope="module")
def study(embedded_server, home, tmp_path_factory):
    study = CountingStudy(tmp_path_factory.mktemp("a project"), embedded_server, home).begin()
    yield study
    study.close()


@pytest.fixture(scope="module")
def pause(tmp_path_factory):
    """Stages of the worker wait where this file is."""
    return tmp_path_factory.mktemp("paused") / "pause"


@pytest.fixture(scope="module")
def client(study, pause):
    """One worker, a process of one thread."""
    with pytest.MonkeyPatch.context() as environ:
        for name in set(os.environ) - set(study.environ):
            environ.delenv(name)
        for name, value in {**study.environ, "PAUSE": str(pause)}.items():
            environ.setenv(name, value)
        with (
            dask.config.set({"distributed.scheduler.allowed-failures": 0}),
            LocalCluster(
                n_workers=1, threads_per_worker=1, processes=True, dashboard_address=":0"
            ) as cluster,
            Client(cluster) as client,
        ):
            yield client


def begin(client, order, pause):
    """Hand a cell out; returns its task, and its process once it is at work."""
    future = client.submit(run_cell, order, key=f"count-{order['updates']['seed']}", pure=False)
    return future, int(read_when_there(pause))


def status_of(study, seed):
    return study.database["runs"].find_one({"config.seed": seed})["status"]


def test_a_cancelled_cell_is_interrupted(study, client, pause):
    future, process = begin(client, study.order(1), pause)
    future.cancel()
    wait_until(lambda: not is_there(process))
    assert status_of(study, 1) == "INTERRUPTED"
    pause.unlink()


def test_a_cell_is_interrupted_where_its_worker_is_killed(study, client, pause):
    future, process = begin(client, study.order(2), pause)
    (worker,) = client.run(os.getpid).values()
    os.kill(worker, signal.SIGKILL)
    wait_until(lambda: not is_there(process))
    assert status_of(study, 2) == "INTERRUPTED"
    pause.unlink()
    with pytest.raises(KilledWorker):
        future.result()

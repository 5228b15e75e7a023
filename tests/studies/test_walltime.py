"""How long a worker may go on, and which cells that holds."""

import os
import time
from types import SimpleNamespace

import pytest
from distributed import Client, LocalCluster
from distributed.system_monitor import SystemMonitor

from nn_clustering.studies._walltime import holds, remaining_seconds, whole_seconds


def both(dask_worker):
    return remaining_seconds(dask_worker, os.environ), whole_seconds(dask_worker, os.environ)


def in_slurm(start, end):
    now = time.time()
    moments = {"START": now + start, "END": now + end}
    return {f"SLURM_JOB_{name}_TIME": str(int(moment)) for name, moment in moments.items()}


def test_worker_without_end():
    assert remaining_seconds(None, {}) is None
    assert whole_seconds(None, {}) is None
    assert remaining_seconds(None, {"SLURM_JOB_END_TIME": "Unknown"}) is None


def test_end_of_a_slurm_job():
    environ = in_slurm(-600, 1200)
    assert remaining_seconds(None, environ) == pytest.approx(1200, abs=30)
    assert whole_seconds(None, environ) == pytest.approx(1800, abs=2)
    assert remaining_seconds(None, in_slurm(-600, -5)) == 0


def test_end_of_a_dask_worker(monkeypatch):
    here = {"n_workers": 1, "processes": False, "dashboard_address": "127.0.0.1:0"}
    with LocalCluster(**here, lifetime="900s") as cluster, Client(cluster) as client:
        ((remaining, whole),) = client.run(both).values()
        assert 600 < remaining < 900  # of its own age, not of this process'
        assert whole == 900
        for name, moment in in_slurm(-100, 300).items():
            monkeypatch.setenv(name, moment)
        ((remaining, whole),) = client.run(both).values()
        assert 200 < remaining <= 300
        assert whole == pytest.approx(400, abs=2)


def test_age_of_a_worker_whose_monitor_has_forgotten_its_start():
    monitor = SystemMonitor(maxlen=1)
    monitor.update()
    worker = SimpleNamespace(lifetime=1e6, monitor=monitor)
    of_process = monitor.proc.create_time() + 1e6 - time.time()
    assert remaining_seconds(worker, {}) == pytest.approx(of_process, abs=1)
    worker.monitor = SystemMonitor()
    worker.monitor.quantities["time"][0] -= 5000  # it was started then
    worker.monitor.update()
    assert remaining_seconds(worker, {}) == pytest.approx(1e6 - 5000, abs=1)


@pytest.mark.parametrize(
    ("remaining", "expected", "is_held"),
    [
        (None, 1e6, True),
        (None, None, True),
        (160, 80, True),  # 100 s less a quarter more than expected
        (159, 80, False),
        (120, None, True),  # unknown: unless nearly nothing remains
        (119, None, False),
        (0, 0, False),
    ],
)
def test_what_the_remaining_time_holds(remaining, expected, is_held):
    assert holds(remaining, expected, 60) is is_held


def test_cell_longer_than_any_walltime_goes_on_from_one_worker_to_the_next():
    assert holds(3500, 10_000, 60, whole=3600)
    assert not holds(1500, 10_000, 60, whole=3600)
    assert holds(1500, 1000, 60, whole=3600)
    assert holds(100, None, 60, whole=100)  # a worker of two minutes takes something too
    assert not holds(50, None, 60, whole=100)
    assert not holds(1500, 10_000, 60)
    assert not holds(120, 80, 60, whole=160)  # which a fresh one would just hold
    assert not holds(60, None, 60, whole=60)  # in which nothing could be computed

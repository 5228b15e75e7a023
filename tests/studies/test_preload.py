"""A worker that is asked to end lets its cell end, and tells what became of it."""

import signal
import subprocess
import sys
import time

import pytest
from distributed import Client, LocalCluster, get_worker

from tests.programs import environment


def wait_to_be_told(file):
    """What a cell does: it ends when its worker closes, and says so."""
    with open(file, "w") as handle:
        handle.write("begun")
    worker = get_worker()
    while worker.status.value == "running":
        time.sleep(0.02)
    time.sleep(0.5)
    return "ended well"


@pytest.mark.parametrize("lifetime", ["1h", "65s"], ids=["by a signal", "by its time"])
def test_cell_of_a_worker_that_is_to_end(tmp_path, lifetime):
    here = {"n_workers": 0, "processes": False, "dashboard_address": "127.0.0.1:0"}
    with (
        LocalCluster(**here, protocol="tcp://", host="127.0.0.1") as cluster,
        Client(cluster) as client,
        subprocess.Popen(
            [
                *(sys.executable, "-m", "dask", "worker", cluster.scheduler_address),
                *("--no-nanny", "--nthreads", "1", "--no-dashboard", "--lifetime", lifetime),
                *("--local-directory", tmp_path, "--preload", "nn_clustering.studies.preload"),
            ],
            env=environment(tmp_path),
            stderr=subprocess.PIPE,
            text=True,
        ) as process,
    ):
        begun = tmp_path / "begun"
        future = client.submit(wait_to_be_told, str(begun), pure=False)
        while not begun.exists():
            assert process.poll() is None
            time.sleep(0.02)
        if lifetime == "1h":
            process.send_signal(signal.SIGTERM)
        assert future.result() == "ended well"
        future.release()
        errors = process.communicate(timeout=60)[1]
        assert process.returncode == 0, errors
        assert "Traceback" not in errors

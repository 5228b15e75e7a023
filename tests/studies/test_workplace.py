"""Where cells run: what this machine has, and which schedulers are refused."""

import logging
import os
import socket
import sys

import distributed
import pytest

from nn_clustering.errors import InvalidInputError
from nn_clustering.machine import memory_bytes
from nn_clustering.studies import SchedulerUnavailableError, workplace
from nn_clustering.studies._local_workers import visible_gpus, worker_processes
from nn_clustering.studies._schedulers import connect_client

LISTED = """\
GPU 0: NVIDIA H200 (UUID: GPU-aa)
GPU 1: NVIDIA H200 (UUID: GPU-bb)
  MIG 3g.71gb     Device  0: (UUID: MIG-cc)
  MIG 3g.71gb     Device  1: (UUID: MIG-dd)
"""


def refusal(error=InvalidInputError, **place):
    with pytest.raises(error) as caught, workplace(**place, tell=lambda line: None):
        pass
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.fixture
def nvidia_smi(tmp_path):
    """Puts a program of that name on a PATH, which lists GPUs; returns the environment."""

    def put(listed):
        program = tmp_path / "nvidia-smi"
        program.write_text(f"#!/bin/sh\ncat <<'END'\n{listed}END\n")
        program.chmod(0o755)
        return {"PATH": f"{tmp_path}:{os.environ['PATH']}"}

    return put


@pytest.mark.parametrize(
    ("listed", "chosen", "gpus"),
    [
        (LISTED, None, ["0", "MIG-cc", "MIG-dd"]),
        ("", None, []),
        (LISTED, "1", ["1"]),
        (LISTED, "GPU-aa, 1", ["GPU-aa", "1"]),
        (LISTED, "0,-1,1", ["0"]),
        (LISTED, "", []),
    ],
)
def test_gpus_are_those_that_cuda_would_use(nvidia_smi, listed, chosen, gpus):
    environ = nvidia_smi(listed)
    if chosen is not None:
        environ["CUDA_VISIBLE_DEVICES"] = chosen
    assert visible_gpus(environ) == gpus


def test_workers_share_what_this_machine_has(nvidia_smi, monkeypatch):
    monkeypatch.setenv("PATH", nvidia_smi("GPU 0: NVIDIA H200 (UUID: GPU-aa)\n")["PATH"])
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    told = []
    # Studies in threads side by side, of other tests, may have left any level.
    logging.getLogger("distributed").setLevel(logging.WARNING)
    with workplace(n_workers=2, tell=told.append) as client:
        assert logging.getLogger("distributed").level > logging.CRITICAL
        workers = client.scheduler_info()["workers"]
        assert all(address.startswith("tls://127.0.0.1:") for address in workers)
        resources = [worker["resources"] for worker in workers.values()]
        assert sum(each["MEMORY"] for each in resources) == pytest.approx(0.9 * memory_bytes())
        assert {worker["nthreads"] for worker in workers.values()} == {1}
        seen = client.run(lambda: os.environ["CUDA_VISIBLE_DEVICES"])
        assert {seen[address]: workers[address]["resources"]["GPU"] for address in workers} == {
            "0": 1,
            "-1": 0,
        }
        threads = client.run(lambda: os.environ.get("OMP_NUM_THREADS"))
        assert set(threads.values()) == {os.environ.get("OMP_NUM_THREADS")}
        # Anyone may look at a page that listens elsewhere, and a client there may run any code.
        assert client.dashboard_link.startswith("http://127.0.0.1:")
        # Without the keys, which nobody else on this machine has.
        address = client.scheduler.address
        assert "wants keys; expected them in Dask's" in refusal(scheduler=address)
        for place, keys in (
            (address, distributed.Security.temporary()),  # of somebody else's
            (address.replace("tls", "tcp"), None),
        ):
            with pytest.raises(OSError, match=r"certificate does not match|reset|closed"):
                distributed.Client(place, security=keys, timeout=3, set_as_default=False)
    assert told == [f"workers: 2 on this machine, 1 with a GPU, dashboard: {client.dashboard_link}"]
    assert logging.getLogger("distributed").level == logging.WARNING


def test_each_gpu_has_a_worker_of_its_own(nvidia_smi, monkeypatch):
    monkeypatch.setenv("PATH", nvidia_smi(LISTED)["PATH"])
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert [worker.gpu for worker in worker_processes(1, 5)] == [
        "0",
        "MIG-cc",
        "MIG-dd",
        None,
        None,
    ]
    assert [worker.gpu for worker in worker_processes(None)] == ["0", "MIG-cc", "MIG-dd"]


def test_the_number_of_workers_goes_by_processors_threads_and_memory(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    n_processors = len(os.sched_getaffinity(0))
    half = 0.9 * memory_bytes() / 2 / 2**20
    assert len(worker_processes(1)) == n_processors
    assert len(worker_processes(n_processors)) == len(worker_processes(None)) == 1
    assert len(worker_processes(n_processors + 1)) == 1
    assert len(worker_processes(1, memory_mb=half - 1)) == min(2, n_processors)
    assert len(worker_processes(1, memory_mb=half + 1)) == 1
    with pytest.raises(InvalidInputError, match=r"each of 3 workers would have .*n_workers=2, or"):
        worker_processes(1, 3, half - 1)
    with pytest.raises(InvalidInputError, match="expected less in `needs` of its step"):
        worker_processes(1, memory_mb=3 * half)


def test_a_scheduler_that_does_not_answer_is_refused():
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # and does not listen
        address = f"tcp://127.0.0.1:{nobody.getsockname()[1]}"
        with pytest.raises(SchedulerUnavailableError) as refused:
            connect_client(address, seconds=0.5)
        assert str(refused.value) == (
            f"no scheduler answers at {address}; expected one there, as by `dask scheduler`"
        )


def test_what_is_no_scheduler_is_refused(tmp_path):
    assert "'carrier pigeon://x' is no address" in refusal(scheduler="carrier pigeon://x")
    missing = tmp_path / "none.json"
    assert "no such file" in refusal(SchedulerUnavailableError, scheduler_file=missing)
    missing.write_text("{}")
    assert "says no address (KeyError" in refusal(scheduler_file=missing)
    assert "expected one of them" in refusal(scheduler="tcp://a:1", scheduler_file=missing)
    assert "leave it out" in refusal(scheduler="tcp://a:1", n_workers=2)
    assert refusal(n_workers=0) == "n_workers=0; expected an integer from 1, or None"


def test_without_dask_it_is_said_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    assert 'install it with pip install "nn_clustering[cluster]"' in refusal(n_workers=1)


def test_without_what_makes_keys_it_is_said_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "cryptography", None)
    assert 'install what makes them with pip install "nn_clustering[cluster]"' in refusal(
        n_workers=1
    )

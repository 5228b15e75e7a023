"""The workers of Dask Distributed that this machine has for as long as a study lasts."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nn_clustering.errors import InvalidInputError
from nn_clustering.machine import in_units, memory_bytes
from nn_clustering.studies._schedulers import import_distributed, new_keys

if TYPE_CHECKING:
    from distributed import Security, SpecCluster, Worker

LOOPBACK = "127.0.0.1"
# Dask's resources of a worker: a number, and bytes.
GPU, MEMORY = "GPU", "MEMORY"
# Of this machine's memory, what the cells may have: the study itself and MongoDB want some.
SHARE_OF_MEMORY = 0.9
_CONFIG = {
    # A cell whose worker died may have been the reason: it is for the study to try it again.
    "distributed.scheduler.allowed-failures": 0,
    "distributed.scheduler.work-stealing": False,
    # A laptop that slept has no dead workers: those whose process is gone are seen without this.
    "distributed.scheduler.worker-ttl": None,
    # Dask would set numbers of threads, and a seed of hashes, which cells would inherit: they get
    # the threads that their config says, and any seed.
    "distributed.nanny.pre-spawn-environ": {"PYTHONHASHSEED": "random"},
    # Workers only wait for the processes of cells.
    "distributed.worker.profile.enabled": False,
    "distributed.scheduler.active-memory-manager.start": False,
}


@dataclass(frozen=True)
class WorkerProcess:
    """A worker that this machine shall have.

    Attributes:
        gpu: What CUDA calls the GPU that is its own; None for none.
        memory_bytes: What a cell on it may take.
    """

    gpu: str | None
    memory_bytes: float


def worker_processes(
    n_threads: int | None, n_workers: int | None = None, memory_mb: float = 0
) -> list[WorkerProcess]:
    """Return the workers that this machine shall have, those with a GPU first.

    Args:
        n_threads: Of a cell: how many processors it keeps busy; None for all.
        n_workers: How many cells go side by side; None for as many as processors and memory hold,
            and no fewer than there are GPUs.
        memory_mb: What the largest cell needs, in MB (2^20 bytes).

    Raises:
        InvalidInputError: If the memory does not hold the largest cell.
    """
    from dask.system import cpu_count

    memory, needed = SHARE_OF_MEMORY * memory_bytes(), memory_mb * 2**20
    gpus = visible_gpus()
    if n_workers is None:
        n_processors: int = cpu_count()
        by_threads = n_processors // (n_threads or n_processors)
        wanted = max(by_threads, len(gpus))
        n_workers = max(1, min(wanted, int(memory // needed)) if needed else wanted)
    if needed > memory / n_workers:
        fewer = int(memory // needed)
        raise InvalidInputError(
            f"a run of this study needs {in_units(needed)} of memory, and each of {n_workers} "
            f"workers would have {in_units(memory / n_workers)}; expected "
            + (f"n_workers={fewer}, or " if fewer else "")
            + "less in `needs` of its step"
        )
    return [
        WorkerProcess(gpus[number] if number < len(gpus) else None, memory / n_workers)
        for number in range(n_workers)
    ]


def visible_gpus(environ: Mapping[str, str] = os.environ) -> list[str]:
    """Return what CUDA calls the GPUs that this process may use.

    Args:
        environ: Where CUDA_VISIBLE_DEVICES may choose among them.
    """
    chosen = environ.get("CUDA_VISIBLE_DEVICES")
    if chosen is not None:
        names = [name.strip() for name in chosen.split(",")]
        # CUDA takes those before the first that it does not know.
        end = next((n for n, name in enumerate(names) if name in ("", "-1")), len(names))
        return names[:end]
    try:
        listed = subprocess.run(
            ["nvidia-smi", "-L"],
            env=dict(environ),
            capture_output=True,
            text=True,
            timeout=20,
            check=True,
        ).stdout
    except (OSError, subprocess.SubprocessError):
        found = Path("/dev").glob("nvidia[0-9]*")
        return [str(number) for number in range(len(list(found)))]
    return _listed_gpus(listed)


@contextlib.contextmanager
def local_cluster(processes: Sequence[WorkerProcess]) -> Iterator[SpecCluster]:
    """Within the block, there are workers on this machine, and a scheduler in this process.

    They listen on loopback alone, have keys that nobody else on this machine has, without which
    anybody there could have them run any code, and die with this process.

    Raises:
        InvalidInputError: If distributed, or what makes keys for it, is not installed.
    """
    distributed = import_distributed()
    import dask

    security = new_keys()
    options = {
        "host": LOOPBACK,
        "port": 0,
        "protocol": "tls://",
        "security": security,
        "dashboard": True,
        "dashboard_address": f"{LOOPBACK}:0",
    }
    with dask.config.set(_CONFIG), _program_not_imported():
        cluster = distributed.SpecCluster(
            scheduler={"cls": distributed.Scheduler, "options": options},
            workers={
                number: {"cls": distributed.Nanny, "options": _options(process, security)}
                for number, process in enumerate(processes)
            },
            security=security,
            silence_logs=logging.CRITICAL,
        )
        try:
            yield cluster
        finally:
            cluster.close()


@contextlib.contextmanager
def _program_not_imported() -> Iterator[None]:
    """Within the block, new workers do not import the program of this process.

    multiprocessing has every process that it spawns import it, for what is defined there. Workers
    need nothing of a study's program, which takes long to import, and which somebody may be
    editing when a worker that has died is started again.
    """
    program = sys.modules["__main__"]
    before = program.__spec__
    program.__spec__ = ModuleSpec("__main__", None)  # by which multiprocessing leaves it out
    try:
        yield
    finally:
        program.__spec__ = before


def dask_setup(worker: Worker) -> None:
    """Prepare a worker of this machine; Dask calls it in its process.

    Ctrl-C on a terminal, or its end, reaches every process of it: it is the study that ends the
    cells.
    """
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)


def _options(process: WorkerProcess, security: Security) -> dict[str, Any]:
    return {
        "nthreads": 1,
        "host": LOOPBACK,
        "protocol": "tls://",
        "security": security,
        # It is the cells that take memory, in processes of their own.
        "memory_limit": None,
        "resources": {GPU: int(process.gpu is not None), MEMORY: process.memory_bytes},
        "env": {"CUDA_VISIBLE_DEVICES": "-1" if process.gpu is None else process.gpu},
        "preload": [__name__],
        "dashboard": False,
        "silence_logs": logging.CRITICAL,
    }


def _listed_gpus(text: str) -> list[str]:
    """The GPUs that `nvidia-smi -L` lists: the instances of one that is divided, else its number.

    A line is `GPU 0: NVIDIA H100 (UUID: GPU-...)`; those of its instances follow, indented.
    """
    found: list[str] = []
    for line in text.splitlines():
        words = line.split()
        if line.startswith("GPU "):
            found.append(words[1].rstrip(":"))
        elif words[:1] == ["MIG"] and "(UUID:" in words:
            if found and found[-1].isdecimal():
                found.pop()
            found.append(words[words.index("(UUID:") + 1].rstrip(")"))
    return found

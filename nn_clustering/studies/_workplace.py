"""Where the cells of a study run: on workers of Dask Distributed.

By default these are processes of this machine, for as long as a study lasts; or they are those of a
scheduler that is there already, a lab's.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from nn_clustering.errors import InvalidInputError
from nn_clustering.studies._local_workers import local_cluster, worker_processes
from nn_clustering.studies._schedulers import (
    CLIENT_NAME,
    check_address,
    close_client,
    connect_client,
    import_distributed,
    quiet,
)

if TYPE_CHECKING:
    from distributed import Client


@contextlib.contextmanager
def workplace(
    *,
    n_threads: int | None = 1,
    n_workers: int | None = None,
    memory_mb: float = 0,
    scheduler: str | None = None,
    scheduler_file: str | os.PathLike[str] | None = None,
    tell: Callable[[str], object] = print,
) -> Iterator[Client]:
    """Within the block, there are workers for cells.

    Args:
        n_threads: Of a cell: how many processors it keeps busy; None for all.
        n_workers: How many cells this machine computes side by side; None for as many as its
            processors and its memory hold.
        memory_mb: What the largest cell needs, in MB (2^20 bytes).
        scheduler: Address of a scheduler whose workers are used instead, `tcp://host:8786`.
        scheduler_file: File in which `dask scheduler --scheduler-file` has put its address.
        tell: Gets a line that says what is used.

    Yields:
        A Dask client. The scheduler is ours, and ends with the block, where it has a `cluster`.

    Raises:
        InvalidInputError: If what is asked for contradicts itself or cannot be had here, Dask
            Distributed is not installed, or the scheduler's versions are others.
        SchedulerUnavailableError: If no scheduler answers.
    """
    check_workplace(n_workers, scheduler, scheduler_file)
    with quiet():
        if scheduler is not None or scheduler_file is not None:
            client = connect_client(scheduler, scheduler_file)
            try:
                tell(f"scheduler: {client.scheduler.address}, {_dashboard(client)}")
                yield client
            finally:
                close_client(client)
            return
        processes = worker_processes(n_threads, n_workers, memory_mb)
        with local_cluster(processes) as cluster:
            client = import_distributed().Client(cluster, set_as_default=False, name=CLIENT_NAME)
            try:
                n_gpus = sum(process.gpu is not None for process in processes)
                gpus = f", {n_gpus} with a GPU" if n_gpus else ""
                tell(f"workers: {len(processes)} on this machine{gpus}, {_dashboard(client)}")
                yield client
            finally:
                close_client(client)


def check_workplace(
    n_workers: int | None,
    scheduler: str | None,
    scheduler_file: str | os.PathLike[str] | None,
) -> None:
    """Raise InvalidInputError if arguments of `workplace` are wrong by themselves."""
    if scheduler is not None and scheduler_file is not None:
        raise InvalidInputError(
            f"scheduler={scheduler!r} and scheduler_file={os.fspath(scheduler_file)!r} are both "
            "given; expected one of them"
        )
    if scheduler is not None:
        check_address(scheduler)
    if n_workers is None:
        return
    if not isinstance(n_workers, int) or isinstance(n_workers, bool) or n_workers < 1:
        raise InvalidInputError(f"n_workers={n_workers!r}; expected an integer from 1, or None")
    named = scheduler if scheduler_file is None else os.fspath(scheduler_file)
    if named is not None:
        raise InvalidInputError(
            f"n_workers={n_workers} changes nothing beside {named}, whose workers are there; "
            "leave it out"
        )


def check_workplace_is_there(
    *,
    n_threads: int | None = 1,
    n_workers: int | None = None,
    memory_mb: float = 0,
    scheduler: str | None = None,
    scheduler_file: str | os.PathLike[str] | None = None,
) -> None:
    """Raise what `workplace` would raise for these arguments, before anything is begun."""
    import_distributed()
    if scheduler is None and scheduler_file is None:
        worker_processes(n_threads, n_workers, memory_mb)
        return
    with quiet():
        close_client(connect_client(scheduler, scheduler_file))


def _dashboard(client: Client) -> str:
    link = client.dashboard_link
    return f"dashboard: {link}" if link else "no dashboard"

"""The workers that a study can hand cells to: what each can hold, and who is free."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nn_clustering.errors import in_one_line
from nn_clustering.machine import memory_bytes
from nn_clustering.studies._local_workers import GPU, MEMORY
from nn_clustering.studies._schedulers import different_versions, own_versions
from nn_clustering.studies._stages import Needs
from nn_clustering.studies._walltime import holds, remaining_seconds, whole_seconds

if TYPE_CHECKING:
    from distributed import Client, Worker

# A scheduler or a worker that has not answered a question by then is away.
QUESTION_SECONDS = 15.0
# A worker that could not reach MongoDB is asked again after this.
REST_SECONDS = 10.0


@dataclass(frozen=True)
class WorkerFacts:
    """What does not change of a worker.

    Attributes:
        address: By which Dask knows it.
        host: Name of its machine.
        n_threads: How many cells it takes at a time.
        gpus: How many GPUs it has.
        memory_bytes: What cells on it may take.
        end: When it ends, by the monotonic clock of this process; None for never.
        whole_seconds: For how long one like it runs; None for ever.
    """

    address: str
    host: str
    n_threads: int
    gpus: float
    memory_bytes: float
    end: float | None = None
    whole_seconds: float | None = None

    @property
    def name(self) -> str:
        """Where it is, in words."""
        return f"{self.host} ({self.address})"

    def is_large_enough(self, needs: Needs) -> bool:
        """Whether it has what a cell needs, if it has nothing else to do."""
        return needs.gpu <= self.gpus and needs.memory_mb * 2**20 <= self.memory_bytes

    def has_time(self, expected_seconds: float | None) -> bool:
        """Whether it will be there for long enough.

        Args:
            expected_seconds: What a cell should take; None where nobody knows.
        """
        remaining = None if self.end is None else max(self.end - time.monotonic(), 0.0)
        return holds(remaining, expected_seconds, whole=self.whole_seconds)


class Workers:
    """Who is there, as far as was seen at the last look.

    Attributes:
        unfit: Why workers are handed nothing, by their addresses.
    """

    def __init__(self) -> None:
        self.unfit: dict[str, str] = {}
        self._facts: dict[str, WorkerFacts] = {}
        self._tasks: Mapping[str, Collection[str]] = {}
        self._resting: dict[str, float] = {}

    def look(self, client: Client) -> list[str]:
        """Ask the scheduler who is there and what they do, and those who are new for their facts.

        Returns:
            What there is to say of those that cannot be used.

        Raises:
            OSError: If the scheduler is away, or another error of a connection.
        """
        tasks = ask(client, client.scheduler.processing, workers=None)
        new = [address for address in tasks if address not in self._facts | self.unfit.keys()]
        told = self._learn(client, new) if new else []
        # One that joins again under its old address may be another.
        self._facts = {address: facts for address, facts in self._facts.items() if address in tasks}
        self.unfit = {address: why for address, why in self.unfit.items() if address in tasks}
        self._tasks = tasks
        return told

    def __contains__(self, address: object) -> bool:
        """Whether the scheduler knows a worker."""
        return address in self._tasks

    def has_task(self, address: str, key: str) -> bool:
        """Whether a worker had a task, or was to get it, at the last look."""
        return key in self._tasks.get(address, ())

    def __len__(self) -> int:
        """Number of workers that the scheduler knows."""
        return len(self._tasks)

    @property
    def n_places(self) -> int:
        """How many cells go side by side on those that can be used."""
        return sum(facts.n_threads for facts in self._usable())

    def facts(self, address: str) -> WorkerFacts | None:
        """Return what is known of a worker."""
        return self._facts.get(address)

    def crowded(self) -> dict[str, Collection[str]]:
        """Return the tasks of workers that have more than they can do at a time."""
        return {
            address: tasks
            for address, tasks in self._tasks.items()
            if address in self._facts and len(tasks) > self._facts[address].n_threads
        }

    def free(self, taken: Mapping[str, Sequence[Needs]]) -> list[tuple[WorkerFacts, int]]:
        """Return those that can take a cell now, and how many each.

        Args:
            taken: What own cells need that run, by the addresses of their workers. Some may have
                come there after the look.
        """
        now = time.monotonic()
        found = []
        for facts in self._usable():
            n_tasks = max(len(self._tasks[facts.address]), len(taken.get(facts.address, ())))
            if n_tasks < facts.n_threads and self._resting.get(facts.address, now) <= now:
                found.append((facts, facts.n_threads - n_tasks))
        return found

    def who_could(self, needs: Needs, declined: Collection[str]) -> list[WorkerFacts]:
        """Return those that could ever take a cell, if there were time enough.

        Args:
            needs: Of the cell.
            declined: The addresses of those that would not.
        """
        return [
            facts
            for facts in self._usable()
            if facts.address not in declined and facts.is_large_enough(needs)
        ]

    def let_rest(self, address: str) -> None:
        """Hand a worker nothing for a while."""
        self._resting[address] = time.monotonic() + REST_SECONDS

    def forget_all(self) -> None:
        """Know nobody: the scheduler is another."""
        self._facts, self._tasks, self.unfit, self._resting = {}, {}, {}, {}

    def _usable(self) -> list[WorkerFacts]:
        return [
            facts
            for address, facts in self._facts.items()
            if address in self._tasks and address not in self.unfit
        ]

    def _learn(self, client: Client, addresses: Sequence[str]) -> list[str]:
        answers = ask(
            client, client._run, own_facts, workers=list(addresses), on_error="return", nanny=False
        )
        told = []
        for address, answer in answers.items():
            reason = _reason_against(answer)
            if reason is None:
                self._facts[address] = _read_facts(address, answer)
            else:
                self.unfit[address] = reason
                told.append(f"worker {address} is not used: {reason}")
        return told


def own_facts(dask_worker: Worker) -> dict[str, Any]:
    """Return what a study wants to know of a worker; runs on it.

    Args:
        dask_worker: Dask hands it in under this name.
    """
    resources = dask_worker.state.total_resources
    limit = dask_worker.memory_manager.memory_limit or memory_bytes()
    return {
        "versions": own_versions(),
        "host": socket.gethostname(),
        "n_threads": dask_worker.state.nthreads,
        "gpus": resources.get(GPU, 0),
        "memory_bytes": resources.get(MEMORY, limit),
        "remaining_seconds": remaining_seconds(dask_worker, os.environ),
        "whole_seconds": whole_seconds(dask_worker, os.environ),
    }


def waiting_tasks(keys: Sequence[str], dask_worker: Worker) -> list[str]:
    """Return those of some tasks that a worker has not begun; runs on it.

    Args:
        keys: Of the tasks.
        dask_worker: Dask hands it in under this name.
    """
    tasks = dask_worker.state.tasks
    begun = ("executing", "long-running", "cancelled", "memory", "error")
    return [key for key in keys if key in tasks and tasks[key].state not in begun]


def tasks_that_run(keys: Sequence[str], dask_worker: Worker) -> list[str]:
    """Return those of some tasks that go on in a worker, also if they were cancelled; runs on it.

    Args:
        keys: Of the tasks.
        dask_worker: Dask hands it in under this name.
    """
    return [key for key in keys if key in dask_worker.state.tasks]


def ask(client: Client, question: Any, *arguments: Any, **named: Any) -> Any:
    """Have a client do something, and wait for it for a while only.

    Raises:
        OSError: If the client is not connected, or it takes too long; or another error of a
            connection.
    """
    if client.status != "running":
        raise ConnectionError(f"the client is {client.status}")
    return client.sync(question, *arguments, callback_timeout=QUESTION_SECONDS, **named)


def _reason_against(answer: Any) -> str | None:
    if isinstance(answer, BaseException):
        return f"it cannot say what it is ({in_one_line(answer)})"  # type: ignore[arg-type]
    differences = different_versions(answer["versions"])
    return f"it has {differences}" if differences else None


def _read_facts(address: str, answer: Mapping[str, Any]) -> WorkerFacts:
    remaining = answer["remaining_seconds"]
    return WorkerFacts(
        address,
        host=answer["host"],
        n_threads=answer["n_threads"],
        gpus=answer["gpus"],
        memory_bytes=answer["memory_bytes"],
        end=None if remaining is None else time.monotonic() + remaining,
        whole_seconds=answer["whole_seconds"],
    )

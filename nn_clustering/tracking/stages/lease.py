"""Who does a piece of work that several may begin: whoever holds its lease, as long as it lives.

A lease is a document of the collection `leases`, whose `_id` names the work, so that two can never
hold it at once. It lasts for some seconds of the server's clock, never of a machine's; its holder
renews it in a thread, and lets it go in the end. That of a process which is killed runs out, or is
left as soon as its run is known to have died; while its run gives signs of life, nobody takes it.
A holder that slept, or was cut off, and finds that another has it now, is told: it is one too many.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import socket
import threading
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import pymongo
import pymongo.errors

from nn_clustering.tracking.stages.identity import completed_run
from nn_clustering.tracking.writing.signs_of_life import IS_SILENT

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pymongo.database import Database

COLLECTION = "leases"
# It survives some renewals that come late; whoever waits for a dead holder waits for so long.
LEASE_SECONDS = 20.0
RENEWALS = 5  # in that time


@dataclass(frozen=True)
class Holder:
    """Who holds a lease.

    Attributes:
        host: Name of the machine.
        pid: The process there.
        run_id: The run that does the work; None where it has not begun.
        since: When it took the lease, by the server's clock (UTC).
    """

    host: str
    pid: int
    run_id: Any
    since: datetime

    def __str__(self) -> str:
        run = "" if self.run_id is None else f"run {self.run_id}, "
        return f"{run}pid {self.pid} on {self.host}, since {self.since:%H:%M:%S} UTC"


class Lease:
    """The lease of one piece of work, which this process takes or waits for.

    As a context manager, it is let go at the end of the block.
    """

    def __init__(
        self,
        database: Database,
        key: str,
        *,
        seconds: float = LEASE_SECONDS,
        on_lost: Callable[[str], object] = lambda why: None,
    ) -> None:
        """Hold nothing yet.

        Args:
            database: Where leases are; `connect` has made sure that it answers.
            key: Names the work, as the identity of the run that does it.
            seconds: For how long it lasts when it is not renewed.
            on_lost: Is told, in a thread, that another does the work or has done it, in words.
        """
        self._on_lost = on_lost
        self._leases = database[COLLECTION]
        self._runs = database["runs"]
        self._key = key
        self._seconds = seconds
        self._token = secrets.token_hex(16)
        self._run_id: Any = None
        self._renewal: threading.Thread | None = None
        self._wakes = threading.Semaphore(0)
        self._is_over = self._is_lost = False
        self._may_hold = False

    def take(self) -> bool:
        """Take it, if nobody holds it, or whoever did gives no sign any more, or has no run to do.

        Raises:
            PyMongoError: The server cannot be reached, or does not let us write.
        """
        ours = {"_id": self._key, "token": self._token}
        self._may_hold = True  # whatever happens from here on
        try:
            self._leases.update_one(ours, self._terms(is_new=True), upsert=True)
        except pymongo.errors.DuplicateKeyError:
            over = self._over()
            taken = over is not None and self._leases.update_one(over, self._terms(is_new=True))
            self._may_hold = bool(taken and taken.matched_count)
            if not self._may_hold:
                return False
        renewal = threading.Thread(target=self._renew, name="lease", daemon=True)
        renewal.start()
        self._renewal = renewal  # Ctrl-C in between leaves none that never started
        return True

    @property
    def renewal_seconds(self) -> float:
        """The time between two renewals."""
        return self._seconds / RENEWALS

    def holder(self) -> Holder | None:
        """Who holds it; None where nobody does.

        Raises:
            PyMongoError: The server cannot be reached.
        """
        found = self._leases.find_one({"_id": self._key})
        if found is None:
            return None
        return Holder(found["host"], found["pid"], found["run_id"], found["since"])

    def note_run(self, run_id: Any) -> None:
        """Leave word of the run that does the work."""
        self._run_id = run_id
        self._wakes.release()

    def let_go(self) -> None:
        """Let others take it. Where the server does not hear that, it runs out."""
        if not self._may_hold:
            return
        self._is_over = True
        if self._renewal is None:
            self._say_once()
        else:
            self._wakes.release()
            self._renewal.join()
        self._may_hold = False

    def __enter__(self) -> Lease:
        return self

    def __exit__(self, *error: object) -> None:
        self.let_go()

    def _over(self) -> dict[str, Any] | None:
        """Matches the lease as it is, if it is over; None where the run that it is for goes on."""
        over: dict[str, Any] = {
            "_id": self._key,
            "$expr": {"$lte": ["$expires_at", "$$NOW"]},
        }
        held = self._leases.find_one({"_id": self._key}, {"run_id": 1, "token": 1}) or {}
        if held.get("run_id") is None:
            return over
        run = {"_id": held["run_id"]}
        alive = {**run, "status": "RUNNING", "$expr": {"$not": [IS_SILENT]}}
        if self._runs.find_one(alive, {"_id": 1}) is not None:
            return None
        ended = {**run, "status": {"$ne": "RUNNING"}}
        is_left = self._runs.find_one(ended, {"_id": 1}) is not None
        return {"_id": self._key, "token": held["token"]} if is_left else over

    def _terms(self, *, is_new: bool) -> list[Mapping[str, Any]]:
        """The document, as an update: times are those of the server."""
        fields: dict[str, Any] = {
            "token": self._token,
            "host": {"$literal": socket.gethostname()},
            "pid": os.getpid(),
            "run_id": {"$literal": self._run_id},
            "expires_at": {"$add": ["$$NOW", round(1000 * self._seconds)]},
        }
        if is_new:
            fields["since"] = "$$NOW"
        return [{"$set": fields}]

    def _renew(self) -> None:
        while not (self._is_over or self._is_lost):
            self._wakes.acquire(timeout=self.renewal_seconds)
            self._say_once()

    def _say_once(self) -> None:
        """Tell the server that the work goes on, or is over.

        What it does not hear now is said again. Work goes on without a lease too.
        """
        ours, patience = {"_id": self._key, "token": self._token}, self.renewal_seconds
        with contextlib.suppress(pymongo.errors.PyMongoError), pymongo.timeout(patience):
            if self._is_over:
                self._leases.delete_one(ours)
            elif not self._leases.update_one(ours, self._terms(is_new=False)).matched_count:
                self._see_who_was_faster()

    def _see_who_was_faster(self) -> None:
        """Tell of it, where another took the lease; take it back, where it is nobody's."""
        done = completed_run(self._runs.database, self._key)
        if done is not None and isinstance(self._run_id, int) and done > self._run_id:
            self._lose(f"run {done} has done it")
            return
        ours = {"_id": self._key, "token": self._token}
        try:
            self._leases.update_one(ours, self._terms(is_new=True), upsert=True)
        except pymongo.errors.DuplicateKeyError:
            self._lose(f"another does it now ({self.holder()})")

    def _lose(self, why: str) -> None:
        self._is_lost = True
        self._on_lost(why)


def release_of_dead(database: Database, pid: int, seconds: float) -> Any:
    """Let go what a process of this machine held, which was killed: nobody need wait for it.

    Args:
        database: Where leases are.
        pid: The process, which has ended just now.
        seconds: For how long it ran, at most: another had its number before.

    Returns:
        The run that it made; None where it made none.

    Raises:
        PyMongoError: The server cannot be reached.
    """
    age = {"$subtract": ["$$NOW", "$since"]}
    held = {
        "host": {"$eq": socket.gethostname()},
        "pid": pid,
        "$expr": {"$lte": [age, round(1000 * seconds)]},
    }
    found = database[COLLECTION].find_one_and_delete(held)
    return None if found is None else found.get("run_id")

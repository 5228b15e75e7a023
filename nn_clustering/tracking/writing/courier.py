"""The thread that carries a run's journal to MongoDB while the run goes on."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Mapping
from queue import Empty, SimpleQueue
from typing import Any

from nn_clustering.tracking.writing.delivery import Delivery, RunGoneError, short_reason
from nn_clustering.tracking.writing.journal import Journal

_LOG = logging.getLogger(__name__)
# Seconds: between signs of life; to gather points that are written together; after a failure, the
# last of them again and again; and how long a run waits for the server at its end.
BEAT = 10.0
GATHER = 1.0
PAUSES = (0.5, 1.0, 2.0, 5.0)
GIVE_UP = 15.0
NEARLY_FULL = 0.8


class Courier(threading.Thread):
    """Delivers what the journal holds, and again after every failure.

    Attributes:
        missing: What the ended run lacks in the database, in words; None until that is known.
        problem: Why the last attempt failed; None where it succeeded.
        is_gone: Whether it failed because the run was deleted from the database.
    """

    def __init__(self, delivery: Delivery, journal: Journal, name: str) -> None:
        """Start it with `start`; `name` is how messages speak of the run."""
        super().__init__(name="courier", daemon=True)
        self.missing: list[str] | None = None
        self.problem: str | None = None
        self._delivery = delivery
        self._journal = journal
        self._run_name = name
        # The main thread may be interrupted anywhere, and threading.Event, which is written in
        # Python, would then keep its lock for ever: these are each one step in C.
        self._wakes: SimpleQueue[None] = SimpleQueue()
        self._is_awake = False
        self._done = threading.Lock()
        self._done.acquire()
        self._is_stopped = False
        self._finishing_since: float | None = None
        self._turn = threading.Lock()
        self._last_document: tuple[object, float] = (None, float("-inf"))
        self._n_failures = 0
        self.is_gone = False
        self._is_warned_of_bound = False
        self._n_damages_told = 0

    def wake(self) -> None:
        """There is something to deliver."""
        if not self._is_awake:
            self._is_awake = True
            self._wakes.put(None)

    def finish(self) -> bool:
        """Deliver everything, the end of the run too; False if the server stays out of reach."""
        self._finishing_since = time.monotonic()
        self._wakes.put(None)
        self._done.acquire()
        return self.missing is not None

    def stop(self) -> None:
        """End the thread after the attempt that it is in."""
        self._is_stopped = True
        self._wakes.put(None)

    def write_past_journal(self, record: Mapping[str, Any]) -> None:
        """Deliver an event for which the journal has no room, after all that it holds.

        Raises:
            RunGoneError: It never can, for the run was deleted.
            PyMongoError, OSError, TrackingError: It cannot be done now.
        """
        with self._turn:
            self._delivery.deliver_events()
            self._delivery.require_run()
            self._delivery.write([record])

    def run(self) -> None:
        """Deliver until the run has ended and all is delivered, or cannot be."""
        try:
            while not self._is_over():
                self._wait()
                self._attempt()
        except BaseException as problem:
            self.problem = f"the delivering thread ended: {short_reason(problem)}"
            _LOG.exception("%s: %s", self._run_name, self.problem)
        finally:
            self._done.release()  # whatever happens, nobody waits for a thread that is gone

    def _is_over(self) -> bool:
        if self._is_stopped or self.missing is not None:
            return True
        if self._finishing_since is None or self.problem is None:
            return False
        return self.is_gone or time.monotonic() - self._finishing_since > GIVE_UP

    def _wait(self) -> None:
        if self.problem is not None:
            pause = PAUSES[min(self._n_failures, len(PAUSES)) - 1]
            if not self._pause(pause):
                time.sleep(min(pause, 1.0))
            return
        with contextlib.suppress(Empty):
            self._wakes.get(timeout=BEAT)
        self._pause(GATHER)

    def _pause(self, seconds: float) -> bool:
        """Wait; False, and no longer, once the run ends."""
        deadline = time.monotonic() + seconds
        while self._finishing_since is None and not self._is_stopped:
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                return True
            with contextlib.suppress(Empty):
                self._wakes.get(timeout=remaining)
        return False

    def _attempt(self) -> None:
        self._is_awake = False
        try:
            with self._turn:
                self._journal.sync()
                document = self._journal.document  # before the events, which it must not overtake
                self._delivery.deliver_events()
                self._deliver_document(document)
            self._tell_of_damages()
        except Exception as problem:  # an unforeseen one shall not end the thread
            self._n_failures += 1
            self.is_gone = isinstance(problem, RunGoneError)
            reason = short_reason(problem)
            if self.problem is None:
                _LOG.warning(
                    "%s cannot be stored now (%s); it goes on, and %s keeps what it logs",
                    self._run_name, reason, self._keeper(),
                )  # fmt: skip
            self.problem = reason
        else:
            if self.problem is not None:
                _LOG.warning("%s is stored again, with all that had to wait", self._run_name)
            self.problem, self._n_failures = None, 0
        with contextlib.suppress(OSError):  # the journals' folder may be gone
            self._warn_of_bound()

    def _keeper(self) -> str:
        """What keeps what the run logs in an outage, in words."""
        return str(self._journal.folder) if self._journal.is_there else "this process, no journal,"

    def _tell_of_damages(self) -> None:
        for damage in list(self._journal.damages)[self._n_damages_told :]:
            _LOG.error("%s: %s; the rest of it is stored", self._run_name, damage)
            self._n_damages_told += 1

    def _deliver_document(self, document: Mapping[str, Any]) -> None:
        moment = time.monotonic()
        last, sent = self._last_document
        if document is last and moment - sent < BEAT:
            return
        missing = self._delivery.deliver_document(document)
        self._last_document = document, moment
        if document.get("finished"):
            self.missing = missing

    def _warn_of_bound(self) -> None:
        used = self._journal.used
        if used > NEARLY_FULL and not self._is_warned_of_bound:
            _LOG.warning(
                "the journals in %s take %.0f%% of their bound; when it is reached, the run waits "
                "for the server rather than lose anything",
                self._journal.folder.parent, 100 * used,
            )  # fmt: skip
        self._is_warned_of_bound = used > NEARLY_FULL

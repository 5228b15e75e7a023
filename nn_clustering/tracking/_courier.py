"""The thread that carries a run's journal to MongoDB while the run goes on."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping
from typing import Any

from nn_clustering.tracking._delivery import Delivery, RunGoneError, short_reason
from nn_clustering.tracking.journal import Journal

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
    """

    def __init__(self, delivery: Delivery, journal: Journal, name: str) -> None:
        """Start it with `start`; `name` is how messages speak of the run."""
        super().__init__(name="courier", daemon=True)
        self.missing: list[str] | None = None
        self.problem: str | None = None
        self._delivery = delivery
        self._journal = journal
        self._run_name = name
        self._wake = threading.Event()
        self._ended = threading.Event()
        self._finishing = threading.Event()
        self._finishing_since = float("inf")
        self._turn = threading.Lock()
        self._last_document: tuple[object, float] = (None, float("-inf"))
        self._n_failures = 0
        self._is_gone = False
        self._is_warned_of_bound = False

    def wake(self) -> None:
        """There is something to deliver."""
        self._wake.set()

    def finish(self) -> bool:
        """Deliver everything, the end of the run too; False if the server stays out of reach."""
        self._finishing_since = time.monotonic()
        self._finishing.set()
        self._wake.set()
        self._ended.wait()
        return self.missing is not None

    def stop(self) -> None:
        """End the thread after the attempt that it is in."""
        self._ended.set()
        self._wake.set()

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
            self._deliver_all()
        finally:
            self._ended.set()  # whatever happens, nobody waits for a thread that is gone

    def _deliver_all(self) -> None:
        while not self._ended.is_set():
            self._wait()
            self._attempt()
            waited = time.monotonic() - self._finishing_since
            has_failed = self.problem is not None and (self._is_gone or waited > GIVE_UP)
            if self.missing is not None or (self._finishing.is_set() and has_failed):
                self._ended.set()

    def _wait(self) -> None:
        if self.problem is not None:
            pause = PAUSES[min(self._n_failures, len(PAUSES)) - 1]
            if self._finishing.wait(pause):
                self._ended.wait(min(pause, 1.0))
            return
        self._wake.wait(BEAT)
        self._finishing.wait(GATHER)
        self._wake.clear()

    def _attempt(self) -> None:
        try:
            with self._turn:
                document = self._journal.document  # before the events, which it must not overtake
                self._delivery.deliver_events()
                self._deliver_document(document)
        except Exception as problem:  # an unforeseen one shall not end the thread
            self._n_failures += 1
            self._is_gone = isinstance(problem, RunGoneError)
            reason = short_reason(problem)
            if self.problem is None:
                _LOG.warning(
                    "%s cannot be stored now (%s); it goes on, and %s keeps what it logs",
                    self._run_name, reason, self._journal.folder,
                )  # fmt: skip
            self.problem = reason
        else:
            if self.problem is not None:
                _LOG.warning("%s is stored again, with all that had to wait", self._run_name)
            self.problem, self._n_failures = None, 0
        self._warn_of_bound()

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

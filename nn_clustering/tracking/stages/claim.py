"""One of several equal commands computes; the others wait for its run, and use it."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, TypeVar

import pymongo.errors

from nn_clustering.tracking.stages.lease import Holder, Lease
from nn_clustering.tracking.store.liveness import Watch
from nn_clustering.tracking.store.run_store import RunStore

if TYPE_CHECKING:
    from pymongo.database import Database

Found = TypeVar("Found")
POLL_SECONDS = 0.5
# Until whoever computes has a run whose number can be told.
PATIENCE = 3.0


@contextlib.contextmanager
def claimed(
    database: Database,
    identity: str,
    what: str,
    find: Callable[[], Found | None],
    on_lost: Callable[[str], object] = lambda why: None,
) -> Iterator[tuple[Found | None, Lease | None]]:
    """Within the block, no other process computes what this one does; or there is no need to.

    Waits while another does: Ctrl-C ends that. Where the server is away, that is waited for too.

    Args:
        database: Where runs are.
        identity: Of the run that would be made.
        what: The stage, for what is said of it.
        find: Finds the completed run of that identity.
        on_lost: Is told, in a thread, where this process gave no sign for so long that another does
            the work now, or has done it.

    Yields:
        The completed run that was found, or None; and the lease that is held for as long as the run
        is made: None where there is nothing to make, or the server gives none.
    """
    found = find()
    if found is not None:
        yield found, None
        return
    waiting = _Waiting(what, Watch(database, RunStore(database).journal_root))
    with Lease(database, identity, on_lost=on_lost) as lease:
        is_held = waiting.wait_for(lease)
        found = find() if is_held else None  # whoever held it may have completed it
        if found is not None:
            lease.let_go()
        elif waiting.is_told:
            print(f"whoever computed that {what} has ended without completing it: it is done here")
        yield found, lease if found is None and is_held else None


class _Waiting:
    """Waits for whoever computes the same, and says so once.

    Attributes:
        is_told: Whether it was said.
    """

    def __init__(self, what: str, watch: Watch) -> None:
        self.is_told = False
        self._what, self._watch = what, watch
        self._began: float | None = None

    def wait_for(self, lease: Lease) -> bool:
        """Take a lease, as soon as nobody else holds it; False where the server gives none."""
        while True:
            try:
                if lease.take():
                    return True
                self._tell_of(lease.holder())
                self._watch.look()  # whether its run has died
            except pymongo.errors.PyMongoError:
                if self._began is None:
                    return False  # it will be said why when the run is to be stored
                _let_be_renewed(lease)
            time.sleep(POLL_SECONDS)

    def _tell_of(self, holder: Holder | None) -> None:
        now = time.monotonic()
        self._began = now if self._began is None else self._began
        if self.is_told or holder is None:
            return
        if holder.run_id is not None or now - self._began > PATIENCE:
            print(
                f"the same {self._what} is computed already ({holder}): waiting for it "
                "(Ctrl-C ends this; reuse=False computes it anyway)"
            )
            self.is_told = True


def _let_be_renewed(lease: Lease) -> None:
    """Wait for a server that was away: for so long, whoever holds the lease could not renew it."""
    while True:
        time.sleep(POLL_SECONDS)
        with contextlib.suppress(pymongo.errors.PyMongoError):
            lease.holder()
            time.sleep(2 * lease.renewal_seconds)
            return

"""Which cells no worker can take, and why."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from nn_clustering.machine import in_units
from nn_clustering.studies._pending_cells import PendingCell
from nn_clustering.studies._stages import Needs
from nn_clustering.studies._workers import Workers
from nn_clustering.tracking.printing import format_seconds


def why_stuck(
    ready: Sequence[PendingCell], workers: Workers, seconds: Mapping[str, float | None]
) -> Iterator[tuple[PendingCell, str]]:
    """Yield the cells that no worker which is there will ever take, each with the reason.

    Args:
        ready: Those that can be computed now.
        workers: Who is there.
        seconds: What each should take, by its name; None where nobody knows.
    """
    known: dict[object, str | None] = {}
    for pending in list(ready):
        expected = seconds[pending.cell.name]
        kind = (pending.cell.needs, frozenset(pending.declined.items()), expected)
        if kind not in known:
            known[kind] = _reason(pending, workers, expected)
        reason = known[kind]
        if reason is not None:
            yield pending, reason


def _reason(pending: PendingCell, workers: Workers, expected: float | None) -> str | None:
    needs = pending.cell.needs
    if not len(workers):
        return "there is no worker"
    if not workers.n_places:
        return "none of the workers can be used"
    able = workers.who_could(needs, ())
    if not able:
        return f"no worker has what {pending.cell.step} needs: {_in_words(needs)}"
    willing = workers.who_could(needs, pending.declined)
    if not willing:
        reasons = dict.fromkeys(pending.declined[worker.address] for worker in able)
        return f"no worker takes {pending.cell.name}: {'; '.join(reasons)}"
    if not any(worker.has_time(expected) for worker in willing):
        time = "" if expected is None else f", which should take {format_seconds(expected)}"
        return f"no worker has the time for {pending.cell.step}{time}"
    return None


def _in_words(needs: Needs) -> str:
    memory = f"{in_units(needs.memory_mb * 2**20)} of memory"
    return f"{needs.gpu} GPU and {memory}" if needs.gpu else memory

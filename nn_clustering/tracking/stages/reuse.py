"""Using a completed run in the place of one that would repeat it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nn_clustering.tracking.execution_keys import NO_REUSE
from nn_clustering.tracking.names import listed
from nn_clustering.tracking.stages.identity import completed_run, run_without_artifacts

if TYPE_CHECKING:
    from sacred.run import Run as SacredRun

    from nn_clustering.tracking.run_ids import RunId
    from nn_clustering.tracking.store.run import Run
    from nn_clustering.tracking.store.run_store import RunStore


@dataclass(frozen=True)
class ReusedRun:
    """A stored run in the place of a new one; to callers it looks like Sacred's finished run."""

    stored: Run

    @property
    def _id(self) -> RunId:
        return self.stored.id

    @property
    def config(self) -> Mapping[str, Any]:
        """The run's configuration."""
        return self.stored.config

    @property
    def result(self) -> Any:
        """What the run returned."""
        return self.stored.result

    @property
    def info(self) -> Mapping[str, Any]:
        """What the run noted besides."""
        return self.stored.info

    @property
    def status(self) -> str:
        """COMPLETED: other runs are not used again."""
        return self.stored.status


def may_reuse(run: SacredRun) -> bool:
    """Whether the user lets a completed run be used in the place of one."""
    # Observers that the user added want to see a run.
    is_wanted = not run.observers and bool(run.config.get("reuse", True))
    return is_wanted and NO_REUSE not in os.environ


def find_reusable(store: RunStore, run: SacredRun, identity: str) -> Run | None:
    """Return the completed run that one would repeat; it gets the tags and comment of that one.

    Args:
        store: The stored runs.
        run: The run that has not started yet.
        identity: Digest of all that fixes its result.

    Returns:
        None where there is no such run.
    """
    run_id = completed_run(store.database, identity)
    if run_id is None:
        return None
    stored = store.run(run_id)
    print(
        f"using {stored.experiment} run {stored.id}: same config, inputs and code "
        "(reuse=False runs it again)"
    )
    return store.run(run_id) if _mark(store, stored, run) else stored


def tell_of_dropped(store: RunStore, identity: str) -> None:
    """Say why a run that did the same is not used again, if there is one."""
    run_id = run_without_artifacts(store.database, identity)
    if run_id is not None:
        files = store.run(run_id).dropped()
        print(
            f"run {run_id} did the same, but is not used: of its artifacts "
            f"{listed(list(files))} were dropped to free disk"
        )


def _mark(store: RunStore, stored: Run, run: SacredRun) -> bool:
    """Give a stored run the tags and the comment of the run in whose place it is used.

    Returns:
        Whether it lacked any of them.
    """
    added = []
    tags = run.config.get("tags")
    wanted = tags if isinstance(tags, list | tuple) else ()  # another's own key may be anything
    new_tags = [tag for tag in map(str, wanted) if tag.strip() not in stored.tags]
    if new_tags:
        store.tag(stored.id, *new_tags)
        added.append(f"tags {', '.join(new_tags)}")
    comment = (run.meta_info.get("comment") or "").strip()
    if comment and f"\n{comment}\n" not in f"\n{stored.notes}\n":
        store.note(stored.id, comment)
        added.append(f"note {comment!r}")
    if added:
        print(f"added to {stored.experiment} run {stored.id}: {', '.join(added)}")
    return bool(added)

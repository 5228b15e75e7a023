"""Track experiments in MongoDB: the server, the observer that writes, the store that reads.

Knows nothing of what the experiments do, and serves any Sacred project::

    from nn_clustering.tracking import complete_capture, connect, resolve_server, track

    track(experiment, connect(resolve_server()))
    with complete_capture():
        experiment.run_commandline()

    with RunStore.open() as store:
        run = store.run("latest", experiment="train")

`python -m nn_clustering.tracking --help` lists what can be done with servers and runs from the
command line.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nn_clustering.tracking._filters import parse_condition
    from nn_clustering.tracking.capture import complete_capture
    from nn_clustering.tracking.columns import preset_columns
    from nn_clustering.tracking.observer import TrackingObserver, make_observer, track
    from nn_clustering.tracking.omniboard import (
        omniboard_address,
        start_omniboard,
        stop_omniboard,
    )
    from nn_clustering.tracking.server import (
        Server,
        connect,
        find_server,
        project_root,
        resolve_server,
        stop_embedded,
    )
    from nn_clustering.tracking.store import Lineage, Run, Runs, RunStore, StoredFile
    from nn_clustering.tracking.sync import SyncReport, sync_journals

__all__ = [
    "Lineage",
    "Run",
    "RunStore",
    "Runs",
    "Server",
    "StoredFile",
    "SyncReport",
    "TrackingObserver",
    "complete_capture",
    "connect",
    "find_server",
    "make_observer",
    "omniboard_address",
    "parse_condition",
    "preset_columns",
    "project_root",
    "resolve_server",
    "start_omniboard",
    "stop_embedded",
    "stop_omniboard",
    "sync_journals",
    "track",
]

_MODULES = {
    "_filters": ("parse_condition",),
    "capture": ("complete_capture",),
    "columns": ("preset_columns",),
    "observer": ("TrackingObserver", "make_observer", "track"),
    "omniboard": ("omniboard_address", "start_omniboard", "stop_omniboard"),
    "server": (
        "Server", "connect", "find_server", "project_root", "resolve_server", "stop_embedded",
    ),
    "store": ("Lineage", "Run", "RunStore", "Runs", "StoredFile"),
    "sync": ("SyncReport", "sync_journals"),
}  # fmt: skip


def __getattr__(name: str) -> Any:
    """Import what is asked for only now: to read a run, nobody has to wait for Sacred."""
    for module, names in _MODULES.items():
        if name in names:
            return getattr(import_module(f"{__name__}.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

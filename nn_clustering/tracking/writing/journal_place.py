"""Where the journals of runs lie, and what has to work there.

By default that is beside the runs, in `.mongo/journal/`. Those of a machine that may vanish lie
where NN_CLUSTERING_JOURNAL says, in a folder on a file system that outlives it and that others see
too: they are delivered from there.
"""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Callable, Mapping
from pathlib import Path

from nn_clustering.tracking.errors import InvalidInputError
from nn_clustering.tracking.server.connection import project_root
from nn_clustering.tracking.server.ownership import own_folder, require_own
from nn_clustering.tracking.writing.disk import try_lock

PLACE_VARIABLE = "NN_CLUSTERING_JOURNAL"


def journals_folder(environ: Mapping[str, str] = os.environ, root: Path | None = None) -> Path:
    """The folder of all journals, there or not.

    Args:
        environ: Where to look for NN_CLUSTERING_JOURNAL.
        root: Folder that holds `.mongo/`; default `project_root(environ)`.

    Raises:
        InvalidInputError: NN_CLUSTERING_JOURNAL is no folder: a slip of the pen would hide journals
            from whoever delivers them; or NN_CLUSTERING_HOME is none.
        ServerUnavailableError: The folder, or something in it, is another user's.
    """
    given = environ.get(PLACE_VARIABLE, "").strip()
    if not given:
        return own_folder(project_root(environ) if root is None else root) / "journal"
    folder = Path(given).resolve()
    if not folder.is_dir():
        raise InvalidInputError(
            f"{PLACE_VARIABLE}={given!r} is no folder; expected the one, on a file system that "
            f"outlives this machine, for journals: make it first (mkdir -p), or unset "
            f"{PLACE_VARIABLE}"
        )
    require_own(folder, PLACE_VARIABLE)
    return folder


def require_locks(folder: Path, lock: Callable[..., int | None] = try_lock) -> None:
    """Refuse a folder that cannot be written, or where one does not see another's lock.

    Args:
        folder: Where journals shall lie.
        lock: Locks a file, as `try_lock` does.

    Raises:
        InvalidInputError: There is no room, we may not write, or locks do not work.
    """
    probe = folder / f".locks-{secrets.token_hex(8)}"
    held: list[int] = []
    try:
        for create in (True, False):  # the second is refused, as another process would be
            descriptor = lock(probe, create=create)
            if descriptor is not None:
                held.append(descriptor)
        os.write(held[0], b" ")
        reason = "a lock is not seen by others" if len(held) > 1 else ""
    except OSError as problem:
        reason = problem.strerror or str(problem)
        if problem.errno in (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP):
            reason = f"no file locks: {reason}"
    finally:
        for descriptor in held:
            os.close(descriptor)
        _remove(probe)
    if reason:
        raise InvalidInputError(
            f"{PLACE_VARIABLE}={str(folder)!r} cannot hold journals ({reason}); expected a folder "
            "that you may write, with room and with file locks (flock; Lustre: mounted with flock)"
        )


def _remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError:  # a file system that can be read only: it is not there either
        return

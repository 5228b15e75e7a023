"""Writing a file such that nobody ever sees a part of it."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

DRAFT = ".draft-"


def write_at_once(
    path: Path, content: bytes, *, mode: int = 0o666, is_synced: bool = False
) -> None:
    """Write a file, or replace it, in one step.

    Args:
        path: The file.
        content: What it shall hold.
        mode: Who may read and write it; the umask takes from that.
        is_synced: Whether it is brought to the disk, so that a whole one is left by a loss of
            power too.

    Raises:
        OSError: It cannot be written; what was there is there still.
    """
    draft = path.with_name(f"{DRAFT}{os.urandom(8).hex()}")
    try:
        with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as handle:
            handle.write(content)
            if is_synced:
                handle.flush()
                os.fsync(handle.fileno())
        draft.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            draft.unlink()
        raise
    if is_synced:
        sync(path.parent)


def sync(path: Path) -> None:
    """Bring a file, or a folder's list of files, to the disk."""
    with contextlib.suppress(OSError):  # not every file system can sync a folder
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

"""Files and folders on the disk: locks, whole writes, and what they take."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterable
from pathlib import Path


def write_all(handle: int, content: bytes) -> None:
    """Write all of the content, in as many writes as it takes."""
    while content:
        content = content[os.write(handle, content) :]


def try_lock(path: Path, *, create: bool = False) -> int | None:
    """Lock a file for this process alone; None while another holds it, or where it is gone.

    Args:
        path: The file.
        create: Whether to make it.

    Returns:
        A descriptor; to close it is to let go of the lock.

    Raises:
        OSError: It cannot be made, opened or locked.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | (os.O_CREAT if create else 0), 0o600)
    except FileNotFoundError:
        if create:
            raise
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def folder_bytes(folders: Iterable[Path]) -> int:
    """The bytes that all files in the folders take."""
    total = 0
    for folder in folders:
        for parent, _, names in os.walk(folder):
            for name in names:
                with contextlib.suppress(OSError):  # deleted meanwhile
                    total += os.lstat(os.path.join(parent, name)).st_size
    return total

"""Writing a file such that nobody ever sees a part of it."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

DRAFT = ".draft-"


def write_at_once(path: Path, content: bytes) -> None:
    """Write a file, or replace it, in one step.

    Raises:
        OSError: It cannot be written; what was there is there still.
    """
    draft = path.with_name(f"{DRAFT}{os.urandom(8).hex()}")
    try:
        with draft.open("xb") as handle:
            handle.write(content)
        draft.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            draft.unlink()
        raise

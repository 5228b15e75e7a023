"""Names in messages, and names for files."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

NAMED = 10  # names that a message lists at most
LONGEST_NAME = 150  # file systems take 255 bytes


def listed(names: Sequence[object], most: int = NAMED) -> str:
    """The names as a message has them; of many the first."""
    return ", ".join(map(str, names[:most])) + (", ..." if len(names) > most else "")


def safe_file_names(names: Iterable[str]) -> dict[str, str]:
    """A name for a file of each artifact, all different, none leading out of the folder.

    Args:
        names: The artifacts' names, which may hold anything.
    """
    taken: set[str] = set()
    chosen = {}
    for name in names:
        safe = re.sub(r"[^\w.()+=,@ -]", "_", name).strip(" ").lstrip(".") or "artifact"
        stem, dot, suffix = safe.rpartition(".")
        stem, suffix = (stem, f".{suffix}") if dot and len(suffix) < 20 else (safe, "")
        candidate = _shortened(stem) + suffix
        number = 2
        while candidate.casefold() in taken:  # some file systems know no case
            candidate = f"{_shortened(stem)}-{number}{suffix}"
            number += 1
        taken.add(candidate.casefold())
        chosen[name] = candidate
    return chosen


def _shortened(stem: str) -> str:
    return stem.encode()[:LONGEST_NAME].decode(errors="ignore")

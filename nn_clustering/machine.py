"""What the machine has to compute with, so that what cannot fit is refused before it is tried."""

import os
import resource
from pathlib import Path

from nn_clustering.errors import InvalidInputError

# Where a container finds how much memory it may take, of the second and the first kind of cgroup.
_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
# What a computation may hold if nothing is said.
_MOST_BY_DEFAULT = 2**30


def memory_bytes() -> int:
    """Return how much memory there is for this process.

    It is the machine's, its container's, or what a limit of processes (`ulimit -v`) leaves.
    """
    found = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    limits = [resource.getrlimit(kind)[0] for kind in (resource.RLIMIT_AS, resource.RLIMIT_DATA)]
    found += [limit for limit in limits if limit != resource.RLIM_INFINITY]
    for name in _LIMITS:
        try:
            found.append(int(Path(name).read_text()))
        except (OSError, ValueError):  # no such kind here, or "max"
            continue
    return min(found)


def check_memory_mb(memory_mb: float | None) -> None:
    """Raise InvalidInputError unless the memory bound is a positive number, or None."""
    if memory_mb is None:
        return
    is_number = isinstance(memory_mb, int | float) and not isinstance(memory_mb, bool)
    if not is_number or not 0 < memory_mb < float("inf"):
        raise InvalidInputError(f"memory_mb={memory_mb!r}; expected a positive number of MB")


def memory_bound(memory_mb: float | None) -> float:
    """Return the bytes that a computation may hold at a time.

    Args:
        memory_mb: In MB (2^20 bytes); None for 1,024, or an eighth of a small memory.
    """
    if memory_mb is None:
        return min(_MOST_BY_DEFAULT, memory_bytes() / 8)
    return memory_mb * 2**20


def most_workers() -> int:
    """Return how many processes side by side the machine can make use of, with much to spare."""
    return max(64, 4 * (os.cpu_count() or 1))


def in_units(n_bytes: float) -> str:
    """Return a number of bytes in words, as 1.5 GB."""
    for unit in ("bytes", "kB", "MB", "GB", "TB"):
        if n_bytes < 1000:
            return f"{n_bytes:.3g} {unit}"
        n_bytes /= 1000
    return f"{n_bytes:.3g} PB"

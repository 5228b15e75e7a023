"""What the machine has to compute with, so that what cannot fit is refused before it is tried."""

import os
import resource
from pathlib import Path

# Where a container finds how much memory it may take, of the second and the first kind of cgroup.
_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


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

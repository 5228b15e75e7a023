"""The state of a git checkout, asked for once a run; Sacred would ask for each source file."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any


def checkout_state(folder: Path) -> list[dict[str, Any]]:
    """The checkout that a folder is in, as Sacred notes it: url, commit, dirty.

    Returns:
        One entry; none where the folder is in no checkout, nothing is committed, or there is no
        git.
    """
    top = _git(folder, "rev-parse", "--show-toplevel")
    commit = _git(folder, "rev-parse", "--verify", "HEAD")
    changes = _git(folder, "status", "--porcelain", "--untracked-files=no")
    if not top or not commit or changes is None:
        return []
    url = _git(folder, "remote", "get-url", "origin") or f"git:/{top}"
    return [{"url": url, "commit": commit, "dirty": bool(changes)}]


def _git(folder: Path, *arguments: str) -> str | None:
    try:
        finished = subprocess.run(
            ["git", "-C", str(folder), *arguments],
            capture_output=True,
            text=True,
            check=True,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return finished.stdout.strip()

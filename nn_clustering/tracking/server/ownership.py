"""The folder of runs is its user's alone.

Whoever owns it, or a file in it, can read the runs and their passwords, and lead us to a server of
their own: what another user has made is refused.
"""

from __future__ import annotations

import os
import pwd
import stat
from pathlib import Path

from nn_clustering.tracking.errors import ServerUnavailableError


def own_folder(root: Path) -> Path:
    """The folder of runs, `.mongo`, of the root, there or not.

    Raises:
        ServerUnavailableError: It is another user's, or something in it is.
    """
    folder = Path(root).resolve() / ".mongo"
    require_own(folder)
    return folder


def require_own(folder: Path, variable: str = "NN_CLUSTERING_HOME") -> None:
    """Refuse the folder of runs if it, or anything directly in it, is another user's.

    Args:
        folder: `.mongo`, or one of journals, there or not; a link to a folder counts as that and as
            itself.
        variable: The environment variable that can name another.

    Raises:
        ServerUnavailableError: Something is another user's; names it, the user and the ways out.
    """
    for path in (folder, folder.resolve(), *_entries(folder)):
        try:
            uid = path.lstat().st_uid
        except OSError:  # it is not there, or not any more
            continue
        if uid != os.geteuid():
            raise ServerUnavailableError(_refusal(path, folder, uid, variable))


def is_private(path: Path) -> bool:
    """Whether the file is there, our own, and for nobody else to read or to write."""
    try:
        found = path.lstat()
    except OSError:
        return False
    is_own = found.st_uid == os.geteuid() and stat.S_ISREG(found.st_mode)
    return is_own and not found.st_mode & (stat.S_IRWXG | stat.S_IRWXO)


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:  # no folder, or one that its owner keeps closed: its own user tells
        return []


def _refusal(path: Path, folder: Path, uid: int, variable: str) -> str:
    me = _name(os.geteuid())
    return (
        f"{path} belongs to the user {_name(uid)}, who could read and change the runs; expected "
        f"the folder and all in it to be {me}'s: set {variable} to a folder of your own, "
        f"or take this one over (chown -R {me} {folder})"
    )


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)

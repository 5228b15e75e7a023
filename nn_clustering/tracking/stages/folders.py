"""Folders that a command names to be written to, tried out without a trace."""

from __future__ import annotations

import tempfile
from pathlib import Path

from nn_clustering.tracking.errors import InvalidInputError


def check_writable(folder: Path, given: str) -> None:
    """Check that a folder can be written to, or made where it is not there.

    Nothing is left behind, and no folder made.

    Args:
        folder: The folder.
        given: How a user has named it, KEY=VALUE.

    Raises:
        InvalidInputError: It cannot, with the system's reason.
    """
    there = next(place for place in (folder, *folder.resolve().parents) if _exists(place))
    try:
        # Permissions do not tell: nothing can be made in /proc, whoever asks.
        with tempfile.TemporaryFile(dir=there):
            pass
    except OSError as error:
        raise InvalidInputError(
            f"{given}: {folder} cannot be written to ({there}: {error.strerror}); expected a "
            "folder that can be written to, or made"
        ) from error


def _exists(place: Path) -> bool:
    try:
        return place.exists()
    except OSError:  # a name that is too long
        return False

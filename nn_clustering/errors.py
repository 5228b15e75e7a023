"""The one family of errors that a user's input can cause, and what their messages are made of.

The family begins in :mod:`nn_clustering.tracking.errors`, which has to do without this library.
"""

import re

from nn_clustering.tracking import (
    DamagedArtifactError,
    InvalidInputError,
    NnClusteringError,
    RunNotFoundError,
    ServerUnavailableError,
    TrackingError,
)
from nn_clustering.tracking.errors import did_you_mean

__all__ = [
    "DamagedArtifactError",
    "InvalidInputError",
    "NnClusteringError",
    "RunNotFoundError",
    "ServerUnavailableError",
    "TrackingError",
    "did_you_mean",
    "in_one_line",
]

# What makes text bold or coloured on a terminal; Keras puts it into its messages.
_TERMINAL_STYLE = re.compile(r"\x1b\[[0-9;]*m")


def in_one_line(error: Exception, *, longest: int = 200) -> str:
    """Return the kind and the message of an error of another library, for a message of ours.

    Args:
        error: The error.
        longest: How many letters of its message to keep.
    """
    text = " ".join(_TERMINAL_STYLE.sub("", str(error)).split())[:longest]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__

"""The one family of errors that a user's input can cause.

Every message names what was given, what is expected and what to do next, in one line: the
experiments print it as it stands, without a traceback.
"""

import re

# What makes text bold or coloured on a terminal; Keras puts it into its messages.
_TERMINAL_STYLE = re.compile(r"\x1b\[[0-9;]*m")


class NnClusteringError(Exception):
    """Base of every error that this project raises on purpose."""


class InvalidInputError(NnClusteringError, ValueError):
    """A value from the user (config key, data set, network, partition) cannot be used."""


class TrackingError(NnClusteringError):
    """The run store cannot do what was asked of it."""


class ServerUnavailableError(TrackingError):
    """No MongoDB server can be reached or started."""


class RunNotFoundError(TrackingError, LookupError):
    """No run, or no artifact of a run, answers to what was asked for."""


class DamagedArtifactError(TrackingError):
    """An artifact read back differs from the one that was stored."""


def in_one_line(error: Exception, *, longest: int = 200) -> str:
    """Return the kind and the message of an error of another library, for a message of ours.

    Args:
        error: The error.
        longest: How many letters of its message to keep.
    """
    text = " ".join(_TERMINAL_STYLE.sub("", str(error)).split())[:longest]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__

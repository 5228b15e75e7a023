"""The one family of errors that a user's input can cause, and how their messages hint.

Every message names what was given, what is expected and what to do next, in one line: the
experiments print it as it stands, without a traceback.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from nn_clustering.tracking.passwords import mask_passwords


class NnClusteringError(Exception):
    """Base of every error that is raised on purpose; its message holds no password of a URL."""

    def __str__(self) -> str:
        return mask_passwords(super().__str__())


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


def did_you_mean(given: str, known: Iterable[str]) -> str:
    """A question in parentheses, with a space before it, that names what was likely meant.

    Args:
        given: What a user wrote.
        known: What would have been right; empty text where nothing of it is similar.
    """
    by_letters = {name.casefold(): name for name in known}  # upper case is no other name
    close = difflib.get_close_matches(given.casefold(), by_letters, n=2, cutoff=0.6)
    similar = [by_letters[letters] for letters in close]
    return f" (did you mean {' or '.join(similar)}?)" if similar else ""

"""What the reader of every kind of data is asked."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from nn_clustering.datasets._settings import Settings


@dataclass(frozen=True)
class Request:
    """What is to be read, and how.

    A reader makes a :class:`Dataset` of it, with ``source_digest`` (of what is read, and of the
    settings that change what comes of it), ``white``, ``skipped`` and ``notes``.

    Attributes:
        name: Of the data set, as a config has it.
        path: Of the file or folder; None for a function.
        settings: What is asked of it.
    """

    name: str
    path: Path | None
    settings: Settings

    @property
    def file(self) -> Path:
        """The path of what is no function."""
        assert self.path is not None
        return self.path

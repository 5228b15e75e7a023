"""Samples that need not fit into memory: whatever gives rows as arrays when asked for them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, cast

import numpy as np
from numpy.typing import NDArray

Rows = slice | NDArray[np.integer]


class Samples(Protocol):
    """Samples of a data set, in their order; a numpy array is one.

    They are read in blocks of neighbours, first to last, as often as they are needed: what reads
    them out of files or out of a stream has to be fast in that order only.
    """

    @property
    def shape(self) -> tuple[int, ...]:
        """(samples, ...)."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of their values."""

    def __len__(self) -> int:
        """Return the number of samples."""

    def __getitem__(self, rows: Any, /) -> Any:
        """Return samples as an array, by a slice or by ascending numbers."""


@dataclass(frozen=True, eq=False)
class ChosenSamples:
    """Some of the samples.

    Attributes:
        samples: All of them.
        rows: Their numbers, ascending.
    """

    samples: Samples
    rows: NDArray[np.integer]

    @property
    def shape(self) -> tuple[int, ...]:
        """(samples, ...)."""
        return (len(self.rows), *self.samples.shape[1:])

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of their values."""
        return self.samples.dtype

    def __len__(self) -> int:
        """Return the number of samples."""
        return len(self.rows)

    def __getitem__(self, rows: Rows) -> NDArray[Any]:
        """Return samples as an array."""
        return cast(NDArray[Any], self.samples[self.rows[rows]])


@dataclass(frozen=True, eq=False)
class ChangedSamples:
    """Samples that are changed, each by itself, as they are read.

    Attributes:
        samples: What they are before.
        change: Makes of an array of samples that of the changed ones, float32.
        sample_shape: Shape of a changed one.
    """

    samples: Samples
    change: Callable[[NDArray[Any]], NDArray[np.float32]]
    sample_shape: tuple[int, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        """(samples, ...)."""
        return (len(self.samples), *self.sample_shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of their values."""
        return np.dtype(np.float32)

    def __len__(self) -> int:
        """Return the number of samples."""
        return len(self.samples)

    def __getitem__(self, rows: Rows) -> NDArray[np.float32]:
        """Return samples as an array."""
        return self.change(self.samples[rows])


def chosen(samples: Samples, rows: NDArray[np.integer]) -> Samples:
    """Return some of the samples: of an array a copy, else they are read when they are needed.

    Args:
        samples: All of them.
        rows: Their numbers, ascending.
    """
    if isinstance(samples, np.ndarray):
        return cast(NDArray[Any], samples[rows])
    return ChosenSamples(samples, rows)


def changed(
    samples: Samples,
    change: Callable[[NDArray[Any]], NDArray[np.float32]],
    sample_shape: tuple[int, ...],
) -> Samples:
    """Return samples that are changed, each by itself, as they are read.

    Args:
        samples: What they are before.
        change: Makes of an array of samples that of the changed ones, float32.
        sample_shape: Shape of a changed one.
    """
    return ChangedSamples(samples, change, sample_shape)

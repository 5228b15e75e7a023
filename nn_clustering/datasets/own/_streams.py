"""Samples of what can only be read from its beginning on."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nn_clustering.datasets._samples import Rows
from nn_clustering.errors import InvalidInputError


class StreamedSamples:
    """Samples that are read block by block, from the first on whenever an earlier one is asked for.

    Only the block that is read last is kept.

    Attributes:
        shape: (samples, ...).
        dtype: Of their values.
    """

    def __init__(
        self,
        name: str,
        open_blocks: Callable[[], Iterator[NDArray[Any]]],
        shape: tuple[int, ...],
        dtype: np.dtype[Any],
    ) -> None:
        """Take note of how they are read; nothing is.

        Args:
            name: How to speak of them.
            open_blocks: Begins to read: returns blocks of samples, in their order.
            shape: (samples, ...).
            dtype: Of their values.
        """
        self.shape, self.dtype = shape, dtype
        self._name, self._open = name, open_blocks
        self._lock = threading.Lock()
        self._blocks: Iterator[NDArray[Any]] | None = None
        self._start = 0
        self._block: NDArray[Any] = np.empty((0, *shape[1:]), dtype)
        self._first_digest: bytes | None = None

    def __len__(self) -> int:
        """Return the number of samples."""
        return self.shape[0]

    def __getitem__(self, rows: Rows) -> NDArray[Any]:
        """Return samples as an array.

        Raises:
            InvalidInputError: If other samples come than did before.
        """
        numbers = np.arange(len(self))[rows] if isinstance(rows, slice) else np.asarray(rows)
        found = np.empty((len(numbers), *self.shape[1:]), self.dtype)
        with self._lock:
            if len(numbers) and (self._blocks is None or numbers[0] < self._start):
                self._begin()
            done = 0
            while done < len(numbers):
                end = self._start + len(self._block)
                here = int(np.searchsorted(numbers, end))
                found[done:here] = self._block[numbers[done:here] - self._start]
                done = here
                if done < len(numbers):
                    self._go_on()
        return found

    def check_same(self) -> None:
        """Read the first block twice.

        Raises:
            InvalidInputError: If it is another one the second time.
        """
        with self._lock:
            self._begin()
            self._begin()

    def _begin(self) -> None:
        self._blocks, self._start = self._open(), 0
        self._block = self._block[:0]
        self._go_on()
        digest = hashlib.sha256(np.ascontiguousarray(self._block).view(np.uint8).data).digest()
        if self._first_digest not in (None, digest):
            raise InvalidInputError(
                f"{self._name} gives other samples each time; expected the same ones in the same "
                "order, as often as they are read: no shuffle(), nothing random in map()"
            )
        self._first_digest = digest

    def _go_on(self) -> None:
        assert self._blocks is not None
        self._start += len(self._block)
        block = next(self._blocks, None)
        if block is None:
            raise InvalidInputError(
                f"{self._name} ended after {self._start} samples, and had {len(self)} before; "
                "expected the same ones as often as they are read"
            )
        self._block = block

"""Tables of what units answer to samples, in memory or on disk; both are read by [rows, units]."""

import os
import shutil
import tempfile
import weakref
from collections.abc import Callable, Iterator
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from nn_clustering.errors import InvalidInputError

# Values of some columns of a table that are ranked at once; ranking holds ten copies or so of them.
_VALUES_OF_COLUMNS = 2**19
_MOST_COLUMNS = 512


def parts(n: int, size: int) -> Iterator[slice]:
    """Return slices of so many each; the last may be shorter."""
    for start in range(0, n, size):
        yield slice(start, min(start + size, n))


def columns_at_once(n_samples: int) -> int:
    """Return how many columns of a table are taken at once where all of their samples are."""
    return min(max(_VALUES_OF_COLUMNS // n_samples, 1), _MOST_COLUMNS)


class DiskTable:
    """Float32 of shape (samples, units) in a file that has no name, and ends with the table.

    Columns that are taken at once lie together, sample by sample. They are read into memory and not
    mapped, so that what the table takes of it can be told.

    Attributes:
        shape: (samples, units).
    """

    def __init__(self, shape: tuple[int, int]) -> None:
        """Make a file, in the folder for temporary files, of a table that is all 0."""
        self.shape = shape
        self._width = columns_at_once(shape[0])
        self._handle, name = tempfile.mkstemp(prefix="activations-")
        os.unlink(name)
        weakref.finalize(self, os.close, self._handle)
        os.truncate(self._handle, 4 * shape[0] * shape[1])

    def __len__(self) -> int:
        """Return the number of samples."""
        return self.shape[0]

    def __getitem__(self, index: tuple[slice, slice]) -> NDArray[np.float32]:
        """Return some samples of some units."""
        rows, units = self._spans(index)
        found = np.empty((rows.stop - rows.start, units.stop - units.start), np.float32)
        for part in self._columns(units):
            values = np.empty((len(found), part.stop - part.start), np.float32)
            self._transfer(os.preadv, values, part, rows)
            first, last = max(part.start, units.start), min(part.stop, units.stop)
            found[:, first - units.start : last - units.start] = values[
                :, first - part.start : last - part.start
            ]
        return found

    def __setitem__(self, index: tuple[slice, slice], values: NDArray[np.floating]) -> None:
        """Write some samples of units that are taken at once, of several such, or of all."""
        rows, units = self._spans(index)
        for part in self._columns(units):
            mine = values[:, part.start - units.start : part.stop - units.start]
            self._transfer(os.pwritev, np.ascontiguousarray(mine, np.float32), part, rows)

    def _spans(self, index: tuple[slice, slice]) -> tuple[slice, slice]:
        rows, units = (
            slice(*span.indices(size)[:2]) for span, size in zip(index, self.shape, strict=True)
        )
        return rows, units

    def _columns(self, units: slice) -> Iterator[slice]:
        """Return the columns that lie together, of which some are asked for."""
        for part in parts(self.shape[1], self._width):
            if part.start < units.stop and units.start < part.stop:
                yield part

    def _transfer(
        self,
        transfer: Callable[[int, list[memoryview], int], int],
        values: NDArray[np.float32],
        part: slice,
        rows: slice,
    ) -> None:
        """Read or write all, of which the system may do a piece at a time."""
        if not values.size:
            return
        left = values.data.cast("B")
        offset = 4 * (part.start * len(self) + rows.start * (part.stop - part.start))
        while left:
            n_bytes = transfer(self._handle, [left], offset)
            if not n_bytes:
                raise OSError("the temporary file of the activations ended before its end")
            left, offset = left[n_bytes:], offset + n_bytes


Table: TypeAlias = "NDArray[np.float32] | DiskTable"


def table_like(table: Table) -> Table:
    """Return a table of the same shape, in the same place."""
    if isinstance(table, DiskTable):
        return DiskTable(table.shape)
    return np.empty(table.shape, np.float32)


def require_disk_space(n_bytes: int) -> None:
    """Check that the folder for temporary files has so much space left.

    Raises:
        InvalidInputError: If it has less.
    """
    folder = tempfile.gettempdir()
    free = shutil.disk_usage(folder).free
    if free < n_bytes:
        raise InvalidInputError(
            f"what the units answer takes {n_bytes / 1e9:.1f} GB on disk, and {folder} has "
            f"{free / 1e9:.1f} GB left; expected more space: set TMPDIR to another folder, or take "
            "fewer samples, a larger memory_mb, or correlation=pearson"
        )

"""Lesions of which some are the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Repeated:
    """Lesions, some of which are the same.

    Attributes:
        distinct: One key for each that differs from the others, in the order in which they occur.
        first: The number of the lesion that is the first of each.
        counts: How many lesions are the same as each.
        number: Which of the distinct ones every lesion is, shape (lesions,).
    """

    distinct: tuple[bytes, ...]
    first: NDArray[np.int64]
    counts: NDArray[np.int64]
    number: NDArray[np.int64]

    @classmethod
    def of(cls, masks: Sequence[NDArray[np.bool_]]) -> Repeated:
        """Compare lesions of some layers: row i of all is lesion i."""
        keys = [row.tobytes() for row in np.packbits(np.concatenate(masks, axis=1), axis=1)]
        numbers: dict[bytes, int] = {}
        number = np.array([numbers.setdefault(key, len(numbers)) for key in keys], np.int64)
        first = np.unique(number, return_index=True)[1].astype(np.int64)
        counts = np.bincount(number, minlength=len(numbers)).astype(np.int64)
        return cls(tuple(numbers), first, counts, number)

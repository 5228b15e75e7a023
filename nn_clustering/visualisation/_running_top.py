"""The largest of many numbers that come some at a time."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


class RunningTop:
    """The largest values of several sets over samples that come some at a time.

    Of equal values those of the samples that came first are larger.

    Attributes:
        values: The largest so far, largest first, shape (sets, n_top); minus infinity where there
            were fewer.
        samples: The numbers of their samples, same shape; -1 where there were fewer.
    """

    def __init__(self, n_sets: int, n_top: int) -> None:
        """Begin with no samples."""
        self.values = np.full((n_sets, n_top), -np.inf)
        self.samples = np.full((n_sets, n_top), -1)

    def add(self, first: int, values: NDArray[np.floating]) -> None:
        """Take some more samples.

        Args:
            first: Number of the first of them; no sample that was taken before has a larger one.
            values: Finite ones, shape (samples, sets).
        """
        # what only equals the last of the largest came later than it: few are left to be sorted
        rows, sets = np.nonzero(values > self.values[:, -1])
        changed = np.unique(sets)
        n_top = self.values.shape[1]
        all_sets = np.concatenate([np.repeat(changed, n_top), sets])
        all_values = np.concatenate([self.values[changed].ravel(), values[rows, sets]])
        all_samples = np.concatenate([self.samples[changed].ravel(), first + rows])
        order = np.lexsort((all_samples, -all_values, all_sets))
        starts = np.searchsorted(all_sets[order], changed)
        largest = order[starts[:, np.newaxis] + np.arange(n_top)]
        self.values[changed], self.samples[changed] = all_values[largest], all_samples[largest]

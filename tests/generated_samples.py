"""Samples that are made when they are read, and tell what was."""

import math

import numpy as np


class GeneratedSamples:
    """Any number of samples, each the sum of two patterns by its number; never all at once.

    Attributes:
        shape: (samples, ...).
        dtype: float32.
        read: Numbers of the samples that were read, an array for each time.
    """

    dtype = np.dtype(np.float32)

    def __init__(self, *shape, at_once=512):
        random = np.random.default_rng(0)
        self.shape = shape
        self.read = []
        self._at_once = at_once
        self._patterns = [
            random.normal(size=(n, math.prod(shape[1:]))).astype(np.float32) for n in (97, 89)
        ]

    def __len__(self):
        return self.shape[0]

    def __getitem__(self, rows):
        if isinstance(rows, slice):
            rows = np.arange(*rows.indices(len(self)))
        assert len(rows) <= self._at_once
        self.read.append(rows)
        one, other = self._patterns
        values = one[rows % 97]
        values += other[rows % 89]
        return values.reshape(-1, *self.shape[1:])

    def __array__(self, *args, **kwargs):
        raise MemoryError("all samples were to be read at once")

    @property
    def in_memory(self):
        """All samples; for few."""
        return np.concatenate([self[slice(i, i + 1)] for i in range(len(self))])

"""Lesions as arrays."""

import numpy as np

from nn_clustering.lesions._silenced_units import silenced_units


def test_silenced_units():
    silenced = silenced_units([np.array([0, 2]), np.array([], int)], 4)
    assert silenced.dtype == bool
    assert silenced.tolist() == [[True, False, True, False], [False] * 4]

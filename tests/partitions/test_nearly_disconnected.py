"""Groups of units that hardly anything joins: single precision would take several for one."""

import numpy as np
import pytest
import scipy.linalg

from nn_clustering.partitions import leading_eigenvectors, ncut, spectral_partition
from tests.graphs.sample_graphs import layered
from tests.partitions.test_embedding import normalised

N_GROUPS, WIDTH = 40, 9  # 360 units a side: above the size that is solved densely at once


def joined_groups(weak):
    """Groups of dense weights, and weak ones between them."""
    random = np.random.default_rng(0)
    weights = weak * random.uniform(size=(N_GROUPS * WIDTH,) * 2)
    for start in range(0, len(weights), WIDTH):
        inside = slice(start, start + WIDTH)
        weights[inside, inside] = random.uniform(size=(WIDTH, WIDTH))
    return layered(weights)


@pytest.mark.parametrize("weak", [1e-5, 1e-6, 1e-8])
@pytest.mark.parametrize("n_vectors", [4, 12, N_GROUPS])
def test_no_eigenvalue_near_one_is_passed_over(weak, n_vectors):
    graph = joined_groups(weak)
    matrix = normalised(graph)
    expected = scipy.linalg.eigvalsh(matrix)[::-1]
    values, vectors = leading_eigenvectors(graph, n_vectors)
    assert expected[N_GROUPS - 1] > 0.98  # as many near one as there are groups
    np.testing.assert_allclose(values, expected[: n_vectors + 1], atol=1e-9)
    np.testing.assert_allclose(matrix @ vectors, vectors * values[:n_vectors], atol=1e-9)
    np.testing.assert_allclose(vectors.T @ vectors, np.eye(n_vectors), atol=1e-9)


def test_the_groups_are_found():
    graph = joined_groups(1e-8)
    labels = spectral_partition(graph, N_GROUPS, seed=0).labels
    groups = np.tile(np.arange(N_GROUPS).repeat(WIDTH), 2)
    assert all(len(set(labels[groups == group])) == 1 for group in range(N_GROUPS))
    assert ncut(graph, labels) < 1e-3

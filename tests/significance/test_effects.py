"""Effects by hand."""

import numpy as np

from nn_clustering.significance import (
    finite_mean,
    measure_beside_random,
    ratio_effects,
    relative_effects,
)


def test_relative_effects_by_hand():
    true = [-0.3, -0.1, -0.2, 0.0, 0.2, 0.0]
    random = [-0.1, -0.1, 0.0, -0.2, -0.2, 0.0]
    np.testing.assert_allclose(relative_effects(true, random), [1.5, 1.0, 2.0, 0.0, np.nan, np.nan])
    np.testing.assert_allclose(relative_effects([np.inf, 2, np.nan], [1, np.inf, 1]), [np.nan] * 3)


def test_ratio_effects_by_hand():
    true = [0.4, 0.5, 0.0, np.inf, 2.0]
    random = [0.8, 0.25, 0.3, 1.0, np.nan]
    np.testing.assert_allclose(ratio_effects(true, random), [2.0, 0.5, np.nan, np.nan, np.nan])


def test_finite_mean():
    values = [[1.0, np.inf, 2.0], [np.nan, np.inf, -np.inf], [3.0, 3.0, 3.0]]
    np.testing.assert_array_equal(finite_mean(values), [1.5, np.nan, 3.0])


def test_effects_of_small_statistics_are_those_of_large_ones():
    """As the entropies of networks that are sure of a class."""
    values = np.array([[3.0, 1, 7, 2], [1.0, 4, 4, 5]])
    of_size = [
        measure_beside_random(
            size * values[:, 0],
            size * values[:, 1:],
            tail="left",
            count_ties=True,
            layers=None,
            combined=np.ones(2, bool),
            each=True,
        )
        for size in (1.0, 1.3e-12)
    ]
    for name in ("effects", "ratios", "null_effects", "null_ratios", "null_effects_each"):
        large, small = (getattr(measure, name) for measure in of_size)
        np.testing.assert_allclose(small, large, rtol=1e-9)
    # of the first sub-cluster's second draw, beside the two others: 2 x 7 / (7 + 1.5)
    assert of_size[0].null_effects[0, 1] == 14 / 8.5

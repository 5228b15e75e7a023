"""Effects by hand."""

import numpy as np

from nn_clustering.significance import finite_mean, ratio_effects, relative_effects


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

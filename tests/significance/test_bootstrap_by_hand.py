"""The interval of skewed values beside the formulas of Efron (1987), and scipy's three methods."""

import numpy as np
import pytest
import scipy.stats

from nn_clustering.seeds import generator
from nn_clustering.significance import bootstrap_interval

# So skewed that the three methods differ by more than their noise.
VALUES = np.random.default_rng(1).lognormal(sigma=1.2, size=30)


def scipys(method, *, confidence=0.95, seed=0, n_resamples=9999):
    found = scipy.stats.bootstrap(
        (VALUES,),
        np.mean,
        n_resamples=n_resamples,
        confidence_level=confidence,
        random_state=generator(seed, "bootstrap"),
        method=method,
    ).confidence_interval
    return float(found.low), float(found.high)


@pytest.mark.parametrize("confidence", [0.8, 0.95])
def test_is_bias_corrected_and_accelerated(confidence):
    """By the formulas, with resamples of their own: correction z0, acceleration a of jackknife."""
    random, normal = np.random.default_rng(99), scipy.stats.norm
    resampled = random.choice(VALUES, (40_000, len(VALUES))).mean(axis=1)
    z0 = normal.ppf((resampled < VALUES.mean()).mean())
    jackknife = (VALUES.sum() - VALUES) / (len(VALUES) - 1)
    deviations = jackknife.mean() - jackknife
    a = (deviations**3).sum() / (6 * (deviations**2).sum() ** 1.5)
    z = z0 + normal.ppf([(1 - confidence) / 2, (1 + confidence) / 2])
    expected = np.quantile(resampled, normal.cdf(z0 + z / (1 - a * z)))
    found = np.array(bootstrap_interval(VALUES, confidence=confidence, seed=0))
    width = np.diff(expected)[0]
    np.testing.assert_allclose(found, expected, atol=0.03 * width)
    for other in ("percentile", "basic"):
        away = np.abs(np.array(scipys(other, confidence=confidence)) - expected).max()
        assert away > 0.06 * width, other


def test_is_scipys_bca_digit_by_digit():
    found = bootstrap_interval(VALUES, seed=3, n_resamples=999)
    assert found == pytest.approx(scipys("BCa", seed=3, n_resamples=999), rel=1e-12)
    assert found != pytest.approx(scipys("percentile", seed=3, n_resamples=999), rel=1e-3)


def test_by_default_it_holds_the_mean_in_95_of_100():
    assert bootstrap_interval(VALUES, seed=3) == pytest.approx(scipys("BCa", seed=3), rel=1e-12)

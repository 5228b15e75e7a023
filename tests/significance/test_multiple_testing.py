"""The Benjamini-Hochberg procedure by hand, by its definition and by simulation."""

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings, strategies as st

from nn_clustering.errors import InvalidInputError
from nn_clustering.significance import benjamini_hochberg


def test_by_hand():
    """Of five at 0.05 the limits are 0.01 to 0.05: the third passes, and takes the second along."""
    found = benjamini_hochberg([0.2, 0.005, 0.03, 0.028, 0.9])
    assert found.critical_p == 0.03
    assert found.significant.tolist() == [False, True, True, True, False]
    np.testing.assert_allclose(found.adjusted, [0.25, 0.025, 0.05, 0.05, 0.9])


def test_nothing_passes():
    found = benjamini_hochberg([0.04, 0.9, 0.06])
    assert found.critical_p == 0
    assert not found.significant.any()


def test_everything_passes():
    found = benjamini_hochberg([0.0, 0.05, 0.0])
    assert found.critical_p == 0.05
    assert found.significant.all()
    # a p-value of 0 alone: critical is 0, and significant it is
    assert benjamini_hochberg([0.0, 0.5]).significant.tolist() == [True, False]


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.integers(0, 1000), min_size=1, max_size=30),
    st.sampled_from([0.01, 0.05, 0.1, 0.25]),
)
def test_by_definition(thousandths, level):
    p_values = np.array(thousandths) / 1000
    n = p_values.size
    found = benjamini_hochberg(p_values, level)
    passing = [p for p in p_values if p <= (p_values <= p).sum() * level / n]
    assert found.critical_p == max(passing, default=0)
    assert found.significant.sum() == sum(p <= max(passing, default=-1) for p in p_values)
    np.testing.assert_array_equal(found.adjusted, scipy.stats.false_discovery_control(p_values))
    # adjusted p-values say the same, but for a rounding at the limit
    clear = np.abs(found.adjusted - level) > 1e-12
    assert ((found.adjusted <= level) == found.significant)[clear].all()


def test_holds_the_false_discovery_rate():
    """A hundred tests of which a fifth are true effects: of those found, 0.05 times 0.8 false."""
    random = np.random.default_rng(0)
    is_effect = np.arange(100) < 20
    shares = []
    for _ in range(300):
        z = random.normal(size=100) + 3 * is_effect
        found = benjamini_hochberg(scipy.stats.norm.sf(z))
        shares.append((found.significant & ~is_effect).sum() / max(found.significant.sum(), 1))
    assert np.mean(shares) == pytest.approx(0.04, abs=0.012)


@pytest.mark.parametrize(
    ("p_values", "level", "message"),
    [
        ([], 0.05, "expected at least one"),
        ([0.5, np.nan], 0.05, "nan.*each from 0 to 1"),
        ([1.2], 0.05, "from 0 to 1"),
        ([[0.1]], 0.05, "expected at least one"),
        ([0.1], 0, "level=0; expected a number between 0 and 1"),
        ([0.1], 1.0, "level=1.0"),
    ],
)
def test_refused(p_values, level, message):
    with pytest.raises(InvalidInputError, match=message):
        benjamini_hochberg(p_values, level)

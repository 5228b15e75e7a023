"""A verdict over clustering seeds: the numbers by hand."""

import numpy as np
import pytest

from nn_clustering.errors import InvalidInputError
from nn_clustering.significance import ShuffleTest, other_seeds

# Of 39 shuffles 1/40, 2/40, ... are the p-values.
SHUFFLES = np.arange(1.0, 40)


def test_numbers_by_hand():
    """Two shuffles are at most 2.5, three 3, all 40; the variance of 1 to 39 is 40 x 39 / 12."""
    found = other_seeds(ShuffleTest(0.5, SHUFFLES), [2.5, 40, 3])
    assert (found.own_verdict, found.verdicts) == ("more", ("neither", "less", "neither"))
    assert found.p_values.tolist() == [3 / 40, 1, 4 / 40]
    assert found.z_scores == pytest.approx((np.array([2.5, 40, 3]) - 20) / np.sqrt(130))
    assert found.summary() == {
        "n_seeds": 3,
        "p_smallest": 3 / 40,
        "p_largest": 1,
        "z_smallest": pytest.approx(-17.5 / np.sqrt(130)),
        "z_largest": pytest.approx(20 / np.sqrt(130)),
        "verdicts": ["neither", "less"],
        "rests_on_seed": True,
    }


@pytest.mark.parametrize(
    ("own", "others", "rests"),
    [
        (0.5, [0.4, 1.0], False),  # p = 0.025, 0.025 and 0.05: all significant
        (0.5, [0.4, 2.0], True),  # 0.075
        (2.0, [3.0, 30.0], False),  # none is
        (2.0, [1.0, 30.0], True),
        (30.0, [0.5, 0.5], True),  # the tested one differs from all others
        # two shuffles of 39 are 38 or more, one is 39
        (38.0, [20.0, 38.0], False),
        (38.0, [20.0, 38.5], True),
        (38.5, [39.0, 40.0], False),
    ],
)
def test_verdicts(own, others, rests):
    assert other_seeds(ShuffleTest(own, SHUFFLES), others).rests_on_seed is rests


def test_few_shuffles_decide_nothing():
    """Eighteen can give no p-value of 0.05, nineteen can."""
    shuffles = np.arange(1.0, 19)
    test = ShuffleTest(0.5, shuffles)
    assert (test.p_value, test.verdict) == (1 / 19, "undecided")
    found = other_seeds(test, [0.5, 30.0])
    assert found.verdicts == ("undecided", "undecided")
    assert not found.rests_on_seed
    assert ShuffleTest(0.5, np.append(shuffles, 19.0)).verdict == "more"
    assert ShuffleTest(19.5, np.append(shuffles, 19.0)).verdict == "less"


def test_counts_ties_as_the_test_does():
    for count_ties, expected in ((True, 2 / 40), (False, 1 / 40)):
        test = ShuffleTest(0.5, SHUFFLES, count_ties=count_ties)
        assert other_seeds(test, [1.0]).p_values.tolist() == [expected]


def test_of_a_test_that_ended_early_others_are_undecided():
    """It ended by what the tested clustering gave: p = 30 / 30 (Besag and Clifford)."""
    test = ShuffleTest(30.5, np.arange(1.0, 31), stop_at=30)
    assert (test.stopped_early, test.verdict) == (True, "neither")
    found = other_seeds(test, [0.5, 31.0])
    assert found.p_values.tolist() == [1 / 31, 1]
    assert found.verdicts == ("undecided", "undecided")
    assert not found.rests_on_seed


def test_alike_shuffles_have_no_z():
    summary = other_seeds(ShuffleTest(0.5, np.full(20, 2.0)), [0.5, 2.0]).summary()
    assert (summary["z_smallest"], summary["z_largest"]) == (None, None)
    assert summary["rests_on_seed"]


@pytest.mark.parametrize("ncuts", [[], [[1.0]]])
def test_refused(ncuts):
    with pytest.raises(InvalidInputError, match="expected one for each of some other seeds"):
        other_seeds(ShuffleTest(0.5, SHUFFLES), ncuts)

"""The kinds of sub-clusters (methods G10)."""

import pytest
from hypothesis import given, strategies as st

from nn_clustering.lesions import KINDS
from nn_clustering.lesions._taxonomy import kind_of, significant


@pytest.mark.parametrize(
    ("n_units", "n_candidates", "change", "p", "kind"),
    [
        (40, 40, -0.5, 0.05, "complete"),
        (5, 5, -0.5, 0.05, "complete"),
        (12, 40, -0.5, 0.05, "small"),
        (13, 40, -0.5, 0.05, "important"),
        (13, 40, -0.01, 0.05, "important"),
        (13, 40, -0.0099, 0.05, "significant but small change"),
        (13, 40, 0.2, 0.05, "significant but small change"),
        (13, 40, -0.0099, 1, "prunable"),
        (13, 40, 0.1, 1, "prunable"),
        (13, 40, -0.01, 1, "least important"),
        (13, 40, -0.01, 0.1, "change but not significant"),
        (13, 40, -0.5, 0.95, "change but not significant"),
        (13, 40, -0.0099, 0.1, "other"),
        (13, 40, 0, 0.95, "other"),
    ],
)
def test_kinds_by_19_random_sub_clusters(n_units, n_candidates, change, p, kind):
    found = kind_of(n_units=n_units, n_candidates=n_candidates, change=change, p=p, n_shuffles=19)
    assert found == kind
    assert kind in KINDS


@given(n_shuffles=st.integers(1, 1000), data=st.data())
def test_significant_is_what_no_random_one_reaches(n_shuffles, data):
    n_extreme = data.draw(st.integers(0, n_shuffles))
    assert significant((n_extreme + 1) / (n_shuffles + 1), n_shuffles) == (n_extreme == 0)

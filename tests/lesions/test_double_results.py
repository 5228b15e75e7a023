"""What a double lesion test says, by hand arithmetic."""

import numpy as np
import pytest

from nn_clustering.lesions import DoubleLesionTest
from nn_clustering.partitions import SubCluster

NAN = np.nan


def double_test(**changed):
    """Three sub-clusters in two layers: 0 and 2 lose the same 0.2, 1 loses 0.3 of its own."""
    subs = (
        SubCluster("first", 4, np.arange(15)),
        SubCluster("first", 5, np.arange(15, 40)),
        SubCluster("second", 0, np.arange(20)),
    )
    joint = np.array([[-0.2, -0.5, -0.2], [-0.5, -0.3, -0.5], [-0.2, -0.5, -0.2]])
    random_joint = np.full((3, 3, 4), -0.1)
    random_joint[0, 2, :2] = random_joint[2, 0, :2] = [-0.2, -0.4]
    random_conditional = np.full((3, 3, 4), -0.35)
    random_conditional[0, 2] = random_conditional[2, 0] = [-0.2, -0.2, -0.25, -0.2]
    random_conditional[[0, 1, 2], [0, 1, 2]] = NAN
    values = {
        "sub_clusters": subs,
        "intact_overall": 0.9,
        "joint_changes": joint,
        "random_joint_changes": random_joint,
        "random_conditional_changes": random_conditional,
    }
    return DoubleLesionTest(**{**values, **changed})


def test_joint():
    test = double_test()
    assert test.n_shuffles == 4
    assert test.changes.tolist() == [-0.2, -0.3, -0.2]
    # of the pair (0, 2) two random ones are as bad
    assert test.joint_p.tolist() == [[0.2, 0.2, 0.6], [0.2, 0.2, 0.2], [0.6, 0.2, 0.2]]
    assert test.joint_important.tolist() == [[True, True, False], [True] * 3, [False, True, True]]
    strict = double_test(count_ties=False)
    assert strict.joint_p[0, 2] == 0.4


def test_conditional():
    test = double_test()
    # what i adds to j: change(i and j) - change(j)
    expected = [[NAN, -0.2, 0], [-0.3, NAN, -0.3], [0, -0.2, NAN]]
    np.testing.assert_allclose(test.conditional_scores, expected, atol=1e-12)
    # against -0.35 without i drawn nothing is as bad as -0.5; against -0.2 four are as bad as -0.2
    np.testing.assert_array_equal(
        test.conditional_p, [[NAN, 0.2, 1], [0.2, NAN, 0.2], [1, 0.2, NAN]]
    )
    assert test.conditional_important.tolist() == [
        [False, True, False],
        [True, False, True],
        [False, True, False],
    ]


def test_small_scores_are_not_important():
    joint = np.array([[-0.2, -0.3], [-0.3, -0.295]])
    test = double_test(
        sub_clusters=double_test().sub_clusters[::2],
        joint_changes=joint,
        random_joint_changes=np.zeros((2, 2, 4)),
        random_conditional_changes=np.zeros((2, 2, 4)),
    )
    assert test.conditional_p[0, 1] == test.conditional_p[1, 0] == 0.2
    assert test.conditional_important.tolist() == [[False, False], [True, False]]
    assert test.joint_important.tolist() == [[True, True], [True, True]]
    [(source, target, edge)] = test.dependencies().edges(data=True)
    assert (source, target) == (("first", 4), ("second", 0))
    assert edge["source_fails"]
    assert not edge["target_fails"]
    assert edge["source_score"] == pytest.approx(-0.005)
    assert edge["target_score"] == pytest.approx(-0.1)
    assert edge["source_p"] == edge["target_p"] == 0.2


def test_dependencies():
    graph = double_test().dependencies()
    assert list(graph.nodes(data=True)) == [
        (("first", 4), {"layer": "first", "label": 4, "n_units": 15, "change": -0.2}),
        (("first", 5), {"layer": "first", "label": 5, "n_units": 25, "change": -0.3}),
        (("second", 0), {"layer": "second", "label": 0, "n_units": 20, "change": -0.2}),
    ]
    assert list(graph.edges(data=True)) == [
        (
            ("first", 4),
            ("second", 0),
            {
                "source_fails": True,
                "source_score": 0.0,
                "source_p": 1.0,
                "target_fails": True,
                "target_score": 0.0,
                "target_p": 1.0,
            },
        )
    ]


def test_no_dependency_of_what_is_not_important_alone():
    """All random lesions of the last sub-cluster are as bad: nothing is said of what it needs."""
    random_joint = double_test().random_joint_changes.copy()
    random_joint[2, 2] = -0.2
    test = double_test(random_joint_changes=random_joint)
    assert not test.conditional_important[2, 0]
    assert not test.dependencies().edges


def test_no_dependency_within_a_layer():
    subs = double_test().sub_clusters
    same = SubCluster("first", 6, subs[2].units)
    assert not double_test(sub_clusters=(*subs[:2], same)).dependencies().edges


def test_table():
    table = double_test().table()
    assert list(table.lesion) == ["joint"] * 6 + ["conditional"] * 6
    pairs = table[["layer", "label", "other_layer", "other_label"]].to_numpy().tolist()
    assert pairs[1] == ["first", 4, "first", 5]
    joint, conditional = table.iloc[2], table.iloc[7]
    assert joint.to_dict() == {
        "lesion": "joint",
        "layer": "first",
        "label": 4,
        "n_units": 15,
        "other_layer": "second",
        "other_label": 0,
        "other_n_units": 20,
        "accuracy_change": -0.2,
        "score": -0.2,
        "random_score": pytest.approx(-0.2),
        "p": 0.6,
        "important": False,
    }
    # 0 given 2: the random ones are 0, 0, -0.05 and 0 worse than 2 alone
    assert pairs[7] == ["first", 4, "second", 0]
    assert conditional.score == 0
    assert conditional.random_score == pytest.approx(-0.0125)
    assert conditional.accuracy_change == -0.2
    assert (conditional.p, conditional.important) == (1, False)

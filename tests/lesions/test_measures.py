"""What lesions are measured by, against hand arithmetic and naive loops."""

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from nn_clustering.datasets import monomial_membership
from nn_clustering.errors import InvalidInputError
from nn_clustering.lesions import (
    Groups,
    class_mean,
    class_range,
    classes_of,
    targets_in_groups,
)
from nn_clustering.lesions._measures import Scale, overall_values


def test_class_accuracies_by_hand():
    sizes = np.array([4, 0, 10, 2])
    groups = classes_of(sizes, ["a", "b", "c", "d"])
    assert groups.names == ("a", "c", "d")
    assert (groups.task, groups.tail, groups.harm) == ("classification", "left", -1)
    scores = np.array([[3, 0, 10, 0], [4, 0, 5, 1]])
    assert groups.values(scores, sizes).tolist() == [[0.75, 1, 0], [1, 0.5, 0.5]]
    assert overall_values(scores, sizes).tolist() == [13 / 16, 10 / 16]


def test_errors_of_groups_by_hand():
    # sums of squared errors of three targets over 4 images
    sizes, scores = np.full(3, 4), np.array([4.0, 8.0, 24.0])
    groups = targets_in_groups(["some", "last"], np.array([[1, 1, 0], [0, 0, 1]]))
    assert (groups.task, groups.tail, groups.harm) == ("regression", "right", 1)
    assert groups.values(scores, sizes).tolist() == [1.5, 6]
    assert overall_values(scores, sizes) == 3
    each = targets_in_groups(["x", "y", "z"], tail="left")
    assert each.values(scores, sizes).tolist() == [1, 2, 6]
    assert (each.tail, each.harm) == ("left", 1)


def test_monomials_by_a_loop_over_polynomials():
    """Methods G5: a monomial's error is the mean over the polynomials that contain it."""
    names, membership = monomial_membership()
    errors = np.random.default_rng(0).random((50, 512)) ** 2
    values = targets_in_groups(names, membership).values(errors.sum(axis=0), np.full(512, 50))
    for monomial in range(9):
        held = [p for p in range(512) if p >> (8 - monomial) & 1]
        assert values[monomial] == pytest.approx(np.mean([errors[:, p].mean() for p in held]))


@pytest.mark.parametrize("size", [1.0, 1e-9, 1e12])
def test_changes_of_errors_whatever_the_units_of_the_targets(size):
    """What single precision does not tell apart from nothing is nothing, of any size."""
    intact = size * np.array([3.0, 5.0])
    scale = Scale(targets_in_groups(["x", "y"]), intact, np.array([1, 1]))
    assert scale.unit == 4 * size
    changes = scale.changes(intact * (1 + np.array([[1e-9, -1e-9], [0.5, 0.1]])))
    assert changes[0].tolist() == [0, 0]
    np.testing.assert_allclose(changes[1], size * np.array([1.5, 0.5]), rtol=1e-6)
    means, ranges = class_mean(changes, scale.unit), class_range(changes, scale.unit)
    np.testing.assert_allclose(means, [0, size], rtol=1e-6)
    np.testing.assert_allclose(ranges, [0, 1], rtol=1e-6)


@settings(deadline=None, max_examples=30)
@given(
    sizes=st.lists(st.integers(1, 300), min_size=2, max_size=12),
    loss=st.integers(-5, 5),
    seed=st.integers(0, 99),
)
def test_equal_changes_of_counts_are_equal_numbers(sizes, loss, seed):
    """Else ties would be told apart by rounding."""
    sizes = np.array(sizes)
    intact = np.random.default_rng(seed).integers(0, sizes + 1)
    groups = classes_of(sizes, [str(label) for label in range(len(sizes))])
    changes = Scale(groups, intact, sizes).changes(intact + loss)
    assert changes.tolist() == (loss / sizes).tolist()


def test_scale_of_one_network():
    sizes, intact = np.array([4, 2]), np.array([3, 1])
    scale = Scale(classes_of(sizes, "ab"), intact, sizes)
    assert scale.intact.tolist() == [0.75, 0.5]
    assert scale.intact_overall == 4 / 6
    lesioned = np.array([[1, 1], [3, 2]])
    assert scale.changes(lesioned).tolist() == [[-0.5, 0], [0, 0.5]]
    assert scale.overall_changes(lesioned).tolist() == [-2 / 6, 1 / 6]


def test_images_behind_groups():
    """Of classes together, of targets the same ones."""
    some = np.array([[True, True], [False, True]])
    for task, expected in (("classification", [6, 2]), ("regression", [6, 6])):
        sizes = np.array([4, 2]) if task == "classification" else np.array([6, 6])
        scale = Scale(Groups(("a", "b"), some, task, "left"), np.array([3, 1]), sizes)
        assert scale.n_images.tolist() == expected


def test_refuses():
    some = np.array([[True, False], [True, True]])
    cases = [
        (lambda: classes_of(np.array([1, 2, 1]), "ab"), "images of class 2 but 2 names"),
        (lambda: Groups(("a",), some, "regression", "left"), "1 groups with a membership of shape"),
        (lambda: Groups((), some[:0], "regression", "left"), "0 groups"),
        (lambda: Groups(("a", "a"), some, "regression", "left"), "two groups are called 'a'"),
        (lambda: targets_in_groups("ab", some & [0, 1]), "group 'a' holds no output"),
        (lambda: targets_in_groups("ab", tail="both"), "tail='both'; expected left or right"),
        (lambda: Groups(("a", "b"), some, "both", "left"), "task='both'; expected classification"),
    ]
    for make, message in cases:
        with pytest.raises(InvalidInputError, match=message) as refusal:
            make()
        assert "\n" not in str(refusal.value)

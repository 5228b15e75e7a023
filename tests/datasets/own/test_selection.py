"""Samples that are drawn: balanced by class, by a seed, the fewer ones among the more."""

import numpy as np
import pytest

from nn_clustering.datasets import load_dataset
from nn_clustering.datasets._settings import Settings
from nn_clustering.datasets.own._selection import chosen_rows
from nn_clustering.errors import InvalidInputError

# 20 of class 0, 5 of class 1, 10 of class 2
Y = np.repeat([0, 1, 2], [20, 5, 10]).astype(np.int32)
NAMES = ("ant", "bee", "cat")


def counts(**asked):
    rows = chosen_rows(Settings(**asked), "test", Y, NAMES, "pets")
    assert (np.diff(rows) > 0).all()
    return np.bincount(Y[rows], minlength=3).tolist()


def test_as_many_of_every_class_while_it_has_them():
    assert counts(n_test=9) == [3, 3, 3]
    assert sorted(counts(n_test=10)) == [3, 3, 4]
    assert counts(n_test=19) == [7, 5, 7]
    assert counts(n_test=33) == [18, 5, 10]
    assert counts(per_class=5) == [5, 5, 5]
    assert counts() == [20, 5, 10]


def test_more_samples_hold_the_fewer_ones_and_another_seed_others():
    def rows(seed, n):
        return chosen_rows(Settings(seed=seed, n_test=n), "test", Y, NAMES, "pets")

    assert set(rows(0, 8)) < set(rows(0, 13))
    assert set(rows(0, 9)) != set(rows(1, 9))
    of_classes = Settings(seed=0, per_class=3)
    assert set(rows(0, 9)) == set(chosen_rows(of_classes, "test", Y, NAMES, "pets"))
    of_train = chosen_rows(Settings(seed=0, n_train=9), "train", Y, NAMES, "pets")
    assert set(rows(0, 9)) != set(of_train)


def test_the_class_that_is_one_short_is_drawn():
    short = {np.argmin(np.array([*counts(n_test=8, seed=seed)])) for seed in range(20)}
    assert short == {0, 1, 2}


def test_targets_are_drawn_without_classes():
    y = np.zeros((9, 2), np.float32)
    rows = chosen_rows(Settings(n_test=4), "test", y, ("a", "b"), "heights")
    assert len(set(rows)) == 4
    with pytest.raises(InvalidInputError, match="heights has targets and no classes"):
        chosen_rows(Settings(per_class=4), "test", y, ("a", "b"), "heights")


@pytest.mark.parametrize(
    ("asked", "problem"),
    [
        ({"n_test": 36}, "dataset.n_test=36, but pets has 35 such samples"),
        ({"per_class": 6}, "dataset.per_class=6, but pets has 5 test samples of the class bee"),
        ({"per_class": 0}, "dataset.per_class=0; expected a number of samples of 1 or more"),
        ({"per_class": 1, "n_test": 9}, "expected one of the two"),
    ],
)
def test_refusals(asked, problem):
    with pytest.raises(InvalidInputError, match=problem):
        counts(**asked)


def test_data_sets_of_the_catalogue_give_some_of_every_class():
    dataset, all_of_it = load_dataset("digits", per_class=3), load_dataset("digits")
    assert np.bincount(dataset.y_test).tolist() == [3] * 10
    among = {image.tobytes() for image in all_of_it.x_test}
    assert all(image.tobytes() in among for image in dataset.x_test)
    first = load_dataset("digits", n_test=30)  # as the studies took them
    np.testing.assert_array_equal(first.x_test, all_of_it.x_test[:30])

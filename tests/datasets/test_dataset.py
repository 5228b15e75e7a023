"""A data set checks what it is made of."""

import numpy as np
import pytest

from nn_clustering.datasets import Dataset, Groups
from nn_clustering.errors import InvalidInputError


def make(**changes):
    arrays = {
        "x_train": (np.arange(24, dtype=np.float32) / 32).reshape(4, 2, 3, 1),
        "y_train": np.array([0, 1, 2, 0], np.int32),
        "x_test": np.zeros((2, 2, 3, 1), np.float32),
        "y_test": np.array([2, 1], np.int32),
    }
    return Dataset(**{"name": "tiny", "class_names": ("a", "b", "c"), **arrays, **changes})


def test_describes_itself():
    dataset = make()
    assert dataset.n_outputs == 3
    assert dataset.task == "classification"
    assert dataset.input_shape == (2, 3, 1)


def test_digest_is_of_every_array():
    digest = make().digest()
    assert digest == "b618517efe5aafa0b7ba93b657ef34191f55b29adc9934fb9d26d0ec27352e82"
    assert make(name="other").digest() == digest
    for name in ("x_train", "y_train", "x_test", "y_test"):
        array = getattr(make(), name).copy()
        array.flat[0] = 1 - array.flat[0] / 2
        assert make(**{name: array}).digest() != digest, name


def test_digest_ignores_the_memory_layout():
    turned = np.asfortranarray(make().x_train)
    assert not turned.flags.c_contiguous
    assert make(x_train=turned).digest() == make().digest()


def with_value(value):
    x = np.zeros((2, 2, 3, 1), np.float32)
    x[1, 0, 2, 0] = value
    return x


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"x_train": np.zeros((4, 6, 1), np.float32)}, r"train split: inputs of shape \(4, 6, 1\)"),
        ({"x_test": np.zeros((0, 2, 3, 1), np.float32)}, "at least one sample"),
        ({"y_test": np.array([0, 1, 2], np.int32)}, r"2 inputs but labels of shape \(3,\)"),
        ({"y_test": np.array([[0], [1]], np.int32)}, r"2 inputs but labels of shape \(2, 1\)"),
        ({"x_test": with_value(np.nan)}, "test split: the inputs hold NaN"),
        ({"x_test": with_value(np.inf)}, "test split: the inputs hold NaN or infinity"),
        ({"x_test": with_value(255)}, "pixels run from 0.0 to 255.0; expected 0 to 1"),
        ({"x_test": with_value(-0.5)}, "pixels run from -0.5 to 0.0; expected 0 to 1"),
        ({"class_names": ()}, "no class_names; expected one name a class"),
        ({"y_test": np.array([0, 3], np.int32)}, "labels run from 0 to 3; expected 0 to 2"),
        ({"y_test": np.array([-1, 2], np.int32)}, "labels run from -1 to 2; expected 0 to 2"),
        ({"x_test": np.zeros((2, 2, 3, 1))}, "inputs of float64; expected float32"),
        ({"y_test": np.array([0, 1], np.int64)}, "labels of int64; expected int32"),
        ({"x_test": np.zeros((2, 3, 2, 1), np.float32)}, "expected one shape"),
        (
            {"x_test": np.zeros((2, 6), np.float32)},
            r"train inputs are \(2, 3, 1\), test inputs \(6",
        ),
        ({"task": "ranking"}, "task 'ranking'; expected classification or regression"),
    ],
)
def test_refuses(changes, message):
    with pytest.raises(InvalidInputError, match=message) as refusal:
        make(**changes)
    assert "'tiny'" in str(refusal.value)
    assert "\n" not in str(refusal.value)


def regression(**changes):
    arrays = {
        "x_train": np.array([[-3, 7], [0, 1], [2, 5]], np.float32),
        "y_train": np.array([[1, -9, 0, 4], [2, 2, 2, 2], [0, 0, 0, 0]], np.float32),
        "x_test": np.array([[1, 1]], np.float32),
        "y_test": np.array([[5, 6, 7, 8]], np.float32),
    }
    names = ("1", "x1", "x2", "x1 x2")
    whole = {"name": "sums", "class_names": names, "task": "regression", **arrays}
    return Dataset(**{**whole, **changes})


def test_vectors_with_targets():
    dataset = regression()
    assert dataset.input_shape == (2,)
    assert dataset.n_outputs == 4
    assert dataset.digest() != regression(y_test=np.ones((1, 4), np.float32)).digest()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"y_test": np.zeros((1, 3), np.float32)}, r"4 names but targets of shape \(1, 3\)"),
        ({"y_test": np.zeros(1, np.int32)}, r"4 names but targets of shape \(1,\)"),
        ({"y_test": np.zeros((1, 4))}, "targets of float64; expected float32"),
        ({"y_test": np.full((1, 4), np.nan, np.float32)}, "the targets hold NaN or infinity"),
        ({"x_test": np.full((1, 2), -np.inf, np.float32)}, "the inputs hold NaN or infinity"),
        ({"x_test": np.zeros((1, 0), np.float32)}, r"inputs of shape \(1, 0\)"),
    ],
)
def test_refuses_regression(changes, message):
    with pytest.raises(InvalidInputError, match=message) as refusal:
        regression(**changes)
    assert "'sums', test split" in str(refusal.value)
    assert "\n" not in str(refusal.value)


def tokens(**changes):
    arrays = {
        "x_train": np.array([[0, 1, 2], [3, 3, 0]], np.int32),
        "y_train": np.array([[-1, 0, 1], [-1, 1, 0]], np.int32),
        "x_test": np.array([[2, 2, 2]], np.int32),
        "y_test": np.array([[-1, 0, -1]], np.int32),
    }
    whole = {"name": "words", "class_names": ("even", "odd"), "vocabulary": tuple("abcd")}
    return Dataset(**{**whole, **arrays, **changes})


def tasks(**changes):
    parts = {"train": np.zeros((2, 3), np.int32), "test": np.array([[-1, 1, 0]], np.int32)}
    return Groups(**{"kind": "task", "names": ("left", "right"), **parts, **changes})


def test_tokens_ask_a_class_of_the_whole_or_at_positions():
    assert tokens().answers_positions
    of_the_whole = tokens(y_train=np.array([0, 1], np.int32), y_test=np.array([1], np.int32))
    assert not of_the_whole.answers_positions
    assert of_the_whole.input_shape == (3,)
    assert of_the_whole.in_memory().x_test.dtype == np.int32


def test_digest_is_of_vocabulary_and_groups_too():
    digest, grouped = tokens().digest(), tokens(groups=tasks()).digest()
    others = [
        tokens(vocabulary=tuple("abce")),
        tokens(groups=tasks(kind="token class")),
        tokens(groups=tasks(names=("left", "wrong"))),
        tokens(groups=tasks(test=np.array([[-1, 0, 0]], np.int32))),
        tokens(source_digest="ab", groups=tasks()),
    ]
    assert len({digest, grouped, *(other.digest() for other in others)}) == 7


def test_groups_go_with_the_samples_that_are_taken():
    train = np.array([[0, 0, 0], [1, 1, 1]], np.int32)
    taken = tasks(train=train).chosen("train", np.array([1]))
    assert taken.train.tolist() == [[1, 1, 1]]
    assert taken.of("test").tolist() == [[-1, 1, 0]]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"vocabulary": ("a", "b", "c")}, "tokens run from 0 to 3; expected 0 to 2"),
        ({"vocabulary": ()}, "an empty vocabulary"),
        ({"x_test": np.zeros((1, 3), np.float32)}, "tokens of float32; expected int32"),
        ({"x_test": np.zeros((1, 3, 1), np.int32)}, r"expected \(samples, length\)"),
        ({"y_test": np.zeros((1, 2), np.int32)}, r"expected \(1,\) or \(1, 3\)"),
        ({"y_test": np.full((1, 3), -1, np.int32)}, "nothing is asked at any position"),
        ({"y_test": np.array([[0, -2, 1]], np.int32)}, "or -1 where nothing is asked"),
        ({"y_test": np.array([1], np.int32)}, "one class a sample, or one a position, in both"),
        (
            {"groups": tasks(test=np.zeros(1, np.int32))},
            r"groups of shape \(1,\) for labels of shape \(1, 3\)",
        ),
    ],
)
def test_refuses_tokens(changes, message):
    with pytest.raises(InvalidInputError, match=message) as refusal:
        tokens(**changes)
    assert "'words'" in str(refusal.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kind": ""}, "expected a word"),
        ({"names": ("left", "left")}, "no two alike"),
        ({"names": ("left",)}, "run from -1 to 1; expected 0 to 0, or -1 for in none"),
        ({"train": np.zeros((2, 3))}, "of float64; expected int32"),
    ],
)
def test_refuses_groups(changes, message):
    with pytest.raises(InvalidInputError, match=message):
        tasks(**changes)

"""Names of classes out of a JSON file: which output each class of the data belongs to."""

import json
from pathlib import Path

import numpy as np
import pytest

from nn_clustering.datasets import load_dataset
from nn_clustering.errors import InvalidInputError

X = np.zeros((3, 2), np.float32)


@pytest.fixture
def data(tmp_path, monkeypatch):
    """Of three samples with text labels, and a file of names; returns how to load them."""
    monkeypatch.chdir(tmp_path)

    def load(content, labels=("cat", "ant", "dog"), **settings):
        Path("names.json").write_text(content if isinstance(content, str) else json.dumps(content))
        np.savez("mine.npz", x_test=X, y_test=np.array(labels))
        return load_dataset("mine.npz", class_names="names.json", **settings)

    return load


@pytest.mark.parametrize(
    ("content", "names"),
    [
        (["dog", "cow", "cat", "ant"], ("dog", "cow", "cat", "ant")),
        ({"ant": 3, "cat": 2, "dog": 0}, ("dog", "1", "cat", "ant")),
        ({"ant": 3, "bug": 3, "cat": 2, "dog": 0}, ("dog", "1", "cat", "bug")),
        (
            {"0": ["n01", "dog"], "1": ["n02", "cow"], "2": ["cat", "tom"], "3": "ant"},
            ("dog", "cow", "tom", "ant"),
        ),
        (["dog", "cow", "cat", "ant", "cow"], ("dog", "cow (1)", "cat", "ant", "cow (4)")),
    ],
)
def test_classes_of_the_data_go_to_their_outputs(data, content, names):
    dataset = data(content)
    assert dataset.class_names == names
    assert dataset.y_test.tolist() == [2, 3, 0]
    assert dataset.digest() != load_dataset("mine.npz").digest()


def test_digest_is_of_names_and_positions(data):
    digests = {
        data({"cat": cat, "ant": 1 - cat, "dog": 2} | shown).digest()
        for cat, shown in ((0, {}), (0, {"a": 0, "b": 1}), (1, {"a": 0, "b": 1}))
    }
    assert len(digests) == 3


def test_whole_numbers_are_positions_unless_they_are_names(data):
    assert data(list("abcd"), [3, 0, 1]).y_test.tolist() == [3, 0, 1]
    assert data({"0": 1, "1": 0, "3": 2}, [3, 0, 1]).y_test.tolist() == [2, 1, 0]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (["dog", "cats", "ant"], "'cat', a class of mine.npz, is none of its names (did you mean"),
        (["dog", "cat", "ant", "cat"], "'cat', a class of mine.npz, is the name of the outputs 1 "),
        ({"dog": "first"}, "'dog' is at 'first', not a whole number"),
        ({"dog": -1}, "'dog' is at -1, not positions from 0"),
        ({"dog": True}, "'dog' is at True, not a whole number"),
        (["dog", 3], "3 is among the names"),
        ("dog, cat", "is no JSON"),
        ("3", "lists no names"),
        ([], "lists no names"),
    ],
)
def test_what_is_wrong_with_names_is_said_in_one_line(data, content, message):
    with pytest.raises(InvalidInputError) as refused:
        data(content)
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


def test_labels_that_are_no_position(data):
    with pytest.raises(InvalidInputError, match=r"'3', a class of mine\.npz, is none of its names"):
        data(["a", "b", "c"], [0, 1, 3])


def test_regression_has_no_classes(data):
    with pytest.raises(InvalidInputError, match="has targets and no classes"):
        data(["a", "b"], [0.5, 1.5, 2.5])


def test_file_that_is_not_there(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.savez("mine.npz", x_test=X, y_test=[0, 1, 2])
    with pytest.raises(InvalidInputError, match=r"class_names='no\.json' cannot be read"):
        load_dataset("mine.npz", class_names="no.json")

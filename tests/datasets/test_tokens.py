"""Data sets of tokens: sums modulo a prime, texts, and arrays of one's own."""

from pathlib import Path

import numpy as np
import pytest

from nn_clustering.datasets import load_dataset, outline_of_own, require_dataset
from nn_clustering.datasets.__main__ import main
from nn_clustering.errors import InvalidInputError

TOKENS = {
    "x_train": np.array([[0, 1, 2], [2, 1, 0], [1, 1, 1]]),
    "y_train": np.array([[-1, 0, 1], [0, 1, -1], [2, 2, 2]]),
    "x_test": np.array([[2, 2, 2]]),
    "y_test": np.array([[0, -1, 1]]),
    "vocabulary": np.array(["a", "b", "c"]),
}
GROUPS = {
    "groups_train": np.array([[-1, 0, 1], [0, 1, -1], [0, 0, 0]]),
    "groups_test": np.array([[1, -1, 0]]),
    "group_names": np.array(["left", "right"]),
}


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def refusal(name, **settings):
    with pytest.raises(InvalidInputError) as refused:
        load_dataset(name, **settings)
    assert "\n" not in str(refused.value)
    return str(refused.value)


def test_sums_modulo_a_prime():
    dataset = load_dataset("modular_addition", prime=7, train_share=0.5)
    x = np.concatenate([dataset.x_train, dataset.x_test])
    y = np.concatenate([dataset.y_train, dataset.y_test])
    assert len({(a, b) for a, b, _ in x.tolist()}) == 49  # each sum once
    assert y.tolist() == [(a + b) % 7 for a, b, _ in x.tolist()]
    assert set(x[:, 2]) == {7}
    assert dataset.vocabulary == (*"0123456", "=")
    assert len(dataset.y_train) == 24  # half of 49, rounded to even
    assert not dataset.answers_positions
    other = load_dataset("modular_addition", prime=7, train_share=0.5, seed=1)
    assert not np.array_equal(other.x_train, dataset.x_train)
    assert dataset.digest() == load_dataset("modular_addition", prime=7, train_share=0.5).digest()


def test_sums_are_known_before_they_are_made():
    found = require_dataset("modular_addition", prime=7, n_train=4)
    assert (found.input_shape, found.n_outputs, found.n_train, found.n_tokens) == ((3,), 7, 4, 8)
    assert outline_of_own("modular_addition").n_tokens == 114
    assert len(load_dataset("modular_addition", prime=7, per_class=3).y_test) == 21


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"prime": 9}, "dataset.prime=9; expected a prime number from 2 to 1000"),
        ({"prime": 1009}, "expected a prime number from 2 to 1000"),
        ({"prime": True}, "expected a prime number"),
        ({"prime": 2, "train_share": 0.01}, "is 0; expected some for training"),
        ({"train_share": 1}, "dataset.train_share=1; expected a number between 0 and 1"),
        ({"n_train": 4000}, "has 3831 such samples"),
        ({"length": 8}, "dataset.length=8 changes nothing with modular_addition"),
        ({"channels": 3}, "dataset.channels=3 changes nothing"),
    ],
)
def test_refuses_sums(settings, expected):
    assert expected in refusal("modular_addition", **settings)
    with pytest.raises(InvalidInputError, match=r"expected|leave it out"):
        require_dataset("modular_addition", **settings)


def test_every_character_is_asked_the_next_one(here):
    Path("my.txt").write_bytes("\N{BOM}Ab1 é,\r\n".replace("\N{BOM}", "\ufeff").encode() * 3)
    text = "Ab1 é,\r\n" + 2 * "\ufeffAb1 é,\r\n"
    dataset = load_dataset("my.txt", length=4, train_share=0.75)
    assert "".join(dataset.vocabulary) == "".join(sorted(set(text)))
    x = np.concatenate([dataset.x_train, dataset.x_test]).ravel()
    y = np.concatenate([dataset.y_train, dataset.y_test]).ravel()
    assert "".join(dataset.vocabulary[one] for one in x) == text[: len(x)]
    assert "".join(dataset.vocabulary[one] for one in y) == text[1 : len(y) + 1]
    assert (len(dataset.x_train), len(dataset.x_test)) == (4, 2)  # of six samples
    groups = dict(
        zip(
            y.tolist(),
            np.concatenate([dataset.groups.train, dataset.groups.test]).ravel().tolist(),
            strict=True,
        )
    )
    of = {dataset.vocabulary[one]: dataset.groups.names[group] for one, group in groups.items()}
    assert {key: of[key] for key in "Ab1 é,\n"} == {
        "A": "vowels", "b": "consonants", "1": "digits", " ": "white space", "é": "vowels",
        ",": "punctuation", "\n": "white space",
    }  # fmt: skip
    found = require_dataset("my.txt", length=4, train_share=0.75)
    assert (found.n_tokens, found.n_train, found.answers_positions) == (9, 4, True)
    assert "'\\n'" in dataset.class_names


@pytest.mark.parametrize(
    ("content", "settings", "expected"),
    [
        (b"abc", {}, "a text of 3 characters; expected 129 or more"),
        (b"\xff" * 200, {}, "cannot be read as a text"),
        (b"abcdef", {"length": 0}, "dataset.length=0; expected a number of characters"),
        (b"abcdef" * 50, {"image_size": 3}, "changes nothing with my.txt, a text"),
    ],
)
def test_refuses_texts(here, content, settings, expected):
    Path("my.txt").write_bytes(content)
    assert expected in refusal("my.txt", **settings)


def test_arrays_of_tokens(here):
    np.savez("mine.npz", **TOKENS, **GROUPS)
    dataset = load_dataset("mine.npz")
    np.testing.assert_array_equal(dataset.x_train, TOKENS["x_train"])
    np.testing.assert_array_equal(dataset.y_test, TOKENS["y_test"])
    assert dataset.class_names == dataset.vocabulary == ("a", "b", "c")
    assert (dataset.groups.kind, dataset.groups.names) == ("task", ("left", "right"))
    np.testing.assert_array_equal(dataset.groups.test, GROUPS["groups_test"])
    assert require_dataset("mine.npz").answers_positions
    some = load_dataset("mine.npz", n_train=1, seed=3)
    (row,) = (i for i in range(3) if np.array_equal(some.x_train[0], TOKENS["x_train"][i]))
    np.testing.assert_array_equal(some.groups.train[0], GROUPS["groups_train"][row])
    assert some.digest() != dataset.digest()


def test_a_class_of_the_whole_and_numbered_tokens(here):
    whole = {"y_train": np.array([0, 1, 1]), "y_test": np.array([1]), "vocabulary": np.array(5)}
    np.savez("mine.npz", **{**TOKENS, **whole})
    dataset = load_dataset("mine.npz")
    assert dataset.vocabulary == tuple("01234")
    assert dataset.class_names == ("0", "1")
    assert not require_dataset("mine.npz").answers_positions


def test_a_function_that_returns_tokens(here):
    Path("token_data.py").write_text(
        "import numpy as np\n"
        "def two_tasks():\n"
        "    x, y = np.eye(4, 3, dtype=int), np.arange(4) % 2\n"
        "    return dict(x_train=x, y_train=y, x_test=x, y_test=y, vocabulary=['no', 'yes'],\n"
        "        group_names=['a', 'b'], groups_train=y, groups_test=1 - y)\n"
        "def images():\n"
        "    x, y = np.zeros((4, 2, 2, 1)), np.arange(4) % 2\n"
        "    return dict(x_test=x, y_test=y, group_names=['a', 'b'], groups_test=1 - y)\n"
    )
    dataset = load_dataset("token_data.two_tasks")
    assert dataset.vocabulary == ("no", "yes")
    assert dataset.groups.test.tolist() == [1, 0, 1, 0]
    assert load_dataset("token_data.images").groups.test.tolist() == [1, 0, 1, 0]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"vocabulary": np.array(["a", "b"])}, "tokens run from 0 to 2; expected 0 to 1"),
        ({"vocabulary": np.array([1.0, 2.0, 3.0])}, "expected a list of texts"),
        ({"x_test": np.zeros((1, 3))}, "x_test is of float64; expected whole numbers"),
        ({"y_test": np.array([[0, -2, 1]])}, "runs from -2 to 1"),
        ({"group_names": None}, "without group_names"),
        ({"groups_test": np.array([[0, 2, 1]])}, "mine.npz: groups of the test part run from 0 to"),
        ({"groups_test": np.array([0])}, r"groups of shape (1,) for labels of shape (1, 3)"),
        ({"class_names": np.array(["a", "b"])}, "labels run from -1 to 2; expected 0 to 1"),
    ],
)
def test_refuses_arrays(here, changes, expected):
    arrays = {**TOKENS, **GROUPS, **changes}
    np.savez("mine.npz", **{key: array for key, array in arrays.items() if array is not None})
    assert expected in refusal("mine.npz")


def test_shows_and_prepares(here, capsys):
    Path("my.txt").write_text("cost: $3 $4 \n" * 20)
    assert main(["show", "my.txt"]) == 0
    assert Path("figures/my.txt.png").stat().st_size > 5000
    assert main(["prepare", "my.txt", "modular_addition"]) == 0
    assert "inputs (3831, 3), outputs (3831,)" in capsys.readouterr().out

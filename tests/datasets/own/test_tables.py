"""Data of one's own in a table: which columns are what, and every way to get it wrong."""

from pathlib import Path

import numpy as np
import pandas
import pytest

from nn_clustering.datasets import load_dataset, require_dataset
from nn_clustering.datasets.own import _tables
from nn_clustering.errors import InvalidInputError

RANDOM = np.random.default_rng(1)
TABLE = pandas.DataFrame(
    {
        "size": RANDOM.normal(size=20),
        "count": RANDOM.integers(0, 9, 20),
        "is_new": np.arange(20) % 3 == 0,
        "label": np.arange(20) % 4,
    }
)
FEATURES = TABLE[["size", "count", "is_new"]].to_numpy(np.float32)


@pytest.fixture(params=["csv", "parquet"])
def written(request, tmp_path, monkeypatch):
    """Writes a table into the current folder; returns its name."""
    monkeypatch.chdir(tmp_path)

    def write(table, **columns):
        name = f"mine.{request.param}"
        table = table.assign(**columns)
        if request.param == "csv":
            table.to_csv(name, index=False)
        else:
            table.to_parquet(name, row_group_size=6)
        return name

    return write


def refusal(name, **settings):
    with pytest.raises(InvalidInputError) as refused:
        load_dataset(name, **settings)
    assert "\n" not in str(refused.value)
    return str(refused.value)


def test_whole_numbers_are_classes(written):
    name = written(TABLE)
    dataset = load_dataset(name)
    np.testing.assert_allclose(dataset.x_test[:], FEATURES, rtol=1e-6)
    assert dataset.y_test.tolist() == TABLE["label"].tolist()
    assert (dataset.class_names, dataset.task) == (("0", "1", "2", "3"), "classification")
    assert not dataset.has_train_part
    outline = require_dataset(name)
    assert (outline.task, outline.input_shape) == ("classification", (3,))
    assert dataset.digest() != load_dataset(written(TABLE, size=0.0)).digest()


def test_names_of_columns_whatever_their_case_and_splits_of_numbers(written):
    table = TABLE.rename(columns={"label": "Class", "count": "split"})
    dataset = load_dataset(written(table))
    assert dataset.y_test.tolist() == TABLE["label"].tolist()
    np.testing.assert_allclose(dataset.x_test[:], FEATURES, rtol=1e-6)  # a feature


def test_texts_are_classes_by_their_names(written):
    kinds = np.array(["None", "b", "NA", "a"])
    dataset = load_dataset(written(TABLE, label=kinds[TABLE["label"]]))
    assert dataset.class_names == ("NA", "None", "a", "b")
    assert dataset.y_test[:4].tolist() == [1, 3, 0, 2]


def test_floats_are_targets_and_split_is_the_split(written):
    splits = np.where(np.arange(20) < 12, "train", "test")
    name = written(TABLE, split=splits)
    dataset = load_dataset(name, targets=["size", "count"])
    np.testing.assert_allclose(dataset.y_train, FEATURES[:12, :2], rtol=1e-6)
    np.testing.assert_allclose(dataset.y_test, FEATURES[12:, :2], rtol=1e-6)
    assert dataset.class_names == ("size", "count")
    assert dataset.x_train.shape == (12, 2)  # is_new and label
    typed = load_dataset(name, targets="[size, count]")  # as a shell has it
    assert typed.digest() == dataset.digest()
    one = load_dataset(name, targets="size", n_test=3)
    assert (one.task, one.y_test.shape, one.x_test.shape) == ("regression", (3, 1), (3, 3))
    assert one.digest() != load_dataset(name, targets="size").digest()


def test_features_of_a_large_parquet_file_are_streamed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    TABLE.assign(split=["train", "test"] * 10).to_parquet("mine.parquet", row_group_size=3)
    whole = load_dataset("mine.parquet")
    monkeypatch.setattr(_tables, "_IN_MEMORY", 10)
    monkeypatch.setattr(_tables, "_ROWS", 4)
    streamed = load_dataset("mine.parquet")
    assert not isinstance(streamed.x_test, np.ndarray)
    for part in ("x_train", "x_test"):
        x, expected = getattr(streamed, part), getattr(whole, part)[:]
        for rows in (slice(0, 4), slice(4, 10), slice(2, 3), slice(9, 10), np.array([0, 5, 9])):
            np.testing.assert_array_equal(x[rows], expected[rows])
    assert streamed.digest() == whole.digest()


def test_rows_without_numbers_are_named_or_skipped_and_counted(written):
    table = TABLE.astype({"size": float})
    table.loc[[4, 11], "size"] = np.nan
    name = written(table)
    assert "no finite number in column 'size' in row 5" in refusal(name)
    dataset = load_dataset(name, damaged="skip")
    assert len(dataset.x_test) == len(dataset.y_test) == 18
    np.testing.assert_allclose(dataset.x_test[3:6], FEATURES[[3, 5, 6]], rtol=1e-6)
    assert [skipped.split(" (")[0] for skipped in dataset.skipped] == ["row 5", "row 12"]


def test_classes_that_lack_are_no_other_class(written):
    table = TABLE.astype({"label": "Int64"})
    table.loc[7, "label"] = None
    name = written(table)
    assert "no value in column 'label' in row 8" in refusal(name)
    dataset = load_dataset(name, damaged="skip")
    assert dataset.y_test.tolist() == TABLE["label"].drop(7).tolist()


@pytest.mark.parametrize(
    ("columns", "settings", "message"),
    [
        ({}, {"targets": "lable"}, "no column 'lable' (did you mean label"),
        ({}, {"targets": []}, "each once, of 'size', 'count'"),
        ({"target": 1}, {}, "'label', 'target' may each hold it; expected dataset.targets=COLUMN"),
        ({"colour": "red"}, {}, "'colour' is of"),
        ({"split": "dev"}, {}, "'dev' in column 'split' in row 1; expected train or test"),
        ({"split": "train"}, {}, "no rows of the split test"),
        ({"name": "x"}, {"targets": ["name", "label"]}, "the target 'name' is of"),
        ({"label": -1}, {}, "the labels of y_test run from -1 to -1"),
        ({}, {"image_size": 8}, "image_size=8 changes nothing"),
        ({"size": np.inf}, {}, "no finite number in column 'size' in row 1"),
    ],
)
def test_what_is_wrong_with_columns_is_said_in_one_line(written, columns, settings, message):
    assert message in refusal(written(TABLE, **columns), **settings)


def test_nothing_is_called_label(written):
    message = refusal(written(TABLE.rename(columns={"label": "kind"})))
    assert (
        "expected dataset.targets=COLUMN or [COLUMN,COLUMN], of 'size', 'count', 'is_new'"
        in message
    )


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("mine.csv", "a,label\n1,2\n3\n"),
        ("mine.csv", ""),
        ("mine.csv", "a,label\n1,2\n\xff".encode("latin-1")),
        ("mine.parquet", "PAR1 nothing of use"),
    ],
)  # fmt: skip
def test_damaged_table_is_named(tmp_path, monkeypatch, name, content):
    monkeypatch.chdir(tmp_path)
    Path(name).write_bytes(content if isinstance(content, bytes) else content.encode())
    assert f"{name} cannot be read" in refusal(name)


def test_type_of_a_column_is_told_by_all_of_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows = [f"{index},{index % 2}" for index in range(200_000)]
    Path("mine.csv").write_text("\n".join(["a,label", *rows, "0.5,1"]))
    assert load_dataset("mine.csv").x_test[-1:].tolist() == [[0.5]]


def test_csv_larger_than_memory_is_refused_with_what_to_do(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    TABLE.to_csv("mine.csv", index=False)
    monkeypatch.setattr(_tables, "memory_bytes", lambda: 100)
    assert "write it as a .parquet file" in refusal("mine.csv")

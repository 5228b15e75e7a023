"""Data sets by name: what is in them, and what happens when their file is not well."""

import time

import numpy as np
import pytest

from nn_clustering.datasets import SOURCES, load_dataset, require_dataset
from nn_clustering.datasets._sources import (
    MNIST_URL,
    _download,
    _require_network,
    dataset_folders,
    find_file,
)
from nn_clustering.errors import InvalidInputError

KEYS = ("x_train", "y_train", "x_test", "y_test")


def test_digits_are_all_there():
    dataset = load_dataset("digits")
    assert dataset.x_train.shape == (1433, 8, 8, 1)
    assert dataset.x_test.shape == (364, 8, 8, 1)
    assert dataset.class_names == tuple("0123456789")
    for x in (dataset.x_train, dataset.x_test):
        assert (x.min(), x.max()) == (0, 1)
    # every image of scikit-learn's copy exactly once
    from sklearn.datasets import load_digits

    original = load_digits()
    ours = np.concatenate([dataset.x_train, dataset.x_test]).reshape(1797, 64) * 16
    labels = np.concatenate([dataset.y_train, dataset.y_test])
    rows = np.column_stack([ours, labels]).astype(int)
    wanted = np.column_stack([original.data, original.target]).astype(int)
    np.testing.assert_array_equal(rows[np.lexsort(rows.T)], wanted[np.lexsort(wanted.T)])


def test_digits_are_split_class_by_class():
    dataset = load_dataset("digits")
    train, test = np.bincount(dataset.y_train), np.bincount(dataset.y_test)
    np.testing.assert_array_equal(test, np.ceil((train + test) / 5))


def test_digits_are_the_same_everywhere_and_always():
    digest = "dff7d0f7ae3f50b523251a21ed7966476ae4a83272514398d51b46633646c4e6"
    assert load_dataset("digits").digest() == digest
    assert load_dataset("digits").digest() == digest


def test_unknown_name():
    for function in (load_dataset, require_dataset):
        with pytest.raises(InvalidInputError, match="'mnst' is not a data set; expected one of"):
            function("mnst")
    for name in SOURCES:
        assert name in ("digits", "mnist")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("NN_CLUSTERING_DATASETS", str(tmp_path))
    return tmp_path


def images(n, seed):
    return np.random.default_rng(seed).integers(0, 256, (n, 28, 28), dtype=np.uint8)


def fake_mnist(folder, **changes):
    arrays = {
        "x_train": images(30, 0),
        "y_train": np.arange(30, dtype=np.uint8) % 10,
        "x_test": images(10, 1),
        "y_test": np.arange(10, dtype=np.uint8),
    }
    arrays.update(changes)
    np.savez_compressed(folder / "mnist.npz", **{k: v for k, v in arrays.items() if v is not None})
    return folder / "mnist.npz"


def test_mnist_is_read_from_the_named_folder(folder):
    fake_mnist(folder)
    require_dataset("mnist")
    dataset = load_dataset("mnist")
    assert dataset.name == "mnist"
    np.testing.assert_array_equal(dataset.x_train[..., 0], images(30, 0) / np.float32(255))
    np.testing.assert_array_equal(dataset.x_test[..., 0], images(10, 1) / np.float32(255))
    np.testing.assert_array_equal(dataset.y_train, np.arange(30) % 10)
    np.testing.assert_array_equal(dataset.y_test, np.arange(10))


def test_folders_are_asked_in_order(tmp_path, monkeypatch):
    first, second = tmp_path / "first", tmp_path / "second"
    for made in (first, second):
        made.mkdir()
    monkeypatch.setenv("NN_CLUSTERING_DATASETS", f"{first}:{second}")
    assert dataset_folders()[:2] == [first, second]
    assert dataset_folders()[2].name == "datasets"
    (second / "some.npz").touch()
    assert find_file("some.npz") == second / "some.npz"
    (first / "some.npz").mkdir()  # a folder is no file
    assert find_file("some.npz") == second / "some.npz"
    (first / "some.npz").rmdir()
    (first / "some.npz").touch()
    assert find_file("some.npz") == first / "some.npz"
    assert find_file("no_such_file.npz") is None


def corrupt(path):
    content = bytearray(path.read_bytes())
    content[2000:2400] = bytes(400)
    path.write_bytes(content)


def truncate(path):
    path.write_bytes(path.read_bytes()[:5000])


def empty(path):
    path.write_bytes(b"")


def text(path):
    path.write_text("<html>not found</html>")


def single_array(path):
    with path.open("wb") as file:
        np.save(file, np.zeros(3))


@pytest.mark.parametrize("damage", [corrupt, truncate, empty, text, single_array])
def test_damaged_file(folder, damage):
    path = fake_mnist(folder)
    damage(path)
    with pytest.raises(InvalidInputError, match="replace it, or remove it") as refusal:
        load_dataset("mnist")
    assert str(refusal.value).startswith(f"{path} cannot be read (")
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("key", KEYS)
def test_file_without_an_array(folder, key):
    path = fake_mnist(folder, **{key: None})
    with pytest.raises(InvalidInputError, match=f"{key} is not a file in the archive") as refusal:
        load_dataset("mnist")
    assert str(path) in str(refusal.value)


def test_file_with_python_objects_is_not_unpickled(folder):
    fake_mnist(folder, y_train=np.array([{}] * 30, dtype=object))
    with pytest.raises(InvalidInputError, match=r"cannot be read \(Object arrays"):
        load_dataset("mnist")


def test_file_with_wrong_labels(folder):
    fake_mnist(folder, y_test=np.full(10, 11, np.uint8))
    with pytest.raises(InvalidInputError, match="labels run from 11 to 11; expected 0 to 9"):
        load_dataset("mnist")


@pytest.mark.parametrize(
    "url", ["https://does-not-exist.invalid/mnist.npz", "https://127.0.0.1:9/mnist.npz"]
)
def test_no_file_and_no_network(folder, url):
    started = time.monotonic()
    with pytest.raises(InvalidInputError, match="cannot be reached") as refusal:
        _require_network("mnist.npz", url)
    assert time.monotonic() - started < 6
    message = str(refusal.value)
    assert url in message
    assert str(folder) in message
    assert "digits" in message
    assert "\n" not in message


def test_failed_download(folder):
    name = "no_such_data_set.npz"
    with pytest.raises(InvalidInputError, match=f"{name} could not be downloaded") as refusal:
        _download(name, f"https://127.0.0.1:9/{name}", "0" * 64)
    assert str(dataset_folders()[-1]) in str(refusal.value)
    assert not (dataset_folders()[-1] / name).exists()


@pytest.mark.skipif(find_file("mnist.npz") is None, reason=f"no mnist.npz (from {MNIST_URL})")
def test_real_mnist():
    dataset = load_dataset("mnist")
    assert dataset.x_train.shape == (60000, 28, 28, 1)
    assert dataset.x_test.shape == (10000, 28, 28, 1)
    assert (dataset.x_train.min(), dataset.x_train.max()) == (0, 1)
    # the published counts of the test set's classes
    counts = [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    assert np.bincount(dataset.y_test).tolist() == counts
    assert dataset.digest() == "a5f393cac18d63143e2c8a726a456d6db716393a9f1a6fce4d4c714bd5806fcc"

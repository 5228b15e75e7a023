"""Data files: where they are found, and what is said of those that are not well."""

import hashlib
import subprocess

import numpy as np
import pytest

from nn_clustering.datasets import load_dataset, require_dataset
from nn_clustering.datasets._checksums import checksum_file
from nn_clustering.datasets._data_files import dataset_folders, find_file, locate
from nn_clustering.datasets._sources import MNIST
from nn_clustering.errors import InvalidInputError
from tests.datasets.conftest import arrays_of, random_images, write_npz

KEYS = ("x_train", "y_train", "x_test", "y_test")


def fake_mnist(folder, **changes):
    return write_npz(folder / "mnist.npz", {**arrays_of(28, 28), **changes})


def refusal_of(function, *arguments):
    with pytest.raises(InvalidInputError) as refusal:
        function(*arguments)
    assert "\n" not in str(refusal.value)
    return str(refusal.value)


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


def test_files_and_folders_of_tensorflow_datasets(tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    assert locate(MNIST, [first, second]) is None
    for version in ("3.0.9", "3.0.10", "incomplete.3.1.0"):
        (second / "mnist" / version).mkdir(parents=True)
    assert locate(MNIST, [first, second]) == second / "mnist" / "3.0.10"
    (second / "mnist.npz").touch()
    assert locate(MNIST, [first, second]) == second / "mnist.npz"
    (first / "mnist" / "3.0.1").mkdir(parents=True)
    assert locate(MNIST, [first, second]) == first / "mnist" / "3.0.1"


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


DAMAGES = [corrupt, truncate, empty, text, single_array]


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_file(folder, damage):
    path = fake_mnist(folder)
    damage(path)
    message = refusal_of(load_dataset, "mnist")
    assert message.startswith(f"{path} cannot be read (")
    assert "replace it, or remove it to have it downloaded" in message
    assert not checksum_file(path).exists()


@pytest.mark.parametrize(
    "damage", [*DAMAGES, lambda path: path.write_bytes(path.read_bytes() + b"0")]
)
def test_damaged_file_whose_checksum_is_kept(folder, damage):
    path = fake_mnist(folder)
    load_dataset("mnist")
    damage(path)
    message = refusal_of(load_dataset, "mnist")
    assert message.startswith(f"{path} differs from its checksum in {path}.sha256")
    assert f"delete {path}.sha256 if it was replaced on purpose" in message


def test_a_file_replaced_on_purpose(folder):
    path = fake_mnist(folder)
    load_dataset("mnist")
    fake_mnist(folder, x_test=random_images(5, 20, 28, 28))
    assert "differs from its checksum" in refusal_of(load_dataset, "mnist")
    checksum_file(path).unlink()
    load_dataset("mnist")
    assert hashlib.sha256(path.read_bytes()).hexdigest() in checksum_file(path).read_text()


def test_checksums_are_as_sha256sum_writes_them(folder):
    path = fake_mnist(folder)
    load_dataset("mnist")
    checksum = hashlib.sha256(path.read_bytes()).hexdigest()
    assert (folder / "mnist.npz.sha256").read_text() == f"{checksum}  mnist.npz\n"
    assert sorted(file.name for file in folder.iterdir()) == ["mnist.npz", "mnist.npz.sha256"]
    # and as it marks binary files
    (folder / "mnist.npz.sha256").write_text(f"{checksum} *mnist.npz\n")
    load_dataset("mnist")
    assert (folder / "mnist.npz.sha256").read_text() == f"{checksum} *mnist.npz\n"


def test_sha256sum_agrees(folder):
    fake_mnist(folder)
    load_dataset("mnist")
    command = ["sha256sum", "-c", "mnist.npz.sha256"]
    try:
        checked = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("no sha256sum")
    assert checked.stdout == "mnist.npz: OK\n"


@pytest.mark.parametrize("content", ["", "no checksum\n", "1234  mnist.npz\n", b"\xff\xfe"])
def test_unreadable_checksum(folder, content):
    path = fake_mnist(folder)
    kept_in = checksum_file(path)
    kept_in.write_bytes(content if isinstance(content, bytes) else content.encode())
    message = refusal_of(load_dataset, "mnist")
    assert message.startswith(f"{kept_in} ")
    assert message.endswith("delete it")


def test_no_checksum_is_written_into_a_read_only_folder(folder):
    path = fake_mnist(folder)
    folder.chmod(0o555)
    try:
        load_dataset("mnist")
        assert not checksum_file(path).exists()
    finally:
        folder.chmod(0o755)


@pytest.mark.parametrize("key", KEYS)
def test_file_without_an_array(folder, key):
    path = fake_mnist(folder, **{key: None})
    message = refusal_of(load_dataset, "mnist")
    assert f"{key} is not a file in the archive" in message
    assert str(path) in message


def test_file_with_python_objects_is_not_unpickled(folder):
    fake_mnist(folder, y_train=np.array([{}] * 40, dtype=object))
    assert "cannot be read (Object arrays" in refusal_of(load_dataset, "mnist")


NOT_NUMBERS = np.full((20, 28, 28), np.nan)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"x_test": NOT_NUMBERS}, "x_test is float64 of shape (20, 28, 28); expected uint8"),
        ({"x_test": np.zeros((20, 27, 28), np.uint8)}, "expected uint8 of shape (samples, 28, 28)"),
        ({"x_train": np.zeros((40, 784), np.uint8)}, "x_train is uint8 of shape (40, 784)"),
        ({"x_train": np.zeros((0, 28, 28), np.uint8)}, "x_train is uint8 of shape (0, 28, 28)"),
        ({"x_train": np.uint8(3)}, "x_train is uint8 of shape ()"),
        ({"y_test": np.arange(19) % 10}, "y_test is int64 of shape (19,) for 20 images"),
        ({"y_test": np.zeros((20, 10), int)}, "y_test is int64 of shape (20, 10)"),
        ({"y_test": np.full(20, np.nan)}, "y_test is float64 of shape (20,)"),
        ({"y_test": np.full(20, 11)}, "labels of y_test run from 11 to 11; expected 0 to 9"),
        ({"y_train": np.full(40, -1)}, "labels of y_train run from -1 to -1; expected 0 to 9"),
        ({"y_train": np.full(40, 2**32)}, "labels of y_train run from 4294967296 to"),
    ],
)
def test_file_that_holds_something_else(folder, changes, message):
    path = fake_mnist(folder, **changes)
    refused = refusal_of(load_dataset, "mnist")
    assert message in refused
    assert refused.startswith(f"{path}: ")
    assert "replace it, or remove it" in refused
    assert not checksum_file(path).exists()


def test_grey_images_where_colour_is_expected(folder):
    write_npz(folder / "cifar10.npz", arrays_of(32, 32))
    assert "expected uint8 of shape (samples, 32, 32, 3)" in refusal_of(load_dataset, "cifar10")


def test_a_damaged_part_of_a_composed_set_is_named(tiny_files):
    truncate(tiny_files / "fashion_mnist.npz")
    for name in ("halves_fashion", "mixed_mnist_fashion", "random_labels_fashion"):
        require_dataset(name)
        message = refusal_of(load_dataset, name)
        assert message.startswith(f"{tiny_files / 'fashion_mnist.npz'} cannot be read (")

"""Folders that TensorFlow Datasets prepared, read record by record as it reads them."""

import json
import shutil

import numpy as np
import pytest

from nn_clustering.datasets import load_dataset, require_dataset
from nn_clustering.errors import InvalidInputError

N_TRAIN, N_TEST = 5, 7
NAMES = ("cat", "dog", "eel")


def images(n, seed):
    random = np.random.default_rng(seed)
    return [
        {
            "image": random.integers(0, 256, (9, 6, 3), dtype=np.uint8),
            "label": number % 3,
            "name": f"image {number}",
        }
        for number in range(n)
    ]


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """Lossless images of three classes, as TensorFlow Datasets writes them."""
    import tensorflow_datasets as tfds

    folder = tmp_path_factory.mktemp("prepared")
    features = tfds.features.FeaturesDict(
        {
            "image": tfds.features.Image(shape=(None, None, 3), encoding_format="png"),
            "label": tfds.features.ClassLabel(num_classes=3),
            "name": tfds.features.Text(),
        }
    )
    splits = {
        split: list(enumerate(images(n, n)))
        for split, n in (("train", N_TRAIN), ("validation", N_TEST))
    }
    tfds.dataset_builders.store_as_tfds_dataset(
        "pets", "1.2.0", features, splits, data_dir=folder, disable_shuffling=True
    )
    (folder / "pets" / "1.2.0" / "label.labels.txt").write_text("\n".join(NAMES))
    return folder / "pets"


@pytest.fixture
def pets(written, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(written, tmp_path / "pets")
    return tmp_path / "pets" / "1.2.0"


def records(folder):
    (path,) = folder.glob("*validation.tfrecord*")
    return path


def stacked(n):
    return np.stack([image["image"] for image in images(n, n)])


@pytest.mark.parametrize("name", ["pets", "pets/1.2.0"])
def test_images_are_read_in_any_order(pets, name):
    outline = require_dataset(name)
    assert (outline.task, outline.n_outputs, outline.n_train) == ("classification", 3, N_TRAIN)
    dataset = load_dataset(name)
    assert dataset.class_names == NAMES
    assert dataset.y_test.tolist() == [0, 1, 2, 0, 1, 2, 0]
    np.testing.assert_array_equal(dataset.x_train[:], stacked(N_TRAIN))
    np.testing.assert_array_equal(dataset.x_test[5:], stacked(N_TEST)[5:])
    np.testing.assert_array_equal(dataset.x_test[np.array([2, 4])], stacked(N_TEST)[[2, 4]])


def test_some_of_them_resized_and_by_position_in_a_list(pets, tmp_path):
    (tmp_path / "names.json").write_text(json.dumps(["ant", "eel", "dog", "cat"]))
    dataset = load_dataset(
        "pets", per_class=2, image_size=4, class_names=str(tmp_path / "names.json")
    )
    assert dataset.x_test.shape == (6, 4, 4, 3)
    assert np.bincount(dataset.y_test, minlength=4).tolist() == [0, 2, 2, 2]


def test_the_digest_is_of_what_is_taken(pets):
    digests = [load_dataset("pets", **asked).digest() for asked in ({}, {}, {"n_test": 3})]
    assert digests[0] == digests[1] != digests[2]
    path = records(pets)
    label = path.read_bytes().index(b"label")
    change(path, label + path.read_bytes()[label:].index(b"\x1a\x03\x0a\x01") + 4, b"\x01")
    changed = load_dataset("pets")  # the first image is of another class now
    assert changed.y_test.tolist() == [1, 1, 2, 0, 1, 2, 0]
    assert changed.digest() not in digests
    change(path, label + path.read_bytes()[label:].index(b"\x1a\x03\x0a\x01") + 4, b"\x03")
    with pytest.raises(InvalidInputError, match="labels run from 0 to 3; expected 0 to 2"):
        load_dataset("pets")


def test_the_newest_version_is_read(pets):
    newer = pets.with_name("1.10.0")
    shutil.copytree(pets, newer)
    records(newer).unlink()
    with pytest.raises(InvalidInputError, match=r"1\.10\.0.*there is no such file"):
        require_dataset("pets")


def change(path, at, new):
    content = bytearray(path.read_bytes())
    content[at : at + len(new)] = new
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("harm", "problem"),
    [
        (lambda path: path.write_bytes(path.read_bytes()[:-3]), "it ends within a record"),
        (lambda path: change(path, 0, b"\xff"), "no record begins at byte 0"),
        (lambda path: change(path, 12, b"\xff" * 20), "cannot be read"),
        (lambda path: path.unlink(), "there is no such file"),
        (lambda path: path.write_bytes(b""), "0 images; dataset_info.json says 7"),
        (lambda path: path.write_bytes(2 * path.read_bytes()), "14 images; dataset_info.json sa"),
    ],
)
def test_damaged_records_are_named(pets, harm, problem):
    path = records(pets)
    harm(path)
    with pytest.raises(InvalidInputError, match=problem) as refused:
        check_and_load("pets")
    assert str(path) in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_damaged_image_is_named_or_skipped(pets):
    path = records(pets)
    second = path.read_bytes().index(b"IDAT", path.read_bytes().index(b"IDAT") + 4)
    change(path, second + 10, bytes(40))
    with pytest.raises(InvalidInputError, match=r"validation.tfrecord-00000-of-00001, record 1 "):
        load_dataset("pets")
    dataset = load_dataset("pets", damaged="skip")
    assert dataset.skipped == ("pets-validation.tfrecord-00000-of-00001, record 1",)
    assert len(dataset.x_test[:]) == N_TEST - 1


def test_records_lie_in_several_files(pets):
    path = records(pets)
    content, at = path.read_bytes(), 0
    for _ in range(3):
        at += 12 + int.from_bytes(content[at : at + 8], "little") + 4
    for number, part in enumerate((content[:at], content[at:])):
        (pets / f"pets-validation.tfrecord-{number:05}-of-00002").write_bytes(part)
    path.unlink()

    def in_two(info):
        (split,) = (split for split in info["splits"] if split["name"] == "validation")
        split["shardLengths"] = ["3", "4"]

    edit(pets / "dataset_info.json", in_two)
    dataset = load_dataset("pets")
    assert dataset.y_test.tolist() == [0, 1, 2, 0, 1, 2, 0]
    np.testing.assert_array_equal(dataset.x_test[1:6], stacked(N_TEST)[1:6])
    last = pets / "pets-validation.tfrecord-00001-of-00002"
    change(last, last.read_bytes().index(b"IDAT") + 10, bytes(40))
    assert load_dataset("pets", damaged="skip").skipped == (f"{last.name}, record 0",)


def check_and_load(name):
    require_dataset(name)
    load_dataset(name)


def edit(path, change):
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("name", "harm", "problem"),
    [
        ("dataset_info.json", lambda info: info.update(fileFormat="array_record"), "array_record"),
        ("dataset_info.json", lambda info: info["splits"].pop(), "has the splits train"),
        ("dataset_info.json", lambda info: info.pop("name"), "cannot be read"),
        (
            "features.json",
            lambda features: features["featuresDict"]["features"].pop("label"),
            "has the features image, name; expected one image and one class",
        ),
    ],
)
def test_folders_that_hold_something_else(pets, name, harm, problem):
    edit(pets / name, harm)
    with pytest.raises(InvalidInputError, match=problem):
        require_dataset("pets")

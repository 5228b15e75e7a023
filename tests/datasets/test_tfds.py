"""Folders of TensorFlow Datasets, written and read with it."""

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest

from nn_clustering.datasets import load_dataset, require_dataset
from nn_clustering.errors import InvalidInputError
from tests.datasets.conftest import arrays_of, write_npz


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """mnist/3.0.1 and cifar10/3.0.2 as TensorFlow Datasets writes them."""
    folder = tmp_path_factory.mktemp("tfds")
    write_tfds(folder, "mnist", "3.0.1", arrays_of(28, 28, 1))
    write_tfds(folder, "cifar10", "3.0.2", arrays_of(32, 32, 3))
    return folder


def write_tfds(folder, name, version, arrays, class_names=tuple("0123456789")):
    import tensorflow_datasets as tfds

    features = tfds.features.FeaturesDict(
        {
            "image": tfds.features.Image(shape=arrays["x_train"].shape[1:], dtype=np.uint8),
            "label": tfds.features.ClassLabel(names=class_names),
        }
    )
    splits = {
        split: [
            (number, {"image": arrays[f"x_{split}"][number], "label": int(label)})
            for number, label in enumerate(arrays[f"y_{split}"])
        ]
        for split in ("train", "test")
    }
    tfds.dataset_builders.store_as_tfds_dataset(
        name, version, features, splits, data_dir=folder, disable_shuffling=True
    )


@pytest.fixture
def copied(written, folder):
    shutil.copytree(written, folder, dirs_exist_ok=True)
    return folder


def refusal(name="mnist"):
    with pytest.raises(InvalidInputError) as refused:
        load_dataset(name)
    assert "\n" not in str(refused.value)
    return str(refused.value)


def record_file(folder, split="train"):
    (path,) = (folder / "mnist" / "3.0.1").glob(f"*{split}.tfrecord*")
    return path


@pytest.mark.parametrize(("name", "shape"), [("mnist", (28, 28, 1)), ("cifar10", (32, 32, 3))])
def test_a_folder_is_read(copied, name, shape):
    require_dataset(name)
    dataset, arrays = load_dataset(name), arrays_of(*shape)
    for split in ("train", "test"):
        pixels = arrays[f"x_{split}"] / np.float32(255)
        np.testing.assert_array_equal(getattr(dataset, f"x_{split}"), pixels)
        np.testing.assert_array_equal(getattr(dataset, f"y_{split}"), arrays[f"y_{split}"])


def test_the_same_images_have_the_same_digest_from_a_file(copied):
    of_folder = load_dataset("halves_mnist").digest()
    write_npz(copied / "mnist.npz", arrays_of(28, 28))
    assert load_dataset("halves_mnist").digest() == of_folder


def test_checksums_of_all_files_are_kept(copied):
    load_dataset("mnist")
    kept = (copied / "mnist" / "3.0.1.sha256").read_text().splitlines()
    names = sorted(line.split("  ")[1] for line in kept)
    wanted = sorted(f"3.0.1/{path.name}" for path in (copied / "mnist" / "3.0.1").iterdir())
    assert names == wanted
    load_dataset("mnist")


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def truncate(path):
    path.write_bytes(path.read_bytes()[:-50])


def empty(path):
    path.write_bytes(b"")


@pytest.mark.parametrize("split", ["train", "test"])
@pytest.mark.parametrize("damage", [flip, truncate])
def test_a_damaged_record_file_is_named(copied, damage, split):
    path = record_file(copied, split)
    damage(path)
    assert refusal().startswith(f"{path} cannot be read (")
    assert not (copied / "mnist" / "3.0.1.sha256").exists()


@pytest.mark.parametrize("damage", [flip, truncate, empty])
def test_a_damaged_file_whose_checksum_is_kept(copied, damage):
    load_dataset("mnist")
    path = record_file(copied)
    damage(path)
    assert refusal().startswith(f"{path} differs from its checksum in ")


def test_a_missing_file_whose_checksum_is_kept(copied):
    load_dataset("mnist")
    path = record_file(copied)
    path.unlink()
    assert refusal().startswith(f"{path} is missing, which has its checksum in ")


def test_missing_records(copied):
    """A record file that ends between two records is whole, but too short."""
    import tensorflow as tf

    path = record_file(copied)
    records = [record.numpy() for record in tf.data.TFRecordDataset(str(path))]
    with tf.io.TFRecordWriter(str(path)) as writer:
        for record in records[:-1]:
            writer.write(record)
    message = refusal()
    assert str(copied / "mnist" / "3.0.1") in message


@pytest.mark.parametrize("content", ["", "{", '{"name": "mnist"}'])
def test_damaged_description(copied, content):
    (copied / "mnist" / "3.0.1" / "dataset_info.json").write_text(content)
    assert str(copied / "mnist" / "3.0.1") in refusal()


def test_an_empty_folder(folder):
    (folder / "mnist" / "3.0.1").mkdir(parents=True)
    message = refusal()
    assert message.startswith(f"{folder / 'mnist' / '3.0.1'} cannot be read (")
    assert "remove the folder" in message


def test_images_of_another_shape(folder):
    write_tfds(folder, "mnist", "1.0.0", arrays_of(20, 20, 1, n_train=3, n_test=2))
    assert "expected uint8 of shape (samples, 28, 28)" in refusal()


def test_labels_of_the_folder_are_checked(copied):
    path = copied / "mnist" / "3.0.1" / "dataset_info.json"
    info = json.loads(path.read_text())
    assert [split["name"] for split in info["splits"]] == ["train", "test"]
    info["splits"] = info["splits"][:1]
    path.write_text(json.dumps(info))
    assert "test" in refusal()


def test_nothing_else_imports_tensorflow(folder):
    """Reading .npz files, and looking for files, does without TensorFlow and its data sets."""
    write_npz(folder / "mnist.npz", arrays_of(28, 28))
    code = (
        "import sys; from nn_clustering.datasets import load_dataset, require_dataset; "
        "require_dataset('halves_mnist'); load_dataset('halves_mnist'); load_dataset('poly'); "
        "print([name for name in sys.modules if name.split('.')[0] in "
        "('tensorflow', 'tensorflow_datasets', 'keras', 'pooch', 'matplotlib', 'sklearn')])"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=100)
    assert (done.stdout, done.stderr) == ("[]\n", "")

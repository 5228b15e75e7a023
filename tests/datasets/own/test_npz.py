"""Data of one's own in an .npz file: every usual form of arrays, and every way to get it wrong."""

import os
import zipfile
from pathlib import Path

import numpy as np
import pytest

from nn_clustering import machine
from nn_clustering.datasets import load_dataset, require_dataset
from nn_clustering.datasets.own import _npz
from nn_clustering.errors import InvalidInputError

RANDOM = np.random.default_rng(0)
BYTES = RANDOM.integers(0, 256, (30, 4, 5, 3), dtype=np.uint8)
LABELS = np.arange(30) % 3


@pytest.fixture
def saved(tmp_path, monkeypatch):
    """Writes an .npz file into the current folder; returns its name."""
    monkeypatch.chdir(tmp_path)

    def save(write=np.savez, **arrays):
        write("mine.npz", **arrays)
        return "mine.npz"

    return save


def refusal(name="mine.npz", **settings):
    with pytest.raises(InvalidInputError) as refused:
        load_dataset(name, **settings)
    assert "\n" not in str(refused.value)
    return str(refused.value)


def test_test_part_alone_is_read_out_of_the_file(saved):
    dataset = load_dataset(saved(x_test=BYTES, y_test=LABELS))
    assert not isinstance(dataset.x_test, np.ndarray)
    assert (dataset.x_test.shape, dataset.x_test.dtype, dataset.white) == (
        BYTES.shape,
        np.uint8,
        255,
    )
    np.testing.assert_array_equal(dataset.x_test[:], BYTES)
    rows = np.array([0, 1, 2, 7, 8, 29])
    np.testing.assert_array_equal(dataset.x_test[rows], BYTES[rows])
    np.testing.assert_array_equal(dataset.x_test[28:99], BYTES[28:])
    np.testing.assert_array_equal(dataset.y_test, LABELS)
    assert dataset.class_names == ("0", "1", "2")
    assert not dataset.has_train_part


def test_compressed_and_fortran_ordered_ones_hold_the_same(saved):
    read = {}
    for name, write, x in (
        ("stored", np.savez, BYTES),
        ("compressed", np.savez_compressed, BYTES),
        ("fortran", np.savez, np.asfortranarray(BYTES)),
    ):
        read[name] = load_dataset(saved(write, x_test=x, y_test=LABELS))
        np.testing.assert_array_equal(read[name].x_test[:], BYTES)
    assert read["stored"].digest() == read["compressed"].digest()
    other = BYTES.copy()
    other[-1, -1, -1, -1] ^= 1
    assert load_dataset(saved(x_test=other, y_test=LABELS)).digest() != read["stored"].digest()


def test_both_parts_with_what_is_chosen_of_them(saved):
    name = saved(x_train=BYTES[:20], y_train=LABELS[:20], x_test=BYTES[20:], y_test=LABELS[20:])
    dataset = load_dataset(name, n_train=6, per_class=2)
    assert np.bincount(dataset.y_train).tolist() == np.bincount(dataset.y_test).tolist() == [2] * 3
    where = [
        np.flatnonzero((BYTES[20:] == image).all(axis=(1, 2, 3))) for image in dataset.x_test[:]
    ]
    np.testing.assert_array_equal(LABELS[20:][np.concatenate(where)], dataset.y_test)
    assert dataset.digest() != load_dataset(name).digest()
    outline = require_dataset(name, n_train=6)
    assert (outline.input_shape, outline.n_outputs, outline.n_train) == ((4, 5, 3), 3, 6)


def test_digest_is_of_what_is_drawn_too(saved):
    name = saved(x_test=BYTES, y_test=np.sort(LABELS))
    drawn = [load_dataset(name, per_class=2, seed=seed) for seed in (0, 0, 1)]
    assert drawn[0].y_test.tolist() == drawn[2].y_test.tolist()
    assert drawn[0].digest() == drawn[1].digest() != drawn[2].digest()


def test_both_parts_count_in_digest_and_classes(saved):
    parts = {"x_train": BYTES[:9], "x_test": BYTES[9:], "y_test": LABELS[9:]}
    first = load_dataset(saved(**parts, y_train=LABELS[:9] % 2))
    assert first.class_names == ("0", "1", "2")
    assert load_dataset(saved(**parts, y_train=LABELS[:9] + 3)).class_names == tuple("012345")
    parts["x_train"] = BYTES[:9] ^ 1
    assert load_dataset(saved(**parts, y_train=LABELS[:9] % 2)).digest() != first.digest()
    several = np.ones((21, 3), int)
    assert "not one-hot" in refusal(
        saved(**parts | {"y_test": several}, y_train=np.eye(3, dtype=int)[LABELS[:9]])
    )


@pytest.mark.parametrize(
    ("x", "white", "dtype"),
    [
        (BYTES[..., 0], 255, np.uint8),  # grey
        (BYTES.astype(np.int64), 255, np.float32),
        (BYTES / 255, 1, np.float32),
        (BYTES / 127.5 - 1, None, np.float32),
        (BYTES.astype(">f4"), None, np.float32),
        (BYTES > 100, 1, np.float32),
        (BYTES.reshape(30, -1).astype(np.float16), None, np.float32),
    ],
)
def test_scale_of_pixels_is_told_by_their_type_and_range(saved, x, white, dtype):
    dataset = load_dataset(saved(x_test=x, y_test=LABELS))
    assert (dataset.white, dataset.x_test.dtype) == (white, dtype)
    read = dataset.x_test[3:7]
    assert read.dtype == dtype
    shape = (*x.shape[1:], 1) if x.ndim == 3 else x.shape[1:]
    np.testing.assert_allclose(read, x[3:7].reshape(4, *shape).astype(dtype))


@pytest.mark.parametrize(
    ("y", "classes", "task", "names"),
    [
        (LABELS[:, None].astype(np.uint8), LABELS, "classification", ("0", "1", "2")),
        (np.eye(4)[LABELS], LABELS, "classification", ("0", "1", "2", "3")),
        (np.eye(3, dtype=bool)[LABELS], LABELS, "classification", ("0", "1", "2")),
        (np.array(["b", "c", "a"])[LABELS], (LABELS + 1) % 3, "classification", ("a", "b", "c")),
        (LABELS / 2, LABELS[:, None] / 2, "regression", ("target",)),
        (np.stack([LABELS] * 2, 1) + 0.5, None, "regression", ("target 0", "target 1")),
    ],
)
def test_labels_in_every_form(saved, y, classes, task, names):
    dataset = load_dataset(saved(x_test=BYTES, y_test=y))
    assert (dataset.task, dataset.class_names) == (task, names)
    np.testing.assert_array_equal(dataset.y_test, y if classes is None else classes)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x_test": BYTES}, "mine.npz has x_test but no y_test"),
        ({"x_test": BYTES, "y_test": LABELS, "x_train": BYTES}, "but no y_train"),
        ({"images": BYTES}, "holds images; expected the arrays x_test and y_test"),
        ({"x_test": BYTES, "y_test": LABELS[:-1]}, "x_test has 30 samples and y_test 29 labels"),
        ({"x_test": BYTES[:0], "y_test": LABELS[:0]}, "at least one sample"),
        ({"x_test": BYTES / [1, 1, np.nan], "y_test": LABELS}, "NaN or infinity, first in row 0"),
        ({"x_test": BYTES.reshape(30, -1), "y_test": LABELS}, "bytes that are no images"),
        ({"x_test": BYTES.astype(str), "y_test": LABELS}, "expected numbers"),
        ({"x_test": BYTES, "y_test": LABELS - 1}, "the labels of y_test run from -1 to 1"),
        ({"x_test": BYTES, "y_test": LABELS + 10**9}, "counted from 0"),
        ({"x_test": BYTES, "y_test": np.stack([LABELS] * 2, 1)}, "not one-hot"),
        ({"x_test": BYTES, "y_test": np.where(LABELS, np.nan, 1)}, "y_test holds NaN or inf"),
        ({"x_test": BYTES, "y_test": LABELS.astype(object)}, "y_test holds Python objects"),
        (
            {"x_test": BYTES, "y_test": LABELS, "x_train": BYTES[:, 1:], "y_train": LABELS},
            "expected samples of one shape",
        ),
        (
            {"x_test": BYTES, "y_test": LABELS, "x_train": BYTES, "y_train": LABELS / 2},
            "expected labels of one kind",
        ),
    ],
)  # fmt: skip
def test_what_is_wrong_with_arrays_is_said_in_one_line(saved, arrays, message):
    assert message in refusal(saved(**arrays))


@pytest.mark.parametrize("change", ["cut", "flipped", "no zip"])
def test_damaged_file_is_named(saved, change):
    path = Path(saved(x_test=BYTES, y_test=LABELS))
    content = bytearray(path.read_bytes())
    if change == "cut":
        del content[-300:]
    elif change == "flipped":
        content[500] ^= 1
    else:
        content = b"x_test"
    path.write_bytes(content)
    assert "mine.npz cannot be read" in refusal()


def test_array_that_is_shorter_than_its_header_says_is_named(saved):
    name = saved(x_test=BYTES, y_test=LABELS)
    with zipfile.ZipFile(name) as archive:
        x, y = (archive.read(f"{key}_test.npy") for key in "xy")
    with zipfile.ZipFile(name, "w") as archive:
        archive.writestr("x_test.npy", x[:-1])
        archive.writestr("y_test.npy", y)
    reason = f"ValueError: x_test.npy has {BYTES.size - 1} bytes"
    assert f"mine.npz cannot be read ({reason}" in refusal()


def test_compressed_file_larger_than_memory_is_refused_with_what_to_do(saved, monkeypatch):
    monkeypatch.setattr(_npz, "memory_bytes", lambda: 2 * BYTES.nbytes - 2)
    saved(x_test=BYTES, y_test=LABELS)
    assert len(load_dataset("mine.npz").x_test) == 30
    saved(np.savez_compressed, x_test=BYTES, y_test=LABELS)
    message = refusal()
    assert "x_test" in message
    assert "write it with np.savez" in message
    assert machine.memory_bytes() > BYTES.nbytes


def test_file_that_shrinks_while_it_is_read_is_named(saved):
    dataset = load_dataset(saved(x_test=BYTES, y_test=LABELS))
    os.truncate("mine.npz", 1000)
    with pytest.raises(InvalidInputError, match="ends before its samples do"):
        dataset.x_test[:]


@pytest.mark.parametrize("x", [BYTES, BYTES / 255])
def test_images_are_resized_and_greyed_as_they_are_read(saved, x):
    name = saved(x_test=x, y_test=LABELS)
    straight = load_dataset(name, image_size=[2, 5], channels=1)
    assert straight.x_test.shape == (30, 2, 5, 1)
    assert straight.notes == ("mine.npz: images of 4 x 5 are resized to 2 x 5 (straight)",)
    assert require_dataset(name, image_size=[2, 5], channels=1).input_shape == (2, 5, 1)
    grey = x.astype(float) @ [0.2125, 0.7154, 0.0721]
    # a triangle over three of four rows at each end
    weights = np.array([[3, 3, 1, 0], [0, 1, 3, 3]]) / 7
    expected = np.einsum("rh,nhw->nrw", weights, grey)
    # bytes are rounded when they are resized
    np.testing.assert_allclose(straight.x_test[:][..., 0], expected, atol=0.6 * x.max() / 255)
    crop = load_dataset(name, image_size=4, resize="crop")
    assert crop.x_test[5:9].shape == (4, 4, 4, 3)
    others = (load_dataset(name, **asked) for asked in ({}, {"image_size": 4}, {"image_size": 3}))
    assert len({dataset.digest() for dataset in (straight, crop, *others)}) == 5
    wide = np.repeat(x, 2, axis=2)  # twice as wide: half a column is lost on each side
    halved = load_dataset(saved(x_test=wide[:, :, 1:-1], y_test=LABELS), image_size=[4, 4])
    assert halved.x_test[:].shape == (30, 4, 4, 3)
    assert halved.digest() != crop.digest()


def test_crop_keeps_the_middle_as_it_is(saved):
    x = np.zeros((2, 4, 8, 1), np.uint8)
    x[:, :, 2:6] = RANDOM.integers(0, 256, (2, 4, 4, 1))
    cropped = load_dataset(saved(x_test=x, y_test=[0, 1]), image_size=4, resize="crop")
    np.testing.assert_array_equal(cropped.x_test[:], x[:, :, 2:6])
    coloured = load_dataset("mine.npz", channels=3)
    np.testing.assert_array_equal(coloured.x_test[:], np.repeat(x, 3, axis=3))
    assert "channels=2" in refusal(channels=2)

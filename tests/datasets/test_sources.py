"""Data sets as distributed: what is in them."""

import numpy as np
import pytest
from PIL import Image

from nn_clustering.datasets import load_dataset
from nn_clustering.datasets._data_files import find_file
from nn_clustering.datasets._sources import MNIST
from tests.datasets.conftest import arrays_of
from tests.datasets.test_images import resized_by_pillow


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


@pytest.mark.parametrize(
    ("name", "first_class", "shape"),
    [
        ("mnist", "0", (28, 28)),
        ("fashion", "T-shirt/top", (28, 28)),
        ("cifar10", "airplane", (32, 32, 3)),
    ],
)
def test_sources_hold_what_their_files_do(tiny_files, name, first_class, shape):
    dataset = load_dataset(name)
    arrays = arrays_of(*shape)
    assert dataset.name == name
    assert dataset.class_names[0] == first_class
    assert len(set(dataset.class_names)) == 10
    for split in ("train", "test"):
        x, y = getattr(dataset, f"x_{split}"), getattr(dataset, f"y_{split}")
        pixels = arrays[f"x_{split}"].reshape(x.shape)
        np.testing.assert_array_equal(x, pixels / np.float32(255))
        np.testing.assert_array_equal(y, arrays[f"y_{split}"])
        assert (x.dtype, y.dtype) == (np.float32, np.int32)


def test_small_mnist_is_mnist_resized_image_by_image(tiny_files):
    large, small = load_dataset("mnist"), load_dataset("small_mnist")
    assert small.input_shape == (7, 7, 1)
    np.testing.assert_array_equal(small.y_test, large.y_test)
    pixels = np.rint(large.x_test[..., 0] * 255).astype(np.uint8)
    for image, wanted in zip(small.x_test, pixels, strict=True):
        np.testing.assert_array_equal(image[..., 0] * 255, resized_by_pillow(wanted, 7, 7))


def test_cifar10_grey_is_its_luminance_made_smaller(tiny_files):
    colour, grey = load_dataset("cifar10"), load_dataset("cifar10_grey")
    assert grey.input_shape == (28, 28, 1)
    assert grey.class_names == colour.class_names
    np.testing.assert_array_equal(grey.y_train, colour.y_train)
    luminance = colour.x_train @ np.array([0.2125, 0.7154, 0.0721])
    for image, wanted in zip(grey.x_train, luminance.astype(np.float32), strict=True):
        resized = Image.fromarray(wanted).resize((28, 28), Image.Resampling.BILINEAR)
        # Pillow's resampling of floating-point numbers; ours rounds three times to whole ones
        np.testing.assert_allclose(image[..., 0] * 255, np.asarray(resized) * 255, atol=1.51)


@pytest.mark.skipif(find_file("mnist.npz") is None, reason=f"no {MNIST.distributed[0].url}")
def test_real_mnist():
    dataset = load_dataset("mnist")
    assert dataset.x_train.shape == (60000, 28, 28, 1)
    assert dataset.x_test.shape == (10000, 28, 28, 1)
    assert (dataset.x_train.min(), dataset.x_train.max()) == (0, 1)
    # the published counts of the test set's classes
    counts = [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    assert np.bincount(dataset.y_test).tolist() == counts
    assert dataset.digest() == "a5f393cac18d63143e2c8a726a456d6db716393a9f1a6fce4d4c714bd5806fcc"

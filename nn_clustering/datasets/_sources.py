"""Data sets as their authors distribute them, and two made smaller (methods B1)."""

from __future__ import annotations

import gzip
from collections.abc import Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from nn_clustering.datasets._data_files import (
    DataFile,
    Distributed,
    dataset_folders,
    locate,
    read_images,
)
from nn_clustering.datasets._download import (
    copy_npz,
    fetch,
    npz_of_cifar,
    npz_of_idx,
    require_obtainable,
)
from nn_clustering.datasets._images import Images, luminance, resize
from nn_clustering.seeds import generator

if TYPE_CHECKING:
    from numpy.typing import NDArray

DIGITS = tuple(str(digit) for digit in range(10))
KERAS = "https://storage.googleapis.com/tensorflow/tf-keras-datasets"

# Addresses as in Keras' own loaders; checksums as there and in TensorFlow Datasets' lists.
MNIST = DataFile(
    "mnist.npz",
    (28, 28, 1),
    DIGITS,
    (
        Distributed(
            f"{KERAS}/mnist.npz",
            "731c5ac602752760c8e48fbffcf8c3b850d9dc2a2aedcf2cc48468fc17b673d1",
        ),
    ),
    copy_npz,
)
FASHION = DataFile(
    "fashion_mnist.npz",
    (28, 28, 1),
    (
        "T-shirt/top",
        "trouser",
        "pullover",
        "dress",
        "coat",
        "sandal",
        "shirt",
        "sneaker",
        "bag",
        "ankle boot",
    ),
    (
        Distributed(
            f"{KERAS}/train-images-idx3-ubyte.gz",
            "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
        ),
        Distributed(
            f"{KERAS}/train-labels-idx1-ubyte.gz",
            "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
        ),
        Distributed(
            f"{KERAS}/t10k-images-idx3-ubyte.gz",
            "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
        ),
        Distributed(
            f"{KERAS}/t10k-labels-idx1-ubyte.gz",
            "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
        ),
    ),
    npz_of_idx,
)
CIFAR10 = DataFile(
    "cifar10.npz",
    (32, 32, 3),
    (
        "airplane",
        "automobile",
        "bird",
        "cat",
        "deer",
        "dog",
        "frog",
        "horse",
        "ship",
        "truck",
    ),
    (
        Distributed(
            "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
            "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
        ),
    ),
    npz_of_cifar,
)


def load_images(file: DataFile, folders: Sequence[Path] | None = None) -> Images:
    """Return the images of a data file, which is downloaded if no folder holds it.

    Args:
        file: The file.
        folders: Where to look for it, first to last, and to download it to (the last).

    Raises:
        InvalidInputError: If it is damaged, or not there and not to be had.
    """
    folders = folders or dataset_folders()
    path = locate(file, folders)
    if path is None:
        require_obtainable(file, folders)
        path = fetch(file, folders)
    return read_images(file, path)


def mnist() -> Images:
    """Return MNIST: 28 x 28 grey, 60,000 train and 10,000 test images."""
    return load_images(MNIST)


def fashion() -> Images:
    """Return Fashion-MNIST: 28 x 28 grey, 60,000 train and 10,000 test images."""
    return load_images(FASHION)


def cifar10() -> Images:
    """Return CIFAR-10: 32 x 32 colour, 50,000 train and 10,000 test images."""
    return load_images(CIFAR10)


def cifar10_grey() -> Images:
    """Return the luminance of CIFAR-10, resized to 28 x 28."""
    # Both are sums of pixels, so that their order matters to rounding alone; this one is faster.
    images = cifar10()
    x_train, x_test = (resize(luminance(x), 28, 28) for x in (images.x_train, images.x_test))
    return replace(images, x_train=x_train, x_test=x_test)


def small_mnist() -> Images:
    """Return MNIST resized to 7 x 7."""
    images = mnist()
    x_train, x_test = (resize(x, 7, 7) for x in (images.x_train, images.x_test))
    return replace(images, x_train=x_train, x_test=x_test)


def digits() -> Images:
    """Return scikit-learn's handwritten digits: 8 x 8 grey, 1,433 train and 364 test images.

    The split is part of the data set, the same for every seed of a run: in each class a fifth of
    the images (rounded up), drawn once, is for testing.
    """
    table = _table_of_digits()
    pixels = table[:, :-1].astype(np.uint8).reshape(-1, 8, 8, 1)
    labels = table[:, -1].astype(np.int32)
    order = generator(0, "digits split").permutation(len(labels))
    rank_in_class = np.empty(len(labels), int)
    for digit in range(10):
        members = order[labels[order] == digit]
        rank_in_class[members] = np.arange(len(members)) * 5 // len(members)
    test = rank_in_class == 0
    return Images(pixels[~test], labels[~test], pixels[test], labels[test], DIGITS, white=16)


def _table_of_digits() -> NDArray[np.float64]:
    """Return scikit-learn's file of digits: a row an image, its 64 pixels and its class.

    The file, and not ``load_digits``: to import scikit-learn takes a second of every command that
    reads the digits, even to find that nothing is to do.
    """
    found = find_spec("sklearn")
    assert found is not None  # this package requires it
    assert found.origin is not None
    folder = Path(found.origin).with_name("datasets")
    with gzip.open(folder / "data" / "digits.csv.gz", "rt") as file:
        table: NDArray[np.float64] = np.loadtxt(file, delimiter=",")
    return table

"""Data sets as their authors distribute them (methods B1)."""

import os
import urllib.request
from collections.abc import Callable
from http.client import HTTPException
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nn_clustering.datasets._dataset import Dataset
from nn_clustering.errors import InvalidInputError
from nn_clustering.seeds import generator

DIGITS_CLASSES = tuple(str(digit) for digit in range(10))
# Keras' own copy of MNIST: address and SHA-256 as in keras.datasets.mnist.
MNIST_URL = "https://storage.googleapis.com/tensorflow/tf-keras-datasets/mnist.npz"
MNIST_SHA256 = "731c5ac602752760c8e48fbffcf8c3b850d9dc2a2aedcf2cc48468fc17b673d1"


def load_dataset(name: str) -> Dataset:
    """Load a data set by name.

    Args:
        name: One of :data:`SOURCES`.

    Raises:
        InvalidInputError: If the name is unknown, or no file is there and none can be downloaded.
    """
    require_dataset(name)
    return SOURCES[name]()


def require_dataset(name: str) -> None:
    """Check, in well under a second, that a data set can be loaded or downloaded.

    Raises:
        InvalidInputError: If the name is unknown, or no file is there and none can be downloaded.
    """
    if not isinstance(name, str) or name not in SOURCES:
        raise InvalidInputError(
            f"dataset.name={name!r} is not a data set; expected one of {', '.join(SOURCES)}"
        )
    if name == "mnist" and find_file("mnist.npz") is None:
        _require_network("mnist.npz", MNIST_URL)


def dataset_folders() -> list[Path]:
    """Return the folders that data files are looked for in, first to last.

    They are those of the environment variable NN_CLUSTERING_DATASETS (separated like PATH), then
    the project's own ``datasets/``.
    """
    named = os.environ.get("NN_CLUSTERING_DATASETS", "").split(os.pathsep)
    own = Path(__file__).resolve().parents[2] / "datasets"
    return [Path(folder) for folder in named if folder] + [own]


def find_file(name: str) -> Path | None:
    """Return the path of a data file, or None if no folder holds it."""
    candidates = (folder / name for folder in dataset_folders())
    return next((path for path in candidates if path.is_file()), None)


def load_digits() -> Dataset:
    """Return scikit-learn's handwritten digits: 8 x 8 grey, 1,433 train and 364 test images.

    The split is part of the data set, the same for every seed of a run: in each class a fifth of
    the images (rounded up), drawn once, is for testing.
    """
    from sklearn.datasets import load_digits as load_sklearn_digits

    bunch = load_sklearn_digits()
    images = (bunch.images[..., np.newaxis] / 16).astype(np.float32)
    labels = bunch.target.astype(np.int32)
    order = generator(0, "digits split").permutation(len(labels))
    rank_in_class = np.empty(len(labels), int)
    for digit in range(10):
        members = order[labels[order] == digit]
        rank_in_class[members] = np.arange(len(members)) * 5 // len(members)
    test = rank_in_class == 0
    return Dataset(
        "digits", images[~test], labels[~test], images[test], labels[test], DIGITS_CLASSES
    )


def load_mnist() -> Dataset:
    """Return MNIST: 28 x 28 grey, 60,000 train and 10,000 test images.

    Raises:
        InvalidInputError: If the file is damaged, or not there and not to be downloaded.
    """
    arrays = _read_npz(find_file("mnist.npz") or _download("mnist.npz", MNIST_URL, MNIST_SHA256))
    return Dataset(
        "mnist",
        _pixels(arrays["x_train"]),
        arrays["y_train"].astype(np.int32),
        _pixels(arrays["x_test"]),
        arrays["y_test"].astype(np.int32),
        DIGITS_CLASSES,
    )


SOURCES: dict[str, Callable[[], Dataset]] = {"digits": load_digits, "mnist": load_mnist}


def _pixels(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    return images[..., np.newaxis].astype(np.float32) / np.float32(255)


def _read_npz(path: Path) -> dict[str, NDArray]:
    expected = ("x_train", "y_train", "x_test", "y_test")
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            return {key: archive[key] for key in expected}
    except Exception as error:  # whatever numpy, zipfile, zlib or the disk objects to
        raise InvalidInputError(
            f"{path} cannot be read ({error}); expected an .npz file with the arrays "
            f"{', '.join(expected)}: replace it, or remove it to have it downloaded"
        ) from error


def _require_network(name: str, url: str) -> None:
    # A download without a network can hang for minutes; asking for the headers tells at once. It
    # goes through a proxy where the download does.
    request = urllib.request.Request(url, method="HEAD")
    try:
        urllib.request.urlopen(request, timeout=4).close()
    except (OSError, HTTPException) as error:
        host, reason = url.split("/")[2], getattr(error, "reason", error)
        raise InvalidInputError(
            f"{name} is in none of {', '.join(map(str, dataset_folders()))} and {host} cannot be "
            f"reached ({reason}): put the file into one of them by hand (from {url}), or use the "
            "data set that needs no file: digits"
        ) from error


def _download(name: str, url: str, sha256: str) -> Path:
    from keras.utils import get_file

    folder = dataset_folders()[-1]
    try:
        return Path(
            get_file(name, url, file_hash=sha256, cache_dir=folder.parent, cache_subdir=folder.name)
        )
    except Exception as error:  # whatever urllib, the disk or the checksum objects to
        raise InvalidInputError(
            f"{name} could not be downloaded ({error}): put it into {folder} by hand (from {url})"
        ) from error

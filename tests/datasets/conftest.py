"""What tests of data sets share: a folder of data files of a few images."""

import numpy as np
import pytest


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder that data files are looked for in before the project's own."""
    monkeypatch.setenv("NN_CLUSTERING_DATASETS", str(tmp_path))
    return tmp_path


def random_images(seed, n, *shape):
    return np.random.default_rng(seed).integers(0, 256, (n, *shape), dtype=np.uint8)


def arrays_of(*shape, n_train=40, n_test=20):
    """Random images with the classes 0 to 9 in turn, in Keras' layout."""
    return {
        "x_train": random_images(0, n_train, *shape),
        "y_train": np.arange(n_train, dtype=np.uint8) % 10,
        "x_test": random_images(1, n_test, *shape),
        "y_test": np.arange(n_test, dtype=np.uint8) % 10,
    }


def write_npz(path, arrays):
    np.savez_compressed(path, **{key: a for key, a in arrays.items() if a is not None})
    return path


@pytest.fixture
def tiny_files(folder):
    """The three data files, of 40 train and 20 test images each."""
    write_npz(folder / "mnist.npz", arrays_of(28, 28))
    write_npz(folder / "fashion_mnist.npz", arrays_of(28, 28))
    cifar = arrays_of(32, 32, 3)
    # labels as Keras gives them, in a column
    cifar |= {key: cifar[key][:, np.newaxis] for key in ("y_train", "y_test")}
    write_npz(folder / "cifar10.npz", cifar)
    return folder

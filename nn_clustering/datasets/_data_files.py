"""Data files: where they are looked for, and how they are read and checked."""

from __future__ import annotations

import hashlib
import io
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nn_clustering.datasets._checksums import check_checksums, checksums_of, keep_checksums
from nn_clustering.datasets._images import Images
from nn_clustering.errors import InvalidInputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Arrays = dict[str, NDArray[Any]]

KEYS = ("x_train", "y_train", "x_test", "y_test")
REPLACE = "replace it, or remove it to have it downloaded"
VERSION = re.compile(r"\d+\.\d+\.\d+")


@dataclass(frozen=True)
class Distributed:
    """A file as its authors distribute it.

    Attributes:
        url: Its address.
        sha256: Its SHA-256, in hexadecimal.
    """

    url: str
    sha256: str

    @property
    def name(self) -> str:
        """The file's name, without folders."""
        return self.url.rsplit("/", 1)[-1]


@dataclass(frozen=True)
class DataFile:
    """The file of a data set: an .npz in Keras' layout, or a folder of TensorFlow Datasets.

    Attributes:
        name: Name of the .npz file; without its ending, that of the folder.
        image_shape: (height, width, channels).
        class_names: One name a class.
        distributed: The files that the .npz file is made of.
        convert: Makes it: called with the paths of ``distributed`` and that of the new file.
    """

    name: str
    image_shape: tuple[int, int, int]
    class_names: tuple[str, ...]
    distributed: tuple[Distributed, ...]
    convert: Callable[[Sequence[Path], Path], None]


def dataset_folders() -> list[Path]:
    """Return the folders that data files are looked for in, first to last.

    They are those of the environment variable NN_CLUSTERING_DATASETS (separated like PATH), then
    the ``datasets/`` of the checkout that this package is in; of an installed one, that of the
    current folder.
    """
    named = os.environ.get("NN_CLUSTERING_DATASETS", "").split(os.pathsep)
    checkout = Path(__file__).resolve().parents[2]
    is_checkout = (checkout / "pyproject.toml").is_file()
    own = (checkout if is_checkout else Path.cwd()) / "datasets"
    return [Path(folder) for folder in named if folder] + [own]


def find_file(name: str, folders: Sequence[Path] | None = None) -> Path | None:
    """Return the path of a file, or None if no folder holds it."""
    candidates = (folder / name for folder in folders or dataset_folders())
    return next((path for path in candidates if path.is_file()), None)


def locate(file: DataFile, folders: Sequence[Path]) -> Path | None:
    """Return the .npz file or the newest TensorFlow Datasets' folder, or None if none is there."""
    for folder in folders:
        if (folder / file.name).is_file():
            return folder / file.name
        parent = folder / Path(file.name).stem
        versions = [path for path in parent.glob("*") if VERSION.fullmatch(path.name)]
        if versions:
            return max(versions, key=lambda path: [int(part) for part in path.name.split(".")])
    return None


def read_images(file: DataFile, path: Path) -> Images:
    """Read and check a data file, and keep its checksum if it is good.

    Args:
        file: What is expected in it.
        path: The .npz file, or the folder ``NAME/VERSION`` of TensorFlow Datasets.

    Raises:
        InvalidInputError: If it is damaged, truncated, another than its checksum says, or does
            not hold what is expected.
    """
    if path.is_dir():
        from nn_clustering.datasets._tfds import read_tfds_folder

        checksums = checksums_of(path)
        check_checksums(path, checksums)
        arrays = read_tfds_folder(path)
    else:
        checksums, arrays = _read_npz(path)
    _check(path, arrays, file)
    images = Images(
        arrays["x_train"].reshape(-1, *file.image_shape),
        arrays["y_train"].reshape(-1).astype(np.int32),
        arrays["x_test"].reshape(-1, *file.image_shape),
        arrays["y_test"].reshape(-1).astype(np.int32),
        file.class_names,
    )
    keep_checksums(path, checksums)
    return images


def _read_npz(path: Path) -> tuple[dict[str, str], Arrays]:
    # The bytes that are checked are the ones that are used.
    try:
        content = path.read_bytes()
    except OSError as error:
        raise _unreadable(path, error) from error
    checksums = {path.name: hashlib.sha256(content).hexdigest()}
    check_checksums(path, checksums)
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as archive:
            return checksums, {key: archive[key] for key in KEYS}
    except Exception as error:  # whatever numpy, zipfile or zlib object to
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: Exception) -> InvalidInputError:
    reason = " ".join(str(error).split()) or type(error).__name__
    return InvalidInputError(
        f"{path} cannot be read ({reason}); expected an .npz file with the arrays "
        f"{', '.join(KEYS)}: {REPLACE}"
    )


def _check(path: Path, arrays: Arrays, file: DataFile) -> None:
    height, width, channels = file.image_shape
    shapes = [(height, width, channels), (height, width)][: 1 + (channels == 1)]
    for split in ("train", "test"):
        x, y = arrays[f"x_{split}"], arrays[f"y_{split}"]
        if x.dtype != np.uint8 or x.shape[1:] not in shapes or len(x) == 0:
            expected = ", ".join(map(str, shapes[-1]))
            raise InvalidInputError(
                f"{path}: x_{split} is {x.dtype} of shape {x.shape}; expected uint8 of shape "
                f"(samples, {expected}): {REPLACE}"
            )
        if y.dtype.kind not in "iu" or y.shape not in ((len(x),), (len(x), 1)):
            raise InvalidInputError(
                f"{path}: y_{split} is {y.dtype} of shape {y.shape} for {len(x)} images; expected "
                f"integers of shape ({len(x)},): {REPLACE}"
            )
        highest = len(file.class_names) - 1
        if y.min() < 0 or y.max() > highest:
            raise InvalidInputError(
                f"{path}: the labels of y_{split} run from {y.min()} to {y.max()}; expected 0 to "
                f"{highest}: {REPLACE}"
            )

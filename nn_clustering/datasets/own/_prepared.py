"""Reading data of folders that TensorFlow Datasets prepared, without it and without TensorFlow."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nn_clustering.datasets._data_files import VERSION
from nn_clustering.datasets._dataset import Dataset
from nn_clustering.datasets._outline import Outline
from nn_clustering.datasets.own._class_names import listed_classes, positions_of, shown_names
from nn_clustering.datasets.own._encoded import Part, dataset_of
from nn_clustering.datasets.own._records import DamagedRecordsError, open_records
from nn_clustering.datasets.own._request import Request
from nn_clustering.errors import InvalidInputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

INFO, FEATURES = "dataset_info.json", "features.json"
TEST = ("test", "validation")
_EXPECTED = "expected a folder NAME/VERSION as TensorFlow Datasets prepares it"


@dataclass(frozen=True)
class PreparedImages:
    """Images of one split, in files of records.

    Attributes:
        paths: Of the files.
        files: The number of each image's file.
        starts: Its first byte there.
        ends: The byte after its last.
        numbers: Its number in its file.
    """

    paths: Sequence[Path]
    files: NDArray[np.int32] = field(repr=False)
    starts: NDArray[np.int64] = field(repr=False)
    ends: NDArray[np.int64] = field(repr=False)
    numbers: NDArray[np.int64] = field(repr=False)

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self.files)

    def name(self, row: int) -> str:
        """Return the file's name and the number in it, the same on every machine."""
        return f"{self.paths[self.files[row]].name}, record {self.numbers[row]}"

    def where(self, row: int) -> str:
        """Return the file's path and the number in it."""
        return str(self.paths[self.files[row]].with_name(self.name(row)))

    def content(self, row: int) -> bytes:
        """Return the encoded image."""
        descriptor = os.open(self.paths[self.files[row]], os.O_RDONLY)
        try:
            start, end = int(self.starts[row]), int(self.ends[row])
            return os.pread(descriptor, end - start, start)
        finally:
            os.close(descriptor)


@dataclass(frozen=True)
class _Description:
    """What the folder says of itself.

    Attributes:
        folder: The folder ``NAME/VERSION``.
        image: Name of the feature with the image.
        label: Name of the feature with its class.
        names: Of the classes.
        splits: How many images are in each file of a split, by its name.
        name: Of the data set.
    """

    folder: Path
    image: str
    label: str
    names: tuple[str, ...]
    splits: Mapping[str, Sequence[int]]
    name: str

    def parts(self) -> dict[str, str]:
        """Return which split is the train part, if any, and which the test part."""
        test = next((split for split in TEST if self.splits.get(split)), None)
        if test is None:
            raise InvalidInputError(
                f"{self.folder} has the splits {', '.join(self.splits) or 'none'}; expected "
                f"{' or '.join(TEST)}"
            )
        return {**({"train": "train"} if self.splits.get("train") else {}), "test": test}

    def paths(self, split: str) -> list[Path]:
        """Return the files of a split."""
        n_files = len(self.splits[split])
        return [
            self.folder / f"{self.name}-{split}.tfrecord-{number:05}-of-{n_files:05}"
            for number in range(n_files)
        ]


def version_folder(path: Path) -> Path | None:
    """Return the folder ``NAME/VERSION`` that a path is, or the newest that it holds, if any."""
    if (path / INFO).is_file():
        return path
    versions = [
        folder
        for folder in path.glob("*")
        if VERSION.fullmatch(folder.name) and (folder / INFO).is_file()
    ]
    return max(
        versions, key=lambda folder: [int(part) for part in folder.name.split(".")], default=None
    )


def read(request: Request) -> Dataset:
    """Return the images, which are decoded when they are needed.

    Raises:
        InvalidInputError: If the folder holds something else, or is damaged.
    """
    found = _describe(request)
    names, positions = _classes(request, found)
    parts = {}
    for part, split in found.parts().items():
        encoded, labels = _index(found, split)
        parts[part] = Part(encoded, positions[labels])
    splits = ", ".join(found.parts().values())
    return dataset_of(
        request, parts, names, kind=f"prepared {found.name} {splits}", is_upright=False
    )


def outline(request: Request) -> Outline:
    """Return what the folder says of itself.

    Raises:
        InvalidInputError: If it holds something else, or a file is missing.
    """
    settings, found = request.settings, _describe(request)
    names, _ = _classes(request, found)
    for split in found.parts().values():
        for path in found.paths(split):
            if not path.is_file():
                raise _damaged(path, found, "there is no such file")
    return Outline(
        request.name,
        task="classification",
        input_shape=settings.image_shape,
        n_outputs=len(names),
        n_train=settings.n_train or sum(found.splits.get("train", ())),
    )


def _describe(request: Request) -> _Description:
    folder = version_folder(request.file)
    assert folder is not None  # or it would be of another kind
    try:
        info, features = (
            json.loads((folder / name).read_text(encoding="utf-8")) for name in (INFO, FEATURES)
        )
        image, label, n_classes = _features(folder, features)
        if info.get("fileFormat", "tfrecord") != "tfrecord":
            raise InvalidInputError(
                f"{folder} holds files of {info['fileFormat']}; expected tfrecord, as "
                "TensorFlow Datasets writes unless it is told otherwise"
            )
        splits = {
            split["name"]: tuple(int(length) for length in split.get("shardLengths", ()))
            for split in info.get("splits", ())
        }
        name = str(info["name"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InvalidInputError(
            f"{folder}: {INFO} or {FEATURES} cannot be read ({error!r}); {_EXPECTED}"
        ) from error
    return _Description(folder, image, label, _names(folder, label, n_classes), splits, name)


def _features(folder: Path, content: Mapping[str, Any]) -> tuple[str, str, int]:
    """Return the names of the features with image and class, and how many classes there are."""
    features = content["featuresDict"]["features"]
    images = [name for name, one in features.items() if "image" in one]
    labels = [name for name, one in features.items() if "classLabel" in one]
    images = [name for name in images if name == "image"] or images
    labels = [name for name in labels if name == "label"] or labels
    if len(images) != 1 or len(labels) != 1:
        raise InvalidInputError(
            f"{folder} has the features {', '.join(features)}; expected one image and one class "
            "of it"
        )
    return images[0], labels[0], int(features[labels[0]]["classLabel"]["numClasses"])


def _names(folder: Path, label: str, n_classes: int) -> tuple[str, ...]:
    path = folder / f"{label}.labels.txt"
    if not path.is_file():
        return tuple(map(str, range(n_classes)))
    names = tuple(path.read_text(encoding="utf-8").splitlines())
    if len(names) != n_classes:
        raise InvalidInputError(
            f"{path} lists {len(names)} classes, {FEATURES} says {n_classes}; {_EXPECTED}"
        )
    return names


def _classes(request: Request, found: _Description) -> tuple[tuple[str, ...], NDArray[np.int32]]:
    """Return the names of the classes, and the position of each label."""
    listed = listed_classes(request.settings)
    if listed is None:
        return shown_names(tuple((name,) for name in found.names)), np.arange(
            len(found.names), dtype=np.int32
        )
    class_names = str(request.settings.class_names)
    return shown_names(listed), positions_of(found.names, listed, request.name, class_names)


def _index(found: _Description, split: str) -> tuple[PreparedImages, NDArray[np.int32]]:
    """Return where each image lies, and its label; all but the images themselves is read."""
    rows: list[tuple[int, int, int, int, int]] = []
    paths = found.paths(split)
    for number, (path, length) in enumerate(zip(paths, found.splits[split], strict=True)):
        try:
            of_file = _rows_of(path, found)
        except (OSError, DamagedRecordsError) as error:
            reason = error.strerror if isinstance(error, OSError) else str(error)
            raise _damaged(path, found, str(reason)) from error
        if len(of_file) != length:
            raise _damaged(path, found, f"{len(of_file)} images; {INFO} says {length}")
        rows += [(number, record, *row) for record, row in enumerate(of_file)]
    files, numbers, starts, ends, labels = np.array(rows, np.int64).reshape(-1, 5).T
    if labels.min() < 0 or labels.max() >= len(found.names):
        raise InvalidInputError(
            f"{found.folder}: labels run from {labels.min()} to {labels.max()}; expected 0 to "
            f"{len(found.names) - 1}"
        )
    images = PreparedImages(paths, files.astype(np.int32), starts, ends, numbers)
    return images, labels.astype(np.int32)


def _rows_of(path: Path, found: _Description) -> list[tuple[int, int, int]]:
    """Return the first byte of each image of a file, the one after its last, and its label."""
    file = open_records(path)
    rows = []
    try:
        for example in file.records():
            features = file.features(example)
            if found.image not in features or found.label not in features:
                raise DamagedRecordsError(f"no image and class at byte {example.start:,}")
            image = file.bytes_at(features[found.image])
            rows.append((image.start, image.end, file.integer_at(features[found.label])))
    finally:
        os.close(file.descriptor)
    return rows


def _damaged(path: Path, found: _Description, reason: str) -> InvalidInputError:
    return InvalidInputError(
        f"{path} cannot be read ({reason}); expected the files that TensorFlow Datasets prepares: "
        f"replace it, or remove {found.folder} and prepare the data again"
    )

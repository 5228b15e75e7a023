"""Reading folders of images, one folder a class."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

import numpy as np

from nn_clustering.datasets._dataset import Dataset
from nn_clustering.datasets._outline import Outline
from nn_clustering.datasets.own._class_names import listed_classes, positions_of, shown_names
from nn_clustering.datasets.own._encoded import Part, dataset_of
from nn_clustering.datasets.own._request import Request
from nn_clustering.errors import InvalidInputError

ENDINGS = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp")
TRAIN = ("train", "training")
# The first of these that is there is the test part.
TEST = ("test", "val", "validation", "valid")
# What programs leave in folders that they show.
_LEFT = ("thumbs.db", "desktop.ini", "__macosx")
_LAYOUT = "expected FOLDER/CLASS/*.jpg, or FOLDER/train/CLASS/*.jpg and FOLDER/test/CLASS/*.jpg"
_NAMED = 3


@dataclass(frozen=True)
class ImageFiles:
    """Images in files.

    Attributes:
        folder: That holds them all.
        paths: Of each file, in that folder.
    """

    folder: str
    paths: Sequence[str] = field(repr=False)

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self.paths)

    def name(self, row: int) -> str:
        """Return the path in the folder, the same on every machine."""
        return self.paths[row].replace(os.sep, "/")

    def where(self, row: int) -> str:
        """Return the path of the file."""
        return os.path.join(self.folder, self.paths[row])

    def content(self, row: int) -> bytes:
        """Return the file."""
        with open(self.where(row), "rb") as file:
            return file.read()


@dataclass(frozen=True)
class _Listing:
    """The images of a folder.

    Attributes:
        files: By split, by class, the paths of the images, sorted.
        notes: What was found and is not read.
    """

    files: dict[str, dict[str, list[str]]]
    notes: tuple[str, ...]

    @property
    def folders(self) -> list[str]:
        """The names of the folders of classes, sorted."""
        return sorted({name for of_split in self.files.values() for name in of_split})


def read(request: Request) -> Dataset:
    """Return the images, which are decoded when they are needed.

    Raises:
        InvalidInputError: If the folder is laid out otherwise, a class has no images, or an image
            cannot be read.
    """
    listing = _list(request)
    class_names, positions = _classes(request, listing)
    parts = {}
    for split, of_split in listing.files.items():
        paths = [path for name in sorted(of_split) for path in of_split[name]]
        y = [positions[name] for name in sorted(of_split) for _ in of_split[name]]
        parts[split] = Part(ImageFiles(str(request.file), paths), np.array(y, np.int32))
    return dataset_of(
        request, parts, class_names, kind="folder", is_upright=True, notes=listing.notes
    )


def outline(request: Request) -> Outline:
    """Return what the names of folders and files tell.

    Raises:
        InvalidInputError: If the folder is laid out otherwise, or a class has no images.
    """
    settings, listing = request.settings, _list(request)
    class_names, _ = _classes(request, listing)
    n_train = sum(map(len, listing.files.get("train", {}).values()))
    return Outline(
        request.name,
        task="classification",
        input_shape=settings.image_shape,
        n_outputs=len(class_names),
        n_train=n_train if settings.n_train is None else settings.n_train,
    )


def _list(request: Request) -> _Listing:
    folder = request.file
    splits, notes = _splits(request.name, folder)
    files: dict[str, dict[str, list[str]]] = {}
    others: list[str] = []
    for split, place in splits.items():
        files[split] = {}
        for entry in _entries(place):
            if entry.is_dir():
                images, rest = _images(folder, Path(entry.path))
                files[split][entry.name] = images
                others += rest
            else:
                others.append(os.path.relpath(entry.path, folder))
    _check_classes(request, files, others)
    return _Listing(files, (*notes, *_of_others(request.name, others)))


def _splits(name: str, folder: Path) -> tuple[dict[str, Path], list[str]]:
    """Return the folder of each split, and what is to be told of others."""
    found = {
        entry.name: Path(entry.path)
        for entry in _entries(folder)
        if entry.is_dir() and entry.name.lower() in (*TRAIN, *TEST) and _holds_folders(entry.path)
    }
    by_name = {path.name.lower(): path for path in found.values()}
    train = next((by_name[known] for known in TRAIN if known in by_name), None)
    test = next((by_name[known] for known in TEST if known in by_name), None)
    if train is None and test is None:
        return {"test": folder}, []
    if test is None:
        raise InvalidInputError(
            f"dataset.name={name!r}: {folder} has {train.name if train else ''} and nothing to "
            f"test on; expected a folder {' or '.join(TEST[:3])} beside it"
        )
    splits = {"test": test} if train is None else {"train": train, "test": test}
    unread = [
        entry.name
        for entry in _entries(folder)
        if entry.is_dir() and Path(entry.path) not in splits.values()
    ]
    notes = [f"{name}: {', '.join(unread)} not read, beside {test.name}"] if unread else []
    return splits, notes


def _holds_folders(path: str) -> bool:
    return any(entry.is_dir() for entry in _entries(Path(path)))


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    """Return what is in a folder, sorted, without what is hidden."""
    try:
        with os.scandir(folder) as entries:
            found = sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        _refuse(error)
    return [entry for entry in found if not _is_left(entry.name)]


def _refuse(error: OSError) -> NoReturn:
    raise InvalidInputError(f"{error.filename} cannot be read ({error.strerror})") from error


def _is_left(name: str) -> bool:
    return name.startswith(".") or name.lower() in _LEFT


def _images(folder: Path, of_class: Path) -> tuple[list[str], list[str]]:
    """Return the images of a class, and other files, by their paths in the folder, sorted."""
    images: list[str] = []
    others: list[str] = []
    for place, folders, files in os.walk(of_class, onerror=_refuse):
        folders[:] = [name for name in folders if not _is_left(name)]
        for name in files:
            if not _is_left(name):
                path = os.path.relpath(os.path.join(place, name), folder)
                (images if name.lower().endswith(ENDINGS) else others).append(path)
    return sorted(images), sorted(others)


def _check_classes(
    request: Request, files: dict[str, dict[str, list[str]]], others: list[str]
) -> None:
    where = f"dataset.name={request.name!r}"
    if not any(images for of_split in files.values() for images in of_split.values()):
        direct = [path for path in others if path.lower().endswith(ENDINGS)]
        what = f"{len(direct)} images in no folder of their class" if direct else "no images"
        raise InvalidInputError(f"{where}: {request.file} holds {what}; {_LAYOUT}")
    # With a list of the classes any of them may be missing here.
    missing = [
        f"{name} in {split}"
        for split, of_split in files.items()
        for name in sorted({name for one in files.values() for name in one})
        if not of_split.get(name)
    ]
    if missing and request.settings.class_names is None:
        raise InvalidInputError(
            f"{where}: there are no images of the class {_some(missing)}; expected some of every "
            "class, or no such folder, or all classes listed in a file (dataset.class_names)"
        )


def _classes(request: Request, listing: _Listing) -> tuple[tuple[str, ...], dict[str, int]]:
    """Return the names of the classes, and the position of each folder's."""
    folders, listed = listing.folders, listed_classes(request.settings)
    if listed is None:
        return tuple(folders), {name: position for position, name in enumerate(folders)}
    positions = positions_of(folders, listed, request.name, str(request.settings.class_names))
    return shown_names(listed), dict(zip(folders, positions.tolist(), strict=True))


def _of_others(name: str, others: list[str]) -> tuple[str, ...]:
    if not others:
        return ()
    return (f"{name}: not read, no images by their names: {_some(others)}",)


def _some(names: list[str]) -> str:
    more = f" and {len(names) - _NAMED} others" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more

"""Reading data of folders that TensorFlow Datasets prepared."""

from __future__ import annotations

from pathlib import Path

from nn_clustering.datasets._data_files import VERSION
from nn_clustering.datasets._dataset import Dataset
from nn_clustering.datasets._outline import Outline
from nn_clustering.datasets.own._request import Request
from nn_clustering.errors import InvalidInputError

INFO = "dataset_info.json"


def read(request: Request) -> Dataset:
    """Read it."""
    raise InvalidInputError(f"dataset.name={request.name!r}: not read yet")


def outline(request: Request) -> Outline:
    """Return what is known of it without reading it."""
    return Outline(request.name)


def version_folder(path: Path) -> Path | None:
    """Return the folder ``NAME/VERSION`` that a path is, or the newest that it holds, if any."""
    if (path / INFO).is_file():
        return path
    versions = [
        found
        for found in path.glob("*")
        if VERSION.fullmatch(found.name) and (found / INFO).is_file()
    ]
    return max(
        versions, key=lambda found: [int(part) for part in found.name.split(".")], default=None
    )

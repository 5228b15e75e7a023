"""Files of weights that networks were published with, kept in ``datasets/weights/``."""

from __future__ import annotations

import hashlib
import tempfile
from dataclasses import dataclass
from pathlib import Path

from nn_clustering.datasets._checksums import (
    READ_AT_ONCE,
    check_checksums,
    keep_checksums,
    sha256_of,
)
from nn_clustering.datasets._data_files import dataset_folders
from nn_clustering.datasets._download import download, unreachable
from nn_clustering.errors import InvalidInputError, in_one_line

FOLDER = "weights"
_MD5_DIGITS = 32


@dataclass(frozen=True)
class WeightFile:
    """A file of weights.

    Attributes:
        path: Where it is.
        sha256: Its SHA-256, in hexadecimal.
        is_published: Whether it is the one that was published.
    """

    path: Path
    sha256: str
    is_published: bool


def weight_file(name: str, url: str, checksum: str | None) -> WeightFile:
    """Return a published file of weights, downloaded if it is in no folder of data files.

    It is looked for in the folder ``weights`` of each of them, and downloaded into that of the
    last, into which only a whole and right file comes. Its SHA-256 is kept beside it.

    Args:
        name: Of the file in that folder.
        url: Its address.
        checksum: Its MD5 or SHA-256 in hexadecimal, None where none was published.

    Raises:
        InvalidInputError: If it cannot be had, or is another file: that is named, and left alone.
    """
    folders = [folder / FOLDER for folder in dataset_folders()]
    path = next((folder / name for folder in folders if (folder / name).is_file()), None)
    if path is None:
        _require_answer(url, name, folders)
        path = _downloaded(url, checksum, folders[-1] / name)
    try:
        return _checked(path, url, checksum)
    except OSError as error:
        raise InvalidInputError(f"{path} cannot be read ({in_one_line(error)})") from error


def given_file(name: str, checksum: str | None) -> WeightFile:
    """Return a file of weights that the user names.

    Args:
        name: Its path.
        checksum: That of the published file; None where there is none.

    Raises:
        InvalidInputError: If it is not there, or cannot be read.
    """
    path = Path(name)
    if not path.is_file():
        raise InvalidInputError(
            f"weights={name!r} is not there; expected imagenet, random, or a file of weights: "
            ".h5, .weights.h5 or .keras"
        )
    try:
        return WeightFile(path, sha256_of(path), checksum is not None and _is(path, checksum))
    except OSError as error:
        raise InvalidInputError(f"weights={name!r} cannot be read ({error.strerror})") from error


def _checked(path: Path, url: str, checksum: str | None) -> WeightFile:
    if not _is(path, checksum):
        raise InvalidInputError(
            f"{path} is not the file of {url} (its {_kind(checksum)} differs): move it away to "
            f"have that downloaded, or name it to use it as it is, weights={path}"
        )
    sha256 = sha256_of(path)
    check_checksums(path, {path.name: sha256})
    keep_checksums(path, {path.name: sha256})
    return WeightFile(path, sha256, is_published=True)


def _require_answer(url: str, name: str, folders: list[Path]) -> None:
    reason = unreachable(url)
    if reason is not None:
        raise InvalidInputError(
            f"{name} is in none of {', '.join(map(str, folders))}, and {reason}: put the file of "
            f"{url} there by hand, as {folders[-1] / name}, or take weights=random"
        )


def _downloaded(url: str, checksum: str | None, path: Path) -> Path:
    """Download beside the place, so that no half of a file ever has its name."""
    by_hand = f"put it into {path.parent} by hand (from {url})"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".download-", dir=path.parent) as temporary:
            part = Path(temporary, path.name)
            download(url, part)
            if not _is(part, checksum):
                raise InvalidInputError(
                    f"{path.name} as downloaded from {url} is damaged (its {_kind(checksum)} "
                    f"differs): try again, or {by_hand}"
                )
            part.replace(path)
    except InvalidInputError:
        raise
    except Exception as error:  # whatever requests, urllib3 or the disk object to
        raise InvalidInputError(
            f"{path.name} could not be downloaded ({in_one_line(error)}): try again, or {by_hand}"
        ) from error
    return path


def _kind(checksum: str | None) -> str:
    return "MD5" if checksum is not None and len(checksum) == _MD5_DIGITS else "SHA-256"


def _is(path: Path, checksum: str | None) -> bool:
    if checksum is None:
        return True
    digest = hashlib.md5(usedforsecurity=False) if _kind(checksum) == "MD5" else hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(READ_AT_ONCE):
            digest.update(block)
    return digest.hexdigest() == checksum

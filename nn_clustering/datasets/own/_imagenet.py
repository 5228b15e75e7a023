"""ImageNet's validation set: prepared once, of the tar that its authors hand out, then streamed."""

from __future__ import annotations

import fcntl
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from nn_clustering.datasets._checksums import READ_AT_ONCE, check_checksums, checksum_file
from nn_clustering.datasets._data_files import dataset_folders, find_file
from nn_clustering.datasets._dataset import Dataset
from nn_clustering.datasets._outline import Outline
from nn_clustering.datasets._settings import Settings
from nn_clustering.datasets.own import _prepared
from nn_clustering.datasets.own._request import Request
from nn_clustering.errors import InvalidInputError, in_one_line
from nn_clustering.machine import in_units

NAME = "imagenet2012"
TAR = f"{NAME}/ILSVRC2012_img_val.tar"
# Of the tar, as TensorFlow Datasets lists them.
N_BYTES = 6_744_924_160
SHA256 = "c7e06a6c0baccf06d8dbeb6577d71efff84673a5dbdd50633ab44f8ea0456ae0"
N_IMAGES, N_CLASSES = 50_000, 1000
TAKES = ("channels", "image_size", "resize", "per_class", "class_names", "damaged")
_MEMBER = re.compile(r"(?:\./)?ILSVRC2012_val_(\d{8})\.JPEG")
# What TensorFlow Datasets writes before the files have their names, and those: of the tar's size.
_ROOM = 2.1
_AGAIN = "copy it again from where you have it"
_TEMPORARY = ".preparing-"
_PROGRAM = Path(__file__).with_name("_build_imagenet.py")


def read(settings: Settings) -> Dataset:
    """Return the images, which are decoded when they are needed; prepares them if need be.

    Raises:
        InvalidInputError: If the tar is in no folder, is partial or damaged, or cannot be prepared.
    """
    folders = dataset_folders()
    found = prepared_folder(folders) or _prepare(_tar(folders))
    return _prepared.read(Request(NAME, found, settings))


def outline(settings: Settings) -> Outline:
    """Return what is known of it before it is read, or even prepared.

    Raises:
        InvalidInputError: If the tar is in no folder, or is partial.
    """
    folders = dataset_folders()
    found = prepared_folder(folders)
    if found is not None:
        return _prepared.outline(Request(NAME, found, settings))
    check_tar(_tar(folders))
    shape = None if settings.size is None else (*settings.size, settings.channels or 3)
    return Outline(NAME, "classification", shape, N_CLASSES, 0)


def prepared_folder(folders: Sequence[Path]) -> Path | None:
    """Return the newest prepared folder, or None if no folder holds one."""
    candidates = (_prepared.version_folder(folder / NAME) for folder in folders)
    return next((found for found in candidates if found is not None), None)


def check_tar(tar: Path) -> int:
    """Check that a tar holds the validation set: all of it, unless its checksum lies beside it.

    Its contents are listed, not read.

    Returns:
        How many images it holds.

    Raises:
        InvalidInputError: If it is damaged, cut short, or holds something else.
    """
    try:
        with tarfile.open(tar, "r:") as archive:
            members = [member for member in archive if not member.isdir()]
    except (OSError, tarfile.TarError) as error:
        raise InvalidInputError(
            f"{tar} is damaged or cut short ({in_one_line(error)}; it has "
            f"{tar.stat().st_size:,} bytes, the whole one {N_BYTES:,}): {_AGAIN}"
        ) from error
    matches = [_MEMBER.fullmatch(one.name) if one.isfile() else None for one in members]
    others = [one.name for one, match in zip(members, matches, strict=True) if match is None]
    if others or not members:
        raise InvalidInputError(
            f"{tar} holds {others[0] if others else 'nothing'}; expected "
            "ILSVRC2012_val_00000001.JPEG and so on, "
            f"the validation images of ImageNet 2012: {_AGAIN}"
        )
    numbers = sorted(int(match[1]) for match in matches if match)
    if numbers != list(range(1, len(numbers) + 1)):
        missing = next(n for n, found in enumerate([*numbers, -1], 1) if n != found)
        raise InvalidInputError(
            f"{tar} holds {len(numbers):,} images, not number {missing:,}, by whose order they get "
            f"their classes: {_AGAIN}"
        )
    if len(numbers) < N_IMAGES and not checksum_file(tar).is_file():
        raise InvalidInputError(
            f"{tar} is partial: it holds {len(numbers):,} of {N_IMAGES:,} images: {_AGAIN}; or, "
            f"if fewer are meant, say so by its checksum: sha256sum {tar.name} > {tar.name}.sha256"
        )
    return len(numbers)


def _tar(folders: Sequence[Path]) -> Path:
    tar = find_file(TAR, folders)
    if tar is None:
        raise InvalidInputError(
            f"dataset.name={NAME}: {TAR} is in none of {', '.join(map(str, folders))}: register at "
            f"https://image-net.org, download ILSVRC2012_img_val.tar ({in_units(N_BYTES)}) and put "
            f"it into {folders[-1] / NAME}"
        )
    return tar


def _prepare(tar: Path) -> Path:
    """Make the records of a tar, beside it; of several runs one does, and the others wait."""
    folder = tar.parent
    with _alone(folder) as lock:
        found = _prepared.version_folder(folder)
        if found is not None:  # another has made them meanwhile
            return found
        n_images = check_tar(tar)
        _check_room(tar)
        _remove_interrupted(folder)
        print(
            f"Preparing {n_images:,} images of {tar}, once; it takes some minutes",
            file=sys.stderr,
            flush=True,
        )
        _check_bytes(tar)
        _build(tar, lock)
    found = _prepared.version_folder(folder)
    assert found is not None
    return found


@contextmanager
def _alone(folder: Path) -> Iterator[IO[str]]:
    """Let nobody else prepare within the block; a lock ends with its process, however that ends."""
    try:
        file = (folder / ".lock").open("w")
    except OSError as error:
        raise InvalidInputError(
            f"{folder} cannot be written into ({error.strerror}), where the records of {NAME} are "
            "made: put the tar into a folder that can, which NN_CLUSTERING_DATASETS names"
        ) from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"Waiting for another run that prepares {NAME}", file=sys.stderr, flush=True)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield file


def _check_room(tar: Path) -> None:
    needed, free = int(tar.stat().st_size * _ROOM), shutil.disk_usage(tar.parent).free
    if free < needed:
        raise InvalidInputError(
            f"{tar.parent} has {in_units(free)} free, and preparing {NAME} takes "
            f"{in_units(needed)}: make room there, or put the tar into a folder with more, which "
            "NN_CLUSTERING_DATASETS names"
        )


def _remove_interrupted(folder: Path) -> None:
    """Remove what a preparation left that was killed; one that goes on would hold the lock."""
    for path in folder.glob(f"{_TEMPORARY}*"):
        print(f"Removing {path}, of a preparation that was interrupted", file=sys.stderr)
        shutil.rmtree(path, ignore_errors=True)


def _check_bytes(tar: Path) -> None:
    """Compare a tar with its checksum beside it, or with that of the one that is handed out."""
    if not checksum_file(tar).is_file() and tar.stat().st_size != N_BYTES:
        return  # all images, packed anew
    found = _sha256_in_sight(tar)
    check_checksums(tar, {tar.name: found})
    if not checksum_file(tar).is_file() and found != SHA256:
        raise InvalidInputError(
            f"{tar} is damaged (its SHA-256 is {found}, not {SHA256}): {_AGAIN}"
        )


def _sha256_in_sight(path: Path) -> str:
    import hashlib

    from tqdm import tqdm

    sha, size = hashlib.sha256(), path.stat().st_size
    with (
        path.open("rb") as file,
        tqdm(
            desc=f"Checking {path.name}",
            total=size,
            unit="B",
            unit_scale=True,
            file=sys.stderr,
            disable=not sys.stderr.isatty(),
        ) as bar,
    ):
        while block := file.read(READ_AT_ONCE):
            sha.update(block)
            bar.update(len(block))
    return sha.hexdigest()


def _build(tar: Path, lock: IO[str]) -> None:
    """Make the records of the validation images alone, or nothing.

    Should this process be killed, the program goes on, and the lock is held until it ends.
    """
    # The train images may lie beside the tar, and would be prepared, too.
    with tempfile.TemporaryDirectory(
        prefix=_TEMPORARY, dir=tar.parent, ignore_cleanup_errors=True
    ) as temporary:
        (Path(temporary) / tar.name).symlink_to(tar.resolve())
        done = subprocess.run(
            [sys.executable, str(_PROGRAM), temporary, str(tar.parent)],
            stdout=subprocess.PIPE,
            stderr=None if sys.stderr.isatty() else subprocess.DEVNULL,  # has the progress
            text=True,
            check=False,
            pass_fds=(lock.fileno(),),
        )
    if done.returncode:
        reason = " ".join(done.stdout.split())[:200] or f"exit status {done.returncode}"
        raise InvalidInputError(
            f"{tar} could not be prepared ({reason}): make sure that the disk has room and the tar "
            f"is whole, or {_AGAIN}"
        )

"""Downloads of the files that data sets are distributed as, checked before they are used."""

from __future__ import annotations

import gzip
import sys
import tarfile
import tempfile
import urllib.request
from collections.abc import Sequence
from http.client import HTTPException
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from nn_clustering.datasets._checksums import sha256_of
from nn_clustering.datasets._data_files import REPLACE, DataFile, Distributed, find_file
from nn_clustering.errors import InvalidInputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Seconds to wait for a server to answer at all, and for its next bytes.
ANSWER_WITHIN, CONTINUE_WITHIN = 4, 30
CIFAR_SHAPE = (3, 32, 32)


def require_obtainable(file: DataFile, folders: Sequence[Path]) -> None:
    """Check that what a data file is made of is in the folders or can be downloaded.

    Raises:
        InvalidInputError: If it is in no folder and no server answers; says which file to put
            where.
    """
    missing = [part for part in file.distributed if find_file(part.name, folders) is None]
    if not missing:
        return
    reason = unreachable(missing[0].url)
    if reason is not None:
        raise InvalidInputError(
            f"{file.name} is in none of {', '.join(map(str, folders))} and {reason}: put the file "
            f"into one of them by hand ({_by_hand(file)}), or use a data set that needs no file, "
            "like digits"
        )


def unreachable(url: str) -> str | None:
    """Say that the server of an address does not answer, and why; None if it does.

    A download without a network can hang for minutes; asking for the headers tells at once.
    """
    # It goes through a proxy where the download does.
    request = urllib.request.Request(url, method="HEAD")
    try:
        urllib.request.urlopen(request, timeout=ANSWER_WITHIN).close()
    except (OSError, HTTPException) as error:
        return f"{url.split('/')[2]} cannot be reached ({getattr(error, 'reason', error)})"
    return None


def fetch(file: DataFile, folders: Sequence[Path]) -> Path:
    """Make a data file in the last folder, of files in the folders or else of downloads.

    Everything happens in a temporary folder beside, so that no half of it takes the file's name.

    Returns:
        The path of the new file.

    Raises:
        InvalidInputError: If a download fails, or a file is not the one that is distributed.
    """
    folder = folders[-1]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".download-", dir=folder) as temporary:
            parts = [_obtain(part, folders, Path(temporary)) for part in file.distributed]
            made = Path(temporary) / "made" / file.name
            made.parent.mkdir()
            file.convert(parts, made)
            made.replace(folder / file.name)
    except OSError as error:
        raise InvalidInputError(
            f"{file.name} could not be written into {folder} ({error}): make room or rights "
            "there, or put the file into a folder that NN_CLUSTERING_DATASETS names"
        ) from error
    return folder / file.name


def copy_npz(parts: Sequence[Path], made: Path) -> None:
    """Take a distributed .npz file as it is."""
    made.write_bytes(parts[0].read_bytes())


def npz_of_idx(parts: Sequence[Path], made: Path) -> None:
    """Make an .npz file of four gzipped IDX files: train images, labels, test images, labels."""
    x_train, y_train, x_test, y_test = (_read_idx(path) for path in parts)
    np.savez(made, x_train=x_train, y_train=y_train, x_test=x_test, y_test=y_test)


def npz_of_cifar(parts: Sequence[Path], made: Path) -> None:
    """Make an .npz file of CIFAR-10's archive of binary files."""
    with tarfile.open(parts[0], "r:gz") as archive:
        batches = [_read_cifar(archive, f"data_batch_{number}") for number in range(1, 6)]
        x_test, y_test = _read_cifar(archive, "test_batch")
    x_train, y_train = (np.concatenate(arrays) for arrays in zip(*batches, strict=True))
    np.savez(made, x_train=x_train, y_train=y_train, x_test=x_test, y_test=y_test)


def _obtain(part: Distributed, folders: Sequence[Path], temporary: Path) -> Path:
    found = find_file(part.name, folders)
    if found is not None:
        if sha256_of(found) != part.sha256:
            raise InvalidInputError(
                f"{found} is not the file of {part.url} (its SHA-256 differs): {REPLACE}"
            )
        return found
    path = temporary / part.name
    try:
        download(part.url, path)
    except Exception as error:  # whatever requests, urllib3 or the disk object to
        reason = " ".join(str(error).split())
        raise InvalidInputError(
            f"{part.name} could not be downloaded ({reason}): try again, or put it into "
            f"{folders[-1]} by hand (from {part.url})"
        ) from error
    if sha256_of(path) != part.sha256:
        raise InvalidInputError(
            f"{part.name} as downloaded from {part.url} is damaged (its SHA-256 differs): try "
            f"again, or put the right file into {folders[-1]} by hand"
        )
    return path


def download(url: str, path: Path) -> None:
    """Download a file; on a terminal a bar shows how far it is.

    Raises:
        Exception: Whatever requests, urllib3 or the disk object to.
    """
    import pooch

    on_terminal = sys.stderr.isatty()
    if not on_terminal:
        print(f"Downloading {url}", file=sys.stderr, flush=True)
    downloader = pooch.HTTPDownloader(
        progressbar=on_terminal, chunk_size=2**16, timeout=(ANSWER_WITHIN, CONTINUE_WITHIN)
    )
    downloader(url, str(path), None)


def _by_hand(file: DataFile) -> str:
    urls = " ".join(part.url for part in file.distributed)
    if [part.name for part in file.distributed] == [file.name]:
        return f"from {urls}"
    return f"as an .npz in Keras' layout, or as it is distributed: {urls}"


def _read_idx(path: Path) -> NDArray[np.uint8]:
    # Two zero bytes, 8 for uint8, the number of axes, their lengths as big-endian 32-bit integers.
    content = gzip.decompress(path.read_bytes())
    n_axes = content[3]
    shape = np.frombuffer(content, ">u4", n_axes, offset=4)
    return np.frombuffer(content, np.uint8, offset=4 + 4 * n_axes).reshape(shape)


def _read_cifar(archive: tarfile.TarFile, name: str) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    # A record is the label and the red, green and blue planes.
    file = archive.extractfile(f"cifar-10-batches-bin/{name}.bin")
    if file is None:
        raise OSError(f"the archive holds no {name}.bin")
    records = np.frombuffer(file.read(), np.uint8).reshape(-1, 1 + int(np.prod(CIFAR_SHAPE)))
    return records[:, 1:].reshape(-1, *CIFAR_SHAPE).transpose(0, 2, 3, 1), records[:, 0]

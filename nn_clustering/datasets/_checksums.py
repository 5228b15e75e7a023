"""SHA-256 checksums kept beside data files, in the format of sha256sum.

``mnist.npz.sha256`` holds the line of ``mnist.npz``, ``mnist/3.0.1.sha256`` those of the files in
``mnist/3.0.1/``; ``sha256sum -c`` reads both.
"""

import contextlib
import hashlib
import os
import re
import tempfile
from pathlib import Path

from nn_clustering.errors import InvalidInputError

LINE = re.compile(r"([0-9a-f]{64}) [ *](.+)")
READ_AT_ONCE = 2**20


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal.

    Raises:
        OSError: If it cannot be read.
    """
    sha = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(READ_AT_ONCE):
            sha.update(block)
    return sha.hexdigest()


def checksums_of(path: Path) -> dict[str, str]:
    """Return the SHA-256 of a file, or of every file of a folder, by name beside ``path``.

    Raises:
        OSError: If one cannot be read.
    """
    files = sorted(path.iterdir()) if path.is_dir() else [path]
    return {
        file.relative_to(path.parent).as_posix(): sha256_of(file)
        for file in files
        if file.is_file()
    }


def checksum_file(path: Path) -> Path:
    """Return where the checksums of a data file or folder are kept."""
    return path.with_name(f"{path.name}.sha256")


def check_checksums(path: Path, found: dict[str, str]) -> None:
    """Compare a data file or folder with the checksums that are kept of it, if any are.

    Args:
        path: The file or folder.
        found: Its checksums now, by name.

    Raises:
        InvalidInputError: If they differ, a file is missing, or the kept ones cannot be read.
    """
    kept_in = checksum_file(path)
    if not kept_in.is_file():
        return
    for name, checksum in _read(kept_in).items():
        if found.get(name) != checksum:
            problem = "differs from" if name in found else "is missing, which has"
            raise InvalidInputError(
                f"{path.parent / name} {problem} its checksum in {kept_in}: it is damaged, or was "
                f"replaced; put the right file there, or delete {kept_in} if it was replaced on "
                "purpose"
            )


def keep_checksums(path: Path, checksums: dict[str, str]) -> None:
    """Write the checksums of a data file or folder beside it, where that is possible.

    Those that are there stay. A folder that its owner made read-only is left as it is, also by
    who may write everywhere.
    """
    kept_in = checksum_file(path)
    if kept_in.exists() or not path.parent.stat().st_mode & 0o222:
        return
    text = "".join(f"{checksum}  {name}\n" for name, checksum in checksums.items())
    with contextlib.suppress(OSError):  # no right to write, or no space: none are kept
        _write_whole(kept_in, text)


def _read(kept_in: Path) -> dict[str, str]:
    try:
        lines = kept_in.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as error:
        raise InvalidInputError(f"{kept_in} cannot be read ({error}): delete it") from error
    matches = [LINE.fullmatch(line) for line in lines]
    if not lines or not all(matches):
        raise InvalidInputError(
            f"{kept_in} holds no checksums; expected lines as sha256sum writes them: delete it"
        )
    return {match[2]: match[1] for match in matches if match}


def _write_whole(path: Path, text: str) -> None:
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        Path(temporary).chmod(0o644)  # mkstemp's files are for their maker alone
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise

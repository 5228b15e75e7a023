"""The file of a backup: a tar archive, compressed with gzip, that ordinary tools read.

In its folder `backup/` it holds

- `NAME/00001.bson`, ...: the documents of a collection, byte for byte as MongoDB has them, in
  pieces of a bounded size, so that neither writing nor reading takes more memory than one;
- `manifest.json`: the database, and of each collection its options, indexes and counts;
- `SHA256SUMS`: the SHA-256 of each of these files, as `sha256sum -c` takes it. It is the last
  one: a file without it is not whole.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from nn_clustering.tracking.errors import DamagedArtifactError, InvalidInputError
from nn_clustering.tracking.extended_json import from_extended_json, to_extended_json

FORMAT = 1
FOLDER, MANIFEST, SUMS = "backup", "manifest.json", "SHA256SUMS"
COLLECTION, VIEW = "collection", "view"
PIECE_BYTES = 2**24
# A piece, and what a server sends at once on top of it.
LARGEST_MEMBER = 2**26
_COMPRESSION = 3  # most artifacts are compressed already
_GZIP = b"\x1f\x8b"  # begins such a file
_SMALLEST_DOCUMENT = 5
# What reading a file raises that is no backup, or no longer whole.
_DAMAGE = (tarfile.TarError, zlib.error, EOFError, gzip.BadGzipFile)


@dataclass(frozen=True)
class BackedUpCollection:
    """What a backup says of a collection, or of a view.

    Attributes:
        name: Its name.
        type: `COLLECTION` or `VIEW`.
        folder: That of its pieces in the archive.
        options: It was created with.
        indexes: As MongoDB lists them.
        documents: How many there are.
        bytes: Of the documents together.
    """

    name: str
    type: str
    folder: str
    options: Mapping[str, Any]
    indexes: Sequence[Mapping[str, Any]]
    documents: int
    bytes: int


@dataclass(frozen=True)
class Manifest:
    """What a backup holds.

    Attributes:
        database: Name of the database.
        made: When it was begun, in ISO 8601.
        server: Version of MongoDB.
        collections: The collections and views.
    """

    database: str
    made: str
    server: str
    collections: tuple[BackedUpCollection, ...]

    def count(self, name: str) -> int:
        """How many documents a collection has."""
        return sum(entry.documents for entry in self.collections if entry.name == name)


class BackupWriter:
    """Writes a backup into a file that need not be able to go back, as a pipe."""

    def __init__(self, handle: IO[bytes]) -> None:
        """Begin one.

        Args:
            handle: The file; it is left open.
        """
        self._gzip = gzip.GzipFile("", "wb", _COMPRESSION, handle, mtime=0)
        self._tar = tarfile.open(fileobj=self._gzip, mode="w")  # noqa: SIM115
        self._sums: list[str] = []

    def __enter__(self) -> BackupWriter:
        return self

    def __exit__(self, *exception: object) -> None:
        self._gzip.close()

    def add(self, name: str, content: bytes) -> None:
        """Write a file of the backup."""
        member = tarfile.TarInfo(f"{FOLDER}/{name}")
        member.size, member.mode = len(content), 0o600
        self._tar.addfile(member, io.BytesIO(content))
        self._sums.append(f"{hashlib.sha256(content).hexdigest()}  {name}\n")

    def finish(self, manifest: Manifest) -> None:
        """Write the manifest and the digests; the backup is whole then."""
        self.add(MANIFEST, _manifest_text(manifest).encode())
        self.add(SUMS, "".join(self._sums).encode())
        self._tar.close()


@dataclass(frozen=True)
class Backup:
    """A backup each byte of which was looked at.

    Attributes:
        path: Its file.
        manifest: What it holds.
        digests: The SHA-256 of each of its files, by name.
    """

    path: Path
    manifest: Manifest
    digests: Mapping[str, str]

    def pieces(self) -> Iterator[tuple[str, bytes]]:
        """Folder and documents of each piece; they are checked once more.

        Raises:
            DamagedArtifactError: The file is not what it was.
        """
        for name, content in _members(self.path):
            if hashlib.sha256(content).hexdigest() != self.digests.get(name):
                raise DamagedArtifactError(f"{self.path} was changed while it was read: {name}")
            if name not in (MANIFEST, SUMS):
                yield name.rpartition("/")[0], content


def read_backup(path: Path) -> Backup:
    """Read a backup from end to end, and compare all with its digests and counts.

    Args:
        path: The file.

    Raises:
        InvalidInputError: There is no such file, or it is no backup, or of a newer version.
        DamagedArtifactError: It is damaged, or not whole.
    """
    digests: dict[str, str] = {}
    counts: dict[str, tuple[int, int]] = {}
    texts = {}
    for name, content in _members(path):
        if name in digests:
            raise DamagedArtifactError(f"{path} is damaged: it holds {name} twice")
        digests[name] = hashlib.sha256(content).hexdigest()
        if name in (MANIFEST, SUMS):
            texts[name] = content
        else:
            folder = name.rpartition("/")[0]
            documents, size = counts.get(folder, (0, 0))
            found = sum(1 for _ in documents_in(content, f"{name} of {path}"))
            counts[folder] = documents + found, size + len(content)
    if SUMS not in texts:
        raise DamagedArtifactError(f"{path} is not whole: its end is missing")
    sums = "".join(f"{digest}  {name}\n" for name, digest in digests.items() if name != SUMS)
    if texts[SUMS] != sums.encode() or MANIFEST not in texts:
        raise DamagedArtifactError(f"{path} is damaged: its files are not those of {SUMS}")
    manifest = _read_manifest(path, texts[MANIFEST])
    noted = {
        entry.folder: (entry.documents, entry.bytes)
        for entry in manifest.collections
        if entry.documents
    }
    if noted != counts:
        raise DamagedArtifactError(f"{path} is damaged: its documents are not those of {MANIFEST}")
    return Backup(path, manifest, digests)


def documents_in(content: bytes, label: str) -> Iterator[bytes]:
    """The documents of a piece.

    Args:
        content: The piece.
        label: How a message calls it.

    Raises:
        DamagedArtifactError: It is no sequence of documents.
    """
    start = 0
    while start < len(content):
        size = int.from_bytes(content[start : start + 4], "little")
        end = start + size
        if size < _SMALLEST_DOCUMENT or end > len(content) or content[end - 1] != 0:
            raise DamagedArtifactError(f"{label} holds something else than documents")
        yield content[start:end]
        start = end


def _members(path: Path) -> Iterator[tuple[str, bytes]]:
    """Name and content of each file of a backup, in their order."""
    is_begun = False
    try:
        with gzip.open(path) as unpacked, tarfile.open(fileobj=unpacked, mode="r|") as archive:
            for member in archive:
                folder, _, name = member.name.partition("/")
                if folder != FOLDER or not member.isfile() or member.size > LARGEST_MEMBER:
                    raise DamagedArtifactError(f"{path} holds {member.name!r}, as no backup does")
                content = archive.extractfile(member)
                is_begun = True
                yield name, b"" if content is None else content.read()
            while unpacked.read(LARGEST_MEMBER):  # its own checksum is at the end
                pass
    except _DAMAGE as problem:
        with path.open("rb") as packed:
            is_packed = packed.read(2) == _GZIP
        if not is_packed or (isinstance(problem, tarfile.TarError) and not is_begun):
            raise InvalidInputError(
                f"{path} is no backup ({problem}); expected a file that `backup` wrote"
            ) from None
        raise DamagedArtifactError(f"{path} is damaged, or not whole ({problem})") from None
    except OSError as problem:
        raise InvalidInputError(
            f"{path} cannot be read ({problem.strerror}); expected a file that `backup` wrote"
        ) from None


def _manifest_text(manifest: Manifest) -> str:
    return json.dumps(
        {
            "format": FORMAT,
            "database": manifest.database,
            "made": manifest.made,
            "server": manifest.server,
            "collections": [
                {
                    "name": entry.name,
                    "type": entry.type,
                    "folder": entry.folder,
                    "documents": entry.documents,
                    "bytes": entry.bytes,
                    # With the types that MongoDB gave them.
                    "created_as": json.loads(
                        to_extended_json({"options": entry.options, "indexes": entry.indexes})
                    ),
                }
                for entry in manifest.collections
            ],
        },
        indent=1,
        ensure_ascii=False,
    )


def _read_manifest(path: Path, content: bytes) -> Manifest:
    try:
        read = json.loads(content)
        version = read["format"]
        if version != FORMAT:
            raise InvalidInputError(
                f"{path} has the format {version}; expected {FORMAT}: a newer version wrote it"
            )
        collections = tuple(_read_collection(entry) for entry in read["collections"])
        return Manifest(read["database"], read["made"], read["server"], collections)
    except InvalidInputError:
        raise
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise DamagedArtifactError(f"{path} is damaged: its {MANIFEST} cannot be read") from None


def _read_collection(entry: Mapping[str, Any]) -> BackedUpCollection:
    created_as = from_extended_json(json.dumps(entry["created_as"]))
    return BackedUpCollection(
        name=str(entry["name"]),
        type=str(entry["type"]),
        folder=str(entry["folder"]),
        options=created_as["options"],
        indexes=created_as["indexes"],
        documents=int(entry["documents"]),
        bytes=int(entry["bytes"]),
    )

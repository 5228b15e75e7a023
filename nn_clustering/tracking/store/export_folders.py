"""The files from which a run can be imported exactly, and how they are read.

Beside what is for readers (`run.json`, `artifacts/`) the folder of an exported run holds

- `exact.json`: the run's document as MongoDB's extended JSON, and what each file belongs to;
- `metrics.jsonl`: the documents of its metrics, one a line;
- `stored.zip`: its sources and resources, and artifacts that others of their name replaced;
- `manifest.json`: the SHA-256 of each of these files and of the artifacts, and of itself.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING, Any

from nn_clustering.tracking.errors import DamagedArtifactError, InvalidInputError
from nn_clustering.tracking.extended_json import from_extended_json, to_extended_json
from nn_clustering.tracking.gridfs import digest_file
from nn_clustering.tracking.names import safe_file_names
from nn_clustering.tracking.run_ids import read_id
from nn_clustering.tracking.run_keys import key_of
from nn_clustering.tracking.store.originals import (
    ARTIFACT,
    OriginalFile,
    OriginalRun,
    RunContent,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

FORMAT = 1
EXACT, METRICS, STORED, MANIFEST = "exact.json", "metrics.jsonl", "stored.zip", "manifest.json"
LARGEST_JSON = 2**30
# Bytes of one document in a text: MongoDB's 16 MB are at most five times as long.
LARGEST_TEXT = 2**27
# What comes of reading other values than `export` writes, however well they are signed.
_NO_EXPORT = (KeyError, AttributeError, TypeError, ValueError, ArithmeticError)
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


def exact_text(
    original: OriginalRun, content: RunContent, places: Mapping[Any, tuple[str, str]]
) -> str:
    """The text of `exact.json`.

    Args:
        original: The run.
        content: What belongs to it.
        places: For the id of each file, as `read_id` has it, the name of its file in the folder,
            and of its member where that is an archive, else "".
    """
    return to_extended_json(
        {
            "format": FORMAT,
            "store": original.store,
            "id": original.id,
            "key": original.key,
            "inputs": dict(original.inputs),
            "lost": list(content.lost),
            "files": [
                {
                    "kind": file.kind,
                    "id": file.id,
                    "name": file.name,
                    "fields": dict(file.fields),
                    "size": file.size,
                    "path": places[read_id(file.id)][0],
                    "member": places[read_id(file.id)][1],
                }
                for file in content.files
            ],
            "document": content.document,
        }
    )


def member_names(files: Sequence[OriginalFile]) -> dict[Any, str]:
    """A name in the archive for each file, by its id; readable, and leading nowhere else."""
    ids = [read_id(file.id) for file in files]
    labels = [f"{number} {file.name}" for number, file in enumerate(files, start=1)]
    names = safe_file_names(labels)
    return {file_id: names[label] for file_id, label in zip(ids, labels, strict=True)}


def write_archive(handle: IO[bytes], files: Mapping[str, OriginalFile]) -> list[str]:
    """Write files into an archive, under these names; returns what is damaged, in words."""
    damaged = []
    with zipfile.ZipFile(handle, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, file in files.items():
            try:
                with file.open() as path, path.open("rb") as source:
                    member = zipfile.ZipInfo(name)  # without the time: the same run, the same file
                    member.compress_type = zipfile.ZIP_DEFLATED
                    with archive.open(member, "w", force_zip64=True) as target:
                        shutil.copyfileobj(source, target)
            except DamagedArtifactError as problem:
                damaged.append(str(problem))
    return damaged


def manifest_text(digests: Mapping[str, str]) -> str:
    """The text of `manifest.json`.

    Args:
        digests: The SHA-256 of each file, by its name in the run's folder.
    """
    manifest = {"format": FORMAT, "sha256": dict(digests), "own_sha256": _own_digest(digests)}
    return json.dumps(manifest, indent=1, ensure_ascii=False) + "\n"


def exported_runs(folder: Path) -> list[OriginalRun]:
    """The runs of a folder that `export` wrote, or of the folder of one run.

    Args:
        folder: The folder. What is damaged in it is said by the run's `read`.

    Returns:
        Nothing where the folder holds no such run.

    Raises:
        InvalidInputError: There is no such folder, or a former version wrote it.
    """
    if not folder.is_dir():
        raise InvalidInputError(f"{folder} is no folder; expected one that `export` wrote")
    own = [folder] if (folder / MANIFEST).is_file() else []
    places = own or sorted(
        place for place in folder.iterdir() if place.is_dir() and not place.is_symlink()
    )
    found = [place for place in places if (place / MANIFEST).exists()]
    former = [
        place
        for place in places
        if (place / "run.json").is_file() and not (place / "config.json").exists()
    ]
    if not found and former:
        raise InvalidInputError(
            f"{former[0]} was exported by a former version, which left out what an import needs; "
            "export the run again"
        )
    return [_exported_run(place) for place in found]


def safe_path(folder: Path, name: str) -> Path:
    """A file within a folder.

    Raises:
        DamagedArtifactError: The name leads out of the folder, or over a link, or to no file.
    """
    parts = PurePosixPath(name).parts
    if not parts or name.startswith("/") or any(part in ("..", ".") for part in parts):
        raise DamagedArtifactError(f"{name!r} leads out of the folder {folder.name}")
    path = folder
    with contextlib.suppress(OSError, ValueError):
        for part in parts:
            path /= part
            if path.is_symlink():
                raise DamagedArtifactError(f"{name!r} in {folder.name} is a link")
        if path.is_file():
            return path
    raise DamagedArtifactError(f"{name!r} is missing in the folder {folder.name}")


def read_json(path: Path, most: int = LARGEST_JSON) -> str:
    """The text of a JSON file, of so many bytes at most.

    Raises:
        DamagedArtifactError: It cannot be read.
    """
    try:
        if path.stat().st_size > most:
            raise DamagedArtifactError(f"{path.name} is larger than any document")
        return path.read_text(encoding="utf-8")
    except (OSError, ValueError) as problem:
        raise DamagedArtifactError(f"{path.name} cannot be read ({problem})") from None


def _exported_run(folder: Path) -> OriginalRun:
    label = f"run in {folder.name}"
    try:
        digests = _read_manifest(folder)
        exact = _read_exact(folder, digests)
        document = exact["document"]
        if exact["key"] != key_of(document):
            raise ValueError("the key of another run")
        return OriginalRun(
            label=f"run {exact['id']} in {folder.name}",
            store=str(exact["store"]),
            id=exact["id"],
            key=exact["key"],
            inputs={str(name): str(key) for name, key in exact["inputs"].items()},
            status=str(document.get("status")),
            start_time=document.get("start_time"),
            read=lambda: _read_content(folder),
        )
    except (DamagedArtifactError, *_NO_EXPORT) as problem:
        reason = (
            problem
            if isinstance(problem, DamagedArtifactError)
            else DamagedArtifactError(f"{EXACT} is not what `export` writes")
        )
        return _unreadable(label, folder, reason)


def _unreadable(label: str, folder: Path, reason: DamagedArtifactError) -> OriginalRun:
    """A run of which only that is known."""

    def read() -> RunContent:
        raise reason

    return OriginalRun(label, "", None, f"folder:{folder}", {}, "", None, read)


def _read_manifest(folder: Path) -> dict[str, str]:
    try:
        manifest = json.loads(read_json(safe_path(folder, MANIFEST), LARGEST_TEXT))
        digests = dict(manifest["sha256"])
        is_whole = manifest["own_sha256"] == _own_digest(digests)
        version = manifest["format"]
    except (ValueError, KeyError, TypeError, RecursionError):
        is_whole, version, digests = False, FORMAT, {}
    if not is_whole:
        raise DamagedArtifactError(f"{MANIFEST} is damaged")
    if version != FORMAT:
        raise DamagedArtifactError(
            f"{MANIFEST} has the format {version}; expected {FORMAT}: a newer version wrote it"
        )
    return digests


def _own_digest(digests: Mapping[str, str]) -> str:
    canonical = json.dumps({**digests}, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode("utf-8", "surrogatepass")).hexdigest()


def _read_exact(folder: Path, digests: Mapping[str, str]) -> dict[str, Any]:
    text = read_json(_checked(folder, EXACT, digests), LARGEST_TEXT)
    try:
        exact = from_extended_json(text)
    except ValueError as problem:
        raise DamagedArtifactError(f"{EXACT} holds {problem}") from None
    if not isinstance(exact, dict) or not isinstance(exact.get("document"), dict):
        raise DamagedArtifactError(f"{EXACT} is not what `export` writes")
    return exact


def _checked(folder: Path, name: str, digests: Mapping[str, str]) -> Path:
    """A file of the folder, which has the SHA-256 that the manifest notes.

    Raises:
        DamagedArtifactError: It has not.
    """
    if name not in digests:
        raise DamagedArtifactError(f"{name!r} was damaged when it was exported")
    path = safe_path(folder, name)
    try:
        digest = digest_file(path)
    except OSError as problem:
        raise DamagedArtifactError(f"{name!r} cannot be read ({problem.strerror})") from None
    if digest != digests[name]:
        raise DamagedArtifactError(f"{name!r} is damaged: its SHA-256 is not the manifest's")
    return path


def _read_content(folder: Path) -> RunContent:
    """All that belongs to the run of a folder, each file of which is checked first."""
    digests = _read_manifest(folder)
    exact = _read_exact(folder, digests)
    try:
        files = tuple(_file(folder, entry, digests) for entry in exact["files"])
        lost = tuple(map(str, exact["lost"]))
    except _NO_EXPORT:
        raise DamagedArtifactError(f"{EXACT} is not what `export` writes") from None
    metrics = _checked(folder, METRICS, digests)
    return RunContent(exact["document"], files, lambda: _metric_documents(metrics), lost)


def _metric_documents(path: Path) -> Iterator[dict[str, Any]]:
    with path.open("rb") as lines:
        while line := lines.readline(LARGEST_TEXT + 1):
            if len(line) > LARGEST_TEXT:
                raise DamagedArtifactError(f"{METRICS} holds a line longer than any document")
            try:
                document = from_extended_json(line.decode())
            except ValueError as problem:
                raise DamagedArtifactError(f"{METRICS} holds {problem}") from None
            if not isinstance(document, dict) or "_id" not in document:
                raise DamagedArtifactError(f"{METRICS} is not what `export` writes")
            yield document


def _file(folder: Path, entry: Mapping[str, Any], digests: Mapping[str, str]) -> OriginalFile:
    path = _checked(folder, entry["path"], digests)
    size, member = entry["size"], str(entry["member"])
    if not isinstance(size, int):
        raise TypeError("a size is a number of bytes")
    name = str(entry["name"])
    opened: Callable[[], contextlib.AbstractContextManager[Path]]
    if member:
        _require_member(path, member, name)
        opened = lambda: _extracted(path, member, size, name)  # noqa: E731
    else:
        opened = lambda: contextlib.nullcontext(path)  # noqa: E731
    kind = str(entry["kind"]) or ARTIFACT
    return OriginalFile(kind, entry["id"], name, dict(entry["fields"]), size, opened)


def _require_member(path: Path, member: str, name: str) -> None:
    try:
        with zipfile.ZipFile(path) as archive:
            method = archive.getinfo(member).compress_type
    except KeyError:
        raise DamagedArtifactError(f"{name} was damaged when it was exported") from None
    except (zipfile.BadZipFile, OSError) as problem:
        raise DamagedArtifactError(f"{path.name} is no archive ({problem})") from None
    if method not in _METHODS:
        raise DamagedArtifactError(f"{path.name} is not what `export` writes")


@contextlib.contextmanager
def _extracted(path: Path, member: str, size: int, name: str) -> Iterator[Path]:
    """A temporary file of a member, of which no more is read than it shall have."""
    with tempfile.TemporaryDirectory() as place:
        target = Path(place, "content")
        length = 0
        try:
            with (
                zipfile.ZipFile(path) as archive,
                archive.open(member) as source,
                target.open("wb") as handle,
            ):
                while length <= size and (piece := source.read(1 << 20)):
                    length += len(piece)
                    handle.write(piece)
        except (zipfile.BadZipFile, zlib.error, OSError, EOFError, RuntimeError) as problem:
            raise DamagedArtifactError(f"{name} is damaged ({problem})") from None
        if length != size:
            raise DamagedArtifactError(f"{name} is damaged: it has not its {size} bytes")
        yield target

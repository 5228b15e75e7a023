"""Runs that Sacred's FileStorageObserver wrote into a folder, read for an import.

Nothing in them is unpickled: what jsonpickle made of objects stays as it stands.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta, timezone
from pathlib import Path, PurePosixPath
from typing import Any

from nn_clustering.tracking.encoding import LARGE_FIELDS, shortened, to_plain
from nn_clustering.tracking.errors import DamagedArtifactError
from nn_clustering.tracking.gridfs import digest_file, digest_id
from nn_clustering.tracking.run_keys import key_of
from nn_clustering.tracking.store.export_folders import read_json, safe_path
from nn_clustering.tracking.store.fields import as_list
from nn_clustering.tracking.store.originals import (
    ARTIFACT,
    RESOURCE,
    SOURCE,
    OriginalFile,
    OriginalRun,
    RunContent,
    lineage_of,
)
from nn_clustering.tracking.writing.delivery import DIED, POINTS_A_DOCUMENT

STORE = "FileStorageObserver"
RUN, CONFIG, INFO, METRICS, OUTPUT = (
    "run.json",
    "config.json",
    "info.json",
    "metrics.json",
    "cout.txt",
)
SILENCE = timedelta(minutes=10)
_TIMES = ("start_time", "stop_time", "heartbeat")
_COLUMNS = ("steps", "values", "timestamps")


def file_storage_runs(folder: Path) -> list[OriginalRun]:
    """The runs in a folder of a FileStorageObserver, or of the folder of one run.

    Args:
        folder: The folder. What is damaged in it is said by the run's `read`.

    Returns:
        None where this is no such folder.
    """
    if _is_run(folder):
        return [_original(folder, folder)]
    places = [place for place in folder.iterdir() if place.is_dir() and not place.is_symlink()]
    places.sort(key=lambda place: (len(place.name), place.name))  # numbers by their size
    return [_original(place, folder) for place in places if _is_run(place)]


def _is_run(folder: Path) -> bool:
    return (folder / RUN).is_file() and (folder / CONFIG).is_file()


def _original(folder: Path, base: Path) -> OriginalRun:
    label = f"run {folder.name} of {base.name if base != folder else folder.parent.name}"
    try:
        entry = _entry(folder)
    except DamagedArtifactError as problem:
        return OriginalRun(
            label, STORE, folder.name, f"folder:{folder}", {}, "", None, _raising(problem)
        )
    return OriginalRun(
        label=label,
        store=STORE,
        id=folder.name,
        key=key_of(entry),
        # Whose numbers they are, nobody can tell.
        inputs=dict.fromkeys(lineage_of(entry), ""),
        status=str(entry.get("status")),
        start_time=entry.get("start_time"),
        read=lambda: _read(folder, base),
    )


def _raising(problem: DamagedArtifactError) -> Any:
    def read() -> RunContent:
        raise problem

    return read


def _entry(folder: Path) -> dict[str, Any]:
    """The run's document, as far as `run.json`, `config.json` and `info.json` tell it."""
    entry = _json(folder, RUN)
    for name in _TIMES:
        if name in entry:
            entry[name] = _time(entry[name])
    entry |= {"_id": folder.name, "config": _json(folder, CONFIG), "format": "FileStorageObserver"}
    entry["info"] = _json(folder, INFO) if (folder / INFO).exists() else {}
    last_sign = entry.get("heartbeat") or entry.get("start_time")
    if entry.get("status") == "RUNNING" and isinstance(last_sign, datetime):
        now = datetime.now(timezone.utc).replace(tzinfo=None)
        if now - last_sign > SILENCE:
            entry |= {"status": DIED, "stop_time": last_sign}
    plain: dict[str, Any] = to_plain(entry)
    return plain


def _read(folder: Path, base: Path) -> RunContent:
    document = _entry(folder)
    files: dict[str, OriginalFile] = {}
    lost: list[str] = []
    document["artifacts"] = [
        _artifact(folder, name, files) for name in as_list(document.get("artifacts")) if name
    ]
    _take_sources(document, base, files, lost)
    _take_resources(document, base, files, lost)
    output = folder / OUTPUT
    if output.is_file() and not output.is_symlink():
        text = to_plain(output.read_bytes().decode("utf-8", "replace"))
        document["captured_out"] = shortened(text, LARGE_FIELDS["captured_out"])
        if document["captured_out"] is not text:
            name = LARGE_FIELDS["captured_out"]
            document["artifacts"].append(_artifact(folder, OUTPUT, files, shown=name))
    metrics = list(_metrics(folder, key_of(document)))
    if metrics:
        entries = [{"name": entry["name"], "id": str(entry["_id"])} for entry in metrics]
        document["info"] = {**document["info"], "metrics": entries}
    return RunContent(document, tuple(files.values()), lambda: metrics, tuple(lost))


def _artifact(
    folder: Path, name: Any, files: dict[str, OriginalFile], shown: str | None = None
) -> dict[str, Any]:
    path = safe_path(folder, str(name))
    added = datetime.fromtimestamp(path.stat().st_mtime, timezone.utc).replace(tzinfo=None)
    label = shown or str(name)
    file_id = _add(files, ARTIFACT, label, path, label)
    return {"name": label, "added": added.replace(microsecond=0), "file_id": file_id}


def _take_sources(
    document: dict[str, Any], base: Path, files: dict[str, OriginalFile], lost: list[str]
) -> None:
    """Have the document's sources name stored files, as Sacred's other observers have it."""
    experiment = document.get("experiment")
    if not isinstance(experiment, dict) or not isinstance(experiment.get("sources"), list):
        return
    sources = []
    for entry in experiment["sources"]:
        if not isinstance(entry, list) or len(entry) != 2:
            continue
        name, stored = map(str, entry)
        try:
            path = safe_path(base, stored)
        except DamagedArtifactError:
            lost.append(name)
            continue
        _check_named_digest(path, name)
        full = PurePosixPath(str(experiment.get("base_dir") or ""), name)
        sources.append([name, _add(files, SOURCE, name, path, str(full))])
    experiment["sources"] = sources


def _take_resources(
    document: dict[str, Any], base: Path, files: dict[str, OriginalFile], lost: list[str]
) -> None:
    resources = []
    for entry in as_list(document.get("resources")):
        if not isinstance(entry, list) or len(entry) != 2:
            continue
        name, stored = map(str, entry)
        try:
            path = safe_path(base, f"_resources/{PurePosixPath(stored).name}")
        except DamagedArtifactError:
            lost.append(name)
            continue
        _check_named_digest(path, name)
        _add(files, RESOURCE, name, path, name)
        resources.append([name, digest_file(path, "md5")])
    document["resources"] = resources


def _check_named_digest(path: Path, name: str) -> None:
    """Compare a file with the MD5 in its name.

    Raises:
        DamagedArtifactError: It is another's.
    """
    named = re.search(r"_([0-9a-f]{32})$", path.stem)
    if named and digest_file(path, "md5") != named[1]:
        raise DamagedArtifactError(f"{name!r} is damaged: its MD5 is not that of its name")


def _add(files: dict[str, OriginalFile], kind: str, name: str, path: Path, filename: str) -> str:
    """Note a file; returns the id that the document has for it."""
    file_id = f"{kind} {name} {path.name}"
    files[file_id] = OriginalFile(
        kind, file_id, f"{kind} {name!r}", {"filename": filename}, path.stat().st_size,
        lambda: contextlib.nullcontext(path),
    )  # fmt: skip
    return file_id


def _metrics(folder: Path, key: str) -> Iterator[dict[str, Any]]:
    if not (folder / METRICS).exists():
        return
    for name, columns in _json(folder, METRICS).items():
        if not isinstance(columns, Mapping):
            continue
        steps, values, times = (as_list(columns.get(column)) for column in _COLUMNS)
        points = {
            "steps": list(map(_number, steps)),
            "values": list(map(_number, values)),
            "timestamps": [_time(time) for time in times],
        }
        for part, start in enumerate(range(0, max(len(values), 1), POINTS_A_DOCUMENT)):
            end = start + POINTS_A_DOCUMENT
            yield {
                "_id": digest_id(f"{key} {name} {part}".encode()),
                "name": name,
                **({"part": part} if part else {}),
                **{column: points[column][start:end] for column in _COLUMNS},
            }


def _number(value: Any) -> Any:
    """A value as it was logged; of a NumPy scalar Sacred has stored the type, too."""
    return value.get("value") if isinstance(value, Mapping) else value


def _time(text: Any) -> Any:
    """The time (UTC) of a text, in whole milliseconds as MongoDB has it; else what was given."""
    try:
        time = datetime.fromisoformat(text)
        if time.tzinfo is not None:
            time = time.astimezone(timezone.utc).replace(tzinfo=None)
    except (TypeError, ValueError, OverflowError):
        return text
    return time.replace(microsecond=time.microsecond // 1000 * 1000)


def _json(folder: Path, name: str) -> dict[str, Any]:
    """A JSON file's mapping.

    Raises:
        DamagedArtifactError: It holds none.
    """
    try:
        found = json.loads(read_json(safe_path(folder, name)))
    except (ValueError, RecursionError) as problem:
        raise DamagedArtifactError(f"{name} is no JSON ({problem})") from None
    if not isinstance(found, dict):
        raise DamagedArtifactError(f"{name} holds a {type(found).__name__}; expected a mapping")
    return found

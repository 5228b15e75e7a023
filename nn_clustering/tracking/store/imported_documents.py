"""What the documents of imported runs become: their numbers, files and names are those of here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

import bson
import bson.errors

from nn_clustering.tracking.encoding import depth_of, to_plain, without_passwords
from nn_clustering.tracking.errors import DamagedArtifactError
from nn_clustering.tracking.gridfs import artifact_ids, digest_file, shown_as, source_id
from nn_clustering.tracking.run_ids import read_id
from nn_clustering.tracking.run_keys import identity_digest
from nn_clustering.tracking.store.dropping import DROPPED
from nn_clustering.tracking.store.fields import as_text
from nn_clustering.tracking.store.originals import (
    ARTIFACT,
    OriginalFile,
    OriginalRun,
    RunContent,
    lineage_of,
)

if TYPE_CHECKING:
    from pathlib import Path

# Of what MongoDB takes, 16 MB and 200, somewhat less: the rest is for what an import adds.
LARGEST_DOCUMENT, DEEPEST_DOCUMENT = 16 * 2**20, 180


def require_storable(document: Mapping[str, Any]) -> None:
    """Refuse what MongoDB would, whose answer ends all that is to be stored with it.

    Raises:
        DamagedArtifactError: It is no document of MongoDB, or none that there is room for.
    """
    if depth_of(document) > DEEPEST_DOCUMENT:
        raise DamagedArtifactError(f"a document is nested more than {DEEPEST_DOCUMENT} deep")
    try:
        size = len(bson.encode(document))
    except (bson.errors.BSONError, OverflowError, ValueError, TypeError) as problem:
        raise DamagedArtifactError(f"a document cannot be stored ({problem})") from None
    if size > LARGEST_DOCUMENT:
        raise DamagedArtifactError(f"a document has {size} bytes; MongoDB takes 16 MB")


def file_here(
    file: OriginalFile, path: Path, sha256: str
) -> tuple[dict[str, Any], Iterable[bson.ObjectId]]:
    """The fields of a file's document here, and the ids that it may have."""
    filename = without_passwords(str(file.fields.get("filename", "")))
    if file.kind != ARTIFACT:
        md5 = digest_file(path, "md5")
        return {"filename": filename, "md5": md5}, [source_id(filename, md5)]
    noted = file.fields.get("metadata")
    facts = {
        **(to_plain(noted) if isinstance(noted, Mapping) else {}),
        "sha256": sha256,
        "size": path.stat().st_size,
    }
    name = filename.rpartition("/")[2]
    _, content_type = shown_as(name, as_text(file.fields.get("contentType")) or None)
    shown = {"filename": filename, "metadata": facts, "contentType": content_type}
    return shown, artifact_ids(facts, content_type)


def document_here(
    original: OriginalRun,
    content: RunContent,
    inputs: Mapping[str, Any],
    files: Mapping[Any, Any],
    metrics: Mapping[Any, Any],
) -> dict[str, Any]:
    """The document of a run as it shall be here, without its number."""
    document = {key: value for key, value in content.document.items() if key != "_id"}
    document = _with_files(document, files)
    if any(old != new for old, new in metrics.items()):
        document = _with_metrics(document, {str(old): str(new) for old, new in metrics.items()})
    document = _with_inputs(document, inputs, original)
    origin = document.get("origin")
    if not isinstance(origin, Mapping):  # else it was imported there, too
        origin = {"store": original.store, "id": original.id, "key": original.key}
    now = datetime.now(timezone.utc)
    return {**document, "origin": {**origin, "imported": now}}


def _with_files(document: dict[str, Any], files: Mapping[Any, Any]) -> dict[str, Any]:
    changed = dict(document)
    if isinstance(document.get(DROPPED), list):  # dropped there, and never here
        changed[DROPPED] = [
            {key: value for key, value in entry.items() if key != "file_id"}
            if isinstance(entry, Mapping)
            else entry
            for entry in document[DROPPED]
        ]
    if isinstance(document.get("artifacts"), list):
        changed["artifacts"] = [_entry_here(entry, files) for entry in document["artifacts"]]
    experiment = document.get("experiment")
    if isinstance(experiment, Mapping) and isinstance(experiment.get("sources"), list):
        sources = [
            [entry[0], files.get(read_id(entry[1]), entry[1])]
            if isinstance(entry, list) and len(entry) == 2
            else entry
            for entry in experiment["sources"]
        ]
        changed["experiment"] = {**experiment, "sources": sources}
    return changed


def _entry_here(entry: Any, files: Mapping[Any, Any]) -> Any:
    """An artifact's entry, with the id of its file here, under a name that no browser runs."""
    if isinstance(entry, list):
        return [files.get(one, one) if isinstance(one, bson.ObjectId) else one for one in entry]
    if not isinstance(entry, Mapping):
        return files.get(entry, entry) if isinstance(entry, bson.ObjectId) else entry
    if "file_id" not in entry:
        return entry
    file_id = read_id(entry["file_id"])
    if file_id not in files:
        raise DamagedArtifactError(f"artifact {entry.get('name')!r} is not among its files")
    here = {**entry, "file_id": files[file_id]}
    name = entry.get("name")
    if isinstance(name, str):
        here["name"], _ = shown_as(name, None)
        if here["name"] != name:
            here.setdefault("original_name", name)
    return here


def _with_metrics(document: dict[str, Any], ids: Mapping[str, str]) -> dict[str, Any]:
    info = document.get("info")
    entries = info.get("metrics") if isinstance(info, Mapping) else None
    if not isinstance(info, Mapping) or not isinstance(entries, list):
        return document
    changed = [
        {**entry, "id": ids.get(str(entry.get("id")), entry.get("id"))}
        if isinstance(entry, Mapping)
        else entry
        for entry in entries
    ]
    return {**document, "info": {**info, "metrics": changed}}


def _with_inputs(
    document: dict[str, Any], numbers: Mapping[str, Any], original: OriginalRun
) -> dict[str, Any]:
    """A run's document that names the runs which it read by their numbers here.

    Its identity is that of a run which would read those, so that it is reused as before.
    """
    lineage = lineage_of(document)
    if not lineage:
        return document
    info = document["info"]
    unknown = {name: f"run {lineage[name]} of another store" for name in lineage.keys() - numbers}
    here = {lineage[name]: value for name, value in {**numbers, **unknown}.items()}
    digests = info.get("inputs")
    changed_info = {
        **info,
        "lineage": {key: numbers.get(key, run) for key, run in info["lineage"].items()},
    }
    for name in unknown:
        del changed_info["lineage"][name]
    if isinstance(digests, Mapping):
        changed_info["inputs"] = {
            name: here.get(digest, digest) if is_number(digest) else digest
            for name, digest in digests.items()
        }
    changed = {**document, "info": changed_info}
    for name in ("config", "result"):
        if isinstance(document.get(name), Mapping):
            changed[name] = _renumbered(document[name], here, lineage)
    if unknown:
        left_out = {name: lineage[name] for name in unknown}
        changed["origin"] = {
            "store": original.store, "id": original.id, "key": original.key, "lineage": left_out,
        }  # fmt: skip
    tracking = document.get("tracking")
    if isinstance(tracking, Mapping) and tracking.get("identity"):
        identity = None if unknown else _identity_here(document, changed)
        changed["tracking"] = {**tracking, "identity": identity}
    return changed


def _identity_here(original: Mapping[str, Any], changed: Mapping[str, Any]) -> str | None:
    """The identity of a run that reads others here; None where it was not made as ours are."""
    before, after = map(_identity_of, (original, changed))
    return after if before == original["tracking"]["identity"] else None


def _identity_of(document: Mapping[str, Any]) -> str:
    info = document["info"]
    inputs = [info.get("inputs"), info.get("lineage")]
    name = (document.get("experiment") or {}).get("name")
    return identity_digest(str(name), document.get("config") or {}, inputs, str(info.get("code")))


def _renumbered(value: Any, here: Mapping[Any, Any], lineage: Mapping[str, Any]) -> Any:
    """A config or result in which what names a run that was read names it by its number here."""
    if not isinstance(value, Mapping):
        return value
    return {
        key: _numbered(entry, here)
        if key in lineage or key in ("run", "runs") or key.endswith(("_run", "_runs"))
        else _renumbered(entry, here, lineage)
        for key, entry in value.items()
    }


def _numbered(value: Any, here: Mapping[Any, Any]) -> Any:
    if isinstance(value, Mapping):
        return {key: _numbered(entry, here) for key, entry in value.items()}
    if isinstance(value, list):
        return [_numbered(entry, here) for entry in value]
    return here.get(value, value) if is_number(value) or isinstance(value, str) else value


def is_number(value: Any) -> bool:
    """Whether a value can be the number of a run."""
    return isinstance(value, int) and not isinstance(value, bool)

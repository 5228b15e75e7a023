"""What anybody can read of the journals on the disk, without their locks.

The header and the document carry a SHA-256 of their content, and tell whether they are of this
journal: the header has its token, the SHA-256 of the document begins with it. Those of version
0.2.0 and before have none: a header is the facts alone, a document plain BSON.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import bson
import bson.errors

# Of journals that were damaged, beside those that wait.
DAMAGED = "damaged"
_DOCUMENT_MARK = b"\xa5NND\x02"
_FORMER_FACTS = {
    "token", "experiment", "database", "address", "pid", "started", "run_id", "captured",
}  # fmt: skip


class DamagedFileError(Exception):
    """A file of a journal is not what was written."""


def journal_folders(root: Path) -> list[Path]:
    """The journals under `root`, oldest first."""
    folders = [path.parent for path in root.glob("*/lock")]
    return sorted(folders, key=lambda folder: (read_header(folder).get("started", ""), folder.name))


def damaged_journals(root: Path) -> list[Path]:
    """The journals that are kept although what is whole of them was delivered."""
    return sorted(path.parent for path in (root / DAMAGED).glob("*/lock"))


def is_finished(folder: Path) -> bool:
    """Whether the run of this journal has ended in order and only waits to be delivered."""
    return bool(read_document(folder).get("finished"))


def read_header(folder: Path) -> dict[str, Any]:
    """Facts about the run of this journal, empty where they cannot be read."""
    try:
        return decode_header((folder / "header.json").read_bytes())
    except (OSError, DamagedFileError):
        return {}


def read_document(folder: Path) -> dict[str, Any]:
    """The latest state of the run's document, empty where none was written or can be read."""
    try:
        return decode_document((folder / "document.bson").read_bytes(), folder.name)
    except (OSError, DamagedFileError):
        return {}


def encode_header(header: Mapping[str, Any]) -> bytes:
    """What header.json holds."""
    facts = dict(header)
    return json.dumps({"header": facts, "sha256": _digest_of_facts(facts)}).encode()


def decode_header(content: bytes) -> dict[str, Any]:
    """The facts about a run that header.json holds.

    Raises:
        DamagedFileError: It is not as it was written.
    """
    try:
        found = json.loads(content.decode("utf-8"))
    except ValueError:
        found = None
    if isinstance(found, dict):
        facts = found.get("header")
        if isinstance(facts, dict) and found.get("sha256") == _digest_of_facts(facts):
            return facts
        if found.keys() <= _FORMER_FACTS:
            return found
    raise DamagedFileError("header.json is damaged")


def encode_document(document: Mapping[str, Any], token: str) -> bytes:
    """What document.bson holds, in the journal of a token.

    Raises:
        BSONError, OverflowError: The document holds what BSON cannot.
    """
    content: bytes = bson.encode(document)
    return b"".join((_DOCUMENT_MARK, _digest_of_document(content, token), content))


def decode_document(content: bytes, token: str) -> dict[str, Any]:
    """The state of a run's document that document.bson holds, in the journal of a token.

    Raises:
        DamagedFileError: It is not as it was written, or that of another journal.
    """
    try:
        if content.startswith(_DOCUMENT_MARK):
            begin = len(_DOCUMENT_MARK) + hashlib.sha256().digest_size
            digest, content = content[len(_DOCUMENT_MARK) : begin], content[begin:]
            if _digest_of_document(content, token) != digest:
                raise DamagedFileError("document.bson is damaged")
        found: dict[str, Any] = bson.decode(content)
        return found
    except bson.errors.InvalidBSON:
        raise DamagedFileError("document.bson is damaged") from None


def _digest_of_document(content: bytes, token: str) -> bytes:
    return hashlib.sha256(token.encode() + content).digest()


def _digest_of_facts(facts: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()

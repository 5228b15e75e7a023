"""What anybody can read of the journals on the disk, without their locks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import bson
import bson.errors


def journal_folders(root: Path) -> list[Path]:
    """The journals under `root`, oldest first."""
    folders = [path.parent for path in root.glob("*/lock")]
    return sorted(folders, key=lambda folder: (read_header(folder).get("started", ""), folder.name))


def is_finished(folder: Path) -> bool:
    """Whether the run of this journal has ended in order and only waits to be delivered."""
    return bool(read_document(folder).get("finished"))


def read_header(folder: Path) -> dict[str, Any]:
    """Facts about the run of this journal, empty where they cannot be read."""
    try:
        content: dict[str, Any] = json.loads((folder / "header.json").read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return content


def read_document(folder: Path) -> dict[str, Any]:
    """The latest state of the run's document, empty where none was written."""
    try:
        found: dict[str, Any] = bson.decode((folder / "document.bson").read_bytes())
        return found
    except (OSError, bson.errors.InvalidBSON):
        return {}

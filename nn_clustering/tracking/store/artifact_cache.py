"""Artifacts that were read before, kept on this machine's disk under their SHA-256."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import time
from pathlib import Path

from nn_clustering.tracking.atomic_files import DRAFT, write_at_once

LARGEST_CACHE = 4 * 2**30
# What a crash left half written; nobody writes for longer than this.
ABANDONED_SECONDS = 3600.0


class ArtifactCache:
    """A folder of files, each named by the SHA-256 of its content; nothing it does can fail.

    Any number of processes may use it at once. What is read is checked, so that whatever happens
    to the folder, wrong content never comes out of it.
    """

    def __init__(self, folder: Path, limit: int = LARGEST_CACHE) -> None:
        """Use a folder, made when the first artifact is kept.

        Args:
            folder: The folder.
            limit: Bytes that the files may take together; the least recently used go first.
        """
        self.folder = folder
        self.limit = limit

    def read(self, digest: str) -> bytes | None:
        """The content that has this SHA-256 (hex), None where it is not kept undamaged."""
        path = self._path(digest)
        if path is None:
            return None
        try:
            content = path.read_bytes()
        except OSError:
            return None
        with contextlib.suppress(OSError):
            if hashlib.sha256(content).hexdigest() == digest:
                os.utime(path)  # used now
                return content
            path.unlink()
        # Right content counts even where its time could not be set.
        return content if hashlib.sha256(content).hexdigest() == digest else None

    def write(self, digest: str, content: bytes) -> None:
        """Keep content under its SHA-256 (hex), where there is room for it."""
        path = self._path(digest)
        if path is None or len(content) > self.limit:
            return
        with contextlib.suppress(OSError):
            for folder in (self.folder.parent, self.folder):
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.folder.chmod(0o700)
            self._make_room(len(content))
            write_at_once(path, content)

    def _path(self, digest: str) -> Path | None:
        # It comes out of a database, where anything may stand in its place.
        return self.folder / digest if re.fullmatch("[0-9a-f]{64}", digest) else None

    def _make_room(self, n_bytes: int) -> None:
        entries = []
        for entry in os.scandir(self.folder):
            with contextlib.suppress(OSError):  # gone meanwhile
                facts = entry.stat(follow_symlinks=False)
                is_draft = entry.name.startswith(DRAFT)
                if is_draft and facts.st_mtime < time.time() - ABANDONED_SECONDS:
                    os.unlink(entry.path)
                elif not is_draft:
                    entries.append((facts.st_mtime_ns, facts.st_size, entry.path))
        total = n_bytes + sum(size for _, size, _ in entries)
        for _, size, path in sorted(entries):
            if total <= self.limit:
                return
            with contextlib.suppress(OSError):
                os.unlink(path)
                total -= size

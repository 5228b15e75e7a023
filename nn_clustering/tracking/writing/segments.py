"""The events of a journal on the disk: files of frames, each a CRC-32 and a BSON document.

    1.events, 2.events, ...

A frame that was cut short by a crash can only stand at the end of a segment, and is left out.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import bson

from nn_clustering.tracking.writing.disk import write_all
from nn_clustering.tracking.writing.journal_bound import no_room

# A segment is deleted as a whole once it is delivered, so they are kept short.
SEGMENT_BYTES = 4 * 2**20
_CHECKSUM = struct.Struct("<I")
_LENGTH = struct.Struct("<i")


class Segments:
    """The segments of one journal; one thread at a time may use them."""

    def __init__(self, folder: Path) -> None:
        """Go on after the last segment in the folder."""
        self._folder = folder
        self._handle: int | None = None
        self._size = 0
        self._number = max((number for number, _ in self._numbered()), default=0)

    def append(self, frame: bytes, on_written: Callable[[], object]) -> Path:
        """Write a frame; returns the segment that it is in.

        Args:
            frame: From `frame_of`.
            on_written: Called once it is written, even if Ctrl-C comes in between; perhaps twice.

        Raises:
            JournalFullError: The disk does not take it.
        """
        start = self._size
        try:
            if self._handle is None:
                self._number += 1
                path = self._folder / f"{self._number}.events"
                self._handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
                self._path, self._size = path, 0
            start = self._size
            write_all(self._handle, frame)
            on_written()
            self._size += len(frame)
        except OSError as problem:
            self.close()  # half a frame may only ever stand at the end of a segment
            raise no_room(self._folder, problem) from None
        except BaseException:  # Ctrl-C, before or after the writing
            if self._handle is not None:
                if os.fstat(self._handle).st_size == start + len(frame):
                    on_written()
                self.close()
            raise
        return self._path

    @property
    def is_long(self) -> bool:
        """Whether the segment that is written to holds enough."""
        return self._size > SEGMENT_BYTES

    def close(self) -> None:
        """End the segment that is written to; the next frame begins another."""
        handle, self._handle = self._handle, None
        if handle is not None:
            os.close(handle)

    def paths(self) -> list[Path]:
        """The segments in their order."""
        return [path for _, path in sorted(self._numbered())]

    def _numbered(self) -> Iterator[tuple[int, Path]]:
        for path in self._folder.glob("*.events"):
            yield int(path.stem), path


def frame_of(record: Mapping[str, Any]) -> bytes:
    """An event as it stands in a segment.

    Raises:
        BSONError, OverflowError: The event holds what BSON cannot.
    """
    content: bytes = bson.encode(record)
    return _CHECKSUM.pack(zlib.crc32(content)) + content


def read_events(segment: Path) -> Iterator[dict[str, Any]]:
    """The events of a segment, up to where the process or the machine died in the middle."""
    content = segment.read_bytes()
    position = 0
    while position + 8 <= len(content):
        (checksum,) = _CHECKSUM.unpack_from(content, position)
        (length,) = _LENGTH.unpack_from(content, position + 4)
        frame = content[position + 4 : position + 4 + length]
        if length < 5 or len(frame) < length or zlib.crc32(frame) != checksum:
            return
        yield bson.decode(frame)
        position += 4 + length

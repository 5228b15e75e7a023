"""What is in a segment of a journal: frames, one an event, each a header and a document in BSON.

A header has a mark, the length of the document, the event's number in its journal, and CRC-32s of
the document and of the header. So the next frame is found again behind whatever is damaged, and the
numbers say how many events are missing. The document's goes on from that of the journal's token:
an event of another journal is damage, too. A frame that was cut short, by a crash or a full disk,
can only stand at the end of a segment; its event counts as not written, and has no number.

In segments of version 0.2.0 and before a frame is a CRC-32 and a document, without numbers.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import bson

MARK = b"\xa5NN\x02"
# Mark, length of the document, number of the event, CRC-32 of the document.
_FACTS = struct.Struct("<4sIQI")
_CHECKSUM = struct.Struct("<I")
HEADER_BYTES = _FACTS.size + _CHECKSUM.size
_FORMER_LENGTH = struct.Struct("<i")
_SHORTEST_DOCUMENT = 5


@dataclass(frozen=True)
class Event:
    """An event as it was found.

    Attributes:
        number: Its number in the journal; None in segments of a former version.
        position: The byte of the segment where its frame begins.
        record: The event.
    """

    number: int | None
    position: int
    record: dict[str, Any]


@dataclass(frozen=True)
class Frames:
    """What the bytes of a segment hold.

    Attributes:
        events: The events that are whole.
        broken: Bytes where something begins that is no frame, though it was not cut short.
        size: The number of bytes.
    """

    events: list[Event] = field(default_factory=list)
    broken: list[int] = field(default_factory=list)
    size: int = 0

    @property
    def last_number(self) -> int | None:
        """The number of the last event."""
        return self.events[-1].number if self.events else None


@dataclass(frozen=True)
class Damage:
    """A place of a segment where events are missing.

    Attributes:
        file: The segment's name.
        position: The byte where it begins.
        n_missing: How many events; None where that cannot be known.
    """

    file: str
    position: int
    n_missing: int | None

    def __str__(self) -> str:
        """In words."""
        missing = "some events are missing"
        if self.n_missing is not None:
            missing = f"{self.n_missing:,} event{'s are' if self.n_missing > 1 else ' is'} missing"
        return f"{self.file} is damaged at byte {self.position}: {missing}"


def seed_of(token: str) -> int:
    """What the checksums of a journal's events go on from."""
    return zlib.crc32(token.encode())


def frame_of(number: int, content: bytes, seed: int) -> bytes:
    """An event, in BSON, as it stands in a segment of the journal that has this seed."""
    facts = _FACTS.pack(MARK, len(content), number, zlib.crc32(content, seed))
    return b"".join((facts, _CHECKSUM.pack(zlib.crc32(facts)), content))


def read_frames(content: bytes, seed: int) -> Frames:
    """The events that the bytes of a segment hold, and where they are damaged.

    Args:
        content: The bytes.
        seed: From `seed_of` the token of the journal.
    """
    frames = Frames(size=len(content))
    if _next_header(content, 0) is None:
        _read_former(content, frames)
    else:
        _read_numbered(content, seed, frames)
    return frames


def damages_of(name: str, frames: Frames, start: int | None, end: int | None) -> Iterator[Damage]:
    """Where events of a segment are missing.

    Args:
        name: The segment's name.
        frames: What it holds.
        start: The number of its first event, where that is known.
        end: The number after that of its last event, or one that is smaller, where that is known.
    """
    broken = [*frames.broken, frames.size]
    expected = start
    for event in frames.events:
        is_behind = broken[0] < event.position
        at = broken[0] if is_behind else event.position
        if event.number is None or expected is None:
            if is_behind:
                yield Damage(name, at, None)
        elif event.number > expected:
            yield Damage(name, at, event.number - expected)
        while broken[0] < event.position:
            del broken[0]
        expected = None if event.number is None else event.number + 1
    if expected is not None and end is not None and expected < end:
        yield Damage(name, broken[0], end - expected)
    elif len(broken) > 1:
        yield Damage(name, broken[0], None)


def _header(content: bytes, position: int) -> tuple[int, int, int] | None:
    """Length, number and checksum of the frame that begins here, if one does."""
    if position + HEADER_BYTES > len(content) or not content.startswith(MARK, position):
        return None
    (checksum,) = _CHECKSUM.unpack_from(content, position + _FACTS.size)
    if zlib.crc32(content[position : position + _FACTS.size]) != checksum:
        return None
    _, length, number, content_checksum = _FACTS.unpack_from(content, position)
    return length, number, content_checksum


def _next_header(content: bytes, position: int) -> int | None:
    """Where the next frame begins, here or behind."""
    while (position := content.find(MARK, position)) >= 0:
        if _header(content, position) is not None:
            return position
        position += 1
    return None


def _read_numbered(content: bytes, seed: int, frames: Frames) -> None:
    position = 0
    while position < len(content):
        header = _header(content, position)
        if header is None:
            following = _next_header(content, position)
            if following is None and _is_cut_short(content, position, HEADER_BYTES):
                return
            frames.broken.append(position)
            if following is None:
                return
            position = following
            continue
        length, number, checksum = header
        begin, end = position + HEADER_BYTES, position + HEADER_BYTES + length
        if end > len(content):
            return  # cut short
        document = content[begin:end]
        if zlib.crc32(document, seed) == checksum:
            frames.events.append(Event(number, position, bson.decode(document)))
        else:
            frames.broken.append(position)
        position = end


def _is_cut_short(content: bytes, position: int, n_bytes: int) -> bool:
    """Whether the rest is too short for a frame, or never reached the disk: all zeros then."""
    return len(content) - position < n_bytes or not any(content[position:])


def _read_former(content: bytes, frames: Frames) -> None:
    position = 0
    while position < len(content):
        document = _former_document(content, position)
        if document is not None:
            frames.events.append(Event(None, position, bson.decode(document)))
            position += 4 + len(document)
            continue
        later = range(position + 1, len(content) - 4 - _SHORTEST_DOCUMENT + 1)
        following = next((at for at in later if _former_document(content, at)), None)
        if following is None and _is_former_cut_short(content, position):
            return
        frames.broken.append(position)
        if following is None:
            return
        position = following


def _former_document(content: bytes, position: int) -> bytes | None:
    if position + 4 + _SHORTEST_DOCUMENT > len(content):
        return None
    (length,) = _FORMER_LENGTH.unpack_from(content, position + 4)
    end = position + 4 + length
    if length < _SHORTEST_DOCUMENT or end > len(content) or content[end - 1]:
        return None
    document = content[position + 4 : end]
    (checksum,) = _CHECKSUM.unpack_from(content, position)
    return document if zlib.crc32(document) == checksum else None


def _is_former_cut_short(content: bytes, position: int) -> bool:
    if _is_cut_short(content, position, 8):
        return True
    (length,) = _FORMER_LENGTH.unpack_from(content, position + 4)
    return bool(position + 4 + length > len(content))

"""Files of TensorFlow records (TFRecord), read at any place without TensorFlow.

A record is its length, a checksum of that, an example and a checksum of it. An example is a message
of Protocol Buffers: a map from names to lists of bytes, floats or whole numbers.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

# Before an example, and after it.
_HEAD, _TAIL = 12, 4
# Bytes that hold the head of a field of a message, and most small values.
_WINDOW = 64
# What a checksum is masked with, so that one of checksums is another.
_MASK = 0xA282EAD8
_VARINT, _FIXED_64, _BYTES, _FIXED_32 = 0, 1, 2, 5


class DamagedRecordsError(Exception):
    """A file of records is not as it should be; says where."""


@dataclass(frozen=True)
class Span:
    """Where something lies in a file.

    Attributes:
        start: Its first byte.
        end: The byte after its last.
    """

    start: int
    end: int


@dataclass(frozen=True)
class RecordFile:
    """A file of records that is open for reading, by several threads at once.

    Attributes:
        descriptor: Of the open file.
        n_bytes: Its size.
    """

    descriptor: int
    n_bytes: int

    def read(self, start: int, end: int) -> bytes:
        """Return the bytes at a place, fewer where the file ends before."""
        return os.pread(self.descriptor, end - start, start)

    def records(self) -> Iterator[Span]:
        """Yield where each example lies.

        Raises:
            DamagedRecordsError: If the file does not consist of records.
        """
        start = 0
        while start < self.n_bytes:
            head = self.read(start, start + _HEAD)
            if len(head) < _HEAD:
                raise DamagedRecordsError("it ends within a record")
            length, checksum = struct.unpack("<QI", head)
            if checksum != _masked_crc(head[:8]):
                raise DamagedRecordsError(f"no record begins at byte {start:,}")
            span = Span(start + _HEAD, start + _HEAD + length)
            if span.end + _TAIL > self.n_bytes:
                raise DamagedRecordsError("it ends within a record")
            yield span
            start = span.end + _TAIL

    def features(self, example: Span) -> dict[str, Span]:
        """Return where the list of each feature of an example lies.

        Raises:
            DamagedRecordsError: If it is no example.
        """
        found = {}
        for _, features in self._fields(example):
            for _, entry in self._fields(features):
                parts = dict(self._fields(entry))
                if set(parts) != {1, 2}:
                    raise DamagedRecordsError(f"no example lies at byte {example.start:,}")
                key = self.read(parts[1].start, parts[1].end).decode(errors="replace")
                found[key] = parts[2]
        return found

    def bytes_at(self, feature: Span) -> Span:
        """Return where the bytes of a feature of one value lie.

        Raises:
            DamagedRecordsError: If it has no such value.
        """
        return self._only(self._only(feature, 1), 1)

    def integer_at(self, feature: Span) -> int:
        """Return the whole number of a feature of one value.

        Raises:
            DamagedRecordsError: If it has no such value.
        """
        values = self._only(feature, 3)
        content = self.read(values.start, values.end)
        # packed, as a field of bytes, or by itself
        place = 1
        if content[:1] == b"\x0a":
            _, place = _varint(content, 1)
        number, place = _varint(content, place)
        if place != len(content):
            raise DamagedRecordsError(f"not one number lies at byte {values.start:,}")
        return number - 2**64 if number >= 2**63 else number

    def _only(self, message: Span, number: int) -> Span:
        fields = list(self._fields(message))
        if len(fields) != 1 or fields[0][0] != number:
            raise DamagedRecordsError(f"not one value lies at byte {message.start:,}")
        return fields[0][1]

    def _fields(self, message: Span) -> Iterator[tuple[int, Span]]:
        """Yield the number of each field of a message, and where what it holds lies."""
        start = message.start
        while start < message.end:
            window = self.read(start, min(start + _WINDOW, message.end))
            tag, place = _varint(window, 0)
            kind = tag & 7
            if kind == _BYTES:
                length, place = _varint(window, place)
            elif kind == _VARINT:
                length = _varint(window, place)[1] - place
            elif kind in (_FIXED_32, _FIXED_64):
                length = 4 if kind == _FIXED_32 else 8
            else:
                raise DamagedRecordsError(f"no field lies at byte {start:,}")
            span = Span(start + place, start + place + length)
            if span.end > message.end:
                raise DamagedRecordsError(f"a field at byte {start:,} goes beyond its example")
            yield tag >> 3, span
            start = span.end


def open_records(path: Path | str) -> RecordFile:
    """Open a file of records; whoever opens it closes its descriptor.

    Raises:
        OSError: If it cannot be read.
    """
    descriptor = os.open(path, os.O_RDONLY)
    return RecordFile(descriptor, os.fstat(descriptor).st_size)


def _varint(content: bytes, place: int) -> tuple[int, int]:
    """Return a number of seven bits a byte, and the place after it."""
    number = 0
    for shift in range(0, 64, 7):
        if place >= len(content):
            break
        byte = content[place]
        place += 1
        number |= (byte & 127) << shift
        if byte < 128:
            return number, place
    raise DamagedRecordsError("it holds no number where one belongs")


def _masked_crc(content: bytes) -> int:
    crc = 0xFFFFFFFF
    for byte in content:
        crc = _crc_table()[(crc ^ byte) & 255] ^ (crc >> 8)
    crc ^= 0xFFFFFFFF
    return (((crc >> 15) | (crc << 17)) + _MASK) & 0xFFFFFFFF


@cache
def _crc_table() -> tuple[int, ...]:
    """The table of CRC-32C (Castagnoli), which zlib's is not."""
    table = []
    for number in range(256):
        for _ in range(8):
            number = (number >> 1) ^ (0x82F63B78 if number & 1 else 0)  # noqa: PLW2901
        table.append(number)
    return tuple(table)

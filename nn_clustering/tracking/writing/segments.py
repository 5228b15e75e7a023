"""The events of a journal on the disk: files of frames, `1.events`, `2.events`, and so on.

The latest events are kept in memory too, so that they can be delivered without the disk. See
`frames.py` for what is in a file.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from nn_clustering.tracking.writing.disk import write_all
from nn_clustering.tracking.writing.frames import (
    Damage,
    Frames,
    damages_of,
    frame_of,
    read_frames,
    seed_of,
)
from nn_clustering.tracking.writing.journal_bound import no_room

# A segment is deleted as a whole once it is delivered, so they are kept short.
SEGMENT_BYTES = 4 * 2**20
# Some 30 MB of points: what is logged in a few seconds.
KEPT_EVENTS = 100_000


class Segments:
    """The segments of one journal; one thread at a time may use them."""

    def __init__(self, folder: Path, starts: Mapping[str, int]) -> None:
        """Go on after the last segment in the folder.

        Args:
            folder: The journal's, named by its token.
            starts: What `starts` said when the journal's document was written.
        """
        self._folder = folder
        self._seed = seed_of(folder.name)
        # A copy of one, that someone made beside it, is none.
        found = [path for path in folder.glob("*.events") if path.stem.isdecimal()]
        numbered = sorted((int(path.stem), path) for path in found)
        self._paths = [path for _, path in numbered]
        self._last = numbered[-1][0] if numbered else 0
        self._handle: int | None = None
        self._size = 0
        # Number of the next event, None where others wrote here whose events are not counted yet.
        self._next: int | None = None if numbered or starts else 0
        self._starts = {folder / name: number for name, number in starts.items()}
        # Of some segments all events in memory, by their numbers.
        self._kept: dict[Path, dict[int, Mapping[str, Any]]] = {}
        self._n_kept = 0

    def append(
        self, content: bytes, record: Mapping[str, Any], on_written: Callable[[], object]
    ) -> tuple[Path, int]:
        """Write an event; returns the segment that it is in, and how many bytes it takes there.

        Args:
            content: The event in BSON.
            record: The event.
            on_written: Called once it is written, even if Ctrl-C comes in between; perhaps twice.

        Raises:
            JournalFullError: The disk does not take it.
        """
        start, n_bytes = self._size, 0
        try:
            if self._handle is None:
                start = 0
                self._begin()
            number = self._next
            assert number is not None
            frame = frame_of(number, content, self._seed)
            n_bytes = len(frame)
            write_all(self._handle, frame)  # type: ignore[arg-type]  # opened above
            self._take(number, record, start + n_bytes, on_written)
        except OSError as problem:
            self.close()  # half a frame may only ever stand at the end of a segment
            raise no_room(self._folder, problem) from None
        except BaseException:  # Ctrl-C, before or after the writing
            if self._handle is not None:
                if n_bytes and os.fstat(self._handle).st_size == start + n_bytes:
                    assert number is not None
                    self._take(number, record, start + n_bytes, on_written)
                self.close()
            raise
        return self._paths[-1], n_bytes

    def _begin(self) -> None:
        if self._next is None:
            self._next = self._number_after_last()
        self._last += 1
        path = self._folder / f"{self._last}.events"
        # Before the file is there: were we interrupted in between, nobody would deliver it.
        self._starts[path], self._kept[path] = self._next, {}
        self._paths.append(path)
        self._size = 0
        self._handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def _number_after_last(self) -> int:
        found = (self._frames(path).last_number for path in reversed(self._paths))
        return next((number + 1 for number in found if number is not None), 0)

    def _take(
        self, number: int, record: Mapping[str, Any], size: int, on_written: Callable[[], object]
    ) -> None:
        """Note an event that is written; to do it again changes nothing."""
        on_written()
        path = self._paths[-1]
        kept = self._kept.get(path)
        if kept is not None:
            kept[number] = record
            if self._n_kept + len(kept) > KEPT_EVENTS:
                del self._kept[path]
        self._next, self._size = number + 1, size

    @property
    def is_long(self) -> bool:
        """Whether the segment that is written to holds enough."""
        return self._size > SEGMENT_BYTES

    @property
    def n_events(self) -> int | None:
        """How many events were written so far, None where that is not known."""
        return self._next

    @property
    def starts(self) -> dict[str, int]:
        """For each segment the number of its first event, where that is known."""
        return {path.name: self._starts[path] for path in self._paths if path in self._starts}

    def close(self) -> None:
        """End the segment that is written to; the next event begins another."""
        handle, self._handle = self._handle, None
        if handle is not None:
            self._n_kept += len(self._kept.get(self._paths[-1], ()))
            with contextlib.suppress(OSError):
                os.close(handle)

    def paths(self) -> list[Path]:
        """The segments that are not forgotten, in their order."""
        return list(self._paths)

    def forget(self, path: Path) -> None:
        """Take a segment for delivered."""
        with contextlib.suppress(ValueError):
            self._paths.remove(path)
        self._n_kept -= len(self._kept.pop(path, ()))

    def read(
        self, path: Path, n_events: int | None
    ) -> tuple[list[Mapping[str, Any]], list[Damage]]:
        """The events of a segment that is not written to any more, and what of it is damaged.

        From the disk they are all that is left of them: a frame that was cut short at the end
        counts for nothing, unless the numbers of the events say that one is missing.

        Args:
            path: The segment.
            n_events: How many events the journal must have had at least, where that is known.

        Raises:
            OSError: It cannot be read.
        """
        kept, start, end = (
            self._kept.get(path),
            self._starts.get(path),
            self._end_of(path, n_events),
        )
        if kept is not None and start is not None and end == start + len(kept):
            return list(kept.values()), []
        frames = self._frames(path)
        damages = list(damages_of(path.name, frames, start, end))
        following, last = self._following(path), frames.last_number
        after = start if last is None else last + 1
        if following is not None and after is not None:
            self._starts.setdefault(following, after)
        return [event.record for event in frames.events], damages

    def _frames(self, path: Path) -> Frames:
        return read_frames(path.read_bytes(), self._seed)

    def n_missing(self, path: Path) -> int | None:
        """How many events a segment has that cannot be read at all; None if that is not known."""
        start, end = self._starts.get(path), self._end_of(path, None)
        return None if start is None or end is None else end - start

    def _end_of(self, path: Path, n_events: int | None) -> int | None:
        following = self._following(path)
        if following is not None:
            return self._starts.get(following)
        return n_events if self._next is None else self._next

    def _following(self, path: Path) -> Path | None:
        position = self._paths.index(path) + 1
        return self._paths[position] if position < len(self._paths) else None

"""Complete captured output for Sacred runs.

Sacred copies what a run prints into the run's document, but closes the copy before the last
heartbeat has read its end: of a run shorter than a heartbeat that fails, nothing is kept. It also
decodes the copy at arbitrary bytes, and a letter cut in half ends the heartbeat thread, and with
it everything that this thread still had to store.
"""

from __future__ import annotations

import codecs
import contextlib
import os
import threading
from collections.abc import Iterator
from typing import Any

from sacred import SETTINGS, stdout_capturing
from sacred.stdout_capturing import CapturedStdout, tee_output_fd as sacreds_tee


class CompleteCapturedStdout(CapturedStdout):  # type: ignore[misc]  # Sacred has no types
    """Sacred's captured output, which stays open until its end was read."""

    def __init__(self, buffer: Any) -> None:
        super().__init__(buffer)
        self.final: str | None = None
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._owner = threading.get_ident()
        self._lock = threading.Lock()
        self._is_file = not hasattr(buffer, "getvalue")

    @property
    def closed(self) -> bool:
        """Whether everything was read (Sacred's: whether the buffer is closed)."""
        return bool(self.buffer.closed) and self.final is None

    def get(self) -> str:
        """What was captured since the last call."""
        # Sacred adds up the pieces from two threads without a lock, and could lose one: only the
        # heartbeat thread gets any, the last of them after the run.
        if threading.get_ident() == self._owner:
            return ""
        with self._lock:
            if self.final is not None:
                text, self.final = self.final, None
                return text
            return "" if self.buffer.closed else self._read(end=False)

    def finalize(self) -> None:
        """Keep the rest for the last heartbeat and close the buffer."""
        with self._lock:
            self.flush()
            self.final = self._read(end=True)
            self.buffer.close()

    def _read(self, end: bool) -> str:
        if not self._is_file:
            text: str = self.buffer.getvalue()[self.read_position :]
            self.read_position += len(text)
            return text
        pieces = []
        # The file is read beside Python's own buffered reader, whose position is the writer's.
        while piece := os.pread(self.buffer.fileno(), 1 << 20, self.read_position):
            self.read_position += len(piece)
            pieces.append(piece)
        return self._decoder.decode(b"".join(pieces), final=end)


@contextlib.contextmanager
def _tee_in_order() -> Iterator[CapturedStdout]:
    """As Sacred does it, but in the order of printing where both streams go to one place.

    Sacred copies each stream by a process of its own, and what was printed last can come first.
    """
    is_one_place = os.path.sameopenfile(1, 2)
    with sacreds_tee() as captured:
        if is_one_place:
            os.dup2(1, 2)
        yield captured


@contextlib.contextmanager
def complete_capture(mode: str = "fd") -> Iterator[None]:
    """Within the block, Sacred keeps all that a run prints.

    Wrap the call that runs the experiment::

        with complete_capture():
            experiment.run_commandline()

    Args:
        mode: Sacred's capture mode where the command line names none with `-C`: `fd` also keeps
            what libraries print from C, `sys` only what Python prints, `no` nothing.
    """
    original_class, original_mode = stdout_capturing.CapturedStdout, SETTINGS["CAPTURE_MODE"]
    stdout_capturing.CapturedStdout = CompleteCapturedStdout
    stdout_capturing.tee_output_fd = _tee_in_order
    SETTINGS["CAPTURE_MODE"] = mode
    try:
        yield
    finally:
        stdout_capturing.CapturedStdout = original_class
        stdout_capturing.tee_output_fd = sacreds_tee
        SETTINGS["CAPTURE_MODE"] = original_mode

"""The end of a run: all that it logged is delivered, or whoever started it hears what is not."""

from __future__ import annotations

import logging
import tempfile
from datetime import datetime
from pathlib import Path

from nn_clustering.tracking.writing.courier import Courier
from nn_clustering.tracking.writing.delivery import short_reason
from nn_clustering.tracking.writing.event_writer import EventWriter
from nn_clustering.tracking.writing.journal import Journal
from nn_clustering.tracking.writing.journal_reading import is_finished, journal_folders, read_header
from nn_clustering.tracking.writing.run_record import RunRecord
from nn_clustering.tracking.writing.signs_of_life import is_elsewhere, is_written_to

_LOG = logging.getLogger(__name__)
SYNC_COMMAND = "python -m nn_clustering.tracking sync"


class RunEnd:
    """Ends one run, once.

    Attributes:
        is_told: Whether the end was told already.
    """

    def __init__(
        self,
        run_id: int,
        journal: Journal,
        courier: Courier,
        record: RunRecord,
        writer: EventWriter,
    ) -> None:
        """End the run whose events these parts take, write and deliver."""
        self.is_told = False
        self._run_id = run_id
        self._journal = journal
        self._courier = courier
        self._record = record
        self._writer = writer

    def finish(self, status: str, stop_time: datetime, fail_trace: list[str] | None = None) -> str:
        """Deliver all; whatever fails is told, for Sacred would swallow an exception.

        Returns:
            What to tell where not all is in MongoDB, else the empty text.
        """
        try:
            return self._finish(status, stop_time, fail_trace)
        except Exception as problem:
            self.is_told = True
            self._courier.stop()
            self._journal.close()
            return (
                f"the end of run {self._run_id} could not be stored ({short_reason(problem)}); "
                f"`{SYNC_COMMAND}` delivers what is in {self._journal.folder}"
            )

    def _finish(self, status: str, stop_time: datetime, fail_trace: list[str] | None) -> str:
        self._write_large_fields()
        self._record.end(status, stop_time, fail_trace)
        is_kept = self._writer.write_document()
        try:
            is_delivered = self._courier.finish()
        except KeyboardInterrupt:  # ends the waiting
            is_delivered = False
        self._courier.stop()
        self.is_told = True
        if not is_delivered:
            return self._undelivered(is_kept)
        kept = ""
        if self._journal.damages:
            kept = f"; its damaged journal is kept in {self._journal.set_aside()}"
        else:
            self._journal.discard()
        missing = "; ".join([*self._record.refusals, *(self._courier.missing or ())])
        if not missing:
            return ""
        return f"run {self._run_id} is FAILED, for it is incomplete in MongoDB: {missing}{kept}"

    def _write_large_fields(self) -> None:
        with (
            self._record.unforeseen_errors_noted("what is too large for the run's document"),
            tempfile.TemporaryDirectory() as folder,
        ):
            for path in self._record.write_large_fields(Path(folder)):
                self._writer.require_own_process("artifact", path.name)
                with self._record.unforeseen_errors_noted(f"artifact {path.name!r}"):
                    self._writer.write_artifact(path.name, path)

    def _undelivered(self, is_kept: bool) -> str:
        folder, megabytes = self._journal.folder, self._journal.size / 2**20
        reason = self._courier.problem or "the waiting for it was ended"
        is_there = self._journal.is_there
        self._journal.close()
        if self._courier.is_gone:
            return f"run {self._run_id} cannot be stored: {reason}"
        if not is_there:
            back = f"; if its disk comes back, `{SYNC_COMMAND}` delivers it" if is_kept else ""
            return (
                f"run {self._run_id} is incomplete in MongoDB ({reason}), and its journal {folder} "
                f"is gone: what it logged last is lost{back}"
            )
        if not is_kept:
            return (
                f"run {self._run_id} is incomplete in MongoDB ({reason}) and its end could not be "
                f"written to {folder}; free some space, then `{SYNC_COMMAND}` delivers the rest"
            )
        return (
            f"run {self._run_id} is not all in MongoDB ({reason}): its last events and its end "
            f"wait in {folder} ({megabytes:.1f} MB); when the server is back, `{SYNC_COMMAND}` "
            "delivers them"
        )


def tell_of_earlier_runs(journal_root: Path) -> None:
    """Say how many runs have ended and wait to be delivered from here, if any."""
    waiting = [
        path
        for path in journal_folders(journal_root)
        if is_finished(path)
        and not (is_elsewhere(read_header(path).get("host")) and is_written_to(path))
    ]
    if waiting:
        _LOG.warning(
            "%d earlier %s not all in MongoDB yet: `%s` delivers the rest",
            len(waiting), "runs are" if len(waiting) > 1 else "run is", SYNC_COMMAND,
        )  # fmt: skip

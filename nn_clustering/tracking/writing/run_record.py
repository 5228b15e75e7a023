"""What a run has logged so far, as its document in MongoDB shall hold it."""

from __future__ import annotations

import contextlib
import json
import logging
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import bson

from nn_clustering.tracking.encoding import (
    LARGE_FIELDS,
    plain_keys,
    shortened,
    storable,
    without_passwords,
)
from nn_clustering.tracking.writing.delivery import metric_entries, now

_LOG = logging.getLogger(__name__)
# Characters of a failure's trace that are kept at either end.
LONGEST_TRACE = 200_000
REFUSALS_NAMED = 50
LONGEST_REFUSAL = 500


class RunRecord:
    """The state of one run's document, and what cannot be stored of it.

    Attributes:
        counts: Number of points of each metric.
        is_ended: Whether the run has ended.
    """

    def __init__(self, token: str) -> None:
        """Begin the record of the run of this token."""
        self.counts: dict[str, int] = {}
        self.is_ended = False
        self._token = token
        self._fields: dict[str, Any] = {"status": "RUNNING", "info": {}}
        self._artifacts: list[dict[str, Any]] = []
        self._large: dict[str, Any] = {}
        self._info_problems: dict[str, str] = {}
        self._last_added = datetime.min
        self._refused: dict[str, None] = {}
        self._n_refused = 0
        self._problems: list[str] = []

    def document(self) -> dict[str, Any]:
        """The fields to store, what must be in the database besides, and if this is the end."""
        entries = metric_entries(self._token, self.counts)
        info = {**self._fields["info"], **({"metrics": entries} if entries else {})}
        return {
            "fields": {**self._fields, "info": info},
            "expected": {
                "metrics": [list(count) for count in self.counts.items()],
                "artifacts": list(self._artifacts),
            },
            "finished": self.is_ended,
        }

    def take_heartbeat(
        self, info: Mapping[str, Any], captured: str, beat_time: datetime, result: Any
    ) -> None:
        """Take the state at a heartbeat."""
        self._fields["heartbeat"] = _in_milliseconds(beat_time)
        self._take("info", self._storable_info(info))
        self._take("captured_out", without_passwords(captured))
        self.take_result(result)

    def take_result(self, result: Any) -> None:
        """Take what the run returned, or would return now."""
        try:
            stored = storable(result)
            bson.encode({"": stored})
        except Exception as problem:  # whatever its own methods raise
            self.note_unstorable(f"the result cannot be stored ({problem})")
        else:
            self._take("result", stored)

    def next_added(self) -> datetime:
        """The time of a new artifact, which tells it from others of its name."""
        self._last_added = max(now(), self._last_added + timedelta(milliseconds=1))
        return self._last_added

    def take_artifact(self, name: str, added: datetime, sha256: str) -> None:
        """Expect an artifact in the database at the end."""
        self._artifacts.append({"name": name, "added": added, "sha256": sha256})

    def end(self, status: str, stop_time: datetime, fail_trace: list[str] | None = None) -> None:
        """Take the end of the run; it is FAILED if anything of it cannot be stored."""
        self.is_ended = True
        for problem in self._info_problems.values():
            self.note_unstorable(problem)
        trace = _shortened_trace(fail_trace or [])
        if self._refused:
            status = "FAILED"
            trace += [f"could not be stored: {reason}\n" for reason in self.refusals]
        self._fields.update(status=status, stop_time=_in_milliseconds(stop_time))
        if trace:
            self._fields["fail_trace"] = trace

    def note_problem(self, what: str) -> None:
        """Say at once, and in the run's document, what went wrong and did not cost anything."""
        what = without_passwords(" ".join(what.split()))[:LONGEST_REFUSAL]
        _LOG.warning("%s", what)
        self._problems.append(what)
        self._fields["tracking.problems"] = list(self._problems)

    def note_unstorable(self, what: str) -> None:
        """Say at once what cannot be stored; the run goes on, and ends as FAILED."""
        what = without_passwords(" ".join(what.split()))[:LONGEST_REFUSAL]
        self._n_refused += what not in self._refused
        if what not in self._refused and len(self._refused) < REFUSALS_NAMED:
            self._refused[what] = None
            _LOG.error("%s; the rest of the run is stored", what)
            if len(self._refused) == REFUSALS_NAMED:
                _LOG.error("what else cannot be stored is not named any more")

    @property
    def refusals(self) -> list[str]:
        """What could not be stored, in words; a run with any does not end as COMPLETED."""
        n_more = self._n_refused - len(self._refused)
        return [*self._refused, *([f"{n_more} more"] if n_more else [])]

    @contextlib.contextmanager
    def unforeseen_errors_noted(self, what: str) -> Iterator[None]:
        """Refuse what fails for an unforeseen reason.

        Sacred would swallow the exception, and ask the observer no more.
        """
        try:
            yield
        except Exception as problem:
            self.note_unforeseen(what, problem)

    def note_unforeseen(self, what: str, problem: Exception) -> None:
        """Refuse what failed for an unforeseen reason."""
        _LOG.debug("the observer failed", exc_info=problem)
        self.note_unstorable(f"{what} could not be taken ({type(problem).__name__}: {problem})")

    def write_large_fields(self, folder: Path) -> list[Path]:
        """Write each field that is too large for the document into a file of the folder."""
        paths = []
        for field, value in self._large.items():
            path = folder / LARGE_FIELDS[field]
            path.write_text(value if field == "captured_out" else json.dumps(value), "utf-8")
            paths.append(path)
        return paths

    def _take(self, field: str, value: Any) -> None:
        """Take a field of the document, shortened where it is too large for one."""
        self._fields[field] = shortened(value, LARGE_FIELDS[field])
        if self._fields[field] is not value:
            self._large[field] = value
        else:
            self._large.pop(field, None)

    def _storable_info(self, whole: Mapping[str, Any]) -> dict[str, Any]:
        info, problems = {}, {}
        entries = list(whole.items())
        names = plain_keys(key for key, _ in entries)
        for name, (key, value) in zip(names, entries, strict=True):
            if key == "metrics":
                continue  # ours
            try:
                stored = {name: storable(value)}
                bson.encode(stored)
            except Exception as problem:  # whatever its own methods raise
                reason = without_passwords(f"info[{key!r}] cannot be stored ({problem})")
                problems[str(key)] = reason
                # A RuntimeError may mean that it is changing just now: the last word is the last
                # heartbeat's.
                if str(key) not in self._info_problems and not isinstance(problem, RuntimeError):
                    _LOG.error("%s; the rest of the run is stored", problems[str(key)])
            else:
                info.update(stored)
        self._info_problems = problems
        return info


def _shortened_trace(trace: list[str]) -> list[str]:
    text = without_passwords("".join(trace))
    if len(text) > 2 * LONGEST_TRACE:
        text = f"{text[:LONGEST_TRACE]}\n[...]\n{text[-LONGEST_TRACE:]}"
    return text.splitlines(keepends=True)


def _in_milliseconds(time: datetime) -> datetime:
    """The time as MongoDB keeps it."""
    return time.replace(microsecond=time.microsecond // 1000 * 1000)

"""What a study says of its cells while they are computed."""

import errno
import io
import time

import pytest

from nn_clustering.studies import Progress
from nn_clustering.studies._cell_orders import CellOutcome
from tests.studies.cheap_cells import make_cell
from tests.studies.processes import wait_until

CELLS = [make_cell(f"cell {n}") for n in range(3)]


def begun(expected=(None, None, None), **more):
    lines = []
    progress = Progress(tell=lines.append, **more)
    seconds = {cell.name: each for cell, each in zip(CELLS, expected, strict=True)}
    progress.start(CELLS, seconds)
    return progress, lines


def completed(cell, **more):
    return CellOutcome(cell.name, "completed", **{"run_id": 12, "seconds": 61, **more})


def test_each_end_is_a_line():
    progress, lines = begun(n_stored=7)
    progress.complete(CELLS[0], completed(CELLS[0]))
    progress.complete(CELLS[1], completed(CELLS[1], was_there=True))
    progress.complete(CELLS[2], completed(CELLS[2], resumed=9))
    assert lines == [
        "[ 8/10] cell 0: run 12, 1 min 01 s",
        "[ 9/10] cell 1: run 12, was stored meanwhile",
        "[10/10] cell 2: run 12, 1 min 01 s, went on with run 9",
    ]


def test_a_failed_run_shows_its_last_lines():
    progress, lines = begun()
    output = "\n".join(f"line {n}" for n in range(9))
    failed = CellOutcome(
        "cell 0", "failed", run_id=3, reason="ValueError: no", output=f"{output}\n"
    )
    progress.fail(CELLS[0], failed)
    shown = "\n".join(f"    line {n}" for n in range(4, 9))
    assert lines == [f"cell 0: failed (run 3): ValueError: no\n{shown}"]
    failed = CellOutcome("cell 1", "failed", reason="Error: no", output="a line\nError: no")
    progress.fail(CELLS[1], failed)
    assert lines[1:] == ["cell 1: failed: Error: no\n    a line"]  # which is not said twice


def test_the_rest_takes_what_stored_runs_took():
    progress, _ = begun((100, 100, 40))
    assert progress.remaining_seconds(1) == 240
    assert progress.remaining_seconds(2) == 120
    assert progress.remaining_seconds(100) == 80  # no more than three go side by side
    progress.complete(CELLS[2], completed(CELLS[2]))
    assert progress.remaining_seconds(1) == 200
    progress.begin(CELLS[0])
    assert 199 < progress.remaining_seconds(1) < 200


def test_what_ends_takes_no_time_any_more(monkeypatch):
    progress, _ = begun((100, 100, 40))
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now)
    progress.begin(CELLS[2])
    monkeypatch.setattr(time, "monotonic", lambda: now + 1000)
    assert progress.remaining_seconds(1) == 200  # it takes longer than was expected
    progress.stop(CELLS[2])
    assert progress.remaining_seconds(1) == 240  # and will be begun anew
    progress.fail(CELLS[0], CellOutcome("cell 0", "failed", reason="no"))
    assert progress.remaining_seconds(1) == 140
    progress.drop(CELLS[1:2], CELLS[0])
    assert progress.remaining_seconds(1) == 40


def test_what_was_stored_meanwhile_says_nothing_of_what_others_take():
    progress, _ = begun((None, None, 40))
    progress.complete(CELLS[0], completed(CELLS[0], was_there=True))
    assert progress.remaining_seconds(1) is None


def test_the_rest_takes_what_others_of_its_stage_took_where_none_was_stored():
    progress, _ = begun((None, None, 40))
    assert progress.remaining_seconds(1) is None
    progress.complete(CELLS[0], completed(CELLS[0]))
    assert progress.remaining_seconds(1) == 101


@pytest.mark.parametrize("n_failed", [0, 1])
def test_a_terminal_has_a_bar(n_failed):
    terminal = io.StringIO()
    progress, lines = begun((50, 50, 50), terminal=terminal)
    progress.complete(CELLS[0], completed(CELLS[0]))
    for _ in range(n_failed):
        progress.fail(CELLS[1], CellOutcome("cell 1", "failed", reason="no"))
    wait_until(lambda: progress.show(2, 2) or "running" in terminal.getvalue())
    shown = terminal.getvalue().split("\r")[-1]
    progress.close()
    rest = "2 running, 1 failed, 50 s left" if n_failed else "2 running, 50 s left"
    assert "1/3 runs |" in shown
    assert rest in shown
    assert len(lines) == 1 + n_failed


class ClosableTerminal(io.StringIO):
    is_closed = False

    def write(self, text):
        if self.is_closed:
            raise OSError(errno.EIO, "Input/output error")
        return super().write(text)


def test_a_terminal_that_is_closed_ends_nothing():
    terminal = ClosableTerminal()
    progress, lines = begun((50, 50, 50), terminal=terminal)
    terminal.is_closed = True
    progress.show(2, 2)
    progress.complete(CELLS[0], completed(CELLS[0]))
    progress.close()
    assert len(lines) == 1

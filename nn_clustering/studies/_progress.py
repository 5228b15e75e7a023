"""How far a study is: a line for each run that ends, and a bar on a terminal."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TextIO

from nn_clustering.studies._cell_orders import CellOutcome
from nn_clustering.studies._cells import Cell
from nn_clustering.tracking.printing import format_seconds

if TYPE_CHECKING:
    from tqdm import tqdm

_BAR = "{n_fmt}/{total_fmt} runs |{bar:20}| {desc}"
# A captured line reaches the terminal a little later, and would be put behind the bar.
_LINE_SECONDS = 0.3
# The last lines of a failed run are shown with what is said of it.
_SHOWN_LINES = 5


class Progress:
    """Says what becomes of cells, and how long the rest will take."""

    def __init__(
        self,
        *,
        n_stored: int = 0,
        terminal: TextIO | None = None,
        tell: Callable[[str], object] = print,
    ) -> None:
        """Begin.

        Args:
            n_stored: How many cells of the study have a run already.
            terminal: Where the bar is shown; None for lines alone.
            tell: Gets the lines.
        """
        self._left: dict[str, Cell] = {}
        self._expected: Mapping[str, float | None] = {}
        self._since: dict[str, float] = {}
        self._took: dict[str, list[float]] = {}
        self._n_done, self._n_failed = n_stored, 0
        self._total = n_stored
        self._tell, self._terminal = tell, terminal
        self._bar: tqdm[Any] | None = None
        self._told_at = -_LINE_SECONDS

    def start(self, cells: Sequence[Cell], seconds: Mapping[str, float | None]) -> None:
        """Cells will be computed.

        Args:
            cells: They.
            seconds: What each should take, by its name; None where nobody knows.
        """
        self._left = {cell.name: cell for cell in cells}
        self._expected = seconds
        self._total += len(cells)
        if self._terminal is not None:
            from tqdm import tqdm

            self._bar = tqdm(
                total=self._total,
                initial=self._n_done,
                file=self._terminal,
                bar_format=_BAR,
                leave=False,
            )

    def begin(self, cell: Cell) -> None:
        """A worker computes a cell."""
        self._since[cell.name] = time.monotonic()

    def stop(self, cell: Cell) -> None:
        """No worker computes a cell any more."""
        self._since.pop(cell.name, None)

    def complete(self, cell: Cell, outcome: CellOutcome) -> None:
        """A cell has a run."""
        self._n_done += 1
        self._left.pop(cell.name, None)
        if not outcome.was_there:
            self._took.setdefault(cell.stage, []).append(outcome.seconds)
        if outcome.was_there:
            how = ", was stored meanwhile"
        elif outcome.resumed is not None:
            how = f", {format_seconds(outcome.seconds)}, went on with run {outcome.resumed}"
        else:
            how = f", {format_seconds(outcome.seconds)}"
        self.tell(f"{self._counted()} {cell.name}: run {outcome.run_id}{how}")

    def again(self, cell: Cell, outcome: CellOutcome, n_attempts: int, of: int) -> None:
        """A cell will be tried again."""
        reason = outcome.reason or outcome.state
        self.tell(f"{cell.name}: {reason}; attempt {n_attempts + 1} of {of} follows")

    def fail(self, cell: Cell, outcome: CellOutcome) -> None:
        """A cell will have no run."""
        self._n_failed += 1
        self._left.pop(cell.name, None)
        where = "" if outcome.run_id is None else f" (run {outcome.run_id})"
        shown = outcome.output.splitlines()[-_SHOWN_LINES:]
        if shown and shown[-1].strip() == outcome.reason:
            shown.pop()
        lines = [f"{cell.name}: {outcome.state}{where}: {outcome.reason}", *shown]
        self.tell("\n    ".join(lines))

    def drop(self, cells: Sequence[Cell], failed: Cell) -> None:
        """Cells that rest on a failed one will have no run either."""
        for cell in cells:
            self._left.pop(cell.name, None)
        if cells:
            runs = "1 run is" if len(cells) == 1 else f"{len(cells)} runs are"
            self.tell(f"    {runs} not made, which would have read that of {failed.name}")

    def tell(self, line: str) -> None:
        """Print a line, in the place of the bar, which comes again below it."""
        if self._bar is not None:
            with self._shown() as bar:
                bar.clear()
            self._told_at = time.monotonic()
        with contextlib.suppress(OSError):  # the terminal is gone; the run's log has it
            self._tell(line)

    def show(self, n_running: int, n_places: int) -> None:
        """Show where it stands, on a terminal.

        Args:
            n_running: Number of cells that are computed now.
            n_places: How many go side by side.
        """
        if self._bar is None or time.monotonic() - self._told_at < _LINE_SECONDS:
            return
        words = [f"{n_running} running"]
        if self._n_failed:
            words.append(f"{self._n_failed} failed")
        rest = self.remaining_seconds(n_places)
        if rest is not None:
            words.append(f"{format_seconds(rest)} left")
        with self._shown() as bar:
            bar.n = self._n_done
            bar.set_description_str(", ".join(words), refresh=False)
            bar.update(0)

    def remaining_seconds(self, n_places: int) -> float | None:
        """Return what the rest should take, with so many side by side; None where nobody knows."""
        now, total = time.monotonic(), 0.0
        for name, cell in self._left.items():
            expected = self._seconds(cell)
            if expected is None:
                return None
            begun = self._since.get(name)
            total += expected if begun is None else max(expected - (now - begun), 0.0)
        return total / max(1, min(n_places, len(self._left)))

    def close(self) -> None:
        """Take the bar away: the lines have said it all."""
        if self._bar is not None:
            with self._shown() as bar:
                bar.close()

    @contextlib.contextmanager
    def _shown(self) -> Iterator[tqdm[Any]]:
        """The bar, which goes with its terminal: the runs go on."""
        assert self._bar is not None
        try:
            yield self._bar
        except OSError:
            self._bar = None

    def _seconds(self, cell: Cell) -> float | None:
        """What a cell should take: as was known before, else as others of its stage took."""
        took = self._took.get(cell.stage)
        expected = self._expected[cell.name]
        if expected is None and took:
            return sum(took) / len(took)
        return expected

    def _counted(self) -> str:
        width = len(str(self._total))
        return f"[{self._n_done:{width}}/{self._total}]"

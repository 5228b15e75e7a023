"""Several runs of one command, one for each seed, each in a process of its own."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nn_clustering.tracking.errors import InvalidInputError
from nn_clustering.tracking.execution_keys import REPEAT_KEYS
from nn_clustering.tracking.printing import fitted_lines, format_value, terminal_width
from nn_clustering.tracking.stages.program import INTERRUPTED, RUN_ID_VARIABLE
from nn_clustering.tracking.stages.threads import most_workers

if TYPE_CHECKING:
    from nn_clustering.tracking.store.run import Run

POLL_SECONDS = 0.05
MOST_COLUMNS = 6
MOST_REPEATS = 100_000


@dataclass(frozen=True)
class Repeat:
    """One of the runs, after its process has ended.

    Attributes:
        seed: The run's seed.
        exit_status: That of the process; negative where a signal ended it.
        run_id: The run, or the one that was used in its place; None where there is none.
        output: What the process printed.
    """

    seed: int
    exit_status: int
    run_id: int | None
    output: str = field(repr=False)

    @property
    def is_completed(self) -> bool:
        """Whether the process ended well."""
        return self.exit_status == 0

    def __str__(self) -> str:
        outcomes = {0: "done", INTERRUPTED: "interrupted"}
        outcome = outcomes.get(self.exit_status, f"failed (exit status {self.exit_status})")
        run = "" if self.run_id is None else f", run {self.run_id}"
        return f"seed {self.seed}: {outcome}{run}\n{self.output}".rstrip()


def check_repeats(config: Mapping[str, Any]) -> None:
    """Check the keys by which one command makes several runs, where a config has them.

    Raises:
        InvalidInputError: One of them is no positive integer, or a seed would be too large.
    """
    if "n_repeats" not in config:
        return
    for key in REPEAT_KEYS:
        value = config.get(key)
        may_be_none = key == "n_workers"
        if value is None and may_be_none:
            continue
        if type(value) is not int or value < 1:
            raise InvalidInputError(
                f"{key}={value!r}: expected an integer from 1{', or None' if may_be_none else ''}"
            )
    most = {"n_repeats": MOST_REPEATS, "n_workers": most_workers()}
    for key, number in most.items():
        if (config.get(key) or 1) > number:
            processors = f" ({os.cpu_count()} processors are here)" if key == "n_workers" else ""
            raise InvalidInputError(
                f"{key}={config[key]}: expected an integer from 1 to {number}{processors}"
            )
    last_seed = config["seed"] + config["n_repeats"] - 1
    if last_seed >= 2**32:
        raise InvalidInputError(
            f"seed={config['seed']} n_repeats={config['n_repeats']}: the last seed is {last_seed}; "
            "expected at most 4294967295"
        )


def run_repeats(
    commands: Mapping[int, Sequence[str]], n_workers: int, on_end: Callable[[Repeat], object]
) -> list[Repeat]:
    """Run commands to their ends, some of them side by side.

    Ctrl-C, SIGTERM and the end of the terminal end those that run, and no other is started.

    Args:
        commands: One for each seed.
        n_workers: How many run side by side.
        on_end: Called after the end of each, in the order of their ends.

    Returns:
        All of them, in the order of `commands`.

    Raises:
        KeyboardInterrupt: A signal came; all processes have ended.
    """
    waiting = deque(commands)
    running: dict[int, subprocess.Popen[bytes]] = {}
    ended: dict[int, Repeat] = {}
    with tempfile.TemporaryDirectory() as place, _passed_on(running) as signals:
        folder = Path(place)
        try:
            while running or (waiting and not signals):
                while waiting and len(running) < n_workers and not signals:
                    seed = waiting.popleft()
                    running[seed] = _start(commands[seed], folder / str(seed))
                    if signals:  # it came before the process could be passed any
                        running[seed].terminate()
                for seed, process in list(running.items()):
                    if process.poll() is not None:
                        del running[seed]
                        ended[seed] = _ended(seed, process.returncode, folder / str(seed))
                        on_end(ended[seed])
                time.sleep(POLL_SECONDS)
        finally:  # nobody would see to those that are left by an error here
            for process in running.values():
                process.terminate()
                process.wait()
    if signals:
        raise KeyboardInterrupt
    return [ended[seed] for seed in commands]


def repeats_table(runs: Mapping[int, Run]) -> list[str]:
    """The lines of a table of runs by seed: their main numbers, means, standard deviations.

    The numbers are the first ones of the result that are not nested; the standard deviations are
    those of the sample (divided by the number of runs less one), empty for a single run.
    """
    import numpy as np

    results = [run.result if isinstance(run.result, Mapping) else {} for run in runs.values()]
    numbers = dict.fromkeys(
        name for result in results for name, value in result.items() if _is_number(value)
    )
    columns = {
        "seed": [*map(str, runs), "mean", "std"],
        "run": [*(str(run.id) for run in runs.values()), "", ""],
    }
    for name in list(numbers)[:MOST_COLUMNS]:
        values = [result.get(name) for result in results]
        shown = [value if _is_number(value) else None for value in values]
        found = [value for value in shown if value is not None]
        spread = float(np.std(found, ddof=1)) if len(found) > 1 else None
        columns[name] = list(map(format_value, [*shown, float(np.mean(found)), spread]))
    names = list(columns)[2:]
    return fitted_lines(columns, terminal_width(), 2, names, "COLUMNS=200 makes more room")


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _start(command: Sequence[str], folder: Path) -> subprocess.Popen[bytes]:
    folder.mkdir()
    # A file rather than a pipe: nobody has to read while the process prints.
    with (folder / "output").open("wb") as output:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            # With as many threads as a run alone has, however many run beside it: the last bits of
            # a convolutional network's training, or of an eigenvector, depend on their number.
            env={**os.environ, RUN_ID_VARIABLE: str(folder / "run_id")},
            # A terminal sends Ctrl-C to all processes of a session: it would come twice.
            start_new_session=True,
        )


def _ended(seed: int, status: int, folder: Path) -> Repeat:
    try:
        run_id = int((folder / "run_id").read_text())
    except (OSError, ValueError):
        run_id = None
    return Repeat(seed, status, run_id, (folder / "output").read_text(errors="replace"))


@contextlib.contextmanager
def _passed_on(processes: Mapping[int, subprocess.Popen[bytes]]) -> Iterator[list[int]]:
    """Within the block, a signal that asks this process to end ends the others instead.

    Yields:
        The signals that came.
    """
    received: list[int] = []

    def pass_on(number: int, frame: object) -> None:
        received.append(number)
        for process in list(processes.values()):
            process.terminate()

    before = {
        number: signal.getsignal(number)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    }
    for number, handler in before.items():
        if handler is not signal.SIG_IGN:  # as nohup has it
            signal.signal(number, pass_on)
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

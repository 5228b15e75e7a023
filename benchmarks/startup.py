"""What the commands cost that compute nothing, beside the import of Sacred alone."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from nn_clustering.tracking import stop_embedded

PROJECT = Path(__file__).resolve().parents[1]
SACRED = "import of Sacred"
# Short stages: what is measured is how their second run finds that nothing is to do.
STUDY = ("experiments/pipeline.py", "with", "mlp", "digits", "fast")
COMMANDS: dict[str, tuple[str, ...]] = {
    SACRED: ("-c", "import sacred"),
    "train print_config": ("experiments/train.py", "print_config"),
    "pipeline print_config": ("experiments/pipeline.py", "print_config"),
    "train -h": ("experiments/train.py", "-h"),
    "train, refused config": ("experiments/train.py", "with", "training.epochs=0"),
    "pipeline, refused config": ("experiments/pipeline.py", "with", "cluster.n_clusters=1"),
    "cluster, reused": ("experiments/cluster.py", "with", "fast", "train_run=latest"),
    "pipeline, reused": STUDY,
    "list of runs": ("-m", "nn_clustering.tracking", "list"),
    "list of data sets": ("-m", "nn_clustering.datasets", "list"),
}


@dataclass(frozen=True)
class StartUp:
    """Processor seconds of commands, run by run."""

    seconds: Mapping[str, Sequence[float]]

    def __str__(self) -> str:
        """One line a command."""
        lines = [
            f"  {name:<26}{statistics.median(runs):6.2f} s ({min(runs):.2f} to {max(runs):.2f})"
            for name, runs in self.seconds.items()
        ]
        n_runs = len(self.seconds[SACRED])
        return "\n".join([f"start-up: processor time, median of {n_runs}", *lines])


def benchmark_startup(runs: int) -> StartUp:
    """Measure each command's processor time, user's and system's, after a run that fills caches."""
    seconds: dict[str, list[float]] = {name: [] for name in COMMANDS}
    with _home() as environ:
        _processor_seconds(STUDY, environ)  # trains the network; the next ones use its stages
        for counted in range(-1, runs):
            for name, command in COMMANDS.items():
                measured = _processor_seconds(command, environ)
                if counted >= 0:
                    seconds[name].append(measured)
    return StartUp(seconds)


def _processor_seconds(command: Sequence[str], environ: Mapping[str, str]) -> float:
    with subprocess.Popen(
        [sys.executable, *command],
        cwd=PROJECT,
        env=environ,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    return usage.ru_utime + usage.ru_stime


@contextmanager
def _home() -> Iterator[dict[str, str]]:
    """Give an environment whose runs go to a server of its own."""
    with tempfile.TemporaryDirectory() as folder:
        others = {name: text for name, text in os.environ.items() if not name.startswith("MONGO_")}
        try:
            yield {**others, "NN_CLUSTERING_HOME": folder}
        finally:
            stop_embedded(Path(folder))

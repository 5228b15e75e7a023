"""What it costs to find many stored runs, beside the plain driver and pandas."""

import contextlib
import datetime
import io
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

import pandas as pd
from pymongo.database import Database

from benchmarks._timing import Comparison, compare
from nn_clustering.tracking import RunStore, connect, resolve_server, stop_embedded
from nn_clustering.tracking.command_line.main import main
from nn_clustering.tracking.indexes import ensure_indexes

RUNS = 5000
OUTPUT_BYTES = 20_000


def benchmark_runs(runs: int) -> Comparison:
    """Compare finding many runs and making a DataFrame of them; times `list` of all as well.

    The peer is what a user would write without a run store: the whole config, result and status
    of each document, flattened by pandas.
    """
    with _stored_runs() as (database, home):

        def ours() -> None:
            assert RunStore(database, home).find().table().shape[0] == RUNS

        def theirs() -> None:
            fields = {"config": 1, "result": 1, "status": 1, "experiment.name": 1, "start_time": 1}
            found = database["runs"].find({}, fields).sort("start_time", -1)
            assert pd.json_normalize(list(found)).shape[0] == RUNS

        found = compare(
            f"run store: {RUNS:,} runs found and tabled",
            "pymongo's find, and pandas.json_normalize of what it returns",
            ours,
            theirs,
            runs=runs,
        )
        seconds = min(_seconds_of_list(home) for _ in range(runs))
    note = f"`list --limit {RUNS}` in a process that runs already takes {seconds:.3f} s"
    return Comparison(found.name, found.peer, found.ours, found.theirs, note)


def _seconds_of_list(home: Path) -> float:
    start = time.perf_counter()
    with (
        patch.dict(os.environ, {"NN_CLUSTERING_HOME": str(home)}),
        contextlib.redirect_stdout(io.StringIO()) as printed,
    ):
        assert main(["list", "--limit", str(RUNS)]) == 0
    assert len(printed.getvalue().splitlines()) > RUNS
    return time.perf_counter() - start


@contextmanager
def _stored_runs() -> Iterator[tuple[Database, Path]]:
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        database = connect(resolve_server({"NN_CLUSTERING_HOME": folder}))
        try:
            ensure_indexes(database)
            database["runs"].insert_many(map(_document, range(1, RUNS + 1)))
            yield database, home
        finally:
            database.client.close()
            stop_embedded(home)


def _document(number: int) -> dict[str, object]:
    """A run such as the stages leave it, with sources, output and artifacts."""
    start = datetime.datetime(2026, 1, 1) + datetime.timedelta(minutes=number)
    end = start + datetime.timedelta(seconds=150)
    sources = [[f"nn_clustering/module_{index}.py", number] for index in range(100)]
    return {
        "_id": number,
        "experiment": {"name": ("train", "cluster", "lesion")[number % 3], "sources": sources},
        "status": "COMPLETED",
        "config": {
            "seed": number, "tags": ["paper"], "reuse": True, "n_repeats": 1, "n_workers": 2,
            "dataset": {"name": "mnist", "n_images": None, "noise": 0.1, "classes": [0, 1, 2]},
            "network": {"kind": "mlp", "hidden_units": [256] * 4, "dropout": False},
            "training": {"epochs": 20, "batch_size": 128, "learning_rate": 0.001},
            "partition": {"method": "spectral", "n_clusters": 12, "n_starts": 25},
            "rate": 1 / number,
        },
        "result": {
            "test_accuracy": 1 - 1 / number, "ncut": number / 7, "phase": "pruned",
            "importance": {"joint_p": 1 / number, "joint_z": -1.5}, "sizes": [1, 2, 3],
        },
        "info": {"lineage": {"train_run": number - 1}} if number > 1 else {},
        "artifacts": [{"name": f"figure_{index}.png", "file_id": index} for index in range(5)],
        "start_time": start, "stop_time": end, "heartbeat": end,
        "host": {"hostname": "machine"}, "meta": {"comment": ""},
        "captured_out": "x" * OUTPUT_BYTES,
    }  # fmt: skip

"""What it costs to track a run, beside Sacred's own observer and beside the training it tracks."""

import datetime
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import gridfs
from sacred import Experiment
from sacred.observers import MongoObserver

from benchmarks._timing import Comparison, compare
from experiments.train import experiment
from nn_clustering.datasets import Dataset
from nn_clustering.networks import build_network, network_bytes
from nn_clustering.tracking import (
    TrackingObserver,
    connect,
    make_observer,
    resolve_server,
    stop_embedded,
)
from nn_clustering.training import Phase, train

POINTS = 10_000
MANY_POINTS = 1_000_000
EPOCHS = 20


def benchmark_points(runs: int) -> Comparison:
    """Compare runs that log many points of a metric, from their start to their end.

    Sacred's observer gets all points in one heartbeat, its best case; ours each when it is logged.
    """
    with _database() as database, tempfile.TemporaryDirectory() as folder:

        def ours() -> None:
            observer = make_observer(database, journal_folder=Path(folder))
            _start(observer)
            for step in range(POINTS):
                observer.log_point("loss", step / POINTS, step)
            observer.completed_event(datetime.datetime.now(), None)

        def theirs() -> None:
            observer = MongoObserver.create_from(
                database["runs"], gridfs.GridFS(database), metrics_collection=database["metrics"]
            )
            _start(observer)
            points = {
                "steps": list(range(POINTS)),
                "values": [step / POINTS for step in range(POINTS)],
                "timestamps": [datetime.datetime.now()] * POINTS,
            }
            observer.log_metrics({"loss": points}, {})
            observer.completed_event(datetime.datetime.now(), None)

        return compare(
            f"tracking: a run with {POINTS:,} points of a metric",
            "Sacred's MongoObserver, all points in one heartbeat, nothing journalled on disk",
            ours,
            theirs,
            runs=runs,
        )


def benchmark_million(runs: int) -> str:
    """What a run costs that logs a million points, by `_run.log_scalar` as users do.

    Processor time of the whole process, the thread that delivers included, from the start of the
    run until all is in MongoDB; without MongoDB's own.
    """
    with _database() as database, tempfile.TemporaryDirectory() as folder:
        costs = [_cost_of_points(database, Path(folder)) for _ in range(runs)]
    used, waited = (statistics.median(column) for column in zip(*costs, strict=True))
    return (
        f"tracking: a run with {MANY_POINTS:,} points of a metric\n"
        f"  {used:.1f} s of processor time (median of {runs}, {min(costs)[0]:.1f} to "
        f"{max(costs)[0]:.1f}), {1e6 * used / MANY_POINTS:.0f} us a point; {waited:.1f} s from "
        "start to end"
    )


def _cost_of_points(database: Any, folder: Path) -> tuple[float, float]:
    """Seconds of processor time and of the clock that a run with a million points takes."""
    many = Experiment("points", save_git_info=False, base_dir=str(folder))
    observer = make_observer(database, journal_folder=folder / "journal")
    many.observers.append(observer)

    def attach(_run) -> None:
        observer.attach(_run)

    def log(_run) -> None:
        for step in range(MANY_POINTS):
            _run.log_scalar("loss", step / MANY_POINTS, step)

    many.pre_run_hook(attach)
    many.main(log)
    used, begun = time.process_time(), time.perf_counter()
    many.run()
    costs = time.process_time() - used, time.perf_counter() - begun
    run = database["runs"].find_one(sort=[("_id", -1)])
    parts = database["metrics"].find({"run_id": run["_id"]}, {"steps": 1})
    assert run["status"] == "COMPLETED"
    assert sum(len(part["steps"]) for part in parts) == MANY_POINTS
    return costs


def benchmark_share(dataset: Dataset, runs: int) -> str:
    """The share of an MLP's training that goes into tracking it.

    A difference of wall times would drown in their noise. So all the time is added up that the
    training waits for the observer (start with all sources, points, network, end), and the
    processor time of the thread that delivers.
    """
    with _database() as database, tempfile.TemporaryDirectory() as folder:
        shares = [
            _share(dataset, make_observer(database, journal_folder=Path(folder)))
            for _ in range(runs)
        ]
    waited, thread, whole = (statistics.median(column) for column in zip(*shares, strict=True))
    return (
        f"tracking: {EPOCHS} epochs of the MLP on {dataset.name}, 4 metrics an epoch, 1 network\n"
        f"  training {whole:.1f} s, of which it waits {1000 * waited:.0f} ms for the observer "
        f"({100 * waited / whole:.2f}%);\n"
        f"  the delivering thread's processor time is {1000 * thread:.0f} ms "
        f"({100 * thread / whole:.2f}%)"
    )


def _share(dataset: Dataset, observer: TrackingObserver) -> tuple[float, float, float]:
    waited = 0.0

    def count(work: Callable[[], object]) -> None:
        nonlocal waited
        begun = time.perf_counter()
        work()
        waited += time.perf_counter() - begun

    network = build_network(
        "mlp", dataset.input_shape, dataset.n_outputs,
        hidden_units=[256] * 4, conv_filters=[], dropout=False, seed=0,
    )  # fmt: skip
    begun = time.perf_counter()
    count(lambda: _start(observer, experiment.get_experiment_info()))
    clock = time.pthread_getcpuclockid(observer._courier.ident)

    def log(epoch) -> None:
        for name in ("train_loss", "train_accuracy", "test_loss", "test_accuracy"):
            value = getattr(epoch, name)
            count(lambda name=name, value=value: observer.log_point(name, value, epoch.epoch))

    train(network, dataset, Phase(epochs=EPOCHS), seed=0, on_epoch=log)
    with tempfile.NamedTemporaryFile() as file:
        file.write(network_bytes(network))
        file.flush()
        count(lambda: observer.artifact_event("network.keras", file.name))
    thread = time.clock_gettime(clock)
    count(lambda: observer.completed_event(datetime.datetime.now(), None))
    return waited, thread, time.perf_counter() - begun


def _start(observer, info=None) -> None:
    info = info or {"name": "benchmark", "base_dir": ".", "sources": []}
    now = datetime.datetime.now()
    observer.started_event(info, "main", {}, now, {"seed": 0}, {}, None)


@contextmanager
def _database() -> Iterator:
    with tempfile.TemporaryDirectory() as home:
        database = connect(resolve_server({"NN_CLUSTERING_HOME": home}))
        try:
            yield database
        finally:
            database.client.close()
            stop_embedded(Path(home))

"""A training epoch of the MLP against Keras' ``fit``, and what the conditions of training cost."""

import statistics
import time
from dataclasses import replace

import keras
import numpy as np

from benchmarks._timing import Comparison, compare
from nn_clustering.datasets import Dataset
from nn_clustering.networks import build_network
from nn_clustering.seeds import generator
from nn_clustering.training import (
    ClusterabilityGradient,
    EpochResult,
    Penalty,
    Phase,
    PruningSchedule,
    train,
)

# Epochs timed at once, so that what happens once (compiling) is the smaller part it is in use.
EPOCHS = 10
# Epochs timed one by one, after a first one that compiles.
TIMED_EPOCHS = 5


def benchmark_training(dataset: Dataset, runs: int) -> Comparison:
    """Compare whole training runs, compilation included on both sides."""

    def ours() -> None:
        train(_mlp(dataset), dataset, Phase(epochs=EPOCHS), seed=0)

    def theirs() -> None:
        model = _mlp(dataset)
        model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
        model.fit(
            dataset.x_train,
            dataset.y_train,
            batch_size=128,
            epochs=EPOCHS,
            validation_data=(dataset.x_test, dataset.y_test),
            verbose=0,
        )

    return compare(
        f"training: {EPOCHS} epochs of the MLP on {dataset.name}, test figures each epoch",
        "Keras' fit with its defaults, same batch size",
        ours,
        theirs,
        runs=runs,
        warm_up=False,
    )


def benchmark_conditions(dataset: Dataset, runs: int) -> str:
    """The time of an epoch of the MLP under the studies' conditions, beside that of a plain one."""
    n_steps = (TIMED_EPOCHS + 1) * -(-len(dataset.y_train) // 128)
    plain = Phase(epochs=TIMED_EPOCHS + 1)
    phases = {
        "plain": plain,
        "pruned": replace(plain, pruning=PruningSchedule(0.5, 0.9, n_steps)),
        "l1": replace(plain, penalty=Penalty(l1=5e-5)),
        "l2": replace(plain, penalty=Penalty(l2=5e-5)),
        "dropout": plain,
    }
    seconds: dict[str, list[float]] = {name: [] for name in phases}
    for _ in range(runs):
        for name, phase in phases.items():
            network = _mlp(dataset, dropout=name == "dropout")
            seconds[name].append(_seconds_an_epoch(network, dataset, phase))
    lines = [f"training: an epoch of the MLP on {dataset.name}, after the one that compiles"]
    for name, of_runs in seconds.items():
        ratios = [own / of_plain for own, of_plain in zip(of_runs, seconds["plain"], strict=True)]
        lines.append(
            f"  {name:8}{statistics.median(of_runs):7.3f} s ({min(of_runs):.3f} to "
            f"{max(of_runs):.3f}), {statistics.median(ratios):.2f} of plain ({min(ratios):.2f} to "
            f"{max(ratios):.2f})"
        )
    return "\n".join(lines)


def benchmark_clusterability(runs: int) -> str:
    """What the clusterability gradient costs a step of the small MLP (49-64-64-64-10)."""
    random = generator(0, "benchmark", "clusterability")
    x = random.random((12_800, 7, 7, 1), np.float32)
    y = random.integers(0, 10, 12_800).astype(np.int32)
    dataset = Dataset("random", x, y, x[:1000], y[:1000], tuple("0123456789"))
    plain = Phase(epochs=TIMED_EPOCHS + 1)
    phases = (plain, replace(plain, clusterability=ClusterabilityGradient()))
    milliseconds: tuple[list[float], list[float]] = ([], [])
    for _ in range(runs):
        for measured, phase in zip(milliseconds, phases, strict=True):
            seconds = _seconds_an_epoch(_mlp(dataset, [64] * 3), dataset, phase)
            measured.append(1000 * seconds / 100)  # 12,800 samples are 100 batches of 128
    without, with_term = map(statistics.median, milliseconds)
    return (
        "clusterability gradient: a step of the small MLP (49-64-64-64-10), batch 128\n"
        f"  {with_term:.2f} ms ({min(milliseconds[1]):.2f} to {max(milliseconds[1]):.2f}), without "
        f"{without:.2f} ms ({min(milliseconds[0]):.2f} to {max(milliseconds[0]):.2f})"
    )


def _mlp(dataset: Dataset, hidden_units: list[int] | None = None, **options) -> keras.Model:
    return build_network(
        "mlp",
        dataset.input_shape,
        dataset.n_outputs,
        hidden_units=hidden_units or [256] * 4,
        conv_filters=[],
        seed=0,
        **options,
    )


def _seconds_an_epoch(network: keras.Model, dataset: Dataset, phase: Phase) -> float:
    ends = []

    def note(result: EpochResult) -> None:
        ends.append(time.perf_counter())

    train(network, dataset, phase, seed=0, on_epoch=note)
    return statistics.median(np.diff(ends))

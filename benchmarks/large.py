"""Spectral clustering of large graphs: time, peak memory and growth, in processes of their own."""

import json
import os
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

import numpy as np
from joblib import delayed
from threadpoolctl import threadpool_limits

from benchmarks.shuffling import (
    N_CLUSTERS,
    N_INIT,
    compared_ncuts,
    labels_by_scikit_learn,
    ncut_by_scikit_learn,
    shares_of_time,
)
from nn_clustering.graphs import Edges, Layer, UnitGraph
from nn_clustering.partitions import ncut, spectral_partition
from nn_clustering.seeds import generator
from nn_clustering.significance import (
    shuffle_test,
    shuffled_edges,
    shuffled_ncuts,
    worker_pool,
)

CHART = Path(__file__).parents[1] / "docs" / "images" / "clustering_time.svg"

# k-means starts of large graphs, whose starts differ more and cost a smaller share of the time.
N_INIT_LARGE = 25

# Units of the graphs in the chart.
SIZES = (1000, 2000, 5000, 10_000, 20_000, 50_000)


def benchmark_large(graph: UnitGraph, name: str, *, n_shuffles: int, limit: float) -> str:
    """Compare with scikit-learn in one process each, which may give up after ``limit`` seconds."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "graph.npz"
        path.write_bytes(graph.to_npz())
        ours = _in_process("ours", path, n_shuffles, None)
        theirs = _in_process("theirs", path, 1, limit)
    assert ours is not None
    seconds = float(np.median(ours["seconds"]))
    lines = [
        f"shuffle test: {n_shuffles} shuffles of {name} ({graph.n_units} units, k = "
        f"{N_CLUSTERS}), one process",
        f"  ours   {seconds:8.3f} s a shuffle (median, {min(ours['seconds']):.3f} to "
        f"{max(ours['seconds']):.3f}), peak memory {ours['peak_mb']:.0f} MB",
    ]
    peer = "scikit-learn's SpectralClustering (arpack, 25 k-means starts)"
    if theirs is None:
        lines += [
            f"  peer   not done with one shuffle after {limit:.0f} s: {peer}",
            f"  ratio  more than {limit / seconds:.0f} times faster; mean n-cut "
            f"{np.mean(ours['ncuts']):.4f}, nothing to compare it with",
        ]
    elif "error" in theirs:
        lines += [f"  peer   failed: {theirs['error']}: {peer}"]
    else:
        lines += [
            f"  peer   {theirs['seconds'][0]:8.3f} s (one shuffle), peak memory "
            f"{theirs['peak_mb']:.0f} MB: {peer}",
            f"  ratio  {theirs['seconds'][0] / seconds:8.2f} times faster; of the same shuffle: "
            f"{compared_ncuts(ours['ncuts'][:1], theirs['ncuts'])}",
        ]
    return "\n".join([*lines, f"  {ours['shares']}"])


def _in_process(
    side: str, path: Path, n_shuffles: int, limit: float | None, n_workers: int = 1
) -> dict | None:
    """Return what one side measures in a process of its own, or None if it took too long."""
    numbers = [str(n_shuffles), str(n_workers)]
    command = [sys.executable, "-m", "benchmarks.large", side, str(path), *numbers]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=limit, check=False)
    except subprocess.TimeoutExpired:
        return None
    if done.returncode:
        return {"error": (done.stderr.strip().splitlines() or [f"code {done.returncode}"])[-1]}
    return json.loads(done.stdout.splitlines()[-1])


def _measure(side: str, path: Path, n_shuffles: int) -> dict:
    graph = UnitGraph.from_npz(path.read_bytes())
    null = shuffled_edges(graph, "layer")
    cluster = partial(spectral_partition, n_clusters=N_CLUSTERS, n_init=N_INIT_LARGE)
    seconds, values = [], []
    for index in range(n_shuffles):
        start = time.perf_counter()
        if side == "ours":
            values += shuffled_ncuts(null, cluster, [index], seed=0)
        else:
            values.append(ncut_by_scikit_learn(null.graph, index))
        seconds.append(time.perf_counter() - start)
    peak_mb = _peak_mb()
    shares = shares_of_time(null.graph, n_shuffles, N_INIT_LARGE) if side == "ours" else ""
    return {"seconds": seconds, "ncuts": values, "peak_mb": peak_mb, "shares": shares}


def _peak_mb() -> float:
    """Return this process's own peak memory; ``ru_maxrss`` would begin with its parent's."""
    lines = Path("/proc/self/status").read_text().splitlines()
    peak = next(line for line in lines if line.startswith("VmHWM:"))
    return int(peak.split()[1]) / 1024


def benchmark_test(graph: UnitGraph, name: str, *, n_shuffles: int, n_workers: int) -> str:
    """Time a whole shuffle test, and tell the processor time and the memory of every process."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "graph.npz"
        path.write_bytes(graph.to_npz())
        megabytes = path.stat().st_size / 1e6
        found = _in_process("test", path, n_shuffles, None, n_workers)
    assert found is not None
    if "error" in found:
        return f"shuffle test of {name} failed: {found['error']}"
    cpu, peaks = sum(found["cpu"]), ", ".join(f"{peak:.0f}" for peak in found["peaks"])
    return "\n".join(
        [
            f"shuffle test: {n_shuffles} shuffles of {name} ({graph.n_units} units, k = "
            f"{N_CLUSTERS}, {N_INIT_LARGE} starts), {n_workers} processes; graph.npz has "
            f"{megabytes:.0f} MB",
            f"  {found['wall']:.0f} s; {cpu:.0f} s of processor time, {cpu / n_workers:.0f} s on "
            f"{n_workers} cores with nothing else to do",
            f"  peak memory {peaks} MB (the test's own process, then its workers); n-cut of "
            f"shuffles {found['mean']:.4f} "
            f"(std {found['std']:.4f})",
        ]
    )


def _measure_test(path: Path, n_shuffles: int, n_workers: int) -> dict:
    start = time.perf_counter()
    graph = UnitGraph.from_npz(path.read_bytes())
    cluster = partial(spectral_partition, n_clusters=N_CLUSTERS, n_init=N_INIT_LARGE)
    own = ncut(graph, cluster(graph, seed=0).labels)
    null = shuffled_edges(graph, "layer")
    test = shuffle_test(null, cluster, own, n_shuffles=n_shuffles, seed=0, n_workers=n_workers)
    wall = time.perf_counter() - start
    # as many tasks as each takes one of, if none ends before the last begins
    used = dict(worker_pool(n_workers)(delayed(_used)() for _ in range(4 * n_workers)))
    workers = [measured for pid, measured in used.items() if pid != os.getpid()]
    (own_peak, own_cpu), (peaks, cpu) = _used()[1], zip(*workers, strict=True)
    return {
        "wall": wall, "cpu": [own_cpu, *cpu], "peaks": [own_peak, *peaks],
        "mean": test.mean, "std": test.std,
    }  # fmt: skip


def _used() -> tuple[int, tuple[float, float]]:
    """Return this process's id, its peak memory in MB and its seconds of processor time."""
    time.sleep(0.2)
    return os.getpid(), (_peak_mb(), time.process_time())


def benchmark_growth(limit: float = 30) -> str:
    """Time one clustering of ever larger chains of six layers with one thread, and draw the chart.

    Args:
        limit: The peer gets no larger graph after one that took this many seconds.
    """
    seconds: dict[str, dict[int, float]] = {"nn_clustering": {}, "scikit-learn": {}}
    with threadpool_limits(1):
        for n_units in SIZES:
            graph = chain(n_units)
            seconds["nn_clustering"][n_units] = _seconds(
                lambda graph=graph: spectral_partition(graph, N_CLUSTERS, seed=0, n_init=N_INIT)
            )
            if max(seconds["scikit-learn"].values(), default=0) < limit:
                seconds["scikit-learn"][n_units] = _seconds(
                    lambda graph=graph: labels_by_scikit_learn(graph, 0)
                )
    _draw(seconds)
    lines = [
        f"one clustering of a chain of six layers, k = {N_CLUSTERS}, one thread; drawn in {CHART}"
    ]
    for name, of_sizes in seconds.items():
        times = ", ".join(f"{n:,} units {s:.3g} s" for n, s in of_sizes.items())
        lines.append(f"  {name}: {times}; slope {slope(of_sizes):.2f}")
    return "\n".join(lines)


def chain(n_units: int, n_layers: int = 6) -> UnitGraph:
    """Return a chain of layers of equal size with uniformly random weights, all of them edges."""
    width = n_units // n_layers
    random = generator(0, "benchmark", n_units)
    layers = tuple(Layer(f"layer_{index}", width) for index in range(n_layers))
    edges = tuple(
        Edges(index, index + 1, random.random((width, width), np.float32))
        for index in range(n_layers - 1)
    )
    return UnitGraph(layers, edges)


def slope(seconds: dict[int, float]) -> float:
    """Return by which power of the number of units the time grows, by least squares."""
    return float(np.polyfit(np.log(list(seconds)), np.log(list(seconds.values())), 1)[0])


def _seconds(work) -> float:
    """Return the shortest of a few times, of one if it is long."""
    shortest = np.inf
    for _ in range(3):
        start = time.perf_counter()
        work()
        shortest = min(shortest, time.perf_counter() - start)
        if shortest > 5:
            break
    return shortest


def _draw(seconds: dict[str, dict[int, float]]) -> None:
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter, NullFormatter

    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    for name, of_sizes in seconds.items():
        axes.loglog(
            list(of_sizes),
            list(of_sizes.values()),
            "o-",
            label=f"{name}, slope {slope(of_sizes):.1f}",
        )
    axes.set_xlabel("units")
    axes.set_ylabel(f"seconds for one clustering, k = {N_CLUSTERS}")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
        axis.set_minor_formatter(NullFormatter())
    axes.grid(alpha=0.3)
    axes.legend()
    FigureCanvasSVG(figure).print_svg(CHART, metadata={"Date": None})


if __name__ == "__main__":
    side, path, numbers = sys.argv[1], Path(sys.argv[2]), map(int, sys.argv[3:])
    n_shuffles, n_workers = numbers
    measured = (
        _measure_test(path, n_shuffles, n_workers)
        if side == "test"
        else _measure(side, path, n_shuffles)
    )
    print(json.dumps(measured))
